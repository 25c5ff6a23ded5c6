//! Turns changes of the feeds into new evaluations of the images they touch, and of no others.
//!
//! One in the cluster: the entity `system/…/scheduler`, alive at all times. It reads what there is to decide on,
//! takes one step ([`decide`]) in one fenced transaction, and looks again; so it may be killed at any line, and
//! whoever comes after it goes on there. It evaluates nothing itself: a run raises the revision of its images and
//! leaves their bells, in the lane of the system's own rounds, and follows how far their verdicts are.

pub mod budget;
mod clock;
pub mod cron;
pub mod decide;
mod planner;

use std::collections::HashSet;
use std::time::Instant;

use advisory::Limits;
use cluster::{EntityContext, EntityKey, EntityMessage};
use model::{RunId, RunKind, RunState, TenantId};
use ractor::ActorRef;
use store::runs::effects::{self, Situation};
use store::runs::{NewRun, Run};
use store::{Fence, Store};
use time::OffsetDateTime;

use self::budget::Budget;
use self::cron::Cron;
pub use self::decide::{Hold, Policy, Step, decide};
use crate::entity::{Entity, Trouble};
use crate::failpoint::{self, Point};
use crate::index_cache::IndexCache;
use crate::metrics::{PLANNER_DURATION, RUN_IMAGES, RUNS, RUNS_HELD};
use crate::sampler::Sampler;
use crate::{Deps, fence_of};

/// Steps between two looks at whether it is still wanted.
const STEPS_MAX: u32 = 200;
/// Images held against a full match after each run over changes of feeds.
const SAMPLED: u32 = 50;
/// Between two times that images of old runs are forgotten.
const HOUSEKEEPING: std::time::Duration = std::time::Duration::from_secs(600);

pub(crate) struct Scheduler {
    fence: Fence,
    store: Store,
    policy: Policy,
    limits: Limits,
    indexes: IndexCache,
    sampler: Sampler,
}

/// The scheduler's key.
pub fn key() -> EntityKey {
    EntityKey::new(Scheduler::KIND, TenantId::SYSTEM.as_uuid(), store::runs::SCHEDULER)
}

/// The scheduler of this context; `None` when the key means another.
pub(crate) fn make(deps: &Deps, context: EntityContext) -> Option<Scheduler> {
    (*context.key.id == *store::runs::SCHEDULER).then(|| Scheduler {
        fence: fence_of(context.lease),
        store: deps.store.clone(),
        policy: deps.config.scheduler.clone(),
        limits: deps.config.feeds.records.clone(),
        indexes: deps.indexes.clone(),
        sampler: Sampler::of_node(deps),
    })
}

/// What it has learned.
#[derive(Default)]
pub(crate) struct State {
    budget: Option<Budget>,
    kept_house: Option<Instant>,
}

impl Entity for Scheduler {
    const KIND: &'static str = "system";
    type State = State;

    fn started(&self, myself: &ActorRef<EntityMessage>) {
        clock::start(self.policy.tick, myself.clone());
    }

