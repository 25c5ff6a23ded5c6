//! Takes an image from its jobs to its verdict, one step at a time.
//!
//! The cluster holds at most one of a tenant and image. What heavy work there is goes to the workers;
//! evaluating is done here, against the node's index of the newest snapshot.

pub mod decide;
mod succession;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use ::evaluation::{Apart, Basis, Cause, Change, Grounds, HeardDocument, Written, WrittenFinding};
use cluster::{EntityContext, EntityFactory};
use model::{Finding, ImageDigest, JobId, Severity, SnapshotId, TenantId};
use store::effects::{Applied, Effect, Evaluation};
use store::evaluations::{Before, FactId, Inputs, Last};
use store::images::Behind;
use store::{Fence, Store};
use tracing::Instrument as _;

use self::decide::{Step, decide};
use self::succession::{Difference, Succession, grounds, in_short};
use crate::effects::Committer;
use crate::entity::{Entity, Factory, Trouble};
use crate::evaluator::{Asked, Evaluated, Evaluator};
use crate::failpoint::{self, Point};
use crate::index_cache::IndexCache;
use crate::known_facts::KnownFacts;
use crate::looks::{Look, Looks};
use crate::metrics::{EVALUATION_DURATION, FINDINGS, JOBS_FINISHED, VERDICT_CHANGES, VERDICTS};
use crate::vex_hearing::{About, Testimony, names_of};
use crate::{Deps, fence_of};

struct Image {
    tenant: TenantId,
    image: ImageDigest,
    fence: Fence,
    node: i64,
    store: Store,
    committer: Committer,
    looks: Looks,
    facts: KnownFacts,
    indexes: IndexCache,
    evaluator: Evaluator,
}

pub(crate) fn factory(deps: &Deps) -> Arc<dyn EntityFactory> {
    let deps = deps.clone();
    Factory::new(move |context: EntityContext| {
        Some(Image {
            tenant: TenantId::from_uuid(context.key.tenant),
            image: context.key.id.parse().ok()?,
            fence: fence_of(context.lease),
            node: context.cluster.generation().0,
            store: deps.store.clone(),
            committer: deps.committer.clone(),
            looks: deps.looks.clone(),
            facts: deps.facts.clone(),
            indexes: deps.indexes.clone(),
            evaluator: deps.evaluator.clone(),
        })
    })
    .shared()
}

/// Names the job that has waited longest, with its trace, on all that is logged from here on.
fn name_oldest(behind: &Behind) {
    let waiting = [&behind.admitted, &behind.extracting, &behind.evaluating];
    if let Some(oldest) = waiting.into_iter().flatten().min_by_key(|open| open.job) {
        let span = tracing::Span::current();
        span.record("job.id", tracing::field::display(oldest.job));
        span.record("trace_id", oldest.trace.map(tracing::field::display));
    }
}

impl Entity for Image {
    const KIND: &'static str = "image";
    type State = ();

    async fn catch_up(&self, (): &mut ()) -> Result<(), Trouble> {
        let span = tracing::info_span!(
            "image",
            tenant.id = %self.tenant,
            image.digest = %self.image,
            job.id = tracing::field::Empty,
            trace_id = tracing::field::Empty,
            node.generation = self.node
        );
        self.walk().instrument(span).await
    }
}

impl Image {
    /// Takes steps until none is left that is ours to take. Whatever comes after the last look rings.
    async fn walk(&self) -> Result<(), Trouble> {
        loop {
            let Look { behind, inputs } = self.looks.at(self.tenant, self.image.clone()).await?;
            name_oldest(&behind);
            let step = decide(&behind, inventory::EXTRACTOR);
            let goes_on = step.goes_on(&behind);
            let done = match step {
                Step::Rest => true,
                Step::SkipExtraction(jobs) => self.skip_extraction(jobs).await.map(|()| true)?,
                Step::Evaluate(jobs) => {
                    let inputs = match inputs {
                        Some(inputs) => inputs,
                        None => self.inputs().await?,
                    };
                    self.evaluate(inputs, jobs).await?
                }
                Step::Dispatch(jobs) => self.dispatch(jobs).await.map(|()| true)?,
            };
            if !done || !goes_on {
                return Ok(());
            }
        }
    }

