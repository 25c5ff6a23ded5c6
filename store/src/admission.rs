//! What a tenant's entity needs to decide whom to let in. Letting in is [`crate::effects::Effect::Admit`].

use model::{ImageDigest, JobId, Lane, TenantId};
use time::OffsetDateTime;

use crate::row::{lane_index, number, parse};
use crate::tenants::Quota;
use crate::{Error, FleetTx, Store, TenantTx, tenants};

/// A tenant's queue, beside what it and all may use.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmissionView {
    /// One for each lane, in order.
    pub lanes: Vec<LaneView>,
    /// What the tenant may use.
    pub quota: Quota,
    /// Jobs accepted and not ended.
    pub open_jobs: u32,
    /// Of these, admitted.
    pub inflight: u32,
    /// The tenant's weight over the weights of all the tenants that have open jobs; 1 when it is alone.
    pub share: f64,
    /// Slots for heavy work on all nodes that take work now.
    pub capacity: u32,
    /// Admitted jobs of all the tenants.
    pub fleet_inflight: u64,
}

/// One lane of a tenant's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// Which.
    pub lane: Lane,
    /// Jobs that wait, oldest first, no more than were asked for.
    pub waiting: Vec<Waiting>,
    /// Jobs of this lane that are admitted and have not ended.
    pub inflight: u32,
}

/// A job that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub job: JobId,
    /// Its image.
    pub image: ImageDigest,
    /// Since when it waits.
    pub accepted_at: OffsetDateTime,
}

/// Reads the tenant's queue, at most `limit` waiting jobs of each lane.
pub async fn view(store: &Store, tenant: TenantId, limit: u32) -> Result<AdmissionView, Error> {
    let mut fleet = store.fleet().await?;
    let quota = tenants::get(&mut fleet, tenant).await?.quota;
    let (share, capacity, fleet_inflight) = fleet_share(&mut fleet, tenant).await?;
    fleet.commit().await?;

    let mut tx = store.tenant(tenant).await?;
    let load = sqlx::query!(
        "select open_jobs, inflight from orchestrator.tenant_load where tenant_id = $1",
        tenant.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    let mut lanes = Vec::with_capacity(Lane::ALL.len());
    for &lane in Lane::ALL {
        lanes.push(lane_view(&mut tx, lane, limit).await?);
    }
    tx.commit().await?;
    Ok(AdmissionView {
        lanes,
        quota,
        open_jobs: number("tenant_load", load.open_jobs)?,
        inflight: number("tenant_load", load.inflight)?,
        share,
        capacity,
        fleet_inflight,
    })
}

async fn fleet_share(tx: &mut FleetTx, tenant: TenantId) -> Result<(f64, u32, u64), Error> {
    let row = sqlx::query!(
        r#"select sum(t.weight) filter (where t.tenant_id = $1)::float8 as "mine!",
                  sum(t.weight)::float8 as "all!",
                  coalesce(sum(l.inflight), 0)::bigint as "inflight!",
                  (select coalesce(sum(worker_slots), 0)::int from cluster.node where state = 'up' and not cordoned)
                      as "slots!"
           from authority.tenant t join orchestrator.tenant_load l using (tenant_id)
           where l.open_jobs > 0 or t.tenant_id = $1"#,
        tenant.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.mine / row.all, number("node", row.slots)?, row.inflight.unsigned_abs()))
}

async fn lane_view(tx: &mut TenantTx, lane: Lane, limit: u32) -> Result<LaneView, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        "select job_id, image_digest, accepted_at from orchestrator.job
         where tenant_id = $1 and lane = $2 and ended_at is null and admitted_at is null
         order by job_id limit $3",
        tenant,
        lane_index(lane),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    let inflight = sqlx::query_scalar!(
        r#"select count(*)::int as "count!" from orchestrator.job
           where tenant_id = $1 and lane = $2 and ended_at is null and admitted_at is not null"#,
        tenant,
        lane_index(lane),
    )
    .fetch_one(tx.conn())
    .await?;
    let waiting = rows
        .into_iter()
        .map(|r| {
            Ok(Waiting {
                job: JobId::from_uuid(r.job_id),
                image: parse("job", &r.image_digest)?,
                accepted_at: r.accepted_at,
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(LaneView { lane, waiting, inflight: number("job", inflight)? })
}
