//! Issuers of VEX and how far they are trusted: the changes that make it so, which are also who did what.
//!
//! What the system's tenant says of issuers counts for all; a tenant adds its own and its own trust. Nothing is stored
//! of how it stands: that is the fold of the changes ([`::vex::trust::Register`]) as of a snapshot.

mod body;

use ::vex::trust::{IssuerChange, IssuerChangeKind, Refused, Register, Scope};
use model::{SnapshotId, TenantId};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::row::text;
use crate::vex::next_snapshot;
use crate::{Error, TenantTx};

/// Changes of one tenant.
pub const CHANGES_MAX: usize = 10_000;
/// By how much the asker's clock may be ahead of the database's.
const CLOCKS_APART: Duration = Duration::minutes(1);

/// A change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssuerChange {
    /// Which issuer; empty for a policy.
    pub issuer: String,
    /// What changes.
    pub kind: IssuerChangeKind,
    /// Who changes it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// All changes until a snapshot, as they are folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChanges {
    /// Those of the system's tenant, which count for everybody.
    pub global: Vec<IssuerChange>,
    /// The tenant's own; none for the system's tenant.
    pub own: Vec<IssuerChange>,
    /// The snapshot of the last of them; 0 when there is none. What was folded of these is the same until it moves.
    pub last: SnapshotId,
}

impl IssuerChanges {
    /// How it stands.
    pub fn register(&self) -> Register {
        Register::of(&self.global, &self.own)
    }
}

/// A change that was made, with who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedChange {
    /// For whom it counts.
    pub scope: Scope,
    /// Its number among the changes of its tenant, or of the system's.
    pub number: i64,
    /// The snapshot from which it counts.
    pub snapshot: SnapshotId,
    /// The change.
    pub change: IssuerChange,
    /// Who made it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Makes a change: the tenant's own, or one for everybody where the transaction is the system's tenant's. `NotFound` and
/// `AlreadyExists` of an `issuer` or an `issuer key`, `Conflict` for any other reason why it may not be made.
pub async fn change(tx: &mut TenantTx, change: &NewIssuerChange) -> Result<SnapshotId, Error> {
    let tenant = tx.tenant();
    let snapshot = next_snapshot(tx).await?;
    let known = changes(tx, snapshot).await?;
    let (scope, mine) = match tenant == TenantId::SYSTEM {
        true => (Scope::Global, &known.global),
        false => (Scope::Own, &known.own),
    };
    if mine.len() >= CHANGES_MAX {
        return Err(Error::Conflict { what: format!("there are {CHANGES_MAX} changes of issuers already") });
    }
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx.conn()).await?;
    let change_now =
        IssuerChange { issuer: change.issuer.clone(), kind: not_ahead(change.kind.clone(), now), at: now };
    known.register().may(scope, &change_now).map_err(refused)?;
    sqlx::query!(
        "insert into vex.issuer_change
             (tenant_id, change_no, snapshot_id, issuer_id, kind, body, actor, reason, at)
         select $1, coalesce(max(change_no), 0) + 1, $2, $3, $4, $5, $6, $7, $8
         from vex.issuer_change where tenant_id = $1",
        tenant.as_uuid(),
        snapshot.0,
        change.issuer,
        change_now.kind.as_str(),
        body::write(&change_now.kind),
        text(&change.by),
        text(&change.reason),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(snapshot)
}

/// "Now" by a clock that is a little ahead is now.
fn not_ahead(kind: IssuerChangeKind, now: OffsetDateTime) -> IssuerChangeKind {
    match kind {
        IssuerChangeKind::KeyRevoked { key, since } if since > now && since - now <= CLOCKS_APART => {
            IssuerChangeKind::KeyRevoked { key, since: now }
        }
        other => other,
    }
}

fn refused(why: Refused) -> Error {
    match why {
        Refused::Unknown(_) => Error::NotFound { entity: "issuer" },
        Refused::UnknownKey(_) => Error::NotFound { entity: "issuer key" },
        Refused::Taken(_) => Error::AlreadyExists { entity: "issuer" },
        Refused::Wrong(what) => Error::Conflict { what },
    }
}

/// All changes that count for a tenant as of a snapshot, in their order.
pub async fn changes(tx: &mut TenantTx, at: SnapshotId) -> Result<IssuerChanges, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        Row,
        "select tenant_id, change_no, snapshot_id, issuer_id, kind, body, actor, reason, at
         from vex.issuer_change where tenant_id in ($1, $2) and snapshot_id <= $3 order by snapshot_id",
        tenant,
        TenantId::SYSTEM.as_uuid(),
        at.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut all = IssuerChanges { global: Vec::new(), own: Vec::new(), last: SnapshotId(0) };
    for row in rows {
        let audited = AuditedChange::try_from(row)?;
        all.last = audited.snapshot;
        match audited.scope {
            Scope::Global => all.global.push(audited.change),
            Scope::Own => all.own.push(audited.change),
        }
    }
    Ok(all)
}

/// The snapshot of the last change that counts for a tenant as of a snapshot; 0 when there is none.
pub async fn last_change(tx: &mut TenantTx, at: SnapshotId) -> Result<SnapshotId, Error> {
    let tenant = tx.tenant().as_uuid();
    let last = sqlx::query_scalar!(
        r#"select coalesce(max(snapshot_id), 0) as "last!" from vex.issuer_change
           where tenant_id in ($1, $2) and snapshot_id <= $3"#,
        tenant,
        TenantId::SYSTEM.as_uuid(),
        at.0,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(SnapshotId(last))
}

/// Who changed what, for everybody and for this tenant, the newest first, at most `limit`: of one issuer, or of all;
/// those before a snapshot.
pub async fn audit(
    tx: &mut TenantTx,
    issuer: Option<&str>,
    before: Option<SnapshotId>,
    limit: u32,
) -> Result<Vec<AuditedChange>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        Row,
        "select tenant_id, change_no, snapshot_id, issuer_id, kind, body, actor, reason, at
         from vex.issuer_change
         where tenant_id in ($1, $2) and ($3::text is null or issuer_id = $3)
           and ($4::bigint is null or snapshot_id < $4)
         order by snapshot_id desc limit $5",
        tenant,
        TenantId::SYSTEM.as_uuid(),
        issuer,
        before.map(|before| before.0),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(AuditedChange::try_from).collect()
}

struct Row {
    tenant_id: Uuid,
    change_no: i64,
    snapshot_id: i64,
    issuer_id: String,
    kind: String,
    body: Value,
    actor: String,
    reason: String,
    at: OffsetDateTime,
}

impl TryFrom<Row> for AuditedChange {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let is_global = row.tenant_id == TenantId::SYSTEM.as_uuid();
        let kind = body::read(&row.kind, &row.body)?;
        Ok(Self {
            scope: if is_global { Scope::Global } else { Scope::Own },
            number: row.change_no,
            snapshot: SnapshotId(row.snapshot_id),
            change: IssuerChange { issuer: row.issuer_id, kind, at: row.at },
            by: row.actor,
            reason: row.reason,
        })
    }
}