    /// What an evaluation reads, where the SBOM is too large to come along with a look.
    async fn inputs(&self) -> Result<Inputs, store::Error> {
        let mut tx = self.store.tenant(self.tenant).await?;
        let inputs = store::evaluations::inputs(&mut tx, &self.image).await?;
        tx.commit().await?;
        Ok(inputs)
    }

    async fn dispatch(&self, jobs: Vec<JobId>) -> Result<(), Trouble> {
        failpoint::hit(Point::ImageBeforeDispatch).await;
        let (tenant, image, fence) = (self.tenant, self.image.clone(), self.fence);
        self.committer.commit(Effect::Dispatch { tenant, image, fence, jobs }).await?;
        Ok(())
    }

    async fn skip_extraction(&self, jobs: Vec<JobId>) -> Result<(), Trouble> {
        let (tenant, image, fence) = (self.tenant, self.image.clone(), self.fence);
        let applied = self.committer.commit(Effect::SkipExtraction { tenant, image, fence, jobs }).await?;
        if applied.moved == 0 { Err(Trouble::LookAgain) } else { Ok(()) }
    }

    /// False when the stored SBOM can never be evaluated.
    async fn evaluate(&self, inputs: Inputs, jobs: Vec<JobId>) -> Result<bool, Trouble> {
        let started = Instant::now();
        let newest = self.indexes.from(inputs.latest).await?;
        let (tenant, image) = (self.tenant, self.image.clone());
        let asked = Asked { tenant, image, revision: inputs.revision, sbom: inputs.sbom };
        let evaluated = self.evaluator.evaluate(asked, newest.clone(), !jobs.is_empty()).await?;
        let Evaluated { matched: found, testimony } = match evaluated {
            Ok(evaluated) => evaluated,
            Err(error) => {
                return self.give_up(inputs.revision, jobs, error.to_string()).await.map(|()| false);
            }
        };
        let basis = Basis {
            sbom: inputs.sbom_digest,
            snapshot: newest.id,
            coverage: found.coverage,
            gaps: Some(found.gaps.clone()),
            findings: found.findings.digest().clone(),
        };
        let Succession { before, cause, changes } =
            self.follow(inputs.last, &basis, &found.findings, testimony.as_ref()).await?;
        failpoint::hit(Point::ImageBeforeSave).await;
        let severities: Vec<_> = found.findings.findings().map(|finding| finding.severity).collect();
        let words: Vec<_> = cause.kinds.iter().map(|kind| kind.as_str()).collect();
        let evaluation = Evaluation {
            tenant: self.tenant,
            image: self.image.clone(),
            fence: self.fence,
            revision: inputs.revision,
            snapshot: newest.id,
            coverage: found.coverage,
            gaps: found.gaps,
            findings: found.findings,
            before,
            cause,
            changes: changes.clone(),
            jobs,
        };
        let applied = self.committer.commit(Effect::SaveEvaluation(Box::new(evaluation))).await?;
        count(&applied, &severities, &changes);
        metrics::histogram!(EVALUATION_DURATION).record(started.elapsed());
        let version = applied.verdict.filter(|verdict| verdict.changed).map(|verdict| verdict.version);
        match version {
            Some(version) => tracing::info!(
                jobs.done = applied.moved,
                snapshot = newest.id.0,
                verdict.version = version,
                verdict.cause = words.join(" "),
                verdict.changes = in_short(&changes),
                "evaluated"
            ),
            None => tracing::info!(jobs.done = applied.moved, snapshot = newest.id.0, "evaluated"),
        }
        Ok(true)
    }

