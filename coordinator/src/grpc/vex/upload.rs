//! A document on its way in: announced, received in pieces, read on a thread of its own, and attached.

use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use model::{Digest, ImageDigest, Problem};
use proto_api::common::v1::ErrorReason;
use proto_api::vex::v1::attach_document_request::Part;
use proto_api::vex::v1::{AttachDocumentRequest, AttachDocumentResponse, DocumentHeader};
use store::TenantTx;
use store::vex::{Attaching, IMAGES_MAX};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;
use uuid::Uuid;
use vex::{Limits, Summary};

use super::super::auth::Caller;
use super::super::errors::{Refusal, invalid, refuse};
use super::super::idempotent::{Asked, once};
use super::super::uploads::{Message, Piece, chunks, header, of_reading};
use super::messages::document;
use super::{ATTACHMENTS, DOCUMENT_BYTES_MAX, SIGNATURE_BYTES_MAX, Vex, about, audit, one_line};

const PROBLEMS_MAX: usize = 20;
/// All of a document must have come by then: it is small, and its place is waited for.
const UPLOAD_MAX: Duration = Duration::from_secs(30);

/// What is announced of a document.
#[derive(Debug)]
struct Announced {
    digest: Digest,
    bytes: usize,
}

impl Vex {
    /// Takes a document.
    pub(super) async fn attach(
        &self,
        caller: &Caller,
        mut parts: Streaming<AttachDocumentRequest>,
    ) -> Result<AttachDocumentResponse, Refusal> {
        let header = header(&mut parts).await?;
        let asked = Asked { tenant: caller.tenant, method: "AttachDocument", id: &header.request_id };
        once(&self.0.store, asked, &header, async || self.take(caller, &header, parts).await).await
    }

    async fn take(
        &self,
        caller: &Caller,
        header: &DocumentHeader,
        parts: Streaming<AttachDocumentRequest>,
    ) -> Result<AttachDocumentResponse, Refusal> {
        let announced = announced(header)?;
        let images = self.images(caller, &header.images).await?;
        let deadline = Instant::now() + UPLOAD_MAX;
        let place = timeout_at(deadline, self.0.attaching.acquire()).await;
        let _place = place.map_err(|_| refuse(ErrorReason::NodeBusy))?;
        let content = content(parts, &announced, deadline).await?;
        let is_signed = !header.signature.is_empty();
        let (content, summary, problems) = read(content, is_signed).await?;
        let attaching = Attaching {
            id: Uuid::now_v7(),
            content,
            signature: is_signed.then(|| header.signature.to_vec()),
            summary,
            images,
            by: caller.label.clone(),
            reason: header.reason.clone(),
        };
        let mut tx = self.tx(caller).await?;
        store::vex::attach(&mut tx, &attaching).await.map_err(|error| already(error, &attaching))?;
        let attached = store::vex::get(&mut tx, attaching.id).await?;
        tx.commit().await?;
        metrics::counter!(ATTACHMENTS, "what" => "attached").increment(1);
        audit(caller, &attached, "attached", &header.reason);
        let line = |problem: &Problem| format!("{}: {}", problem.place, problem.what);
        Ok(AttachDocumentResponse {
            document: Some(document(&attached)),
            problems: problems.iter().take(PROBLEMS_MAX).map(line).collect(),
            more_problems: i32::try_from(problems.len().saturating_sub(PROBLEMS_MAX)).unwrap_or(i32::MAX),
        })
    }

    /// The images that a document is about, sorted.
    async fn images(&self, caller: &Caller, texts: &[String]) -> Result<Vec<ImageDigest>, Refusal> {
        if texts.len() > IMAGES_MAX {
            return Err(invalid("header.images", format!("must be {IMAGES_MAX} at most")));
        }
        let mut tx: TenantTx = self.tx(caller).await?;
        let mut images = Vec::with_capacity(texts.len());
        for text in texts {
            images.push(about(&mut tx, text).await?);
        }
        images.sort();
        images.dedup();
        Ok(images)
    }
}

fn already(error: store::Error, attaching: &Attaching) -> Refusal {
    match error {
        store::Error::AlreadyExists { .. } => {
            let Summary { id, version, .. } = &attaching.summary;
            refuse(ErrorReason::VexExists)
                .saying(format!("{id} in this version ({version}) is attached to the same images already"))
        }
        other => other.into(),
    }
}

impl Message for AttachDocumentRequest {
    type Header = DocumentHeader;

    fn piece(self) -> Option<Piece<DocumentHeader>> {
        Some(match self.part? {
            Part::Header(header) => Piece::Header(header),
            Part::Chunk(chunk) => Piece::Chunk(chunk),
        })
    }
}

