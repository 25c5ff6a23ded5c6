//! VexService: documents that people attach, and what all documents come to in an image.

mod explain;
mod messages;
mod upload;

use std::sync::Arc;

use model::{ImageDigest, TenantId};
use proto_api::common::v1::ErrorReason;
use proto_api::vex::v1::vex_service_server::VexService;
use proto_api::vex::v1::{
    AttachDocumentRequest, AttachDocumentResponse, DetachDocumentRequest, DetachDocumentResponse,
    ExplainVexRequest, ExplainVexResponse, GetDocumentRequest, GetDocumentResponse, ListDocumentsRequest,
    ListDocumentsResponse,
};
use store::TenantTx;
use store::vex::{self, Attached, Filter};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::Door;
use super::auth::{Caller, caller_of};
use super::errors::{Refusal, invalid, not_found};
use super::idempotent::{Asked, once};
use super::images::image_digest;
use super::paging::Page;
use super::sealed::{BadSeal, Binding};
pub(super) use explain::{EXPLAINING_MAX, said_of};
use messages::document;

/// The service.
pub(super) struct Vex(pub(super) Arc<Door>);

/// Bytes of a file of documents that is attached.
pub(crate) const DOCUMENT_BYTES_MAX: usize = vex::CONTENT_BYTES_MAX;
/// Bytes of a signature that lies beside one.
pub(crate) const SIGNATURE_BYTES_MAX: usize = vex::SIGNATURE_BYTES_MAX;
/// Documents that a node takes in at once: each is held in memory until it is read.
pub(super) const ATTACHING_MAX: usize = 4;

const USUAL_PAGE: u32 = 50;
const REASON_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 1024;

#[tonic::async_trait]
impl VexService for Vex {
    async fn attach_document(
        &self,
        request: Request<Streaming<AttachDocumentRequest>>,
    ) -> Result<Response<AttachDocumentResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.attach(&caller, request.into_inner()).await?))
    }

    async fn get_document(
        &self,
        request: Request<GetDocumentRequest>,
    ) -> Result<Response<GetDocumentResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.get(&caller, request.get_ref()).await?))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn detach_document(
        &self,
        request: Request<DetachDocumentRequest>,
    ) -> Result<Response<DetachDocumentResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "DetachDocument", id: &request.request_id };
        let answer =
            once(&self.0.store, asked, request, async || self.detach(&caller, request).await).await?;
        Ok(Response::new(answer))
    }

    async fn explain_vex(
        &self,
        request: Request<ExplainVexRequest>,
    ) -> Result<Response<ExplainVexResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.explain(&caller, request.get_ref()).await?))
    }
}

impl Vex {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    async fn get(
        &self,
        caller: &Caller,
        request: &GetDocumentRequest,
    ) -> Result<GetDocumentResponse, Refusal> {
        let mut tx = self.tx(caller).await?;
        let found = find(&mut tx, &request.document_id).await?;
        let (content, signature) = match request.with_content {
            true => vex::content(&mut tx, found.id).await?,
            false => (Vec::new(), None),
        };
        Ok(GetDocumentResponse {
            document: Some(document(&found)),
            content: content.into(),
            signature: signature.unwrap_or_default().into(),
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListDocumentsRequest,
    ) -> Result<ListDocumentsResponse, Refusal> {
        let mut tx = self.tx(caller).await?;
        let image = match request.image.as_str() {
            "" => None,
            text => Some(about(&mut tx, text).await?),
        };
        let parts: [&[u8]; 4] = [
            image.as_ref().map(ImageDigest::as_str).unwrap_or_default().as_bytes(),
            request.vulnerability.as_bytes(),
            request.name.as_bytes(),
            &[u8::from(request.show_detached)],
        ];
        let binding = Binding::of("ListDocuments", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after.as_deref().map(parse_place).transpose()?;
        let filter = Filter {
            image,
            vulnerability: named("vulnerability", &request.vulnerability)?,
            document_id: named("name", &request.name)?,
            with_detached: request.show_detached,
            with_global: true,
        };
        let found = vex::list(&mut tx, &filter, after, page.limit()).await?;
        let place = |attached: &Attached| attached.id.as_bytes().to_vec();
        let (found, next_page_token) = page.cut(seals, binding, found, place);
        Ok(ListDocumentsResponse { documents: found.iter().map(document).collect(), next_page_token })
    }

    async fn detach(
        &self,
        caller: &Caller,
        request: &DetachDocumentRequest,
    ) -> Result<DetachDocumentResponse, Refusal> {
        one_line("reason", &request.reason)?;
        let mut tx = self.tx(caller).await?;
        let found = find(&mut tx, &request.document_id).await?;
        if found.tenant != caller.tenant {
            return Err(missing(&request.document_id));
        }
        vex::detach(&mut tx, found.id, &caller.label, &request.reason).await?;
        let now = vex::get(&mut tx, found.id).await?;
        tx.commit().await?;
        metrics::counter!(ATTACHMENTS, "what" => "detached").increment(1);
        audit(caller, &now, "detached", &request.reason);
        Ok(DetachDocumentResponse { document: Some(document(&now)) })
    }
}

/// How many documents were attached, and how many taken back.
const ATTACHMENTS: &str = "starling_vex_attachments_total";

/// For those who look at what was done.
fn audit(caller: &Caller, document: &Attached, what: &str, by_reason: &str) {
    let (id, snapshot) = (document.id, document.snapshot.0);
    let (who, tenant) = (&caller.label, caller.tenant);
    tracing::info!(vex.document = %id, tenant.id = %tenant, snapshot, what, by.who = who, by.reason = by_reason, audit = true, "VEX document");
}

/// The document with this id that the caller sees.
async fn find(tx: &mut TenantTx, text: &str) -> Result<Attached, Refusal> {
    let id: Uuid = text.parse().map_err(|_| invalid("document_id", "must be a UUID"))?;
    vex::get(tx, id).await.map_err(|error| match error {
        store::Error::NotFound { .. } => missing(text),
        other => other.into(),
    })
}

fn missing(id: &str) -> Refusal {
    not_found(ErrorReason::VexNotFound, "vex document", id)
}

/// An image by its digest, whether it is there by now or not; or by the beginning of it or the name of one that is.
async fn about(tx: &mut TenantTx, text: &str) -> Result<ImageDigest, Refusal> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    if tx.tenant() == TenantId::SYSTEM {
        return Err(invalid("image", "operators have no images: name it by its digest"));
    }
    image_digest(tx, text).await
}

/// A name to look for, where one is given.
fn named(field: &str, text: &str) -> Result<Option<String>, Refusal> {
    if text.len() > NAME_BYTES_MAX {
        return Err(invalid(field, format!("must be {NAME_BYTES_MAX} bytes at most")));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Words of people that go with a change.
pub(super) fn one_line<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    if text.chars().count() > REASON_MAX || text.chars().any(char::is_control) {
        return Err(invalid(field, format!("must be one line of at most {REASON_MAX} characters")));
    }
    Ok(text)
}

fn parse_place(bytes: &[u8]) -> Result<Uuid, Refusal> {
    Uuid::from_slice(bytes).map_err(|_| BadSeal::Broken.of_page())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_survives_its_token() {
        let id = Uuid::now_v7();
        assert_eq!(parse_place(id.as_bytes()).unwrap(), id);
        assert!(parse_place(b"short").is_err());
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(one_line("reason", "SEC-7, reviewed").unwrap(), "SEC-7, reviewed");
        for bad in ["two\nlines", &"x".repeat(1001)] {
            assert_eq!(one_line("reason", bad).unwrap_err().reason(), ErrorReason::RequestInvalid);
        }
    }
}
