//! Runs of the scheduler: many images that are evaluated again, for one cause.
//!
//! People and feeds ask for runs and say that one may go on or ends ([`request`], [`release`], [`ask_cancel`]); what
//! then happens to it is the scheduler's, each step of it fenced: [`effects`].

pub mod effects;
mod row;

use model::{ImageDigest, Lane, RunId, RunImageState, RunKind, RunState, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use self::row::Row;
pub use self::row::Selector;
use crate::row::parse;
use crate::{Error, Fence, FleetTx, Store, outbox};

/// The scheduler's id within the kind `system`.
pub const SCHEDULER: &str = "scheduler";

/// A run to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The same key makes one run; `None` always makes one.
    pub key: Option<String>,
    /// Why: [`RunKind::Packages`] or [`RunKind::Sweep`]. Runs over changes of feeds are the scheduler's own.
    pub kind: RunKind,
    /// For people.
    pub cause: String,
    /// Which images.
    pub selector: Selector,
    /// At most so many images a second; `None` for what the scheduler is set to.
    pub rate_per_s: Option<f32>,
    /// The schedule it comes from.
    pub schedule: Option<String>,
}

/// How much a run is about, and how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Advisories that changed.
    pub delta_records: u64,
    /// Of these, taken back or no longer listed.
    pub withdrawn: u64,
    /// Versions of packages that the changes touch.
    pub package_versions: u64,
    /// Images that could have been chosen.
    pub images_known: u64,
    /// Images that were.
    pub images: u64,
    /// Of these, touched by what was taken back.
    pub losing: u64,
    /// Of these, asked to be evaluated, or found evaluated.
    pub dispatched: u64,
    /// Of these, evaluated.
    pub evaluated: u64,
    /// Of these, with a new verdict.
    pub changed: u64,
    /// Images that could not be evaluated.
    pub failed: u64,
}

impl Counts {
    /// Images that are asked for and not there yet.
    pub const fn outstanding(&self) -> u64 {
        self.dispatched.saturating_sub(self.evaluated).saturating_sub(self.failed)
    }

    /// Images whose turn has not come.
    pub const fn waiting(&self) -> u64 {
        self.images.saturating_sub(self.dispatched)
    }
}

/// When a run, and what it comes from, came to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The newest of its changes as the source dates it.
    pub published: Option<OffsetDateTime>,
    /// When the newest of its changes was read here.
    pub observed: Option<OffsetDateTime>,
    /// When it was made.
    pub created: OffsetDateTime,
    /// When its images were chosen.
    pub planned: Option<OffsetDateTime>,
    /// When the first of them were asked for.
    pub dispatched: Option<OffsetDateTime>,
    /// When it ended.
    pub ended: Option<OffsetDateTime>,
}

/// A run as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Why it is.
    pub kind: RunKind,
    /// For people.
    pub cause: String,
    /// How far it is.
    pub state: RunState,
    /// Of a delta: the changes after the first snapshot, up to and with the second.
    pub snapshots: Option<(SnapshotId, SnapshotId)>,
    /// Which images, when it is no delta.
    pub selector: Selector,
    /// The schedule it comes from.
    pub schedule: Option<String>,
    /// Its own limit of images a second.
    pub rate_per_s: Option<f32>,
    /// Somebody has asked for its end.
    pub cancel_asked: bool,
    /// When a person said that it may go on, held or not.
    pub released: Option<OffsetDateTime>,
    /// Why it is held, or how it ended.
    pub reason: Option<String>,
    /// How much of it there is.
    pub counts: Counts,
    /// When it came to where.
    pub marks: Marks,
}

/// An image of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunImage {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub image: ImageDigest,
    /// What became of it.
    pub state: RunImageState,
    /// The revision its evaluation has to reach.
    pub must_reach: Option<i64>,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it was asked for.
    pub dispatched: Option<OffsetDateTime>,
    /// When it was done.
    pub ended: Option<OffsetDateTime>,
}

/// What became of a person's word on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It is noted; the scheduler acts on it next.
    Noted,
    /// The run had ended.
    HadEnded,
}

/// Asks for a run, and leaves a bell for the scheduler. Says whether it is new: the same key answers the run that was
/// made for it, also when it has ended.
pub async fn request(tx: &mut FleetTx, run: &NewRun) -> Result<(RunId, bool), Error> {
    let id = Uuid::now_v7();
    let made = sqlx::query_scalar!(
        "insert into scheduler.run (run_id, request_key, kind, cause, selector, rate_per_s, schedule_id)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (request_key) do nothing returning run_id",
        id,
        run.key,
        run.kind.as_str(),
        cut(&run.cause),
        run.selector.to_value(),
        run.rate_per_s,
        run.schedule,
    )
    .fetch_optional(tx.conn())
    .await?;
    if made.is_some() {
        wake(tx).await?;
        return Ok((RunId::from_uuid(id), true));
    }
    let known = sqlx::query_scalar!("select run_id from scheduler.run where request_key = $1", run.key)
        .fetch_optional(tx.conn())
        .await?;
    Ok((RunId::from_uuid(known.ok_or(Error::Stale { entity: "run" })?), false))
}