fn announced(header: &DocumentHeader) -> Result<Announced, Refusal> {
    one_line("header.reason", &header.reason)?;
    let digest = header.digest.parse().map_err(|error| invalid("header.digest", error))?;
    if header.signature.len() > SIGNATURE_BYTES_MAX {
        return Err(invalid("header.signature", format!("must be {SIGNATURE_BYTES_MAX} bytes at most")));
    }
    match usize::try_from(header.size_bytes) {
        Ok(0) | Err(_) => Err(invalid("header.size_bytes", "must be above 0")),
        Ok(bytes) if bytes > DOCUMENT_BYTES_MAX => Err(refuse(ErrorReason::VexInvalid)
            .saying(format!("it has {bytes} bytes, more than the {DOCUMENT_BYTES_MAX} that are taken"))
            .with("max_bytes", DOCUMENT_BYTES_MAX)),
        Ok(bytes) => Ok(Announced { digest, bytes }),
    }
}

/// The bytes of an upload, all of them and no others.
async fn content(
    parts: Streaming<AttachDocumentRequest>,
    announced: &Announced,
    deadline: Instant,
) -> Result<Vec<u8>, Refusal> {
    let (mut content, mut chunks) = (Vec::new(), pin!(chunks(parts)));
    loop {
        let next = timeout_at(deadline, chunks.try_next()).await;
        let next = next.map_err(|_| refuse(ErrorReason::DeadlineExceeded))?;
        let Some(chunk) = next.map_err(|error| of_reading(&error))? else { break };
        if content.len() + chunk.len() > announced.bytes {
            return Err(other_size(announced, "more"));
        }
        content.extend_from_slice(&chunk);
    }
    whole(content, announced)
}

fn whole(content: Vec<u8>, announced: &Announced) -> Result<Vec<u8>, Refusal> {
    if content.len() != announced.bytes {
        return Err(other_size(announced, &content.len().to_string()));
    }
    let (found, expected) = (Digest::of(&content), &announced.digest);
    if found != *expected {
        return Err(refuse(ErrorReason::BlobDigestMismatch)
            .saying(format!("the document was announced as {expected}, but is {found}"))
            .with("expected", expected)
            .with("found", found));
    }
    Ok(content)
}

fn other_size(announced: &Announced, found: &str) -> Refusal {
    refuse(ErrorReason::BlobSizeMismatch)
        .saying(format!("the document was announced with {} bytes, but has {found}", announced.bytes))
}

/// Reads a document, away from the threads that wait.
async fn read(content: Vec<u8>, is_signed: bool) -> Result<(Vec<u8>, Summary, Vec<Problem>), Refusal> {
    let reading = tokio::task::spawn_blocking(move || {
        let limits = Limits { document_bytes: DOCUMENT_BYTES_MAX, ..Limits::default() };
        let found = Summary::read(&content, is_signed, &limits);
        found.map(|(summary, problems)| (content, summary, problems))
    });
    let found = reading.await.map_err(|_| refuse(ErrorReason::VexInvalid).saying("reading it failed"))?;
    found.map_err(|error| refuse(ErrorReason::VexInvalid).saying(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: i64) -> DocumentHeader {
        DocumentHeader {
            digest: Digest::of(b"vex").to_string(),
            size_bytes: bytes,
            ..DocumentHeader::default()
        }
    }

    #[test]
    fn what_is_announced_has_bounds() {
        let most = i64::try_from(DOCUMENT_BYTES_MAX).unwrap();
        assert_eq!(announced(&header(most)).unwrap().bytes, DOCUMENT_BYTES_MAX);
        let reason = |header: DocumentHeader| announced(&header).unwrap_err().reason();
        assert_eq!(reason(header(most + 1)), ErrorReason::VexInvalid);
        assert_eq!(reason(header(0)), ErrorReason::RequestInvalid);
        assert_eq!(reason(header(-1)), ErrorReason::RequestInvalid);
        let signature = vec![0; SIGNATURE_BYTES_MAX + 1].into();
        assert_eq!(reason(DocumentHeader { signature, ..header(1) }), ErrorReason::RequestInvalid);
        let digest = "md5:1".to_owned();
        assert_eq!(reason(DocumentHeader { digest, ..header(1) }), ErrorReason::RequestInvalid);
    }

    #[test]
    fn what_comes_is_what_was_announced() {
        let announced = announced(&header(3)).unwrap();
        assert_eq!(whole(b"vex".to_vec(), &announced).unwrap(), b"vex");
        let reason = |bytes: &[u8]| whole(bytes.to_vec(), &announced).unwrap_err().reason();
        assert_eq!(reason(b"ve"), ErrorReason::BlobSizeMismatch);
        assert_eq!(reason(b"vey"), ErrorReason::BlobDigestMismatch);
    }

    #[tokio::test]
    async fn what_is_no_vex_is_refused_with_what_is_wrong() {
        let refused = read(b"{}".to_vec(), false).await.unwrap_err();
        assert_eq!(refused.reason(), ErrorReason::VexInvalid);
        let document =
            br#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "d", "author": "acme", "version": 1,
            "timestamp": "2026-01-02T00:00:00Z", "statements": [
            {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/a"}], "status": "fixed"},
            {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/a"}], "status": "odd"}]}"#;
        let (content, summary, problems) = read(document.to_vec(), true).await.unwrap();
        assert_eq!(content, document);
        assert_eq!((summary.id.as_str(), summary.is_signed, problems.len()), ("d", true, 1));
    }
}
