//! Jobs: accepted in one commit with their bell, watched by their events, ended in exactly one way.

use std::time::Duration;

use model::{Digest, ImageDigest, JobId, JobKind, JobState, Lane, RequestId, Stage, TenantId, TraceId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::{lane, lane_index, number, parse};
use crate::{Error, Store, TenantTx};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// For whom.
    pub tenant: TenantId,
    /// The client's own id: the same id with the same body is the same job.
    pub request: RequestId,
    /// What to do.
    pub kind: JobKind,
    /// How urgent.
    pub lane: Lane,
    /// On which image.
    pub image: ImageDigest,
    /// Failed when it has not ended after this long.
    pub time_limit: Option<Duration>,
    /// The trace it is part of. No part of what makes two requests the same.
    pub trace: Option<TraceId>,
}

/// A job that counts as accepted: it and its bell are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub job_id: JobId,
    /// False when the same request had made it before.
    pub created: bool,
}

/// Why a job was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefusal {
    /// As many jobs as the tenant may have are waiting.
    #[error("the tenant's queue is full")]
    QueueFull {
        /// Come back after this.
        retry_after: Duration,
    },
    /// The tenant submits faster than its rate.
    #[error("the tenant submits faster than its rate")]
    TooFast {
        /// Come back after this.
        retry_after: Duration,
    },
    /// There is no such tenant.
    #[error("unknown tenant")]
    UnknownTenant,
    /// The tenant may not submit.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The image was never put.
    #[error("image not found")]
    ImageNotFound,
    /// The request's id was used for another body.
    #[error("the request id was used for another request")]
    RequestIdReused,
}

/// A job as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The client's id for it.
    pub request: RequestId,
    /// What it does.
    pub kind: JobKind,
    /// How urgent.
    pub lane: Lane,
    /// On which image.
    pub image: ImageDigest,
    /// How far it is.
    pub state: JobState,
    /// The stretch it is in (or was, when it ended).
    pub stage: Stage,
    /// Since when.
    pub stage_since: OffsetDateTime,
    /// The last attempt at reading its layers; 0 before the first.
    pub attempt: u32,
    /// Number of its last event.
    pub events: u32,
    /// Version of the verdict it ended with.
    pub verdict: Option<u32>,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    /// When it was accepted.
    pub accepted_at: OffsetDateTime,
    /// When it was its tenant's turn.
    pub admitted_at: Option<OffsetDateTime>,
    /// Failed when it has not ended by then.
    pub deadline_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// The trace it is part of; `None` for jobs of before traces were kept.
    pub trace: Option<TraceId>,
}

/// A stretch of a job's life that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// Counts up from 1 for each job, without gaps.
    pub seq: u32,
    /// The stretch that ended.
    pub stage: Stage,
    /// The job's state from then on.
    pub state: JobState,
    /// The node that did it, where one did.
    pub node: Option<String>,
    /// The attempt it belongs to; 0 before the first.
    pub attempt: u32,
    /// When the stretch began.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// Why, where it did not simply go on.
    pub reason: Option<String>,
}

/// Where a reader of [`changes_after`] has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    xid: i64,
    job: Uuid,
    seq: i32,
}

impl Mark {
    /// The mark as bytes, to be kept elsewhere.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.xid.to_be_bytes()[..], self.job.as_bytes(), &self.seq.to_be_bytes()].concat()
    }

    /// The mark that became these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (xid, rest) = bytes.split_first_chunk()?;
        let (job, seq) = rest.split_first_chunk()?;
        let seq = i32::from_be_bytes(seq.try_into().ok()?);
        Some(Self { xid: i64::from_be_bytes(*xid), job: Uuid::from_bytes(*job), seq })
    }
}

/// A job's whole life, to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// The job; `stage` and `stage_since` tell of the stretch that has not ended.
    pub job: Job,
    /// Stretches that have ended, in order.
    pub events: Vec<JobEvent>,
    /// The database's time of this reading, up to which an open stretch is drawn.
    pub now: OffsetDateTime,
}

/// Which jobs to list. `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; empty means any.
    pub states: Vec<JobState>,
    /// In this lane.
    pub lane: Option<Lane>,
    /// On this image.
    pub image: Option<ImageDigest>,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled now.
    Now,
    /// It had ended already.
    HadEnded,
}

/// Accepts jobs: one statement, one commit, an answer for each in the order given.
pub async fn submit_many(
    store: &Store,
    submissions: Vec<Submission>,
) -> Result<Vec<Result<Submitted, SubmitRefusal>>, Error> {
    // Rows of tenants are locked in one order by everybody, so that no two batches wait for each other.
    let mut order: Vec<usize> = (0..submissions.len()).collect();
    order.sort_by_key(|&i| (submissions[i].tenant, submissions[i].lane));
    let sorted: Vec<&Submission> = order.iter().map(|&i| &submissions[i]).collect();
    let mut tx = TenantTx::open_unnamed(store).await?;
    let rows = call_submit(&mut tx, &sorted).await?;
    if rows.iter().any(|r| r.code == "created") {
        tx.rang();
    }
    tx.commit().await?;
    let mut answers: Vec<_> = order.into_iter().zip(rows).collect();
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, row)| row.answer()).collect()
}

