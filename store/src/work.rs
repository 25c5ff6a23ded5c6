//! Heavy work: claimed by a worker under an attempt's number, which every later word of that worker names.

use std::time::Duration;

use evaluation::impact::Indexed;
use model::{Digest, ImageDigest, JobId, Lane, TenantId, TraceId};
use uuid::Uuid;

use crate::images::{self, Layer};
use crate::impact;
use crate::row::{lane, number, parse, text};
use crate::{Error, Store, TenantTx};

/// A claim on work: its holder's proof in all that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Whose image.
    pub tenant: TenantId,
    /// Which work.
    pub work: Uuid,
    /// The fence: a later attempt refuses this one.
    pub attempt: u32,
    /// The node that holds it.
    pub holder_gen: i64,
}

/// What came of asking for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Claimed(Box<Claimed>),
    /// There is nothing left to do: acknowledge the message.
    AlreadyDone,
    /// A node that lives has it: leave the message to it.
    HeldByLiveNode,
    /// It waits out a failure; a bell comes when it is due. Acknowledge the message.
    NotYet,
}

/// Work that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The proof.
    pub hold: Hold,
    /// The image to read.
    pub image: ImageDigest,
    /// Its configuration's blob.
    pub config: Digest,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// How urgent.
    pub lane: Lane,
    /// The oldest job that waits for it, with its trace, to be found by in logs; none when all were just cancelled.
    pub asked_by: Option<(JobId, Option<TraceId>)>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is still wanted, and still ours.
    Continue,
    /// Stop now, and say nothing more about it.
    Stop(StopReason),
}

/// Why an attempt is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Nobody waits for it any more.
    Cancelled,
    /// Another attempt goes on with it.
    TakenOver,
}

/// What an extraction has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Digest of the document.
    pub digest: Digest,
    /// The SBOM in canonical form.
    pub document: Vec<u8>,
    /// How many components it lists.
    pub components: u32,
    /// The extractor's version.
    pub extractor: String,
    /// What the BOM-index keeps of it.
    pub indexed: Vec<Indexed>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Trying again cannot help: the jobs end `failed`.
    Permanent {
        /// A short word for programs.
        code: String,
        /// For people; names the layer and entry.
        reason: String,
    },
    /// It may work later.
    Passing {
        /// For people.
        reason: String,
    },
}

/// What came of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Its jobs have ended.
    ForGood,
    /// A bell comes after the back-off.
    Again,
    /// It was the last attempt: a dead letter keeps the reasons, its jobs have ended.
    Buried,
}

/// Asks for work. `silent`: what is held counts as given up when its holder has not asked for so long, as
/// after the lease of the message's former reader ran out; `None` for as long as a hold lasts by itself.
pub async fn claim(
    store: &Store,
    work: Uuid,
    tenant: TenantId,
    holder_gen: i64,
    silent: Option<Duration>,
) -> Result<Claim, Error> {
    let mut tx = store.tenant(tenant).await?;
    let row = sqlx::query!(
        r#"select code as "code!", attempt, image, lane
           from orchestrator.take_work($1, $2, $3, $4, $5)"#,
        tenant.as_uuid(),
        work,
        holder_gen,
        silent.map(|silent| silent.as_secs_f64()),
        Uuid::now_v7(),
    )
    .fetch_one(tx.conn())
    .await?;
    let claim = match row.code.as_str() {
        "claimed" => {
            let hold =
                Hold { tenant, work, attempt: number("work", row.attempt.unwrap_or_default())?, holder_gen };
            let image: ImageDigest = parse("work", row.image.as_deref().unwrap_or_default())?;
            claimed(&mut tx, hold, image, lane("work", row.lane.unwrap_or_default())?).await?
        }
        "held" => Claim::HeldByLiveNode,
        "not_yet" => Claim::NotYet,
        _ => {
            tx.rang(); // It may have been buried just now.
            Claim::AlreadyDone
        }
    };
    tx.commit().await?;
    Ok(claim)
}