/// Leaves a bell for the scheduler.
pub async fn wake(tx: &mut FleetTx) -> Result<(), Error> {
    outbox::ring(tx, "system", TenantId::SYSTEM, SCHEDULER, Lane::Interactive).await
}

/// A run.
pub async fn get(tx: &mut FleetTx, run: RunId) -> Result<Run, Error> {
    let row = sqlx::query_as!(
        Row,
        "select run_id, kind, cause, state, after_snapshot, until_snapshot, selector, schedule_id, rate_per_s,
                cancel_asked, released_at, reason, delta_records, withdrawn, package_versions, images_known, images,
                losing, dispatched, evaluated, changed, failed, published_at, observed_at, created_at, planned_at,
                dispatched_at, ended_at
         from scheduler.run where run_id = $1",
        run.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "run" })?.try_into()
}

/// Runs, newest first, older than this one; in one of these states, or in any when there are none.
pub async fn list(
    tx: &mut FleetTx,
    states: &[RunState],
    before: Option<RunId>,
    limit: u32,
) -> Result<Vec<Run>, Error> {
    let states: Vec<String> = states.iter().map(|state| state.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select run_id, kind, cause, state, after_snapshot, until_snapshot, selector, schedule_id, rate_per_s,
                cancel_asked, released_at, reason, delta_records, withdrawn, package_versions, images_known, images,
                losing, dispatched, evaluated, changed, failed, published_at, observed_at, created_at, planned_at,
                dispatched_at, ended_at
         from scheduler.run
         where run_id < $1 and (cardinality($2::text[]) = 0 or state = any ($2))
         order by run_id desc limit $3",
        before.map_or(Uuid::max(), |run| run.as_uuid()),
        &states,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Run::try_from).collect()
}

/// A run's images by tenant and digest, after this one; in this state, or in any.
pub async fn images(
    tx: &mut FleetTx,
    run: RunId,
    state: Option<RunImageState>,
    after: Option<(TenantId, &str)>,
    limit: u32,
) -> Result<Vec<RunImage>, Error> {
    let (tenant, digest) = after.map_or((Uuid::nil(), ""), |(tenant, digest)| (tenant.as_uuid(), digest));
    let rows = sqlx::query!(
        "select tenant_id, image_digest, state, must_reach, reason, dispatched_at, ended_at
         from scheduler.run_image
         where run_id = $1 and ($2::text is null or state = $2) and (tenant_id, image_digest) > ($3, $4)
         order by tenant_id, image_digest limit $5",
        run.as_uuid(),
        state.map(RunImageState::as_str),
        tenant,
        digest,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(RunImage {
                tenant: TenantId::from_uuid(r.tenant_id),
                image: parse("run_image", &r.image_digest)?,
                state: parse("run_image", &r.state)?,
                must_reach: r.must_reach,
                reason: r.reason,
                dispatched: r.dispatched_at,
                ended: r.ended_at,
            })
        })
        .collect()
}

/// Asks for a run's end: nothing more of it is dispatched.
pub async fn ask_cancel(tx: &mut FleetTx, run: RunId) -> Result<Said, Error> {
    let done = sqlx::query!(
        "update scheduler.run set cancel_asked = true where run_id = $1 and ended_at is null",
        run.as_uuid()
    )
    .execute(tx.conn())
    .await?;
    noted(tx, run, done.rows_affected()).await
}

/// A person's word that a run may go on, whatever it changes. Good before it is held, too.
pub async fn release(tx: &mut FleetTx, run: RunId) -> Result<Said, Error> {
    let done = sqlx::query!(
        "update scheduler.run set released_at = coalesce(released_at, clock_timestamp())
         where run_id = $1 and ended_at is null",
        run.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    noted(tx, run, done.rows_affected()).await
}

async fn noted(tx: &mut FleetTx, run: RunId, changed: u64) -> Result<Said, Error> {
    if changed == 0 {
        get(tx, run).await?;
        return Ok(Said::HadEnded);
    }
    wake(tx).await?;
    Ok(Said::Noted)
}

/// An image's entity says that this revision of the image, or an earlier one, can never be evaluated.
pub async fn give_up(
    store: &Store,
    tenant: TenantId,
    image: &ImageDigest,
    fence: Fence,
    revision: i64,
    reason: &str,
) -> Result<u64, Error> {
    let mut tx = store.tenant(tenant).await?;
    let ours = sqlx::query_scalar!(
        r#"select cluster.fence($1, $2) as "ours!""#,
        i32::from(fence.partition),
        fence.epoch
    )
    .fetch_one(tx.conn())
    .await?;
    if !ours {
        return Err(Error::Fenced { entity: "image" });
    }
    let done = sqlx::query!(
        "update scheduler.run_image set state = 'failed', reason = $4, ended_at = clock_timestamp()
         where tenant_id = $1 and image_digest = $2 and state = 'dispatched' and must_reach <= $3",
        tenant.as_uuid(),
        image.as_str(),
        revision,
        cut(reason),
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// What people read need not be longer, and columns have a bound.
fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(500).collect()
}