struct SubmitRow {
    code: String,
    job: Option<Uuid>,
    retry_ms: Option<i64>,
}

impl SubmitRow {
    fn answer(self) -> Result<Result<Submitted, SubmitRefusal>, Error> {
        let retry_after = Duration::from_millis(self.retry_ms.unwrap_or(1000).unsigned_abs());
        let job_id = JobId::from_uuid(self.job.unwrap_or_default());
        Ok(match self.code.as_str() {
            "created" => Ok(Submitted { job_id, created: true }),
            "duplicate" => Ok(Submitted { job_id, created: false }),
            "reused" => Err(SubmitRefusal::RequestIdReused),
            "unknown_tenant" => Err(SubmitRefusal::UnknownTenant),
            "suspended" => Err(SubmitRefusal::TenantSuspended),
            "no_image" => Err(SubmitRefusal::ImageNotFound),
            "queue_full" => Err(SubmitRefusal::QueueFull { retry_after }),
            "too_fast" => Err(SubmitRefusal::TooFast { retry_after }),
            code => {
                return Err(Error::Corrupt {
                    table: "submit",
                    source: format!("unknown code {code}").into(),
                });
            }
        })
    }
}

async fn call_submit(tx: &mut TenantTx, sorted: &[&Submission]) -> Result<Vec<SubmitRow>, Error> {
    let column = |pick: fn(&Submission) -> Uuid| -> Vec<Uuid> { sorted.iter().map(|s| pick(s)).collect() };
    let hashes: Vec<Vec<u8>> = sorted.iter().map(|s| body_hash(s)).collect();
    let kinds: Vec<String> = sorted.iter().map(|s| s.kind.as_str().to_owned()).collect();
    let lanes: Vec<i16> = sorted.iter().map(|s| lane_index(s.lane)).collect();
    let images: Vec<String> = sorted.iter().map(|s| s.image.as_str().to_owned()).collect();
    let limits: Vec<Option<i64>> = sorted.iter().map(|s| s.time_limit.map(milliseconds)).collect();
    let traces: Vec<Option<Uuid>> = sorted.iter().map(|s| s.trace.map(|trace| trace.as_uuid())).collect();
    let rows = sqlx::query_as!(
        SubmitRow,
        r#"select r.code as "code!", r.job, r.retry_ms
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::smallint[], $7::text[],
                       $8::bigint[], $9::uuid[]) with ordinality
                as s(tenant, job, request, hash, kind, lane, image, limit_ms, trace, place),
                lateral orchestrator.submit(s.tenant, s.job, s.request, s.hash, s.kind, s.lane, s.image, s.limit_ms,
                                            s.trace) r
           order by s.place"#,
        &column(|s| s.tenant.as_uuid()),
        &column(|_| Uuid::now_v7()),
        &column(|s| s.request.as_uuid()),
        &hashes,
        &kinds,
        &lanes,
        &images,
        &limits as &[Option<i64>],
        &traces as &[Option<Uuid>],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// What makes two requests the same: everything but their id.
fn body_hash(s: &Submission) -> Vec<u8> {
    let limit = s.time_limit.map(milliseconds);
    let body = format!("{}\n{}\n{}\n{limit:?}", s.kind, s.lane, s.image);
    Digest::of(body.as_bytes()).as_str().as_bytes().to_vec()
}

/// Up to a thousand years; beyond that the database's calendar ends.
fn milliseconds(limit: Duration) -> i64 {
    i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).min(31_557_600_000_000)
}

struct Row {
    job_id: Uuid,
    request_id: Uuid,
    kind: String,
    lane: i16,
    image_digest: String,
    state: String,
    stage: String,
    stage_since: OffsetDateTime,
    attempt: i32,
    events: i32,
    verdict: Option<i32>,
    reason: Option<String>,
    accepted_at: OffsetDateTime,
    admitted_at: Option<OffsetDateTime>,
    deadline_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    trace_id: Option<Uuid>,
}

impl TryFrom<Row> for Job {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: JobId::from_uuid(row.job_id),
            request: RequestId::from_uuid(row.request_id),
            kind: parse("job", &row.kind)?,
            lane: lane("job", row.lane)?,
            image: parse("job", &row.image_digest)?,
            state: parse("job", &row.state)?,
            stage: parse("job", &row.stage)?,
            stage_since: row.stage_since,
            attempt: number("job", row.attempt)?,
            events: number("job", row.events)?,
            verdict: row.verdict.map(|v| number("job", v)).transpose()?,
            reason: row.reason,
            accepted_at: row.accepted_at,
            admitted_at: row.admitted_at,
            deadline_at: row.deadline_at,
            ended_at: row.ended_at,
            trace: row.trace_id.and_then(TraceId::from_uuid),
        })
    }
}

