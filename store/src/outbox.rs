//! Bells that are owed, from the commit that left them until they are in a stream.

use model::{Lane, TenantId};

use crate::row::{lane, lane_index};
use crate::{Error, FleetTx};

/// Says who should look, never what to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bell {
    /// The outbox row's number; 0 for a bell that the sweep found to be missing.
    pub id: i64,
    /// `tenant`, `image`, `feed`, `system`: an entity; `work`: any worker.
    pub kind: String,
    /// The tenant of the key.
    pub tenant: TenantId,
    /// The entity's id (`-`, a digest, a feed's name, a singleton's name), or the work's id.
    pub key: String,
    /// How urgent.
    pub lane: Lane,
}

/// Takes the most urgent bells that are due, by deleting them: put them into their streams, then commit. Bells that
/// another relay is just taking are left out, so each is taken once; uncommitted, they stay.
pub async fn take(tx: &mut FleetTx, limit: u32) -> Result<Vec<Bell>, Error> {
    let rows = sqlx::query!(
        r#"with due as (
               select tenant_id, bell_id from orchestrator.outbox
               where due_at <= clock_timestamp()
               order by lane, bell_id limit $1 for update skip locked),
           taken as (
               delete from orchestrator.outbox o using due d
               where o.tenant_id = d.tenant_id and o.bell_id = d.bell_id
               returning o.bell_id, o.kind, o.tenant_id, o.key, o.lane)
           select bell_id, kind, tenant_id, key, lane from taken order by lane, bell_id"#,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Bell {
                id: r.bell_id,
                kind: r.kind,
                tenant: TenantId::from_uuid(r.tenant_id),
                key: r.key,
                lane: lane("outbox", r.lane)?,
            })
        })
        .collect()
}

/// Leaves a bell: whoever it names is woken once this transaction is committed.
pub async fn ring(
    tx: &mut FleetTx,
    kind: &str,
    tenant: TenantId,
    key: &str,
    lane: Lane,
) -> Result<(), Error> {
    sqlx::query!(
        "select orchestrator.ring($1, $2, $3, $4)::text as done",
        kind,
        tenant.as_uuid(),
        key,
        lane_index(lane),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.rang();
    Ok(())
}

/// How many bells are owed and due, and for how many seconds the oldest has been.
pub async fn backlog(tx: &mut FleetTx) -> Result<(u64, f64), Error> {
    let row = sqlx::query!(
        r#"select count(*) as "count!",
                  coalesce(extract(epoch from clock_timestamp() - min(due_at)), 0)::float8 as "age!"
           from orchestrator.outbox where due_at <= clock_timestamp()"#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.count.unsigned_abs(), row.age))
}
