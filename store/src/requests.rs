//! Answers that were given: the same request with the same body gets the same answer again (AIP-155).

use model::RequestId;

use crate::{Error, FleetTx, TenantTx};

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// Nothing: do it, and [`remember`] the answer in the same transaction.
    New,
    /// It was done; this is the answer.
    Answered(Vec<u8>),
    /// Its id was used for another body.
    Reused,
}

/// Looks a request up by its method, id and the hash of its body.
pub async fn recall(
    tx: &mut TenantTx,
    method: &str,
    request: RequestId,
    hash: &[u8],
) -> Result<Recall, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        "select request_hash, response from authority.request
         where tenant_id = $1 and method = $2 and request_id = $3",
        tenant,
        method,
        request.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(match row {
        None => Recall::New,
        Some(row) if row.request_hash == hash => Recall::Answered(row.response),
        Some(_) => Recall::Reused,
    })
}

/// Keeps the answer. `Stale` when the same request was answered meanwhile: drop this transaction and recall.
pub async fn remember(
    tx: &mut TenantTx,
    method: &str,
    request: RequestId,
    hash: &[u8],
    response: &[u8],
) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let done = sqlx::query!(
        "insert into authority.request (tenant_id, method, request_id, request_hash, response)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
        tenant,
        method,
        request.as_uuid(),
        hash,
        response,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 { Err(Error::Stale { entity: "request" }) } else { Ok(()) }
}

/// Forgets answers older than 24 hours; says how many.
pub async fn forget_old(tx: &mut FleetTx) -> Result<u64, Error> {
    let done =
        sqlx::query!("delete from authority.request where at < clock_timestamp() - interval '24 hours'")
            .execute(tx.conn())
            .await?;
    Ok(done.rows_affected())
}