/// A job.
pub async fn get(tx: &mut TenantTx, job: JobId) -> Result<Job, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query_as!(
        Row,
        "select job_id, request_id, kind, lane, image_digest, state, stage, stage_since, attempt, events, verdict,
                reason, accepted_at, admitted_at, deadline_at, ended_at, trace_id
         from orchestrator.job where tenant_id = $1 and job_id = $2",
        tenant,
        job.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "job" })?.try_into()
}

/// Jobs, newest first, older than this one.
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    let tenant = tx.tenant().as_uuid();
    let states: Vec<String> = filter.states.iter().map(|s| s.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select job_id, request_id, kind, lane, image_digest, state, stage, stage_since, attempt, events, verdict,
                reason, accepted_at, admitted_at, deadline_at, ended_at, trace_id
         from orchestrator.job
         where tenant_id = $1 and job_id < $2
           and (cardinality($3::text[]) = 0 or state = any ($3))
           and ($4::smallint is null or lane = $4)
           and ($5::text is null or image_digest = $5)
         order by job_id desc limit $6",
        tenant,
        after.map_or(Uuid::max(), |job| job.as_uuid()),
        &states,
        filter.lane.map(lane_index),
        filter.image.as_ref().map(ImageDigest::as_str),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// Ends a job that has not ended; its worker learns of it when it next renews.
pub async fn cancel(tx: &mut TenantTx, job: JobId) -> Result<Cancelled, Error> {
    let tenant = tx.tenant().as_uuid();
    let code = sqlx::query_scalar!(
        r#"select orchestrator.give_up($1, $2, 'cancelled', 'cancelled on request', false) as "code!""#,
        tenant,
        job.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    match code.as_str() {
        "applied" => {
            tx.rang();
            Ok(Cancelled::Now)
        }
        "unknown" => Err(Error::NotFound { entity: "job" }),
        _ => Ok(Cancelled::HadEnded),
    }
}

struct EventRow {
    job_id: Uuid,
    seq: i32,
    stage: String,
    state: String,
    node: Option<String>,
    attempt: i32,
    started_at: OffsetDateTime,
    ended_at: OffsetDateTime,
    reason: Option<String>,
    xid: i64,
}

impl TryFrom<EventRow> for JobEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self, Error> {
        Ok(Self {
            job: JobId::from_uuid(row.job_id),
            seq: number("job_event", row.seq)?,
            stage: parse("job_event", &row.stage)?,
            state: parse("job_event", &row.state)?,
            node: row.node,
            attempt: number("job_event", row.attempt)?,
            started_at: row.started_at,
            ended_at: row.ended_at,
            reason: row.reason,
        })
    }
}

/// One job's events after this number, in order. They are made under the lock of the job's row, so none comes late.
pub async fn events_after(tx: &mut TenantTx, job: JobId, seq: u32) -> Result<Vec<JobEvent>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        EventRow,
        r#"select job_id, seq, stage, state, node, attempt, started_at, ended_at, reason,
                  xid::text::bigint as "xid!"
           from orchestrator.job_event where tenant_id = $1 and job_id = $2 and seq > $3 order by seq"#,
        tenant,
        job.as_uuid(),
        i32::try_from(seq).unwrap_or(i32::MAX),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(JobEvent::try_from).collect()
}

/// The mark from which [`changes_after`] tells of everything that is committed from now on.
pub async fn mark_now(tx: &mut TenantTx) -> Result<Mark, Error> {
    let xid =
        sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xid!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(Mark { xid, job: Uuid::nil(), seq: 0 })
}

/// Events of all the tenant's jobs after a mark, and the next mark. What belongs to a transaction that may still be
/// joined by an older one is held back until that has ended, so nothing is ever skipped.
pub async fn changes_after(
    tx: &mut TenantTx,
    mark: Mark,
    limit: u32,
) -> Result<(Vec<JobEvent>, Mark), Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        EventRow,
        r#"select job_id, seq, stage, state, node, attempt, started_at, ended_at, reason,
                  xid::text::bigint as "xid!"
           from orchestrator.job_event
           where tenant_id = $1 and (xid, job_id, seq) > ($2::bigint::text::xid8, $3, $4)
             and xid < pg_snapshot_xmin(pg_current_snapshot())
           order by xid, job_id, seq limit $5"#,
        tenant,
        mark.xid,
        mark.job,
        mark.seq,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    let next = rows.last().map_or(mark, |r| Mark { xid: r.xid, job: r.job_id, seq: r.seq });
    let events = rows.into_iter().map(JobEvent::try_from).collect::<Result<_, _>>()?;
    Ok((events, next))
}

/// A job's whole life.
pub async fn timeline(tx: &mut TenantTx, job: JobId) -> Result<Timeline, Error> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx.conn()).await?;
    Ok(Timeline { job: get(tx, job).await?, events: events_after(tx, job, 0).await?, now })
}
