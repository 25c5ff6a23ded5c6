//! `starling vex attach`: documents go to the server as they are, each with the signature that lies beside it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use model::Digest;
use proto_api::vex::v1::attach_document_request::Part;
use proto_api::vex::v1::{AttachDocumentRequest, AttachDocumentResponse, DocumentHeader};
use uuid::Uuid;

use super::super::bounded::bytes_of;
use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;
use super::super::server::{CALLS_MAX, Server, pause_before};
use super::super::words::count;
use crate::grpc::vex::{DOCUMENT_BYTES_MAX, SIGNATURE_BYTES_MAX};

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling vex attach app.openvex.json --image app:1.2 --reason 'reviewed, see SEC-7'
  starling vex attach vex/*.json
  starling vex attach supplier.csaf.json   # with supplier.csaf.json.sig beside it, where there is one";

const CHUNK: usize = 256 << 10;

/// What to attach to what.
#[derive(Debug, Args)]
pub(in crate::cli) struct Attach {
    /// VEX documents: OpenVEX, CSAF or CycloneDX, alone, in a list or in a DSSE envelope, of 8 MiB at most; FILE.sig
    /// beside one is its signature
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An image they are about, by digest, the beginning of it, or name; may be given several times. Without any they
    /// speak of whatever their products name
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// A document and what is said of it.
#[derive(Debug)]
struct Upload {
    header: DocumentHeader,
    content: Bytes,
}

impl Attach {
    /// Does it. All files are read before the first is sent.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let uploads: Vec<(&PathBuf, Upload)> =
            self.files.iter().map(|file| Ok((file, self.announce(file)?))).collect::<Result<_, Failure>>()?;
        for (file, upload) in uploads {
            let answer = send(server, &upload).await?;
            tell(&file.display().to_string(), &answer, screen)?;
        }
        Ok(())
    }

    fn announce(&self, file: &Path) -> Result<Upload, Failure> {
        let content = bytes_of(file, DOCUMENT_BYTES_MAX, Exit::Usage)?;
        let beside = PathBuf::from(format!("{}.sig", file.display()));
        let signature =
            if beside.is_file() { bytes_of(&beside, SIGNATURE_BYTES_MAX, Exit::Usage)? } else { Vec::new() };
        let header = DocumentHeader {
            request_id: Uuid::now_v7().to_string(),
            digest: Digest::of(&content).to_string(),
            size_bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
            signature: signature.into(),
            images: self.image.clone(),
            reason: self.reason.clone(),
        };
        Ok(Upload { header, content: content.into() })
    }
}

async fn send(server: &Server, upload: &Upload) -> Result<AttachDocumentResponse, Failure> {
    let mut attempt = 0;
    loop {
        match server.vex().attach_document(tokio_stream::iter(parts(upload))).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => match pause_before(&status, attempt, CALLS_MAX) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status.into()),
            },
        }
        attempt += 1;
    }
}

fn parts(Upload { header, content }: &Upload) -> Vec<AttachDocumentRequest> {
    let chunks = (0..content.len()).step_by(CHUNK);
    let chunks = chunks.map(|at| Part::Chunk(content.slice(at..content.len().min(at + CHUNK))));
    let parts = [Part::Header(header.clone())].into_iter().chain(chunks);
    parts.map(|part| AttachDocumentRequest { part: Some(part) }).collect()
}

fn tell(file: &str, answer: &AttachDocumentResponse, screen: &mut Screen) -> Result<(), Failure> {
    for problem in &answer.problems {
        screen.say(format!("warning: {file}: {problem}"));
    }
    if answer.more_problems > 0 {
        screen.say(format!("warning: {file}: and {} more", answer.more_problems));
    }
    let document = answer.document.clone().unwrap_or_default();
    let about = match document.images.len() {
        0 => "whatever its products name".to_owned(),
        images => count(images as u64, "image"),
    };
    let statements = count(u64::from(document.statements.unsigned_abs()), "statement");
    let signed = if document.signed { ", signed" } else { "" };
    screen.say(format!(
        "{file}: {statements} by {}{signed}, attached to {about} from snapshot {} on",
        document.author, document.snapshot
    ));
    screen.data(document.document_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_goes_in_pieces_with_its_signature() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let content = vec![b'x'; 2 * CHUNK + 1];
        std::fs::write(&file, &content).unwrap();
        std::fs::write(folder.path().join("a.json.sig"), "c2ln").unwrap();
        let attach = Attach { files: vec![], image: vec!["app:1".to_owned()], reason: "why".to_owned() };
        let upload = attach.announce(&file).unwrap();
        assert_eq!(upload.header.digest, Digest::of(&content).to_string());
        assert_eq!((&upload.header.signature[..], upload.header.images.len()), (&b"c2ln"[..], 1));
        let sizes: Vec<_> = parts(&upload)
            .into_iter()
            .map(|part| match part.part {
                Some(Part::Header(header)) => header.size_bytes,
                Some(Part::Chunk(chunk)) => i64::try_from(chunk.len()).unwrap(),
                None => -1,
            })
            .collect();
        let chunk = i64::try_from(CHUNK).unwrap();
        assert_eq!(sizes, [2 * chunk + 1, chunk, chunk, 1]);
    }
}