    async fn catch_up(&self, state: &mut State) -> Result<(), Trouble> {
        let mut settled = HashSet::new();
        for _ in 0..STEPS_MAX {
            let at = self.read().await?;
            let budget = state.budget.get_or_insert_with(|| Budget::new(self.policy.rate_per_s, at.now));
            let step = decide(&at, &self.policy, &settled, budget);
            if step == Step::Rest {
                return self.rest(&at, state).await;
            }
            if !self.take(step, &at, &mut settled, budget).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Scheduler {
    async fn read(&self) -> Result<Situation, store::Error> {
        let mut tx = self.store.fleet().await?;
        let at = effects::situation(&mut tx).await?;
        tx.commit().await?;
        Ok(at)
    }

    async fn rest(&self, at: &Situation, state: &mut State) -> Result<(), Trouble> {
        let held = at.open.iter().filter(|run| run.state == RunState::Held).count();
        metrics::gauge!(RUNS_HELD).set(held as f64);
        if let Some(budget) = &mut state.budget {
            budget.keep(|run| at.open.iter().any(|open| open.id == run));
        }
        if state.kept_house.is_none_or(|kept| kept.elapsed() >= HOUSEKEEPING) {
            effects::forget_images(&self.store, self.fence, self.policy.keep).await?;
            state.kept_house = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes a step. False when it did not get on, so that it is better to come again at the next tick.
    async fn take(
        &self,
        step: Step,
        at: &Situation,
        settled: &mut HashSet<RunId>,
        budget: &mut Budget,
    ) -> Result<bool, Trouble> {
        match step {
            Step::Rest => return Ok(false),
            Step::TakeChanges { after, until } => {
                let run = effects::take_changes(&self.store, self.fence, after, until).await?;
                tracing::info!(run.id = %run, after = after.0, until = until.0, "feeds have changed");
            }
            Step::Come(schedule) => self.come(&schedule, at.now).await?,
            Step::Plan(run) => self.plan(open(at, run)?).await?,
            Step::Hold(run, reason) => self.hold(run, &reason).await?,
            Step::Begin(run) => self.move_to(run, RunState::Running, None).await?,
            Step::Dispatch(run, limit) => return self.dispatch(open(at, run)?, limit, at.now, budget).await,
            Step::Settle(run) => {
                effects::settle(&self.store, self.fence, run, self.policy.patience).await?;
                settled.insert(run);
            }
            Step::Finish(run) => self.finish(open(at, run)?).await?,
            Step::Cancel(run) => {
                self.move_to(run, RunState::Cancelled, Some("cancelled on request")).await?;
                ended(open(at, run)?, RunState::Cancelled, "cancelled");
            }
        }
        Ok(true)
    }

    async fn move_to(&self, run: RunId, state: RunState, reason: Option<&str>) -> Result<(), Trouble> {
        Ok(effects::move_to(&self.store, self.fence, run, state, reason).await?)
    }

    async fn come(&self, schedule: &str, now: OffsetDateTime) -> Result<(), Trouble> {
        let mut tx = self.store.fleet().await?;
        let schedule = match store::schedules::get(&mut tx, schedule).await {
            Err(store::Error::NotFound { .. }) => return Ok(()), // Removed just now.
            found => found?,
        };
        tx.commit().await?;
        // What is stored was read before: a text that a newer build refuses comes no more.
        let next = schedule.cron.parse::<Cron>().ok().and_then(|cron| cron.after(now));
        let run = NewRun {
            key: schedule.next.map(|at| format!("schedule/{}/{}", schedule.id, at.unix_timestamp())),
            kind: RunKind::Sweep,
            cause: format!("schedule {}", schedule.id),
            selector: schedule.selector.clone(),
            rate_per_s: schedule.rate_per_s,
            schedule: Some(schedule.id.clone()),
        };
        let run = store::schedules::come(&self.store, self.fence, &schedule, &run, next).await?;
        tracing::info!(run.id = %run, schedule = schedule.id, "a schedule's time has come");
        Ok(())
    }

    async fn plan(&self, run: &Run) -> Result<(), Trouble> {
        let started = Instant::now();
        let planner = planner::Planner {
            store: &self.store,
            fence: self.fence,
            limits: &self.limits,
            indexes: &self.indexes,
            run,
        };
        let found = match planner.plan().await {
            // Somebody ended it meanwhile: the next look sees that.
            Err(Trouble::LookAgain) => return Ok(()),
            found => found?,
        };
        let outcome = if found.images == 0 { "no_work" } else { "planned" };
        metrics::histogram!(PLANNER_DURATION, "outcome" => outcome).record(started.elapsed());
        tracing::info!(
            run.id = %run.id,
            kind = %run.kind,
            records = found.planned.delta_records,
            withdrawn = found.planned.withdrawn,
            package_versions = found.planned.package_versions,
            images = found.images,
            duration_ms = started.elapsed().as_millis(),
            "run planned"
        );
        Ok(())
    }

    async fn hold(&self, run: RunId, reason: &str) -> Result<(), Trouble> {
        self.move_to(run, RunState::Held, Some(reason)).await?;
        metrics::counter!(RUNS, "outcome" => "held").increment(1);
        tracing::warn!(run.id = %run, reason, "run waits for a person's word: starling runs release or cancel");
        Ok(())
    }

    async fn dispatch(
        &self,
        run: &Run,
        limit: u32,
        now: OffsetDateTime,
        budget: &mut Budget,
    ) -> Result<bool, Trouble> {
        let done = effects::dispatch(&self.store, self.fence, run.id, limit).await?;
        budget.spend(run.id, run.rate_per_s, done, now);
        failpoint::hit(Point::SchedulerMidDispatch).await;
        Ok(done > 0)
    }

    /// Holds some verdicts against a full match, beside everything else: the next run does not wait for it.
    fn sample(&self, run: &Run) {
        let Some((_, until)) = run.snapshots else { return };
        let (sampler, id) = (self.sampler.clone(), run.id);
        let seed = id.as_uuid().as_u64_pair().1;
        tokio::spawn(async move {
            match sampler.sample(seed, until, SAMPLED).await {
                Ok(sampled) => {
                    let (compared, differing) = (sampled.compared, sampled.differing.len());
                    tracing::debug!(run.id = %id, compared, differing, "held verdicts against a full match");
                }
                Err(error) => {
                    tracing::warn!(run.id = %id, error = &*error as &dyn std::error::Error, "no sample")
                }
            }
        });
    }

    async fn finish(&self, run: &Run) -> Result<(), Trouble> {
        let counts = &run.counts;
        if counts.images == 0 {
            self.move_to(run.id, RunState::Completed, Some("no_work")).await?;
            ended(run, RunState::Completed, "no_work");
            self.sample(run);
            return Ok(());
        }
        if counts.failed == 0 {
            self.move_to(run.id, RunState::Completed, None).await?;
            ended(run, RunState::Completed, "completed");
            self.sample(run);
            return Ok(());
        }
        let mut tx = self.store.fleet().await?;
        let first = effects::first_failure(&mut tx, run.id).await?;
        tx.commit().await?;
        let (image, why) = first.unwrap_or_default();
        let reason =
            format!("{} of {} images could not be evaluated; {image}: {why}", counts.failed, counts.images);
        self.move_to(run.id, RunState::Failed, Some(&reason)).await?;
        ended(run, RunState::Failed, "failed");
        Ok(())
    }
}

/// The run that a step was decided on.
fn open(at: &Situation, run: RunId) -> Result<&Run, Trouble> {
    at.open.iter().find(|open| open.id == run).ok_or(Trouble::LookAgain)
}

/// Counts and tells of a run's end. Counted where it is decided: a node that dies right after the commit counts less.
fn ended(run: &Run, state: RunState, outcome: &'static str) {
    let counts = &run.counts;
    metrics::counter!(RUNS, "outcome" => outcome).increment(1);
    let unchanged = counts.evaluated.saturating_sub(counts.changed);
    for (result, images) in [("changed", counts.changed), ("unchanged", unchanged), ("failed", counts.failed)]
    {
        metrics::counter!(RUN_IMAGES, "result" => result).increment(images);
    }
    tracing::info!(
        run.id = %run.id,
        kind = %run.kind,
        cause = run.cause,
        state = %state,
        images = counts.images,
        changed = counts.changed,
        unchanged,
        failed = counts.failed,
        "run ended"
    );
}
