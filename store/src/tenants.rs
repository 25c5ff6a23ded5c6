//! Tenants and their quotas. Only operators change them.

use model::TenantId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::number;
use crate::{Error, FleetTx};

/// What a tenant may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// Its part of the capacity, beside the weights of the other active tenants.
    pub weight: f32,
    /// Accepted jobs that have not ended, at most.
    pub max_queued: u32,
    /// Jobs that are admitted at once, at most.
    pub max_inflight: u32,
    /// Submissions a second, on average.
    pub rate_per_s: f32,
    /// Submissions at once after a quiet time.
    pub burst: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self { weight: 1.0, max_queued: 100_000, max_inflight: 64, rate_per_s: 50.0, burst: 500 }
    }
}

/// A tenant as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its unique name: 1 to 63 of `a-z`, `0-9`, `.`, `-`.
    pub name: String,
    /// Whether it may submit.
    pub active: bool,
    /// What it may use.
    pub quota: Quota,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

struct Row {
    tenant_id: Uuid,
    name: String,
    state: String,
    weight: f32,
    max_queued: i32,
    max_inflight: i32,
    rate_per_s: f32,
    burst: i32,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for Tenant {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: TenantId::from_uuid(row.tenant_id),
            name: row.name,
            active: row.state == "active",
            quota: Quota {
                weight: row.weight,
                max_queued: number("tenant", row.max_queued)?,
                max_inflight: number("tenant", row.max_inflight)?,
                rate_per_s: row.rate_per_s,
                burst: number("tenant", row.burst)?,
            },
            created_at: row.created_at,
        })
    }
}

/// Makes a tenant. `Conflict` when the name is taken or not a name.
pub async fn create(tx: &mut FleetTx, name: &str, quota: Quota) -> Result<Tenant, Error> {
    let id = Uuid::now_v7();
    let made = sqlx::query_as!(
        Row,
        "insert into authority.tenant (tenant_id, name, weight, max_queued, max_inflight, rate_per_s, burst)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) do nothing
         returning tenant_id, name, state, weight, max_queued, max_inflight, rate_per_s, burst, created_at",
        id,
        name,
        quota.weight,
        limit(quota.max_queued),
        limit(quota.max_inflight),
        quota.rate_per_s,
        limit(quota.burst),
    )
    .fetch_optional(tx.conn())
    .await?;
    let made = made.ok_or_else(|| Error::Conflict { what: format!("there is a tenant {name} already") })?;
    sqlx::query!("insert into orchestrator.tenant_load (tenant_id) values ($1)", id)
        .execute(tx.conn())
        .await?;
    made.try_into()
}

/// A tenant by its id.
pub async fn get(tx: &mut FleetTx, id: TenantId) -> Result<Tenant, Error> {
    let row = sqlx::query_as!(
        Row,
        "select tenant_id, name, state, weight, max_queued, max_inflight, rate_per_s, burst, created_at
         from authority.tenant where tenant_id = $1",
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "tenant" })?.try_into()
}

/// A tenant by its name.
pub async fn by_name(tx: &mut FleetTx, name: &str) -> Result<Tenant, Error> {
    let row = sqlx::query_as!(
        Row,
        "select tenant_id, name, state, weight, max_queued, max_inflight, rate_per_s, burst, created_at
         from authority.tenant where name = $1",
        name,
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "tenant" })?.try_into()
}

/// Tenants by name, after this one. The system's own is not among them.
pub async fn list(tx: &mut FleetTx, after: Option<&str>, limit: u32) -> Result<Vec<Tenant>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select tenant_id, name, state, weight, max_queued, max_inflight, rate_per_s, burst, created_at
         from authority.tenant
         where name > $1 and tenant_id <> '00000000-0000-0000-0000-000000000000' order by name limit $2",
        after.unwrap_or(""),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Tenant::try_from).collect()
}

/// Changes what a tenant may use.
pub async fn set_quota(tx: &mut FleetTx, id: TenantId, quota: Quota) -> Result<Tenant, Error> {
    let row = sqlx::query_as!(
        Row,
        "update authority.tenant
         set weight = $2, max_queued = $3, max_inflight = $4, rate_per_s = $5, burst = $6 where tenant_id = $1
         returning tenant_id, name, state, weight, max_queued, max_inflight, rate_per_s, burst, created_at",
        id.as_uuid(),
        quota.weight,
        limit(quota.max_queued),
        limit(quota.max_inflight),
        quota.rate_per_s,
        limit(quota.burst),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "tenant" })?.try_into()
}

/// Lets a tenant submit, or not. What it has submitted goes on.
pub async fn set_active(tx: &mut FleetTx, id: TenantId, active: bool) -> Result<(), Error> {
    let state = if active { "active" } else { "suspended" };
    let done =
        sqlx::query!("update authority.tenant set state = $2 where tenant_id = $1", id.as_uuid(), state)
            .execute(tx.conn())
            .await?;
    if done.rows_affected() == 0 { Err(Error::NotFound { entity: "tenant" }) } else { Ok(()) }
}

/// The column is a signed number; beyond its range a limit means "none" all the same.
fn limit(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
