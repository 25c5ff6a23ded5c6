//! What entities do, durably: each effect checks the epoch of its partition under a lock and moves jobs by
//! compare-and-set. A batch is one statement and one commit, and one refused effect does not disturb the others.

use evaluation::{Cause, Change, Written};
use model::{Coverage, Gap, ImageDigest, JobId, Severity, SnapshotId, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::evaluations::Before;
use crate::facts::{is_suppressed, placed};
use crate::row::number;
use crate::verdicts::cause_row;
use crate::{Error, Fence, Store, TenantTx, gaps};

/// One durable change by an entity.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The tenant's entity lets jobs in. Leaves a bell for each of their images.
    Admit {
        /// Whose jobs.
        tenant: TenantId,
        /// Of the tenant's entity.
        fence: Fence,
        /// Which.
        jobs: Vec<JobId>,
    },
    /// The image's entity asks for its layers to be read, once for all the jobs: they become `extracting`.
    Dispatch {
        /// Whose image.
        tenant: TenantId,
        /// Which image.
        image: ImageDigest,
        /// Of the image's entity.
        fence: Fence,
        /// The jobs that wait for it.
        jobs: Vec<JobId>,
    },
    /// The image has a current SBOM: the jobs become `evaluating` at once. `Stale` when it has none.
    SkipExtraction {
        /// Whose image.
        tenant: TenantId,
        /// Which image.
        image: ImageDigest,
        /// Of the image's entity.
        fence: Fence,
        /// The jobs that wait for it.
        jobs: Vec<JobId>,
    },
    /// The image's entity has evaluated it.
    SaveEvaluation(Box<Evaluation>),
    /// The jobs cannot go on; they end `failed`.
    FailJobs {
        /// Whose jobs.
        tenant: TenantId,
        /// Of the entity that says so.
        fence: Fence,
        /// Which.
        jobs: Vec<JobId>,
        /// Why, for people.
        reason: String,
    },
}

/// What an evaluation found. `Stale` when the image's revision or its last verdict has moved on, or a newer snapshot was
/// read. A verdict is written only where coverage, its gaps or findings differ from the last one; the jobs end `done`
/// either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Whose image.
    pub tenant: TenantId,
    /// Which image.
    pub image: ImageDigest,
    /// Of the image's entity.
    pub fence: Fence,
    /// The revision that was read.
    pub revision: i64,
    /// The snapshot it was evaluated against.
    pub snapshot: SnapshotId,
    /// How far it can be trusted.
    pub coverage: Coverage,
    /// Why no further, as [`evaluation::coverage::told`] tells it.
    pub gaps: Vec<Gap>,
    /// What was found.
    pub findings: Written,
    /// The verdict that it follows.
    pub before: Before,
    /// Why there is another verdict, if there is.
    pub cause: Cause,
    /// What differs: by places in `before.findings` and in `findings`.
    pub changes: Vec<Change>,
    /// The jobs that waited for it; only those that are `evaluating` end.
    pub jobs: Vec<JobId>,
}

/// What an effect has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// How many jobs moved; 0 when this had been done before.
    pub moved: u32,
    /// The image's last verdict, after [`Effect::SaveEvaluation`].
    pub verdict: Option<SavedVerdict>,
}

/// The verdict an evaluation ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedVerdict {
    /// Its version.
    pub version: u32,
    /// Whether it is new: false when nothing differed from the last one, and then no row was written for it.
    pub changed: bool,
}

/// Does them all in one commit, and answers for each in the order given. `Err` on the outside means that nothing was
/// done, or that it is unknown whether it was: doing the same again is safe.
pub async fn apply(store: &Store, effects: Vec<Effect>) -> Result<Vec<Result<Applied, Error>>, Error> {
    let mut order: Vec<usize> = (0..effects.len()).collect();
    // Rows of tenants are locked in one order by everybody, so that no two batches wait for each other: the tenant's
    // load first, which only steps of jobs lock, and then images.
    order.sort_by(|&a, &b| effects[a].lock_order().cmp(&effects[b].lock_order()));
    let sorted: Vec<Call> = order.iter().map(|&i| Call::from(&effects[i])).collect();
    let answers = match call(store, &sorted).await {
        Err(Error::Conflict { .. }) if sorted.len() > 1 => one_by_one(store, &sorted).await?,
        answers => answers?,
    };
    let mut placed: Vec<_> = order.into_iter().zip(answers).collect();
    placed.sort_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, answer)| answer).collect())
}

/// One effect holds a value that the schema refuses, and took the batch with it: find out which.
async fn one_by_one(store: &Store, calls: &[Call]) -> Result<Vec<Result<Applied, Error>>, Error> {
    let mut answers = Vec::with_capacity(calls.len());
    for single in calls {
        match call(store, std::slice::from_ref(single)).await {
            Ok(mut answer) => answers.append(&mut answer),
            Err(refused @ Error::Conflict { .. }) => answers.push(Err(refused)),
            Err(other) => return Err(other),
        }
    }
    Ok(answers)
}

/// A row of the statement.
#[derive(Clone)]
struct Call {
    kind: &'static str,
    tenant: Uuid,
    fence: Fence,
    image: Option<String>,
    jobs: String,
    reason: Option<String>,
    body: Option<Value>,
}

impl Effect {
    /// Whether a job waits for it.
    pub const fn is_attended(&self) -> bool {
        !matches!(self, Self::SaveEvaluation(evaluation) if evaluation.jobs.is_empty())
    }

