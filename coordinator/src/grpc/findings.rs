//! FindingService: what holds for an image, and how far to trust it.

mod beside;
mod explain;
mod image;

use std::sync::Arc;
use std::time::Duration;

use evaluation::{Cause, ChangeKind, DocumentSource, HeardDocument, RevisedAdvisory};
use model::{Finding, ImageDigest, Severity, VexWord};
use proto_api::common::v1 as common;
use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1::finding_service_server::FindingService;
use proto_api::finding::v1::{
    self as wire, CountFindingsRequest, CountFindingsResponse, ExplainVulnerabilityRequest,
    ExplainVulnerabilityResponse, FindingFilter, GetVerdictRequest, GetVerdictResponse, ListFindingsRequest,
    ListFindingsResponse, SeverityCount,
};
use store::evaluations;
use store::feeds::{self, Feed, Kind};
use store::findings::{self, Cursor, Filter, Listed};
use store::verdicts::{self, Verdict};
use store::{TenantTx, enrichment, observations};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, refuse};
use super::feeds::{age, is_demonstration};
use super::images::image_digest;
use super::paging::Page;
use super::sealed::{BadSeal, Binding};

/// The service.
pub(super) struct Findings(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 200;
const PROBLEMS_MAX: usize = 20;

#[tonic::async_trait]
impl FindingService for Findings {
    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn count_findings(
        &self,
        request: Request<CountFindingsRequest>,
    ) -> Result<Response<CountFindingsResponse>, Status> {
        let caller = caller_of(&request)?;
        let mut tx = self.tx(&caller).await?;
        let CountFindingsRequest { image, verdict_version } = request.get_ref();
        let image = image_digest(&mut tx, image).await?;
        let verdict = verdict_of(&mut tx, &image, *verdict_version, "verdict_version").await?;
        let exploited =
            enrichment::exploited(&mut tx, &image, verdict.version).await.map_err(Refusal::from)?;
        Ok(Response::new(CountFindingsResponse {
            image_digest: image.to_string(),
            findings: verdict.counts.iter().map(|(_, number)| i64::from(*number)).sum(),
            by_severity: by_severity(&verdict.counts),
            suppressed: verdict.suppressed.into(),
            exploited: i64::try_from(exploited).unwrap_or(i64::MAX),
        }))
    }

    async fn get_verdict(
        &self,
        request: Request<GetVerdictRequest>,
    ) -> Result<Response<GetVerdictResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(GetVerdictResponse {
            verdict: Some(self.verdict(&caller, request.get_ref()).await?),
        }))
    }

    async fn explain_vulnerability(
        &self,
        request: Request<ExplainVulnerabilityRequest>,
    ) -> Result<Response<ExplainVulnerabilityResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.explain(&caller, request.get_ref()).await?))
    }
}

