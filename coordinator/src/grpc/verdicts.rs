//! VerdictService: the versions of an image's verdict, what each changed and why, and what was known at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::index_cache::IndexError;
use actors::metrics::RECALLS;
use actors::vex_hearing::HearingError;
use actors::{Asked, RecallError};
use evaluation::ChangeKind;
use model::{Digest, ImageDigest, SnapshotId};
use prost_types::Timestamp;
use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1::ChangeCount;
use proto_api::verdict::v1::verdict_service_server::VerdictService;
use proto_api::verdict::v1::{
    Agreement, Change, DiffVerdictsRequest, DiffVerdictsResponse, ListVerdictsRequest, ListVerdictsResponse,
    RecallVerdictRequest, RecallVerdictResponse,
};
use store::verdicts::{self, Changed, Range, Verdict};
use store::{TenantTx, evaluations, findings, revised};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, refuse};
use super::findings::{
    change_count, finding_message, keeping, last_verdict, no_verdict, verdict_message, verdict_of,
};
use super::images::image_digest;
use super::paging::Page;
use super::sealed::{BadSeal, Binding};

/// The service.
pub(super) struct Verdicts(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;
const USUAL_CHANGES: u32 = 200;

#[tonic::async_trait]
impl VerdictService for Verdicts {
    async fn list_verdicts(
        &self,
        request: Request<ListVerdictsRequest>,
    ) -> Result<Response<ListVerdictsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn diff_verdicts(
        &self,
        request: Request<DiffVerdictsRequest>,
    ) -> Result<Response<DiffVerdictsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.diff(&caller, request.get_ref()).await?))
    }

    async fn recall_verdict(
        &self,
        request: Request<RecallVerdictRequest>,
    ) -> Result<Response<RecallVerdictResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.recall(&caller, request.get_ref()).await?))
    }
}

impl Verdicts {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListVerdictsRequest,
    ) -> Result<ListVerdictsResponse, Refusal> {
        let until = moment("until_time", request.until_time)?;
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let time = until.map(OffsetDateTime::unix_timestamp_nanos).unwrap_or_default().to_be_bytes();
        let binding = Binding::of("ListVerdicts", caller.tenant, &[image.as_str().as_bytes(), &time]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let before = page.after.as_deref().map(parse_place).transpose()?;
        let found = verdicts::list(&mut tx, &image, Range { before, until }, page.limit()).await?;
        let place = |verdict: &Verdict| verdict.version.to_be_bytes().to_vec();
        let (found, next_page_token) = page.cut(seals, binding, found, place);
        let verdicts = found.iter().map(|verdict| verdict_message(&image, verdict)).collect();
        Ok(ListVerdictsResponse { verdicts, next_page_token })
    }

    async fn diff(
        &self,
        caller: &Caller,
        request: &DiffVerdictsRequest,
    ) -> Result<DiffVerdictsResponse, Refusal> {
        let mut tx = self.tx(caller).await?;
        let (from, to) = sides(&mut tx, request).await?;
        let parts: [&[u8]; 4] = [
            from.image.as_str().as_bytes(),
            &from.verdict.version.to_be_bytes(),
            to.image.as_str().as_bytes(),
            &to.verdict.version.to_be_bytes(),
        ];
        let binding = Binding::of("DiffVerdicts", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_CHANGES)?;
        let skip = page.after.as_deref().map(parse_place).transpose()?.unwrap_or(0);
        let all = differences(&mut tx, &from, &to).await?;
        let counts = count(&all);
        let rest = (skip + 1..).zip(all.into_iter().skip(skip as usize)).take(page.limit() as usize);
        let (found, next_page_token) =
            page.cut(seals, binding, rest.collect(), |(place, _)| place.to_be_bytes().to_vec());
        Ok(DiffVerdictsResponse {
            changes: found.iter().map(|(_, change)| change_message(change)).collect(),
            next_page_token,
            from: Some(verdict_message(&from.image, &from.verdict)),
            to: Some(verdict_message(&to.image, &to.verdict)),
            counts,
        })
    }
}

impl Verdicts {
    /// The snapshot of the time is asked first, as it is mostly the verdict's own.
    async fn recall(
        &self,
        caller: &Caller,
        request: &RecallVerdictRequest,
    ) -> Result<RecallVerdictResponse, Refusal> {
        let time = moment("time", request.time)?.ok_or_else(|| invalid("time", "must be set"))?;
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let verdict = valid_at(&mut tx, &image, time).await?;
        keeping(&image, &verdict)?;
        let sbom = evaluations::sbom(&mut tx, &verdict.sbom_digest).await?;
        // One that was made while a refresh ended may be of a snapshot with a later time than its own.
        let then = verdicts::snapshot_at(&mut tx, time).await?.max(verdict.snapshot);
        tx.commit().await?;
        let (tenant, revision) = (caller.tenant, verdict.revision);
        let asked = Asked { tenant, image: image.clone(), revision, sbom };
        let found = self.evaluated(asked.clone(), then).await?;
        let agreement = if found == verdict.findings_digest {
            Agreement::Same
        } else if then > verdict.snapshot
            && self.evaluated(asked, verdict.snapshot).await? == verdict.findings_digest
        {
            Agreement::Behind
        } else {
            Agreement::Differs
        };
        tell(agreement, &image, &verdict);
        Ok(RecallVerdictResponse {
            verdict: Some(verdict_message(&image, &verdict)),
            snapshot: then.0,
            agreement: agreement.into(),
            findings_digest: found.to_string(),
        })
    }

    async fn evaluated(&self, asked: Asked, snapshot: SnapshotId) -> Result<Digest, Refusal> {
        self.0.recall.findings_digest(asked, snapshot).await.map_err(of_recall)
    }
}

