//! The sweep: finds what has stood still for too long, whatever the cause, so that a lost bell costs only time.

use std::time::Duration;

use model::{JobId, TenantId};

use crate::outbox::Bell;
use crate::row::lane;
use crate::{Error, FleetTx, Store, TenantTx};

/// At most so many bells of each cause at once; the next sweep finds the rest.
const PER_CAUSE: i64 = 2_000;

/// Bells to ring for everything unfinished that has stood still for longer than this. They are not in the outbox: put
/// them into the streams at once.
pub async fn find(tx: &mut FleetTx, older_than: Duration) -> Result<Vec<Bell>, Error> {
    let rows = sqlx::query!(
        r#"with late as (select clock_timestamp() - $1::float8 * interval '1 second' as line),
           -- Admitted, and nothing that is waited for: evaluating, or its work is gone.
           still as (
               select tenant_id, image_digest, lane from orchestrator.job, late
               where ended_at is null and admitted_at is not null and stage_since < line
               order by stage_since limit $2),
           found as (
               -- One look at each tenant that has work to admit, however much of it another has.
               select 'tenant' as kind, l.tenant_id, '-' as key, j.lane
               from orchestrator.tenant_load l, late, lateral (
                   select lane, stage_since from orchestrator.job
                   where tenant_id = l.tenant_id and ended_at is null and admitted_at is null
                   order by lane, job_id limit 1) j
               where l.open_jobs > l.inflight and j.stage_since < line
               union all
               select 'image', tenant_id, image_digest, lane from still s
               where not exists (select from orchestrator.work w
                                 where w.tenant_id = s.tenant_id and w.image_digest = s.image_digest)
               union all
               (select 'image', i.tenant_id, i.digest, 2::smallint from scanner.image i, late
                where i.revision > i.evaluated_revision and i.changed_at < line order by i.changed_at limit $2)
               union all
               (select 'work', w.tenant_id, w.work_id::text, w.lane from orchestrator.work w, late
                where w.state = 'ready' and w.due_at < line order by w.due_at limit $2)
               union all
               (select 'work', w.tenant_id, w.work_id::text, w.lane from orchestrator.work w
                where w.state = 'held' and (not cluster.is_live(w.holder_gen)
                       or coalesce(w.kept_at, w.held_since) < clock_timestamp() - orchestrator.hold_lasts()) limit $2)
               union all
               (select 'feed', '00000000-0000-0000-0000-000000000000'::uuid, feed_id, 2::smallint
                from vuln.feed_now where due))
           select kind as "kind!", tenant_id as "tenant_id!", key as "key!", min(lane) as "lane!"
           from found group by kind, tenant_id, key order by min(lane)"#,
        older_than.as_secs_f64(),
        PER_CAUSE,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Bell {
                id: 0,
                kind: r.kind,
                tenant: TenantId::from_uuid(r.tenant_id),
                key: r.key,
                lane: lane("job", r.lane)?,
            })
        })
        .collect()
}

/// Ends jobs whose deadline is over as failed; says how many.
pub async fn expire_overdue(store: &Store) -> Result<u32, Error> {
    let mut fleet = store.fleet().await?;
    let overdue = sqlx::query!(
        "select tenant_id, job_id from orchestrator.job
         where ended_at is null and deadline_at < clock_timestamp() order by tenant_id, job_id limit $1",
        PER_CAUSE,
    )
    .fetch_all(fleet.conn())
    .await?;
    fleet.commit().await?;
    let mut ended = 0;
    for row in overdue {
        ended +=
            u32::from(expire(store, TenantId::from_uuid(row.tenant_id), JobId::from_uuid(row.job_id)).await?);
    }
    Ok(ended)
}

async fn expire(store: &Store, tenant: TenantId, job: JobId) -> Result<bool, Error> {
    let mut tx: TenantTx = store.tenant(tenant).await?;
    let code = sqlx::query_scalar!(
        r#"select orchestrator.give_up($1, $2, 'failed', 'deadline exceeded', true) as "code!""#,
        tenant.as_uuid(),
        job.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.rang();
    tx.commit().await?;
    Ok(code == "applied")
}