impl Findings {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListFindingsRequest,
    ) -> Result<ListFindingsResponse, Refusal> {
        let filter = parse_filter(request.filter.as_ref().unwrap_or(&FindingFilter::default()))?;
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let verdict = verdict_of(&mut tx, &image, request.verdict_version, "verdict_version").await?;
        keeping(&image, &verdict)?;
        // Bound to the verdict: of another one's list, places mean nothing.
        let parts: [&[u8]; 6] = [
            image.as_str().as_bytes(),
            &verdict.version.to_be_bytes(),
            filter.min_severity.as_str().as_bytes(),
            &[u8::from(filter.fixed_only)],
            filter.exactly.as_deref().unwrap_or_default().as_bytes(),
            &[u8::from(filter.with_suppressed)],
        ];
        let binding = Binding::of("ListFindings", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after.as_deref().map(parse_cursor).transpose()?;
        let found =
            findings::of_verdict(&mut tx, &image, verdict.version, &filter, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(seals, binding, found, |listed| cursor_bytes(listed.cursor));
        let sbom = image::read(&evaluations::sbom(&mut tx, &verdict.sbom_digest).await?)?;
        let known = beside::known(&mut tx, found.iter().map(|listed| &listed.finding)).await?;
        let message = |Listed { finding, .. }: &Listed| {
            let mut message = finding_message(finding);
            image::place(&mut message, finding, &sbom);
            beside::mark(&mut message, finding, &known);
            message
        };
        Ok(ListFindingsResponse {
            findings: found.iter().map(message).collect(),
            next_page_token,
            image_digest: image.to_string(),
            verdict_version: version(verdict.version),
        })
    }

    async fn verdict(&self, caller: &Caller, request: &GetVerdictRequest) -> Result<wire::Verdict, Refusal> {
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let verdict = verdict_of(&mut tx, &image, request.version, "version").await?;
        let document = evaluations::sbom(&mut tx, &verdict.sbom_digest).await?;
        drop(tx);
        let mut fleet = self.0.store.fleet().await?;
        let latest = observations::latest_snapshot(&mut fleet).await?;
        let feeds = feeds::list(&mut fleet).await?;
        let (sbom, now) = (image::read(&document)?, OffsetDateTime::now_utc());
        let told = |kind| {
            let feeds = feeds.iter().filter(|feed| feed.enabled && feed.kind == kind);
            feeds.map(|feed| feed_message(feed, now)).collect::<Vec<_>>()
        };
        Ok(wire::Verdict {
            latest_snapshot: latest.0,
            feeds: told(Kind::Advisories),
            enrichment: told(Kind::Enrichment),
            problems: problems(&sbom),
            gaps: image::gaps(image::kept(&verdict, &sbom), &sbom, &feeds, now),
            distro: image::distro(&sbom, now),
            ..verdict_message(&image, &verdict)
        })
    }
}

pub(super) async fn last_verdict(tx: &mut TenantTx, image: &ImageDigest) -> Result<Verdict, Refusal> {
    let verdict = verdicts::last(tx, image).await?;
    verdict.ok_or_else(|| no_verdict(image, format!("image {image} was not evaluated yet")))
}

/// The image's verdict of this version, or its last one where the version is 0.
pub(super) async fn verdict_of(
    tx: &mut TenantTx,
    image: &ImageDigest,
    version: i32,
    field: &str,
) -> Result<Verdict, Refusal> {
    match u32::try_from(version) {
        Ok(0) => last_verdict(tx, image).await,
        Ok(version) => verdicts::version(tx, image, version)
            .await?
            .ok_or_else(|| no_verdict(image, format!("image {image} has no verdict of version {version}"))),
        Err(_) => Err(invalid(field, "must not be negative")),
    }
}

/// Refuses a verdict of before findings were kept.
pub(super) fn keeping(image: &ImageDigest, verdict: &Verdict) -> Result<(), Refusal> {
    if verdict.cause.is_some() {
        return Ok(());
    }
    let version = verdict.version;
    Err(no_verdict(image, format!("version {version} of image {image} was made before findings were kept")))
}

pub(super) fn no_verdict(image: &ImageDigest, message: String) -> Refusal {
    refuse(ErrorReason::VerdictNotFound).saying(message).about("verdict", image)
}

fn parse_filter(filter: &FindingFilter) -> Result<Filter, Refusal> {
    let least = common::Severity::try_from(filter.min_severity);
    let least = least.map_err(|_| invalid("filter.min_severity", "is not known to this server"))?;
    Ok(Filter {
        min_severity: convert::severity_of(least).unwrap_or(Severity::Unknown),
        fixed_only: filter.only_fixed,
        exactly: Some(filter.exactly.clone()).filter(|text| !text.is_empty()),
        with_suppressed: filter.show_suppressed,
    })
}

fn cursor_bytes(cursor: Cursor) -> Vec<u8> {
    [&cursor.severity.to_be_bytes()[..], &cursor.ordinal.to_be_bytes()[..]].concat()
}

fn parse_cursor(bytes: &[u8]) -> Result<Cursor, Refusal> {
    let [a, b, c, d, e, f] = bytes else { return Err(BadSeal::Broken.of_page()) };
    Ok(Cursor { severity: i16::from_be_bytes([*a, *b]), ordinal: i32::from_be_bytes([*c, *d, *e, *f]) })
}

/// The first problems of the SBOM, each in a line.
fn problems(sbom: &model::Sbom) -> Vec<String> {
    let line = |problem: &model::Problem| format!("{}: {}", problem.place, problem.what);
    sbom.problems.iter().take(PROBLEMS_MAX).map(line).collect()
}

pub(super) fn verdict_message(image: &ImageDigest, verdict: &Verdict) -> wire::Verdict {
    wire::Verdict {
        image_digest: image.to_string(),
        version: version(verdict.version),
        revision: verdict.revision,
        snapshot: verdict.snapshot.0,
        coverage: convert::coverage(verdict.coverage).into(),
        findings_digest: verdict.findings_digest.to_string(),
        sbom_digest: verdict.sbom_digest.to_string(),
        create_time: Some(convert::timestamp(verdict.at)),
        findings: verdict.counts.iter().map(|(_, number)| i64::from(*number)).sum(),
        cause: verdict.cause.as_ref().map(cause_message),
        changes: verdict.changes.iter().map(change_count).collect(),
        suppressed: verdict.suppressed.into(),
        ..wire::Verdict::default()
    }
}

fn cause_message(cause: &Cause) -> wire::Cause {
    let advisory = |advisory: &RevisedAdvisory| wire::RevisedAdvisory {
        feed_id: advisory.feed.to_string(),
        advisory: advisory.advisory.clone(),
        before: advisory.before.map_or(0, version),
        after: advisory.after.map_or(0, version),
    };
    wire::Cause {
        kinds: cause.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        advisories: cause.advisories.iter().map(advisory).collect(),
        more_advisories: version(cause.more_advisories),
        documents: cause.documents.iter().map(document_message).collect(),
        more_documents: version(cause.more_documents),
    }
}

fn document_message(heard: &HeardDocument) -> wire::CauseDocument {
    let (feed_id, attachment_id) = match &heard.source {
        DocumentSource::Feed(feed) => (feed.to_string(), String::new()),
        DocumentSource::Attached(id) => (String::new(), id.clone()),
    };
    let (document, version) = (heard.document.clone(), heard.version.clone());
    wire::CauseDocument { feed_id, attachment_id, document, version }
}

pub(super) fn change_count((kind, changes): &(ChangeKind, u32)) -> wire::ChangeCount {
    wire::ChangeCount { kind: kind.as_str().to_owned(), changes: i64::from(*changes) }
}

fn feed_message(feed: &Feed, now: OffsetDateTime) -> wire::VerdictFeed {
    wire::VerdictFeed {
        feed_id: feed.id.to_string(),
        age: age(feed, now).map(convert::duration),
        stale: feed.late,
        demonstration: is_demonstration(&feed.id),
        format: feed.format.clone(),
    }
}

fn word_of(notice: Option<model::Notice>) -> String {
    notice.map(|notice| notice.as_str().to_owned()).unwrap_or_default()
}

pub(super) fn finding_message(finding: &Finding) -> wire::Finding {
    let advisory = |advisory: &model::AdvisoryMatch| wire::AdvisoryMatch {
        advisory: advisory.advisory.clone(),
        feed_id: advisory.feed.to_string(),
        reason: advisory.reason.clone(),
        fixed_versions: advisory.fixed_versions.clone(),
        no_fix: advisory.no_fix.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        notice: word_of(advisory.notice),
    };
    wire::Finding {
        vulnerability: finding.vulnerability.clone(),
        aliases: finding.aliases.clone(),
        purl: finding.purl.to_string(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        severity: convert::severity(finding.severity).into(),
        fixed_versions: finding.fix.versions().to_vec(),
        fix_state: finding.fix.as_str().to_owned(),
        notice: word_of(finding.notice()),
        advisories: finding.advisories.iter().map(advisory).collect(),
        vex: finding.vex.as_ref().map(vex_message),
        ..wire::Finding::default()
    }
}

fn vex_message(word: &VexWord) -> wire::VexWord {
    wire::VexWord {
        status: word.status.as_str().to_owned(),
        held: word.held,
        suppresses: word.suppresses(),
        justification: word.justification.map(|why| why.as_str().to_owned()).unwrap_or_default(),
        detail: word.detail.clone().unwrap_or_default(),
        issuer: word.issuer.clone(),
        document: word.document.clone(),
        statement: word.statement.clone(),
        score: word.score.into(),
    }
}

/// Worst first, without those that nobody found.
fn by_severity(counts: &[(Severity, u32)]) -> Vec<SeverityCount> {
    let mut found: Vec<_> = counts.iter().filter(|(_, number)| *number > 0).collect();
    found.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let count = |(severity, number): &(Severity, u32)| SeverityCount {
        severity: convert::severity(*severity).into(),
        findings: i64::from(*number),
    };
    found.into_iter().map(count).collect()
}

fn version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// How long ago a moment was; nothing when it is in the future by this machine's clock.
pub(super) fn since(moment: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(now - moment).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_worst_first_and_without_zeros() {
        let counts =
            [(Severity::Unknown, 1), (Severity::Low, 0), (Severity::High, 2), (Severity::Critical, 3)];
        let numbers: Vec<_> = by_severity(&counts).iter().map(|c| (c.severity(), c.findings)).collect();
        assert_eq!(
            numbers,
            [(common::Severity::Critical, 3), (common::Severity::High, 2), (common::Severity::Unknown, 1),]
        );
    }

    #[test]
    fn a_place_in_the_list_survives_its_token() {
        let cursor = Cursor { severity: 4, ordinal: 70_000 };
        let back = parse_cursor(&cursor_bytes(cursor)).unwrap();
        assert_eq!((back.severity, back.ordinal), (4, 70_000));
        assert!(parse_cursor(b"short").is_err());
    }
}