/// Why nothing could be evaluated once more.
pub(super) fn of_recall(error: RecallError) -> Refusal {
    match error {
        RecallError::Index(IndexError::Store(error)) | RecallError::Hearing(HearingError::Store(error)) => {
            Refusal::from(error)
        }
        RecallError::Leaving => refuse(ErrorReason::NodeLeaving),
        broken @ (RecallError::Index(_) | RecallError::Hearing(_) | RecallError::Sbom(_)) => {
            tracing::error!(error = &broken as &dyn std::error::Error, "a verdict cannot be evaluated again");
            refuse(ErrorReason::DataCorrupt)
        }
    }
}

fn tell(agreement: Agreement, image: &ImageDigest, verdict: &Verdict) {
    let word = match agreement {
        Agreement::Same => "same",
        Agreement::Behind => "behind",
        Agreement::Differs | Agreement::Unspecified => "differs",
    };
    metrics::counter!(RECALLS, "agreement" => word).increment(1);
    if agreement == Agreement::Differs {
        let (version, snapshot) = (verdict.version, verdict.snapshot.0);
        tracing::error!(image.digest = %image, verdict.version = version, snapshot, "a stored verdict is not what its inputs give");
    }
}

/// One of the two things to compare.
struct Side {
    image: ImageDigest,
    verdict: Verdict,
}

async fn sides(tx: &mut TenantTx, request: &DiffVerdictsRequest) -> Result<(Side, Side), Refusal> {
    let image = image_digest(tx, &request.image).await?;
    let (from_time, to_time) = (moment("from_time", request.from_time)?, moment("to_time", request.to_time)?);
    let (from, to) = if request.other_image.is_empty() {
        let to = match to_time {
            Some(time) => valid_at(tx, &image, time).await?,
            None => verdict_of(tx, &image, request.to_version, "to_version").await?,
        };
        let from = match (from_time, request.from_version) {
            (Some(time), _) => valid_at(tx, &image, time).await?,
            (None, 0) => before(tx, &image, &to).await?,
            (None, version) => verdict_of(tx, &image, version, "from_version").await?,
        };
        (from, Side { image: image.clone(), verdict: to })
    } else {
        let has_versions = request.from_version != 0 || request.to_version != 0;
        if has_versions || from_time.is_some() || to_time.is_some() {
            return Err(invalid("other_image", "cannot be given together with versions or times"));
        }
        let other = image_digest(tx, &request.other_image).await?;
        let verdict = last_verdict(tx, &other).await?;
        (last_verdict(tx, &image).await?, Side { image: other, verdict })
    };
    let from = Side { image, verdict: from };
    keeping(&from.image, &from.verdict)?;
    keeping(&to.image, &to.verdict)?;
    Ok((from, to))
}

/// The verdict that was valid at a time.
pub(super) async fn valid_at(
    tx: &mut TenantTx,
    image: &ImageDigest,
    time: OffsetDateTime,
) -> Result<Verdict, Refusal> {
    let found = verdicts::at(tx, image, time).await?;
    found.ok_or_else(|| no_verdict(image, format!("image {image} had no verdict by {time}")))
}

async fn before(tx: &mut TenantTx, image: &ImageDigest, verdict: &Verdict) -> Result<Verdict, Refusal> {
    let found = verdicts::version(tx, image, verdict.version.saturating_sub(1)).await?;
    found.ok_or_else(|| {
        no_verdict(image, format!("version {} of image {image} is its first one", verdict.version))
    })
}

/// What a version changed against the one before is kept, anything else is compared now.
async fn differences(tx: &mut TenantTx, from: &Side, to: &Side) -> Result<Vec<Changed>, Refusal> {
    let is_same_image = from.image == to.image;
    if is_same_image && from.verdict.version + 1 == to.verdict.version {
        return Ok(verdicts::changes(tx, &to.image, to.verdict.version).await?);
    }
    let before = findings::all(tx, &from.image, from.verdict.version).await?;
    let after = findings::all(tx, &to.image, to.verdict.version).await?;
    let advisories =
        before.iter().flat_map(|f| &f.advisories).map(|a| (&a.feed, a.advisory.as_str())).collect();
    // Of two images nothing was withdrawn in between.
    let revised = if is_same_image {
        revised::among(tx, &advisories, from.verdict.snapshot, to.verdict.snapshot).await?
    } else {
        Vec::new()
    };
    let is_gone = revised::gone(&revised);
    let changes = evaluation::changes(&before, &after, is_gone);
    let whole = |change: evaluation::Change| Changed {
        kind: change.kind,
        before: change.before.map(|at| before[at].clone()),
        after: change.after.map(|at| after[at].clone()),
    };
    Ok(changes.into_iter().map(whole).collect())
}

fn count(changes: &[Changed]) -> Vec<ChangeCount> {
    let mut counts: BTreeMap<ChangeKind, u32> = BTreeMap::new();
    for change in changes {
        *counts.entry(change.kind).or_default() += 1;
    }
    counts.into_iter().map(|counted| change_count(&counted)).collect()
}

fn change_message(change: &Changed) -> Change {
    Change {
        kind: change.kind.as_str().to_owned(),
        before: change.before.as_ref().map(finding_message),
        after: change.after.as_ref().map(finding_message),
    }
}

/// A moment of a request, when it is set.
pub(super) fn moment(field: &str, time: Option<Timestamp>) -> Result<Option<OffsetDateTime>, Refusal> {
    time.map(|time| convert::moment(time).ok_or_else(|| invalid(field, "is no moment"))).transpose()
}

fn parse_place(bytes: &[u8]) -> Result<u32, Refusal> {
    let bytes = bytes.try_into().map_err(|_| BadSeal::Broken.of_page())?;
    Ok(u32::from_be_bytes(bytes))
}
