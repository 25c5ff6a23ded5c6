//! How full the lanes are.

use model::{Lane, TenantId};

use crate::row::{lane_index, number};
use crate::{Error, FleetTx};

/// One lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneLoad {
    /// Which.
    pub lane: Lane,
    /// Jobs that wait for their turn.
    pub waiting: u64,
    /// For how many seconds the oldest of them has.
    pub oldest_s: f64,
    /// Jobs that are admitted and have not ended.
    pub inflight: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// All lanes in order, of one tenant or of all.
pub async fn load(tx: &mut FleetTx, tenant: Option<TenantId>) -> Result<Vec<LaneLoad>, Error> {
    let only = tenant.map(|t| t.as_uuid());
    let jobs = sqlx::query!(
        r#"select lane, count(*) filter (where admitted_at is null) as "waiting!",
                  count(*) filter (where admitted_at is not null) as "inflight!",
                  coalesce(extract(epoch from clock_timestamp() - min(accepted_at) filter (where admitted_at is null)),
                           0)::float8 as "oldest!"
           from orchestrator.job where ended_at is null and ($1::uuid is null or tenant_id = $1) group by lane"#,
        only,
    )
    .fetch_all(tx.conn())
    .await?;
    let dead = sqlx::query!(
        r#"select lane, count(*) as "count!" from orchestrator.dead_letter
           where ($1::uuid is null or tenant_id = $1) group by lane"#,
        only,
    )
    .fetch_all(tx.conn())
    .await?;
    Lane::ALL
        .iter()
        .map(|&lane| {
            let job = jobs.iter().find(|r| r.lane == lane_index(lane));
            let letters = dead.iter().find(|r| r.lane == lane_index(lane)).map_or(0, |r| r.count);
            Ok(LaneLoad {
                lane,
                waiting: number("job", job.map_or(0, |r| r.waiting))?,
                oldest_s: job.map_or(0.0, |r| r.oldest),
                inflight: number("job", job.map_or(0, |r| r.inflight))?,
                dead_letters: number("dead_letter", letters)?,
            })
        })
        .collect()
}
