//! The scheduler's steps. Each is one transaction, fenced by the scheduler's partition, and may be repeated: a run is
//! taken up where it was, and no image of it counts twice.

use std::time::Duration;

use model::{RunId, RunKind, RunState, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Row, Selector};
use super::{Run, cut};
use crate::{Error, Fence, FleetTx, Store};

/// Runs looked at together; more wait for one of these to end.
const OPEN_MAX: i64 = 200;

/// All that the scheduler decides on, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// The database's clock.
    pub now: OffsetDateTime,
    /// The newest snapshot.
    pub latest: SnapshotId,
    /// Up to here each change has its run …
    pub cursor: SnapshotId,
    /// … the last of which was made then.
    pub taken_at: Option<OffsetDateTime>,
    /// Runs that have not ended, oldest first.
    pub open: Vec<Run>,
    /// Schedules whose time has come.
    pub due: Vec<String>,
}

/// What planning has found, beside the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planned {
    /// Advisories that changed.
    pub delta_records: u64,
    /// Of these, taken back or no longer listed.
    pub withdrawn: u64,
    /// Versions of packages that the changes touch.
    pub package_versions: u64,
    /// The newest change as its source dates it.
    pub published: Option<OffsetDateTime>,
}

/// Reads what there is to decide on.
pub async fn situation(tx: &mut FleetTx) -> Result<Situation, Error> {
    let at = sqlx::query!(
        r#"select clock_timestamp() as "now!", c.snapshot_id as cursor, c.taken_at, l.snapshot_id as latest
           from scheduler.cursor c, vuln.latest l"#
    )
    .fetch_one(tx.conn())
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select run_id, kind, cause, state, after_snapshot, until_snapshot, selector, schedule_id, rate_per_s,
                cancel_asked, released_at, reason, delta_records, withdrawn, package_versions, images_known, images,
                losing, dispatched, evaluated, changed, failed, published_at, observed_at, created_at, planned_at,
                dispatched_at, ended_at
         from scheduler.run where ended_at is null order by run_id limit $1",
        OPEN_MAX,
    )
    .fetch_all(tx.conn())
    .await?;
    let due = sqlx::query_scalar!(
        "select schedule_id from scheduler.schedule where enabled and next_at <= clock_timestamp()
         order by next_at limit 100"
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Situation {
        now: at.now,
        latest: SnapshotId(at.latest),
        cursor: SnapshotId(at.cursor),
        taken_at: at.taken_at,
        open: rows.into_iter().map(Run::try_from).collect::<Result<_, _>>()?,
        due,
    })
}

/// Makes a run of all changes after `after`, up to and with `until`, and moves the cursor there.
pub async fn take_changes(
    store: &Store,
    fence: Fence,
    after: SnapshotId,
    until: SnapshotId,
) -> Result<RunId, Error> {
    let mut tx = fenced(store, fence).await?;
    let moved = sqlx::query!(
        "update scheduler.cursor set snapshot_id = $2, taken_at = clock_timestamp()
         where snapshot_id = $1 and $2 > $1",
        after.0,
        until.0,
    )
    .execute(tx.conn())
    .await?;
    if moved.rows_affected() == 0 {
        return Err(Error::Stale { entity: "scheduler" });
    }
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into scheduler.run (run_id, kind, cause, after_snapshot, until_snapshot, observed_at)
         select $1, $2,
                left('changes of ' || coalesce(string_agg(distinct w.what, ', ' order by w.what), 'no feed'), 500),
                $3, $4, max(s.at)
         from vuln.snapshot s cross join lateral (select coalesce(s.feed_id, 'documents and issuers of VEX')) as w(what)
         where s.snapshot_id > $3 and s.snapshot_id <= $4",
        id,
        RunKind::Delta.as_str(),
        after.0,
        until.0,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(RunId::from_uuid(id))
}

