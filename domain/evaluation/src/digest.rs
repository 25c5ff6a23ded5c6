//! The digest by which two sets of findings are the same: over canonical JSON (RFC 8785).
//!
//! Everything in a finding counts, the reasons too: whoever compares digests keeps rows that say all of it.
//! The order in which findings are handed over does not.
//!
//! Canonical JSON sorts the members of an object. Here the fields below are in that order, and there are
//! only lists and texts, so that what `serde_json` writes is canonical; a test holds it against the rule.
//! The general canonicalizer takes longer over an image's findings than finding them.

use model::{Digest, Finding, Justification, NoFix, VexWord};
use serde::Serialize;

#[derive(Serialize)]
struct FindingDoc<'a> {
    advisories: Vec<AdvisoryDoc<'a>>,
    aliases: &'a [String],
    /// No versions: not fixed.
    fixed: &'a [String],
    package: &'a str,
    purl: &'a str,
    severity: &'static str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vex: Option<VexDoc<'a>>,
    vulnerability: &'a str,
}

#[derive(Serialize)]
struct VexDoc<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    document: &'a str,
    /// Left out where nobody contradicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<&'static str>,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<&'static str>,
    score: String,
    statement: &'a str,
    status: &'static str,
}

#[derive(Serialize)]
struct AdvisoryDoc<'a> {
    advisory: &'a str,
    feed: &'a str,
    fixed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    no_fix: Option<&'static str>,
    reason: &'a str,
}

/// The digest of these findings, in any order.
pub fn findings_digest(findings: &[Finding]) -> Digest {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort();
    Digest::of(&canonical_json(&sorted))
}

fn canonical_json(findings: &[&Finding]) -> Vec<u8> {
    let documents: Vec<FindingDoc<'_>> = findings.iter().copied().map(document).collect();
    serde_json::to_vec(&documents).expect("there are only lists and texts in it")
}

fn document(finding: &Finding) -> FindingDoc<'_> {
    let advisories = finding.advisories.iter().map(|advisory| AdvisoryDoc {
        advisory: &advisory.advisory,
        feed: advisory.feed.as_str(),
        fixed: &advisory.fixed_versions,
        no_fix: advisory.no_fix.map(NoFix::as_str),
        reason: &advisory.reason,
    });
    FindingDoc {
        advisories: advisories.collect(),
        aliases: &finding.aliases,
        fixed: finding.fix.versions(),
        package: &finding.package,
        purl: finding.purl.as_str(),
        severity: finding.severity.as_str(),
        version: &finding.version,
        vex: finding.vex.as_ref().map(vex),
        vulnerability: &finding.vulnerability,
    }
}

fn vex(word: &VexWord) -> VexDoc<'_> {
    VexDoc {
        detail: word.detail.as_deref(),
        document: &word.document,
        held: word.held.then_some("yes"),
        issuer: &word.issuer,
        justification: word.justification.map(Justification::as_str),
        score: word.score.to_string(),
        statement: &word.statement,
        status: word.status.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use model::{AdvisoryMatch, FixState, Purl, Severity, VexStatus};
    use proptest::prelude::*;

    use super::*;

    /// Text that an escape could get wrong.
    const TEXT: &str = "[\x00-\x22\\/a\x7f\u{e4}\u{2028}\u{fb33}\u{1f600}]{0,12}";

    proptest! {
        #[test]
        fn what_is_hashed_is_canonical_json(text in TEXT, texts in prop::collection::vec(TEXT, 0..3), no_fix: bool) {
            let evidence = AdvisoryMatch {
                advisory: text.clone(),
                feed: "f".parse().unwrap(),
                reason: text.clone(),
                fixed_versions: texts.clone(),
                no_fix: no_fix.then_some(NoFix::Unimportant),
            };
            let word = VexWord {
                status: VexStatus::NotAffected,
                held: no_fix,
                justification: Some(Justification::ComponentNotPresent),
                detail: (!no_fix).then(|| text.clone()),
                issuer: text.clone(),
                document: text.clone(),
                statement: text.clone(),
                score: 7_000,
            };
            let finding = Finding {
                vulnerability: text.clone(),
                aliases: texts.clone(),
                purl: Purl::from_canonical(text.clone()),
                package: text.clone(),
                version: text,
                severity: Severity::High,
                fix: FixState::Fixed(texts),
                advisories: vec![evidence],
                vex: Some(word),
            };
            let written = canonical_json(&[&finding]);
            let parsed: serde_json::Value = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&parsed).unwrap(), written);
        }
    }
}
