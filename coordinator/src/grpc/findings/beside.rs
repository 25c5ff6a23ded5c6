//! What is known of vulnerabilities beside advisories, joined with findings when they are read: no verdict rests on it.

use std::collections::BTreeSet;

use advisory::enrichment::Enrichment;
use model::Finding;
use proto_api::finding::v1 as wire;
use store::{TenantTx, enrichment};

use super::super::errors::Refusal;

/// What is known of these findings.
pub(super) async fn known<'f>(
    tx: &mut TenantTx,
    findings: impl Iterator<Item = &'f Finding>,
) -> Result<Enrichment, Refusal> {
    let names: BTreeSet<&str> = findings.flat_map(Finding::names).collect();
    let names: Vec<&str> = names.into_iter().collect();
    Ok(enrichment::of(tx, &names).await?)
}

/// Says it of a finding.
pub(super) fn mark(message: &mut wire::Finding, finding: &Finding, known: &Enrichment) {
    message.exploited = known.is_exploited(finding.names());
    let score = known.score(finding.names());
    message.epss =
        score.map(|score| wire::Epss { probability: score.probability, percentile: score.percentile });
}
