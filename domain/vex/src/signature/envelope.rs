//! DSSE envelopes, and the in-toto statements in them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use model::Digest;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Mark;
use crate::{Limits, Unreadable};

/// Signatures of one envelope that are looked at.
const SIGNATURES_MAX: usize = 16;
/// Images that one in-toto statement is about.
const SUBJECTS_MAX: usize = 1_000;

/// A file, out of its envelope where it was in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The VEX document.
    pub document: Cow<'a, [u8]>,
    /// The bytes that are signed.
    pub message: Cow<'a, [u8]>,
    /// The envelope's signatures.
    pub marks: Vec<Mark>,
    /// The images that the document is said to be about.
    pub subjects: Vec<Digest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeDoc {
    payload: String,
    payload_type: String,
    #[serde(default)]
    signatures: Vec<SignatureDoc>,
}

#[derive(Debug, Deserialize)]
struct SignatureDoc {
    #[serde(default)]
    keyid: Option<String>,
    sig: String,
    /// A certificate in PEM, as in-toto's bundles have it.
    #[serde(default)]
    cert: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StatementDoc<'a> {
    #[serde(default)]
    subject: Vec<SubjectDoc>,
    #[serde(borrow)]
    predicate: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct SubjectDoc {
    #[serde(default)]
    digest: std::collections::BTreeMap<String, String>,
}

/// Takes a document out of its DSSE envelope, and out of the in-toto statement in that. What is no envelope is the
/// document itself.
///
/// # Errors
/// When it is an envelope and cannot be opened.
pub fn open<'a>(file: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Unreadable> {
    if file.len() > limits.document_bytes {
        return Err(Unreadable::TooMuch { what: "bytes", limit: limits.document_bytes });
    }
    if !looks_like_envelope(file) {
        let (document, message) = (Cow::Borrowed(file), Cow::Borrowed(file));
        return Ok(Opened { document, message, marks: Vec::new(), subjects: Vec::new() });
    }
    let wrong =
        |place: &str, what: &str| Unreadable::Wrong { place: place.to_owned(), what: what.to_owned() };
    let doc: EnvelopeDoc = serde_json::from_slice(file)
        .map_err(|error| wrong("envelope", &error.to_string().chars().take(200).collect::<String>()))?;
    let payload = base64(&doc.payload).ok_or_else(|| wrong("payload", "it is not base64"))?;
    let mut marks = Vec::new();
    for (at, signature) in doc.signatures.into_iter().take(SIGNATURES_MAX).enumerate() {
        let place = format!("signatures[{at}].sig");
        let bytes = base64(&signature.sig).ok_or_else(|| wrong(&place, "it is not base64"))?;
        let certificates = signature.cert.as_deref().map(certificates).unwrap_or_default();
        marks.push(Mark { key: signature.keyid.unwrap_or_default(), bytes, certificates });
    }
    let message = encoded(&doc.payload_type, &payload);
    let (document, subjects) = match doc.payload_type.as_str() {
        "application/vnd.in-toto+json" => of_statement(&payload).map_err(|what| wrong("payload", &what))?,
        _ => (payload, Vec::new()),
    };
    Ok(Opened { document: Cow::Owned(document), message: Cow::Owned(message), marks, subjects })
}

/// The first member's name of an envelope is one of three; of a VEX document it is none of them.
fn looks_like_envelope(file: &[u8]) -> bool {
    let start: Vec<u8> = file.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(20).collect();
    [&b"{\"payload"[..], b"{\"signatures\""].iter().any(|mark| start.starts_with(mark))
}

/// What DSSE signs: its pre-authentication encoding.
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn of_statement(payload: &[u8]) -> Result<(Vec<u8>, Vec<Digest>), String> {
    let doc: StatementDoc<'_> = serde_json::from_slice(payload)
        .map_err(|error| error.to_string().chars().take(200).collect::<String>())?;
    let digests = doc.subject.iter().take(SUBJECTS_MAX).filter_map(|subject| subject.digest.get("sha256"));
    let subjects = digests.filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect();
    Ok((doc.predicate.get().as_bytes().to_vec(), subjects))
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let inside = blocks.filter_map(|block| block.split("-----END CERTIFICATE-----").next());
    inside.take(8).filter_map(|block| base64(&block.split_whitespace().collect::<String>())).collect()
}

/// Base64 in either alphabet, padded or not.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
}
