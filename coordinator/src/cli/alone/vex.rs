//! VEX documents that lie on this machine: read, their signatures held against keys, and heard about an image.

use std::path::{Path, PathBuf};

use clap::Args;
use model::{Digest, Finding};
use time::OffsetDateTime;
use vex::signature::{Key, Mark, Signature, open};
use vex::trust::{Channel, Directory, Issuer, Origin, Tier};
use vex::{Document, Evidence, Hearing, Limits, Subject, hear, parse};

use super::super::bounded::bytes_of;
use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;
use super::image::Inventoried;

/// A signature or key larger than this is none.
const SIGNATURE_BYTES: usize = 1 << 20;

/// Whose signatures are known.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Keys {
    /// A public key or certificate (PEM; Ed25519, P-256, X.509) by which an issuer signs its VEX; may be given several
    /// times
    #[arg(long = "vex-key", value_name = "ISSUER=FILE", value_parser = parse_key)]
    keys: Vec<(String, PathBuf)>,
    /// Let only statements count that are signed by one of these keys
    #[arg(long, requires = "keys")]
    vex_signed_only: bool,
}

fn parse_key(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((issuer, file)) if !issuer.is_empty() && !file.is_empty() => {
            Ok((issuer.to_owned(), PathBuf::from(file)))
        }
        _ => Err("it is written ISSUER=FILE".to_owned()),
    }
}

/// A document with where it is from.
pub(in crate::cli) struct Heard {
    pub(in crate::cli) file: String,
    pub(in crate::cli) document: Document,
    origin: Origin,
    /// The images that its envelope says it is about.
    subjects: Vec<Digest>,
}

/// Documents that were read, and by whom to trust them.
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) documents: Vec<Heard>,
    directory: Directory,
    /// What could not be read in them.
    problems: Vec<String>,
}

/// Reads documents. `FILE.sig` beside one is its signature.
pub(in crate::cli) fn load(files: &[PathBuf], keys: &Keys, now: OffsetDateTime) -> Result<Loaded, Failure> {
    let directory = directory(keys)?;
    let mut loaded = Loaded { documents: Vec::new(), directory, problems: Vec::new() };
    for file in files {
        loaded.add(file, now)?;
    }
    Ok(loaded)
}

fn directory(keys: &Keys) -> Result<Directory, Failure> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for (id, file) in &keys.keys {
        let key = Key::parse(&bytes_of(file, SIGNATURE_BYTES, Exit::Failed)?)
            .map_err(|error| failed(file, error))?;
        match issuers.iter_mut().find(|issuer| issuer.id == *id) {
            Some(issuer) => issuer.keys.push(key),
            None => issuers.push(Issuer {
                id: id.clone(),
                authors: vec![id.clone()],
                tier: Tier::First,
                keys: vec![key],
            }),
        }
    }
    Ok(Directory { issuers, accepts_unknown: true, accepts_unsigned: !keys.vex_signed_only })
}

impl Loaded {
    fn add(&mut self, file: &Path, now: OffsetDateTime) -> Result<(), Failure> {
        let limits = Limits::default();
        let bytes = bytes_of(file, limits.document_bytes, Exit::Failed)?;
        let opened = open(&bytes, &limits).map_err(|error| failed(file, error))?;
        let mut marks = opened.marks.clone();
        let beside = PathBuf::from(format!("{}.sig", file.display()));
        if beside.is_file() {
            marks.push(Mark::beside(&bytes_of(&beside, SIGNATURE_BYTES, Exit::Failed)?));
        }
        let keys = self.directory.keys_at(now).map(|(_, key)| key);
        let signature = Signature::check(&opened.message, &marks, keys, now);
        let (documents, problems) = parse(&opened.document, &limits).map_err(|error| failed(file, error))?;
        let name = file.display().to_string();
        self.problems
            .extend(problems.iter().map(|problem| format!("{name}: {}: {}", problem.place, problem.what)));
        // Who names a file for an image stands for it: so it came by a way that is known.
        let origin = Origin { channel: Channel::Authenticated, signature, attached: false, taken_in: now };
        self.documents.extend(documents.into_iter().map(|document| Heard {
            file: name.clone(),
            document,
            origin: origin.clone(),
            subjects: opened.subjects.clone(),
        }));
        Ok(())
    }

    /// What could not be read.
    pub(in crate::cli) fn warn(&self, screen: &mut Screen) {
        self.problems.iter().for_each(|problem| screen.say(format!("warning: {problem}")));
    }

    /// Hears them all about an image.
    pub(in crate::cli) fn hear(
        &self,
        findings: &[Finding],
        image: &Inventoried,
        now: OffsetDateTime,
    ) -> Hearing {
        let digest: Option<Digest> = image.digest.parse().ok();
        let subject = Subject::new(&image.sbom, digest.as_ref(), &[&image.name]);
        let is_about = |heard: &Heard| digest.as_ref().is_some_and(|digest| heard.subjects.contains(digest));
        let origins: Vec<Origin> = self
            .documents
            .iter()
            .map(|heard| Origin { attached: is_about(heard), ..heard.origin.clone() })
            .collect();
        let evidence: Vec<Evidence<'_>> = self
            .documents
            .iter()
            .zip(&origins)
            .map(|(heard, origin)| Evidence { document: &heard.document, origin })
            .collect();
        hear(findings, &subject, &evidence, &self.directory, now)
    }
}

fn failed(file: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {why}", file.display()))
}

#[cfg(test)]
mod tests;
