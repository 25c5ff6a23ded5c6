//! The scheduler's next step, from what the store says at one moment.
//!
//! Pure. Each step is one transaction that changes what is read next, so that the walk ends at [`Step::Rest`].

use std::collections::HashSet;
use std::time::Duration;

use model::{RunId, RunKind, RunState, SnapshotId};
use store::runs::Run;
use store::runs::effects::Situation;
use time::OffsetDateTime;

use super::budget::Budget;

/// How the scheduler is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The first change of the feeds makes a run at once; further ones within this time make one together.
    pub window: Duration,
    /// Images asked for in a second, of all runs.
    pub rate_per_s: f32,
    /// Images asked for and not evaluated yet, of all runs: what a scan may find before it at most.
    pub outstanding: u32,
    /// Images asked for in one transaction.
    pub page: u32,
    /// What waits for a person's word.
    pub hold: Hold,
    /// An image that has no verdict after so long has failed, as far as its run goes.
    pub patience: Duration,
    /// Between two looks while runs are open or changes wait.
    pub tick: Duration,
    /// How long the images of a run that has ended are remembered.
    pub keep: Duration,
}

/// From where on a run over changes of feeds waits for a person's word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hold {
    /// So many advisories were taken back …
    pub withdrawn_records: u64,
    /// … and touch more than this share of all images.
    pub withdrawn_share: f32,
    /// Or more than this share is touched by changes of any kind; 1 for never.
    pub share: f32,
}

impl Policy {
    /// At most this many images in one transaction.
    pub const PAGE_MAX: u32 = 1_000;

    /// Short times, for tests.
    #[must_use]
    pub fn test_profile(self) -> Self {
        Self {
            window: Duration::from_millis(500),
            patience: Duration::from_secs(60),
            tick: Duration::from_millis(100),
            ..self
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            rate_per_s: 2_000.0,
            outstanding: 1_000,
            page: 500,
            hold: Hold { withdrawn_records: 20, withdrawn_share: 0.2, share: 1.0 },
            patience: Duration::from_secs(600),
            tick: Duration::from_millis(200),
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until something changes or time goes by.
    Rest,
    /// Make a run of the changes between these.
    TakeChanges {
        /// After this snapshot …
        after: SnapshotId,
        /// … up to and with this one.
        until: SnapshotId,
    },
    /// This schedule's time has come.
    Come(String),
    /// Choose the run's images.
    Plan(RunId),
    /// Wait for a person's word.
    Hold(RunId, String),
    /// Its images may be asked for.
    Begin(RunId),
    /// Ask for its next images, at most so many.
    Dispatch(RunId, u32),
    /// Look which of its images are done.
    Settle(RunId),
    /// Nothing of it is left to do.
    Finish(RunId),
    /// End it on request.
    Cancel(RunId),
}

/// The next step. `settled`: runs that were looked at since the scheduler woke. `spent`: what was asked for lately.
///
/// What ends runs comes first, then what makes them, then feeding those that run, and choosing images last: it takes
/// longest, and those that run shall not stand still meanwhile.
pub fn decide(at: &Situation, policy: &Policy, settled: &HashSet<RunId>, budget: &Budget) -> Step {
    ends(at, settled)
        .or_else(|| makes(at, policy))
        .or_else(|| at.open.iter().find_map(|run| moves(run, policy)))
        .or_else(|| feeds(at, policy, budget))
        .or_else(|| plans(at))
        .unwrap_or(Step::Rest)
}

fn ends(at: &Situation, settled: &HashSet<RunId>) -> Option<Step> {
    let cancelled = at.open.iter().find(|run| run.cancel_asked).map(|run| Step::Cancel(run.id));
    let running = || at.open.iter().filter(|run| run.state == RunState::Running);
    cancelled
        .or_else(|| {
            let behind = running().find(|run| run.counts.outstanding() > 0 && !settled.contains(&run.id))?;
            Some(Step::Settle(behind.id))
        })
        .or_else(|| {
            let done = running().find(|run| run.counts.outstanding() == 0 && run.counts.waiting() == 0)?;
            Some(Step::Finish(done.id))
        })
}

fn makes(at: &Situation, policy: &Policy) -> Option<Step> {
    let quiet = |taken: OffsetDateTime| at.now - taken >= policy.window;
    if at.latest > at.cursor && at.taken_at.is_none_or(quiet) {
        return Some(Step::TakeChanges { after: at.cursor, until: at.latest });
    }
    at.due.first().map(|schedule| Step::Come(schedule.clone()))
}

/// From planned or held to what comes next, when that is known.
fn moves(run: &Run, policy: &Policy) -> Option<Step> {
    match run.state {
        RunState::Planned if run.marks.planned.is_none() => None,
        RunState::Planned if run.counts.images == 0 => Some(Step::Finish(run.id)),
        RunState::Planned => Some(match why_held(run, &policy.hold) {
            Some(reason) => Step::Hold(run.id, reason),
            None => Step::Begin(run.id),
        }),
        RunState::Held if run.released.is_some() => Some(Step::Begin(run.id)),
        RunState::Held | RunState::Running => None,
        RunState::Completed | RunState::Failed | RunState::Cancelled => None,
    }
}

/// Why a run has to wait for a person, unless one has spoken already.
fn why_held(run: &Run, hold: &Hold) -> Option<String> {
    if run.kind != RunKind::Delta || run.released.is_some() {
        return None;
    }
    let counts = &run.counts;
    let over = |images: u64, share: f32| images as f64 > counts.images_known as f64 * f64::from(share);
    if counts.withdrawn >= hold.withdrawn_records && over(counts.losing, hold.withdrawn_share) {
        return Some(format!(
            "{} advisories were taken back, which touches {} of {} images",
            counts.withdrawn, counts.losing, counts.images_known
        ));
    }
    (hold.share < 1.0 && over(counts.images, hold.share))
        .then(|| format!("the changes touch {} of {} images", counts.images, counts.images_known))
}

/// What feeds have changed goes before what was asked for, and that before rounds; the older first.
fn feeds(at: &Situation, policy: &Policy, budget: &Budget) -> Option<Step> {
    let outstanding: u64 = at.open.iter().map(|run| run.counts.outstanding()).sum();
    let room = u64::from(policy.outstanding).saturating_sub(outstanding);
    let page = u64::from(policy.page.clamp(1, Policy::PAGE_MAX));
    let mut waiting: Vec<&Run> =
        at.open.iter().filter(|run| run.state == RunState::Running && run.counts.waiting() > 0).collect();
    waiting.sort_by_key(|run| (run.kind, run.id));
    waiting.into_iter().find_map(|run| {
        let allowed = budget.allows(run.id, run.rate_per_s, at.now);
        let limit = run.counts.waiting().min(page).min(room).min(allowed);
        // Few at a time cost as many transactions as many do.
        let worth = run.counts.waiting().min(page / 4).min(budget.burst(run.rate_per_s)).max(1);
        (limit >= worth).then(|| Step::Dispatch(run.id, u32::try_from(limit).unwrap_or(u32::MAX)))
    })
}

fn plans(at: &Situation) -> Option<Step> {
    let unplanned = |run: &&Run| run.state == RunState::Planned && run.marks.planned.is_none();
    let next = at.open.iter().filter(unplanned).min_by_key(|run| (run.kind, run.id))?;
    Some(Step::Plan(next.id))
}

#[cfg(test)]
mod tests;
