//! Findings as rows: a document that says all of it, and beside it what lists ask for.

use evaluation::Documents;
use model::{Digest, Finding, FixState, VexWord};
use serde_json::{Value, json};

use crate::Error;
use crate::evaluations::Before;
use crate::row::text;

/// Findings for `scanner.keep_facts`, in canonical order: each by its place in the verdict before where that had the
/// very same, else by itself.
pub(crate) fn given(findings: &[Finding], before: &Before) -> Vec<Value> {
    let places: std::collections::HashMap<&Digest, usize> =
        before.findings.iter().enumerate().map(|(place, found)| (&found.digest, place)).collect();
    let documents = Documents::of(findings).findings.into_iter();
    documents
        .map(|(finding, document)| match places.get(&Digest::of(&document)) {
            Some(place) => json!(place),
            None => row(finding, document),
        })
        .collect()
}

fn row(finding: &Finding, document: Vec<u8>) -> Value {
    json!({
        // Canonical JSON escapes what PostgreSQL's text does not hold.
        "document": String::from_utf8(document).expect("JSON is UTF-8"),
        "vulnerability": text(&finding.vulnerability),
        "aliases": finding.aliases.iter().map(|alias| text(alias)).collect::<Vec<_>>(),
        "package": text(&finding.package),
        "severity": finding.severity as i16,
        "fixed": matches!(finding.fix, FixState::Fixed(_)),
        "suppressed": is_suppressed(finding),
    })
}

/// Whether it need not be looked at, by what is said of it.
pub(crate) fn is_suppressed(finding: &Finding) -> bool {
    finding.vex.as_ref().is_some_and(VexWord::suppresses)
}

/// A finding by its document.
pub(crate) fn finding(document: &[u8]) -> Result<Finding, Error> {
    evaluation::from_document(document).map_err(|e| Error::Corrupt { table: "fact", source: Box::new(e) })
}

/// A digest's 32 bytes.
pub(crate) fn raw(digest: &Digest) -> Vec<u8> {
    hex::decode(digest.hex()).expect("a digest is hexadecimal")
}