    /// What the verdict of these findings says of the last one.
    async fn follow(
        &self,
        last: Option<Last>,
        now: &Basis,
        found: &Written,
        testimony: Option<&Testimony>,
    ) -> Result<Succession, Trouble> {
        let Some(last) = last else {
            return Ok(Succession {
                before: Before::default(),
                cause: Cause::of(None, now, Grounds::default()),
                changes: vec![],
            });
        };
        let is_same = last.basis.findings == now.findings;
        let facts = match last.facts {
            Some(facts) if !is_same => facts,
            kept => {
                let findings_digest = kept.is_some().then(|| last.basis.findings.clone());
                let grounds = Grounds { apart: Apart { words: false, rest: !is_same }, ..Grounds::default() };
                return Ok(Succession {
                    before: Before { version: last.version, findings_digest, findings: vec![] },
                    cause: Cause::of(Some(&last.basis), now, grounds),
                    changes: vec![],
                });
            }
        };
        let findings_digest = Some(last.basis.findings.clone());
        let findings = self.before(&facts, found).await?;
        let before = Before { version: last.version, findings_digest, findings };
        let difference = Difference::of(&before, found);
        let (old, new) = (last.basis.snapshot, now.snapshot);
        let revised = self.facts.revised(self.tenant, &difference.advisories(), old, new).await?;
        let changes = difference.changes(store::revised::gone(&revised));
        let grounds = Grounds {
            apart: difference.apart(),
            advisories: revised.iter().map(|revised| revised.advisory.clone()).collect(),
            documents: self.documents(&difference, old, testimony).await?,
        };
        Ok(Succession { before, cause: Cause::of(Some(&last.basis), now, grounds), changes })
    }

    /// What the last verdict found: those that are no more by what they say, the others by their digests.
    async fn before(
        &self,
        facts: &[FactId],
        now: &Written,
    ) -> Result<Vec<store::evaluations::Found>, Trouble> {
        let digests = self.facts.digests(self.tenant, facts).await?;
        let found: HashSet<&[u8; 32]> = now.iter().map(WrittenFinding::digest).collect();
        let gone = facts.iter().zip(&digests).filter(|(_, digest)| !found.contains(digest));
        let gone: Vec<FactId> = gone.map(|(id, _)| *id).collect();
        let mut read = HashMap::new();
        if !gone.is_empty() {
            let mut tx = self.store.tenant(self.tenant).await?;
            read = store::evaluations::facts(&mut tx, &gone).await?;
            tx.commit().await?;
        }
        let found = facts.iter().zip(digests);
        Ok(found.map(|(id, digest)| store::evaluations::Found { digest, finding: read.remove(id) }).collect())
    }

    /// The documents that words rest on which are others than before: those of before, and those of now.
    async fn documents(
        &self,
        difference: &Difference,
        old: SnapshotId,
        now: Option<&Testimony>,
    ) -> Result<Vec<HeardDocument>, Trouble> {
        let [before, after] = difference.told_otherwise();
        let mut documents = now.map(|now| grounds(&after, now)).unwrap_or_default();
        let spoken_of: Vec<&Finding> = before.into_iter().filter(|finding| finding.vex.is_some()).collect();
        if !spoken_of.is_empty() {
            // What the image was called has no part in which documents there were.
            let (tenant, image) = (self.tenant, self.image.clone());
            let about = About { tenant, image, revision: 0, snapshot: old };
            let names = names_of(spoken_of.iter().copied());
            documents.extend(grounds(&spoken_of, &self.evaluator.vex().about(&about, &names).await?));
        }
        Ok(documents)
    }

    /// The stored SBOM cannot be evaluated: waiting does not help those who wait for it.
    async fn give_up(&self, revision: i64, jobs: Vec<JobId>, reason: String) -> Result<(), Trouble> {
        tracing::error!(reason, "a stored sbom cannot be evaluated");
        store::runs::give_up(&self.store, self.tenant, &self.image, self.fence, revision, &reason).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        let (tenant, fence) = (self.tenant, self.fence);
        let applied = self.committer.commit(Effect::FailJobs { tenant, fence, jobs, reason }).await?;
        metrics::counter!(JOBS_FINISHED, "result" => "failed").increment(u64::from(applied.moved));
        Ok(())
    }
}

fn count(applied: &Applied, severities: &[Severity], changes: &[Change]) {
    metrics::counter!(JOBS_FINISHED, "result" => "done").increment(u64::from(applied.moved));
    let changed = applied.verdict.is_some_and(|verdict| verdict.changed);
    metrics::counter!(VERDICTS, "result" => if changed { "changed" } else { "unchanged" }).increment(1);
    for change in changes.iter().filter(|_| changed) {
        metrics::counter!(VERDICT_CHANGES, "kind" => change.kind.as_str()).increment(1);
    }
    for severity in severities.iter().filter(|_| changed) {
        metrics::counter!(FINDINGS, "severity" => severity.as_str()).increment(1);
    }
}