    fn lock_order(&self) -> (TenantId, bool, Option<&ImageDigest>) {
        match self {
            Self::Admit { tenant, .. } | Self::FailJobs { tenant, .. } => (*tenant, false, None),
            Self::Dispatch { tenant, image, .. } | Self::SkipExtraction { tenant, image, .. } => {
                (*tenant, false, Some(image))
            }
            Self::SaveEvaluation(e) => (e.tenant, !self.is_attended(), Some(&e.image)),
        }
    }

    const fn entity(kind: &str) -> &'static str {
        if matches!(kind.as_bytes(), b"admit") { "tenant" } else { "image" }
    }
}

impl From<&Effect> for Call {
    fn from(effect: &Effect) -> Self {
        let row =
            |kind, tenant: &TenantId, fence: &Fence, image: Option<&ImageDigest>, jobs: &[JobId]| Self {
                kind,
                tenant: tenant.as_uuid(),
                fence: *fence,
                image: image.map(|i| i.as_str().to_owned()),
                jobs: jobs.iter().map(JobId::to_string).collect::<Vec<_>>().join(","),
                reason: None,
                body: None,
            };
        match effect {
            Effect::Admit { tenant, fence, jobs } => row("admit", tenant, fence, None, jobs),
            Effect::Dispatch { tenant, image, fence, jobs } => {
                row("dispatch", tenant, fence, Some(image), jobs)
            }
            Effect::SkipExtraction { tenant, image, fence, jobs } => {
                row("skip_extraction", tenant, fence, Some(image), jobs)
            }
            Effect::SaveEvaluation(e) => Self {
                body: Some(body(e)),
                ..row("save_evaluation", &e.tenant, &e.fence, Some(&e.image), &e.jobs)
            },
            Effect::FailJobs { tenant, fence, jobs, reason } => {
                Self { reason: Some(reason.clone()), ..row("fail_jobs", tenant, fence, None, jobs) }
            }
        }
    }
}

async fn call(store: &Store, calls: &[Call]) -> Result<Vec<Result<Applied, Error>>, Error> {
    let kinds: Vec<String> = calls.iter().map(|c| c.kind.to_owned()).collect();
    let tenants: Vec<Uuid> = calls.iter().map(|c| c.tenant).collect();
    let partitions: Vec<i32> = calls.iter().map(|c| i32::from(c.fence.partition)).collect();
    let epochs: Vec<i64> = calls.iter().map(|c| c.fence.epoch).collect();
    let images: Vec<Option<String>> = calls.iter().map(|c| c.image.clone()).collect();
    let jobs: Vec<String> = calls.iter().map(|c| c.jobs.clone()).collect();
    let works: Vec<Uuid> = calls.iter().map(|_| Uuid::now_v7()).collect();
    let reasons: Vec<Option<String>> = calls.iter().map(|c| c.reason.clone()).collect();
    let bodies: Vec<Option<Value>> = calls.iter().map(|c| c.body.clone()).collect();
    let mut tx = TenantTx::open_unnamed(store).await?;
    let rows = sqlx::query!(
        r#"select r.code as "code!", r.moved, r.version, r.changed
           from unnest($1::text[], $2::uuid[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::text[],
                       $9::jsonb[]) with ordinality
                as e(kind, tenant, partition, epoch, image, jobs, work, reason, body, place),
                lateral orchestrator.apply(e.kind, e.tenant, e.partition, e.epoch, e.image, e.jobs, e.work, e.reason,
                                           e.body) r
           order by e.place"#,
        &kinds,
        &tenants,
        &partitions,
        &epochs,
        &images as &[Option<String>],
        &jobs,
        &works,
        &reasons as &[Option<String>],
        &bodies as &[Option<Value>],
    )
    .fetch_all(tx.conn())
    .await?;
    if rows.iter().any(|r| r.code == "applied") {
        tx.rang();
    }
    tx.commit().await?;
    rows.into_iter()
        .zip(calls)
        .map(|(row, call)| {
            let entity = Effect::entity(call.kind);
            Ok(match row.code.as_str() {
                "fenced" => Err(Error::Fenced { entity }),
                "stale" => Err(Error::Stale { entity }),
                _ => Ok(Applied {
                    moved: number("job", row.moved.unwrap_or(0))?,
                    verdict: verdict(row.version, row.changed)?,
                }),
            })
        })
        .collect()
}

fn verdict(version: Option<i32>, changed: Option<bool>) -> Result<Option<SavedVerdict>, Error> {
    let (Some(version), Some(changed)) = (version, changed) else { return Ok(None) };
    Ok(Some(SavedVerdict { version: number("verdict", version)?, changed }))
}

fn body(e: &Evaluation) -> Value {
    let shown = || e.findings.findings().filter(|finding| !is_suppressed(finding));
    let count = |severity: Severity| shown().filter(|f| f.severity == severity).count();
    // Where the verdict before has the same findings, it lends its own.
    let is_same = e.before.findings_digest.as_ref() == Some(e.findings.digest());
    let (kept, new) = if is_same { Default::default() } else { placed(&e.findings, &e.before) };
    // As PostgreSQL writes a list of numbers: read at once, where a list of JSON is taken apart.
    let kept = format!("{{{}}}", kept.iter().map(i32::to_string).collect::<Vec<_>>().join(","));
    let change = |change: &Change| json!([change.kind.as_str(), change.before, change.after]);
    json!({
        "revision": e.revision,
        "snapshot": e.snapshot.0,
        "coverage": e.coverage.as_str(),
        "gaps": gaps::rows(&e.gaps),
        "findings_digest": e.findings.digest().as_str(),
        "counts": Severity::ALL.map(count),
        "suppressed": e.findings.findings().len() - shown().count(),
        "before": e.before.version,
        "kept": kept,
        "facts": new,
        "cause": cause_row(&e.cause),
        "changes": e.changes.iter().map(change).collect::<Vec<_>>(),
    })
}
