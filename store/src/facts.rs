//! Findings as rows: a document that says all of it, and beside it what lists ask for.

use std::collections::HashMap;

use evaluation::{Written, WrittenFinding};
use model::{Finding, FixState, VexWord};
use serde_json::{Value, json};

use crate::Error;
use crate::evaluations::Before;
use crate::row::text;

/// Findings for `scanner.place_facts`: of each its place in the verdict before where that had the very same, else
/// below 0 its place from 1 among the rows beside.
pub(crate) fn placed(written: &Written, before: &Before) -> (Vec<i32>, Vec<Value>) {
    let places: HashMap<&[u8; 32], i32> =
        before.findings.iter().map(|found| &found.digest).zip(0..).collect();
    let mut new = Vec::new();
    let kept = written.iter().map(|written| {
        places.get(written.digest()).copied().unwrap_or_else(|| {
            new.push(row(written));
            -i32::try_from(new.len()).unwrap_or(i32::MAX)
        })
    });
    (kept.collect(), new)
}

fn row(written: &WrittenFinding) -> Value {
    let finding = written.finding();
    json!({
        // Canonical JSON escapes what PostgreSQL's text does not hold.
        "document": std::str::from_utf8(written.document()).expect("JSON is UTF-8"),
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
