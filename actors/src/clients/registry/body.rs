//! Bodies of answers: never more of them than was asked for.

use std::fs::File;
use std::io;

use inventory::Descriptor;
use model::Digest;
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

/// Of what a registry says about an error this much is read, and this much shown.
const SAID_BYTES: usize = 64 << 10;
const SAID_SHOWN: usize = 200;

/// Why a body is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The line broke.
    #[error("it broke off after {got} bytes")]
    Broken {
        got: u64,
        #[source]
        source: Option<reqwest::Error>,
    },
    /// There is more than there may be.
    #[error("it is longer than {limit} bytes")]
    TooLong { limit: u64 },
    /// Not the bytes of this name.
    #[error("its digest is {0}")]
    Damaged(Digest),
    /// The server answers another question.
    #[error("it was asked for the bytes from {from} on and sent others")]
    OtherRange { from: u64 },
    /// This machine cannot take it.
    #[error("it cannot be kept in a temporary file: {0}")]
    Store(#[from] io::Error),
}

/// A whole body in memory.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    loop {
        let got = bytes.len() as u64;
        let broken = |source| Fault::Broken { got, source: Some(source) };
        let Some(chunk) = response.chunk().await.map_err(broken)? else { return Ok(bytes) };
        if bytes.len() + chunk.len() > limit {
            return Err(Fault::TooLong { limit: limit as u64 });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// What a registry says about its refusal, in one line (distribution, "Errors").
pub(super) async fn said(response: Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        code: Option<String>,
        message: Option<String>,
    }
    let bytes = read(response, SAID_BYTES).await.ok()?;
    let first = serde_json::from_slice::<Errors>(&bytes).ok()?.errors.into_iter().next()?;
    let words: Vec<String> = [first.code, first.message].into_iter().flatten().collect();
    let line = words.join(": ").chars().filter(|c| !c.is_control()).take(SAID_SHOWN).collect::<String>();
    Some(line).filter(|line| !line.is_empty())
}

/// A blob on its way into a temporary file without a name, which is gone with its last handle.
pub(super) struct Partial<'d> {
    wanted: &'d Descriptor,
    file: tokio::fs::File,
    hash: Sha256,
    got: u64,
}

impl<'d> Partial<'d> {
    pub(super) fn new(wanted: &'d Descriptor) -> Result<Self, Fault> {
        let file = tokio::fs::File::from_std(tempfile::tempfile()?);
        Ok(Self { wanted, file, hash: Sha256::new(), got: 0 })
    }

    /// How many bytes are there.
    pub(super) const fn got(&self) -> u64 {
        self.got
    }

    /// Takes what is missing out of an answer to a request for it. A server that knows no ranges sends all from
    /// the beginning; what is there already is then passed over.
    pub(super) async fn take(&mut self, mut response: Response, came: &impl Fn(u64)) -> Result<(), Fault> {
        let size = self.wanted.size;
        let is_rest = response.status() == StatusCode::PARTIAL_CONTENT;
        if is_rest && begin_of(&response) != Some(self.got) {
            return Err(Fault::OtherRange { from: self.got });
        }
        let from = if is_rest { self.got } else { 0 };
        if response.content_length().is_some_and(|length| length > size - from) {
            return Err(Fault::TooLong { limit: size });
        }
        let mut pass = self.got - from;
        loop {
            let got = self.got;
            let broken = |source| Fault::Broken { got, source: Some(source) };
            let Some(mut chunk) = response.chunk().await.map_err(broken)? else { break };
            let passed = usize::try_from(pass).unwrap_or(usize::MAX).min(chunk.len());
            pass -= passed as u64;
            self.add(&chunk.split_off(passed)).await?;
            came(self.got - got);
        }
        if self.got < size { Err(Fault::Broken { got: self.got, source: None }) } else { Ok(()) }
    }

    async fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() as u64 > self.wanted.size - self.got {
            return Err(Fault::TooLong { limit: self.wanted.size });
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).await?;
        self.got += bytes.len() as u64;
        Ok(())
    }

    /// The file, if it is what it should be.
    pub(super) async fn finish(mut self) -> Result<File, Fault> {
        let actual = Digest::from_sha256(self.hash.finalize().into());
        if actual != self.wanted.digest {
            return Err(Fault::Damaged(actual));
        }
        self.file.flush().await?;
        Ok(self.file.into_std().await)
    }
}

/// Where the bytes of a partial answer begin.
fn begin_of(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
