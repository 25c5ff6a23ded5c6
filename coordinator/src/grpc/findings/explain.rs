//! Why a vulnerability holds for an image, or why it does not, by the advisories of a verdict; and what VEX says of it.

use actors::vex_hearing::About;
use evaluation::{Explanation, Reason};
use proto_api::finding::v1::{
    self as wire, ExplainReason, ExplainVulnerabilityRequest, ExplainVulnerabilityResponse,
};
use store::{evaluations, feeds, images, observations};
use time::OffsetDateTime;

use super::super::auth::Caller;
use super::super::convert;
use super::super::errors::{Refusal, invalid};
use super::super::images::image_digest;
use super::super::verdicts::of_recall;
use super::super::vex::said_of;
use super::{Findings, image, verdict_of, version};

/// Bytes of a vulnerability's name.
const NAME_MAX: usize = 512;
/// Reasons that are told.
const REASONS_MAX: usize = 1000;
/// Statements of VEX that are told.
const STATEMENTS_MAX: usize = 200;

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
        let revision = images::get(&mut tx, &image).await?.summary.revision;
        tx.commit().await?;
        let mut fleet = self.0.store.fleet().await?;
        let latest = observations::latest_snapshot(&mut fleet).await?;
        let feeds = feeds::list(&mut fleet).await?;
        fleet.commit().await?;
        let sbom = image::read(&document)?;
        let explained = self.0.recall.explain(document, verdict.snapshot, vulnerability.to_owned()).await;
        let Explanation { reasons, evaluation, .. } = explained.map_err(of_recall)?;
        let gaps = image::gaps(evaluation.gaps, &sbom, &feeds, OffsetDateTime::now_utc());
        // What is heard of a version that was asked for is as of then. Of the latest it is as of now, since a document
        // without effect makes no new verdict.
        let (revision, snapshot) = match request.verdict_version {
            0 => (revision, latest),
            _ => (verdict.revision, verdict.snapshot),
        };
        let about = About { tenant: caller.tenant, image: image.clone(), revision, snapshot };
        let statements = said_of(&self.0, &about, vulnerability, sbom, evaluation.findings).await?;
        Ok(ExplainVulnerabilityResponse {
            image_digest: image.to_string(),
            verdict_version: version(verdict.version),
            snapshot: verdict.snapshot.0,
            more_reasons: more(reasons.len(), REASONS_MAX),
            reasons: reasons.into_iter().take(REASONS_MAX).map(message).collect(),
            coverage: convert::coverage(evaluation.coverage).into(),
            gaps,
            more_statements: more(statements.len(), STATEMENTS_MAX),
            statements: statements.into_iter().take(STATEMENTS_MAX).collect(),
            heard_snapshot: snapshot.0,
        })
    }
}

fn more(all: usize, told: usize) -> i64 {
    i64::try_from(all.saturating_sub(told)).unwrap_or(i64::MAX)
}

fn message(Reason { answer, advisory, component, what }: Reason) -> ExplainReason {
    let (advisory, feed_id) = advisory.map(|(id, feed)| (id, feed.to_string())).unwrap_or_default();
    let (purl, locations) = component.map(|(purl, seen)| (purl.to_string(), seen)).unwrap_or_default();
    let locations: Vec<wire::Location> = locations.into_iter().map(image::location).collect();
    ExplainReason { answer: answer.as_str().to_owned(), advisory, feed_id, purl, locations, what }
}