/// Whether somebody has asked for the run's end, or it has ended.
pub async fn is_unwanted(tx: &mut FleetTx, run: RunId) -> Result<bool, Error> {
    let wanted = sqlx::query_scalar!(
        r#"select not cancel_asked and ended_at is null as "wanted!" from scheduler.run where run_id = $1"#,
        run.as_uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(!wanted.unwrap_or(false))
}

/// Adds images to a run that is planned. One that it has already is not added again.
pub async fn select(
    store: &Store,
    fence: Fence,
    run: RunId,
    images: &[(TenantId, String)],
    losing: bool,
) -> Result<u64, Error> {
    let tenants: Vec<Uuid> = images.iter().map(|(tenant, _)| tenant.as_uuid()).collect();
    let digests: Vec<&str> = images.iter().map(|(_, digest)| digest.as_str()).collect();
    let mut tx = planning(store, fence, run).await?;
    let added = sqlx::query!(
        "insert into scheduler.run_image (tenant_id, run_id, image_digest, losing)
         select w.tenant, $1, w.digest, $4 from unnest($2::uuid[], $3::text[]) as w(tenant, digest)
         on conflict do nothing",
        run.as_uuid(),
        &tenants,
        &digests as &[&str],
        losing,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    count_selected(&mut tx, run, added, losing).await?;
    tx.commit().await?;
    Ok(added)
}

/// Adds the next page of the images that a selector names, its packages left aside, and answers where it ended;
/// `None` at the end.
pub async fn select_by(
    store: &Store,
    fence: Fence,
    run: RunId,
    selector: &Selector,
    after: Option<(TenantId, String)>,
    limit: u32,
) -> Result<Option<(TenantId, String)>, Error> {
    let (tenant, digest) = after.unwrap_or((TenantId::SYSTEM, String::new()));
    let mut tx = planning(store, fence, run).await?;
    let page = sqlx::query!(
        r#"with page as (
               select i.tenant_id, i.digest from scanner.image i
               where i.sbom_digest is not null and (i.tenant_id, i.digest) > ($2, $3)
                 and ($4::uuid is null or i.tenant_id = $4)
                 and ($5::text is null or i.digest = $5)
                 and ($6::text is null or exists (
                     select from scanner.image_name n
                     where n.tenant_id = i.tenant_id and n.image_digest = i.digest and n.name like $6))
                 and (not $7 or i.evaluated_snapshot is distinct from (select l.snapshot_id from vuln.latest l))
               order by i.tenant_id, i.digest limit $8),
           added as (
               insert into scheduler.run_image (tenant_id, run_id, image_digest)
               select p.tenant_id, $1, p.digest from page p on conflict do nothing returning 1)
           select (select count(*) from added) as "added!",
                  (select count(*) from page) as "read!",
                  (select p.tenant_id from page p order by p.tenant_id desc, p.digest desc limit 1) as tenant,
                  (select p.digest from page p order by p.tenant_id desc, p.digest desc limit 1) as digest"#,
        run.as_uuid(),
        tenant.as_uuid(),
        digest,
        selector.tenant.map(|tenant| tenant.as_uuid()),
        selector.image.as_ref().map(model::ImageDigest::as_str),
        selector.name_pattern(),
        selector.stale_only,
        i64::from(limit),
    )
    .fetch_one(tx.conn())
    .await?;
    count_selected(&mut tx, run, page.added.unsigned_abs(), false).await?;
    tx.commit().await?;
    let full = page.read == i64::from(limit);
    Ok(page.tenant.zip(page.digest).filter(|_| full).map(|(t, d)| (TenantId::from_uuid(t), d)))
}

async fn count_selected(tx: &mut FleetTx, run: RunId, added: u64, losing: bool) -> Result<(), Error> {
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    sqlx::query!(
        "update scheduler.run set images = images + $2::bigint, losing = losing + case when $3 then $2::bigint else 0 end
         where run_id = $1",
        run.as_uuid(),
        added,
        losing,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// All images are chosen: keeps what planning has found. The run stays planned until it is begun, held or ended.
pub async fn end_planning(store: &Store, fence: Fence, run: RunId, found: &Planned) -> Result<(), Error> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut tx = planning(store, fence, run).await?;
    sqlx::query!(
        "update scheduler.run set
             planned_at = clock_timestamp(), delta_records = $2, withdrawn = $3, package_versions = $4,
             published_at = $5,
             images_known = (select count(*) from scanner.image where sbom_digest is not null)
         where run_id = $1",
        run.as_uuid(),
        count(found.delta_records),
        count(found.withdrawn),
        count(found.package_versions),
        found.published,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Takes a run on to this state, with the reason that people read.
pub async fn move_to(
    store: &Store,
    fence: Fence,
    run: RunId,
    state: RunState,
    reason: Option<&str>,
) -> Result<(), Error> {
    let mut tx = fenced(store, fence).await?;
    let moved = sqlx::query!(
        "update scheduler.run set
             state = $2, reason = $3, ended_at = case when $4 then clock_timestamp() end
         where run_id = $1 and ended_at is null",
        run.as_uuid(),
        state.as_str(),
        reason.map(cut),
        state.is_final(),
    )
    .execute(tx.conn())
    .await?;
    if moved.rows_affected() == 0 {
        return Err(Error::Stale { entity: "run" });
    }
    tx.commit().await
}

/// Asks for the evaluation of a run's next images, at most `limit`: raises their revisions and leaves their bells, in
/// the lane of the system's own rounds. Says how many. Those of a delta that were evaluated on its snapshot meanwhile
/// are done without; those that somebody else is just changing come with the next page.
pub async fn dispatch(store: &Store, fence: Fence, run: RunId, limit: u32) -> Result<u64, Error> {
    let mut tx = fenced(store, fence).await?;
    let done = sqlx::query!(
        r#"with run as (
               select run_id, until_snapshot from scheduler.run
               where run_id = $1 and state = 'running' and not cancel_asked for no key update),
           page as (
               select r.tenant_id, r.image_digest from scheduler.run_image r, run
               where r.run_id = run.run_id and r.state = 'selected'
               order by r.tenant_id, r.image_digest limit $2),
           held as (
               select i.tenant_id, i.digest, i.last_verdict,
                      coalesce(i.evaluated_snapshot >= (select until_snapshot from run)
                               and i.evaluated_revision = i.revision, false) as is_current
               from scanner.image i join page p on p.tenant_id = i.tenant_id and p.image_digest = i.digest
               order by i.tenant_id, i.digest for no key update of i skip locked),
           raised as (
               update scanner.image i set revision = i.revision + 1, changed_at = clock_timestamp()
               from held h where h.tenant_id = i.tenant_id and h.digest = i.digest and not h.is_current
               returning i.tenant_id, i.digest, i.revision, h.last_verdict),
           asked as (
               update scheduler.run_image r set
                   state = 'dispatched', must_reach = a.revision, verdict_before = a.last_verdict,
                   dispatched_at = clock_timestamp()
               from raised a where r.run_id = $1 and r.tenant_id = a.tenant_id and r.image_digest = a.digest
               returning 1),
           spared as (
               update scheduler.run_image r set state = 'current', ended_at = clock_timestamp()
               from held h
               where h.is_current and r.run_id = $1 and r.tenant_id = h.tenant_id and r.image_digest = h.digest
               returning 1),
           rung as (
               insert into orchestrator.outbox (kind, tenant_id, key, lane)
               select 'image', a.tenant_id, a.digest, 2 from raised a returning 1)
           select (select count(*) from asked) as "asked!", (select count(*) from spared) as "spared!",
                  (select count(*) from rung) as "rung!""#,
        run.as_uuid(),
        i64::from(limit),
    )
    .fetch_one(tx.conn())
    .await?;
    sqlx::query!(
        "update scheduler.run set dispatched = dispatched + $2::bigint + $3::bigint, evaluated = evaluated + $3::bigint,
                                  dispatched_at = coalesce(dispatched_at, clock_timestamp())
         where run_id = $1 and $2::bigint + $3::bigint > 0",
        run.as_uuid(),
        done.asked,
        done.spared,
    )
    .execute(tx.conn())
    .await?;
    if done.rung > 0 {
        tx.rang();
    }
    tx.commit().await?;
    Ok((done.asked + done.spared).unsigned_abs())
}

/// Looks which of a run's images have caught up, and gives up those that have not within `patience`. Says how many
/// are done since the last look, in whichever way.
pub async fn settle(store: &Store, fence: Fence, run: RunId, patience: Duration) -> Result<u64, Error> {
    let mut tx = fenced(store, fence).await?;
    let settled = sqlx::query!(
        r#"with done as (
               update scheduler.run_image r set
                   state = case when i.last_verdict > r.verdict_before then 'changed' else 'unchanged' end,
                   ended_at = coalesce(i.evaluated_at, clock_timestamp())
               from scanner.image i
               where r.run_id = $1 and r.state = 'dispatched'
                 and i.tenant_id = r.tenant_id and i.digest = r.image_digest and i.evaluated_revision >= r.must_reach
               returning r.state)
           select count(*) as "evaluated!", count(*) filter (where state = 'changed') as "changed!" from done"#,
        run.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    sqlx::query!(
        "update scheduler.run_image set state = 'failed', ended_at = clock_timestamp(),
                reason = 'no verdict within ' || $2::float8::text || ' s'
         where run_id = $1 and state = 'dispatched'
           and dispatched_at < clock_timestamp() - $2::float8 * interval '1 s'",
        run.as_uuid(),
        patience.as_secs_f64(),
    )
    .execute(tx.conn())
    .await?;
    let failed = sqlx::query_scalar!(
        r#"with now as (select count(*) as failed from scheduler.run_image where run_id = $1 and state = 'failed'),
                before as (select failed from scheduler.run where run_id = $1)
           update scheduler.run r set evaluated = evaluated + $2::bigint, changed = changed + $3::bigint, failed = now.failed
           from now, before
           where r.run_id = $1 and ($2::bigint > 0 or r.failed <> now.failed)
           returning now.failed - before.failed as "failed!""#,
        run.as_uuid(),
        settled.evaluated,
        settled.changed,
    )
    .fetch_optional(tx.conn())
    .await?;
    tx.commit().await?;
    Ok((settled.evaluated + failed.unwrap_or(0)).unsigned_abs())
}

/// Why the first of a run's images failed, and which it was.
pub async fn first_failure(tx: &mut FleetTx, run: RunId) -> Result<Option<(String, String)>, Error> {
    let row = sqlx::query!(
        "select image_digest, reason from scheduler.run_image where run_id = $1 and state = 'failed'
         order by ended_at, tenant_id, image_digest limit 1",
        run.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.image_digest, row.reason.unwrap_or_default())))
}

/// Forgets the images of a run that ended longer ago than this; says how many. The run itself stays.
pub async fn forget_images(store: &Store, fence: Fence, older_than: Duration) -> Result<u64, Error> {
    let mut tx = fenced(store, fence).await?;
    let done = sqlx::query!(
        "delete from scheduler.run_image i using (
             select r.run_id from scheduler.run r
             where r.ended_at < clock_timestamp() - $1::float8 * interval '1 s'
               and exists (select from scheduler.run_image x where x.run_id = r.run_id)
             order by r.ended_at limit 1) old
         where i.run_id = old.run_id",
        older_than.as_secs_f64(),
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// A transaction of a run whose images are being chosen.
async fn planning(store: &Store, fence: Fence, run: RunId) -> Result<FleetTx, Error> {
    let mut tx = fenced(store, fence).await?;
    let open = sqlx::query_scalar!(
        r#"select true as "open!" from scheduler.run
           where run_id = $1 and state = 'planned' and planned_at is null for no key update"#,
        run.as_uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    match open {
        Some(_) => Ok(tx),
        None => Err(Error::Stale { entity: "run" }),
    }
}

/// A transaction of the scheduler: its epoch is checked first, and locked until the commit. A page may take longer
/// than other statements.
pub(crate) async fn fenced(store: &Store, fence: Fence) -> Result<FleetTx, Error> {
    let mut tx = store.fleet().await?;
    let ours = sqlx::query_scalar!(
        r#"select cluster.fence($1, $2) and set_config('statement_timeout', '30s', true) is not null as "ours!""#,
        i32::from(fence.partition),
        fence.epoch,
    )
    .fetch_one(tx.conn())
    .await?;
    if ours { Ok(tx) } else { Err(Error::Fenced { entity: "scheduler" }) }
}
