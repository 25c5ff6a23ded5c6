//! Why a vulnerability holds for an image, or why it does not, by the advisories of a verdict.

use evaluation::{Explanation, Reason};
use proto_api::finding::v1::{
    self as wire, ExplainReason, ExplainVulnerabilityRequest, ExplainVulnerabilityResponse,
};
use store::{evaluations, feeds};
use time::OffsetDateTime;

use super::super::auth::Caller;
use super::super::convert;
use super::super::errors::{Refusal, invalid};
use super::super::images::image_digest;
use super::super::verdicts::of_recall;
use super::{Findings, image, verdict_of, version};

/// Bytes of a vulnerability's name.
const NAME_MAX: usize = 512;
/// Reasons that are told.
const REASONS_MAX: usize = 1000;

impl Findings {
    pub(super) async fn explain(
        &self,
        caller: &Caller,
        request: &ExplainVulnerabilityRequest,
    ) -> Result<ExplainVulnerabilityResponse, Refusal> {
        let vulnerability = request.vulnerability.trim();
        if vulnerability.is_empty() || vulnerability.len() > NAME_MAX {
            return Err(invalid("vulnerability", format!("must be a name of at most {NAME_MAX} bytes")));
        }
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let verdict = verdict_of(&mut tx, &image, request.verdict_version, "verdict_version").await?;
        let document = evaluations::sbom(&mut tx, &verdict.sbom_digest).await?;
        tx.commit().await?;
        let sbom = image::read(&document)?;
        let explained = self.0.recall.explain(document, verdict.snapshot, vulnerability.to_owned()).await;
        let explanation = explained.map_err(of_recall)?;
        let mut fleet = self.0.store.fleet().await?;
        let feeds = feeds::list(&mut fleet).await?;
        let found = explanation.evaluation.gaps.clone();
        Ok(ExplainVulnerabilityResponse {
            image_digest: image.to_string(),
            verdict_version: version(verdict.version),
            snapshot: verdict.snapshot.0,
            coverage: convert::coverage(explanation.evaluation.coverage).into(),
            gaps: image::gaps(found, &sbom, &feeds, OffsetDateTime::now_utc()),
            ..reasons(explanation)
        })
    }
}

fn reasons(Explanation { reasons, .. }: Explanation) -> ExplainVulnerabilityResponse {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    ExplainVulnerabilityResponse {
        reasons: reasons.into_iter().take(REASONS_MAX).map(message).collect(),
        more_reasons: i64::try_from(more).unwrap_or(i64::MAX),
        ..ExplainVulnerabilityResponse::default()
    }
}

fn message(Reason { answer, advisory, component, what }: Reason) -> ExplainReason {
    let (advisory, feed_id) = advisory.map(|(id, feed)| (id, feed.to_string())).unwrap_or_default();
    let (purl, locations) = component.map(|(purl, seen)| (purl.to_string(), seen)).unwrap_or_default();
    let locations: Vec<wire::Location> = locations.into_iter().map(image::location).collect();
    ExplainReason { answer: answer.as_str().to_owned(), advisory, feed_id, purl, locations, what }
}
