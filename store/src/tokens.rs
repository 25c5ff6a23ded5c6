//! Tokens: who calls, for which tenant, and what they may do.
//!
//! A token reads `stl_<token id>_<secret>`, both hexadecimal. The secret is 32 random bytes, shown once; the store
//! keeps its sha256, which needs no salt because nobody can guess 256 random bits.

use model::TenantId;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{Error, FleetTx, Store};

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant: exactly one for each token.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Which token.
    pub token_id: Uuid,
    /// What its maker called it.
    pub label: String,
}

/// Why a token is not taken. Tell the caller only that it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// The text is not a token.
    #[error("malformed token")]
    Malformed,
    /// No such token, or its secret is another.
    #[error("unknown token")]
    Unknown,
    /// Its time is over.
    #[error("expired token")]
    Expired,
    /// It was taken back.
    #[error("revoked token")]
    Revoked,
}

/// A token as listed: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What its maker called it.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was taken back.
    pub revoked_at: Option<OffsetDateTime>,
}

/// Makes a token. The text is given here and never again.
pub async fn issue(
    tx: &mut FleetTx,
    tenant: TenantId,
    label: &str,
    scopes: &[String],
    lifetime: Option<Duration>,
) -> Result<(Uuid, String), Error> {
    let id = Uuid::now_v7();
    let secret: [u8; 32] = rand::random();
    sqlx::query!(
        "insert into authority.token (tenant_id, token_id, label, scopes, secret_hash, expires_at)
         values ($1, $2, $3, $4, $5, clock_timestamp() + $6::float8 * interval '1 second')",
        tenant.as_uuid(),
        id,
        label,
        scopes,
        &Sha256::digest(secret)[..],
        lifetime.map(Duration::as_seconds_f64),
    )
    .execute(tx.conn())
    .await?;
    Ok((id, format!("stl_{}_{}", id.simple(), hex::encode(secret))))
}

/// Who calls with this token.
pub async fn verify(store: &Store, text: &str) -> Result<Result<Caller, TokenRefusal>, Error> {
    let Some((id, secret)) = read(text) else { return Ok(Err(TokenRefusal::Malformed)) };
    let mut tx = store.fleet().await?;
    let row = sqlx::query!(
        r#"select tenant_id, label, scopes, secret_hash, revoked_at is not null as "revoked!",
                  coalesce(expires_at <= clock_timestamp(), false) as "expired!"
           from authority.token where token_id = $1"#,
        id,
    )
    .fetch_optional(tx.conn())
    .await?;
    tx.commit().await?;
    let Some(row) = row else { return Ok(Err(TokenRefusal::Unknown)) };
    if !same(&row.secret_hash, &Sha256::digest(secret)) {
        return Ok(Err(TokenRefusal::Unknown));
    }
    if row.revoked {
        return Ok(Err(TokenRefusal::Revoked));
    }
    if row.expired {
        return Ok(Err(TokenRefusal::Expired));
    }
    let tenant = TenantId::from_uuid(row.tenant_id);
    Ok(Ok(Caller { tenant, scopes: row.scopes, token_id: id, label: row.label }))
}

/// Takes a token back.
pub async fn revoke(tx: &mut FleetTx, tenant: TenantId, id: Uuid) -> Result<(), Error> {
    let done = sqlx::query!(
        "update authority.token set revoked_at = coalesce(revoked_at, clock_timestamp())
         where tenant_id = $1 and token_id = $2",
        tenant.as_uuid(),
        id,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 { Err(Error::NotFound { entity: "token" }) } else { Ok(()) }
}

/// A tenant's tokens, oldest first.
pub async fn list(
    tx: &mut FleetTx,
    tenant: TenantId,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Token>, Error> {
    let rows = sqlx::query_as!(
        Token,
        "select token_id as id, label, scopes, created_at, expires_at, revoked_at
         from authority.token where tenant_id = $1 and token_id > $2 order by token_id limit $3",
        tenant.as_uuid(),
        after.unwrap_or_default(),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

fn read(text: &str) -> Option<(Uuid, [u8; 32])> {
    let (id, secret) = text.strip_prefix("stl_")?.split_once('_')?;
    let id: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
    let secret = hex::decode(secret).ok()?.try_into().ok()?;
    Some((Uuid::from_bytes(id), secret))
}

/// Compares in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