async fn claimed(tx: &mut TenantTx, hold: Hold, image: ImageDigest, lane: Lane) -> Result<Claim, Error> {
    let config = sqlx::query_scalar!(
        "select config_digest from scanner.image where tenant_id = $1 and digest = $2",
        hold.tenant.as_uuid(),
        image.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    let layers = images::layers(tx, &image).await?;
    let oldest = sqlx::query!(
        "select job_id, trace_id from orchestrator.job
         where tenant_id = $1 and image_digest = $2 and state = 'extracting' and ended_at is null
           and admitted_at is not null
         order by job_id limit 1",
        hold.tenant.as_uuid(),
        image.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let asked_by =
        oldest.map(|row| (JobId::from_uuid(row.job_id), row.trace_id.and_then(TraceId::from_uuid)));
    let config = parse("image", &config)?;
    Ok(Claim::Claimed(Box::new(Claimed { hold, image, config, layers, lane, asked_by })))
}

/// Asks whether to go on, and keeps the hold. Call it at least once a second while working: a hold that is not kept
/// for long counts as given up, as its holder may never have heard of it.
pub async fn keep(store: &Store, hold: &Hold) -> Result<Keep, Error> {
    let mut tx = store.tenant(hold.tenant).await?;
    let code = sqlx::query_scalar!(
        r#"select orchestrator.keep_work($1, $2, $3, $4) as "code!""#,
        hold.tenant.as_uuid(),
        hold.work,
        hold.holder_gen,
        attempt(hold),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(match code.as_str() {
        "go_on" => Keep::Continue,
        "taken_over" => Keep::Stop(StopReason::TakenOver),
        _ => Keep::Stop(StopReason::Cancelled),
    })
}

/// Saves the SBOM, raises the image's revision, moves its jobs to `evaluating` and leaves a bell for the image.
/// `Stale` when another attempt has taken over or nobody waits any more.
///
/// What the image has is in the BOM-index as soon as its SBOM is here: a change of the advisories that comes later
/// finds it, and one that came before is seen by the evaluation that this asks for.
pub async fn complete(store: &Store, hold: &Hold, sbom: &Extracted) -> Result<(), Error> {
    let mut tx = store.tenant(hold.tenant).await?;
    let row = sqlx::query!(
        r#"select (select image_digest from orchestrator.work where tenant_id = $1 and work_id = $2) as image,
                  orchestrator.complete_work($1, $2, $3, $4, $5, $6, $7, $8) as "code!""#,
        hold.tenant.as_uuid(),
        hold.work,
        hold.holder_gen,
        attempt(hold),
        sbom.digest.as_str(),
        sbom.document,
        i32::try_from(sbom.components).unwrap_or(i32::MAX),
        sbom.extractor,
    )
    .fetch_one(tx.conn())
    .await?;
    if row.code == "stale" {
        return Err(Error::Stale { entity: "work" });
    }
    let image: ImageDigest = parse("work", row.image.as_deref().unwrap_or_default())?;
    impact::index(&mut tx, &image, &sbom.indexed).await?;
    tx.rang();
    tx.commit().await
}

/// Says that an attempt failed. `Stale` when it no longer matters.
pub async fn fail(store: &Store, hold: &Hold, failure: &Failure) -> Result<Failed, Error> {
    let (permanent, reason) = match failure {
        Failure::Permanent { code, reason } => (true, format!("{code}: {reason}")),
        Failure::Passing { reason } => (false, reason.clone()),
    };
    let mut tx = store.tenant(hold.tenant).await?;
    let code = sqlx::query_scalar!(
        r#"select orchestrator.fail_work($1, $2, $3, $4, $5, $6, $7) as "code!""#,
        hold.tenant.as_uuid(),
        hold.work,
        hold.holder_gen,
        attempt(hold),
        permanent,
        text(&reason),
        Uuid::now_v7(),
    )
    .fetch_one(tx.conn())
    .await?;
    let failed = match code.as_str() {
        "failed" => Failed::ForGood,
        "again" => Failed::Again,
        "buried" => Failed::Buried,
        _ => return Err(Error::Stale { entity: "work" }),
    };
    tx.rang();
    tx.commit().await?;
    Ok(failed)
}

fn attempt(hold: &Hold) -> i32 {
    i32::try_from(hold.attempt).unwrap_or(i32::MAX)
}
