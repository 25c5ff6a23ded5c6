//! Dead letters: work that failed five times, with the first and the last reason. People list, requeue or discard them.

use model::{ImageDigest, JobId, JobKind, Lane, RequestId, TenantId, TraceId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::jobs::{Submission, SubmitRefusal, submit_many};
use crate::row::{lane, number, parse};
use crate::{Error, Store, TenantTx};

/// Work that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: Uuid,
    /// The image that could not be read.
    pub image: ImageDigest,
    /// How urgent it was.
    pub lane: Lane,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the first attempt failed.
    pub first_reason: String,
    /// Why the last one did.
    pub last_reason: String,
    /// The jobs that ended `failed` by it.
    pub jobs: Vec<JobId>,
    /// When it was given up.
    pub at: OffsetDateTime,
}

struct Row {
    dead_letter_id: Uuid,
    image_digest: String,
    lane: i16,
    attempts: i32,
    first_reason: String,
    last_reason: String,
    job_ids: Vec<Uuid>,
    at: OffsetDateTime,
}

impl TryFrom<Row> for DeadLetter {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.dead_letter_id,
            image: parse("dead_letter", &row.image_digest)?,
            lane: lane("dead_letter", row.lane)?,
            attempts: number("dead_letter", row.attempts)?,
            first_reason: row.first_reason,
            last_reason: row.last_reason,
            jobs: row.job_ids.into_iter().map(JobId::from_uuid).collect(),
            at: row.at,
        })
    }
}

/// A tenant's dead letters, newest first, older than this one.
pub async fn list(tx: &mut TenantTx, before: Option<Uuid>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        Row,
        "select dead_letter_id, image_digest, lane, attempts, first_reason, last_reason, job_ids, at
         from orchestrator.dead_letter where tenant_id = $1 and dead_letter_id < $2
         order by dead_letter_id desc limit $3",
        tenant,
        before.unwrap_or(Uuid::max()),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(DeadLetter::try_from).collect()
}

/// One dead letter.
pub async fn get(tx: &mut TenantTx, id: Uuid) -> Result<DeadLetter, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query_as!(
        Row,
        "select dead_letter_id, image_digest, lane, attempts, first_reason, last_reason, job_ids, at
         from orchestrator.dead_letter where tenant_id = $1 and dead_letter_id = $2",
        tenant,
        id,
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "dead letter" })?.try_into()
}

/// Tries again with a new job, then discards the letter. Jobs that have ended stay ended. Its request is the letter's
/// id, so that asking twice makes one job.
pub async fn requeue(
    store: &Store,
    tenant: TenantId,
    id: Uuid,
    trace: Option<TraceId>,
) -> Result<Result<JobId, SubmitRefusal>, Error> {
    let mut tx = store.tenant(tenant).await?;
    let letter = get(&mut tx, id).await?;
    tx.commit().await?;
    let submission = Submission {
        tenant,
        request: RequestId::from_uuid(id),
        kind: JobKind::Scan,
        lane: letter.lane,
        image: letter.image,
        time_limit: None,
        trace,
    };
    match submit_many(store, vec![submission]).await?.pop() {
        Some(Ok(submitted)) => {
            let mut tx = store.tenant(tenant).await?;
            match discard(&mut tx, id).await {
                Ok(()) => tx.commit().await?,
                Err(Error::NotFound { .. }) => {} // Somebody else asked for the same.
                Err(other) => return Err(other),
            }
            Ok(Ok(submitted.job_id))
        }
        Some(Err(refusal)) => Ok(Err(refusal)),
        None => Err(Error::NotFound { entity: "dead letter" }),
    }
}

/// Forgets a dead letter.
pub async fn discard(tx: &mut TenantTx, id: Uuid) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let done = sqlx::query!(
        "delete from orchestrator.dead_letter where tenant_id = $1 and dead_letter_id = $2",
        tenant,
        id,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 { Err(Error::NotFound { entity: "dead letter" }) } else { Ok(()) }
}
