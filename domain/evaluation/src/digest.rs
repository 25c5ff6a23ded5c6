//! The digest by which two sets of findings are the same: over canonical JSON (RFC 8785).
//!
//! Everything in a finding counts, the reasons too: whoever compares digests keeps rows that say all of it.
//! The order in which findings are handed over does not.

use model::{Digest, Finding, FixState};
use serde::Serialize;

#[derive(Serialize)]
struct FindingDoc<'a> {
    vulnerability: &'a str,
    aliases: &'a [String],
    purl: &'a str,
    package: &'a str,
    version: &'a str,
    severity: &'static str,
    /// No versions: not fixed.
    fixed: &'a [String],
    advisories: Vec<AdvisoryDoc<'a>>,
}

#[derive(Serialize)]
struct AdvisoryDoc<'a> {
    advisory: &'a str,
    feed: &'a str,
    reason: &'a str,
    fixed: &'a [String],
}

/// The digest of these findings, in any order.
pub fn findings_digest(findings: &[Finding]) -> Digest {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort();
    let documents: Vec<FindingDoc<'_>> = sorted.into_iter().map(document).collect();
    let json = serde_json_canonicalizer::to_vec(&documents).expect("there are only lists and texts in it");
    Digest::of(&json)
}

fn document(finding: &Finding) -> FindingDoc<'_> {
    let advisories = finding.advisories.iter().map(|advisory| AdvisoryDoc {
        advisory: &advisory.advisory,
        feed: advisory.feed.as_str(),
        reason: &advisory.reason,
        fixed: &advisory.fixed_versions,
    });
    FindingDoc {
        vulnerability: &finding.vulnerability,
        aliases: &finding.aliases,
        purl: finding.purl.as_str(),
        package: &finding.package,
        version: &finding.version,
        severity: finding.severity.as_str(),
        fixed: match &finding.fix {
            FixState::Fixed(versions) => versions,
            FixState::NotFixed => &[],
        },
        advisories: advisories.collect(),
    }
}
