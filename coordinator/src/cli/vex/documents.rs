//! `starling vex list`, `show` and `detach`: documents that are attached.

use proto_api::vex::v1::{
    DetachDocumentRequest, Document, GetDocumentRequest, GetDocumentResponse, ListDocumentsRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::list::{self, Limit, Output};
use super::super::screen::Screen;
use super::super::server::{Server, call};
use super::super::table::Rows;
use super::super::{moment, words};

const DOCUMENT: &str = "starling.vex.v1.Document";

pub(super) async fn list(
    server: &Server,
    screen: &mut Screen,
    which: &ListDocumentsRequest,
    limit: Limit,
    output: Output,
) -> Result<(), Failure> {
    let found = list::gather(limit.limit, async |page_size, page_token| {
        let request = ListDocumentsRequest { page_size, page_token, ..which.clone() };
        let page = call(request, async |request| server.vex().list_documents(request).await).await?;
        Ok((page.documents, page.next_page_token))
    });
    list::show(screen, output.format, DOCUMENT, &found.await?, |screen, documents| {
        let heads = ["ID", "DOCUMENT", "VERSION", "AUTHOR", "STATEMENTS", "ABOUT", "ATTACHED", "STATE"];
        let mut rows = Rows::new(screen, &heads);
        let now = OffsetDateTime::now_utc();
        for document in documents {
            rows.row([
                document.document_id.clone(),
                document.name.clone(),
                document.version.clone(),
                document.author.clone(),
                document.statements.to_string(),
                about(document),
                words::ago(document.attach_time, now),
                state(document),
            ]);
        }
        rows.right(&[4])
    })
}

/// `2 images`, or that it speaks for itself.
fn about(document: &Document) -> String {
    match document.images.as_slice() {
        [] => "its products".to_owned(),
        [image] => words::short(image).to_owned(),
        images => words::count(images.len() as u64, "image"),
    }
}

/// `counts, signed, for all tenants`, or that it was taken back.
fn state(document: &Document) -> String {
    let detached = document.detachment.is_some();
    let words = [
        Some(if detached { "detached" } else { "counts" }),
        document.signed.then_some("signed"),
        document.shared.then_some("for all tenants"),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(super) async fn show(
    server: &Server,
    screen: &mut Screen,
    document: Uuid,
    with_content: bool,
    output: Output,
) -> Result<(), Failure> {
    let request = GetDocumentRequest { document_id: document.to_string(), with_content };
    let answer = call(request, async |request| server.vex().get_document(request).await).await?;
    if with_content {
        return screen.exactly(&answer.content);
    }
    let GetDocumentResponse { document, .. } = answer;
    list::show_one(screen, output.format, DOCUMENT, &document.unwrap_or_default(), |screen, document| {
        let when = moment::shown_or_nothing;
        let mut pairs = vec![
            ("id", document.document_id.clone()),
            ("document", document.name.clone()),
            ("version", document.version.clone()),
            ("format", document.format.clone()),
            ("author", document.author.clone()),
            ("made", when(document.state_time)),
            ("statements", document.statements.to_string()),
            ("size", words::size(document.size_bytes.unsigned_abs())),
            ("digest", document.digest.clone()),
            ("state", state(document)),
            ("attached", format!("{} by {}", when(document.attach_time), document.attached_by)),
            ("why", document.reason.clone()),
            ("from snapshot", document.snapshot.to_string()),
        ];
        if let Some(end) = &document.detachment {
            pairs.push(("detached", format!("{} by {}", when(end.detach_time), end.detached_by)));
            pairs.push(("why then", end.reason.clone()));
            pairs.push(("until snapshot", end.snapshot.to_string()));
        }
        pairs.extend(document.images.iter().map(|image| ("image", image.clone())));
        pairs.retain(|(_, value)| !value.is_empty());
        list::show_pairs(screen, &pairs)
    })
}

pub(super) async fn detach(
    server: &Server,
    screen: &mut Screen,
    document: Uuid,
    reason: String,
) -> Result<(), Failure> {
    let request = DetachDocumentRequest {
        request_id: Uuid::now_v7().to_string(),
        document_id: document.to_string(),
        reason,
    };
    let answer = call(request, async |request| server.vex().detach_document(request).await).await?;
    let snapshot = answer.document.and_then(|document| document.detachment).map_or(0, |end| end.snapshot);
    screen.say(format!("{document} does not count from snapshot {snapshot} on"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto_api::vex::v1::Detachment;

    use super::*;

    #[test]
    fn a_document_says_in_short_what_it_is_about_and_whether_it_counts() {
        let image = format!("sha256:{}", "a".repeat(64));
        let of = |images: &[&String]| Document {
            images: images.iter().map(|image| (*image).clone()).collect(),
            ..Document::default()
        };
        assert_eq!(about(&of(&[])), "its products");
        assert_eq!(about(&of(&[&image])), "sha256:aaaaaaaaaaaa");
        assert_eq!(about(&of(&[&image, &image])), "2 images");
        let shared = Document { shared: true, signed: true, ..Document::default() };
        assert_eq!(state(&shared), "counts, signed, for all tenants");
        let gone = Document { detachment: Some(Detachment::default()), ..Document::default() };
        assert_eq!(state(&gone), "detached");
    }
}
