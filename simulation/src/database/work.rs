//! Heavy work: attempts are numbered, and each word of an attempt names its number.

use std::time::Duration;

use cluster::Gen;
use model::{JobId, JobState, Lane, Stage};

use super::{Applied, Database, Move, job_id};
use crate::keys::{Image, Key, Who};

/// `orchestrator.max_attempts`.
const ATTEMPTS_MAX: u32 = 5;
/// `orchestrator.hold_lasts`.
const HOLD_LASTS: Duration = Duration::from_secs(30);

/// Work that is unfinished.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) image: Image,
    pub(crate) lane: Lane,
    pub(crate) state: WorkState,
    pub(crate) attempt: u32,
    pub(crate) due: Duration,
    /// When its holder last asked for it.
    pub(crate) kept: Duration,
    pub(crate) last_reason: &'static str,
}

/// Whether somebody holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkState {
    Ready,
    Held(Gen),
}

/// A claim on work, as every word of its holder names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) work: u64,
    pub(crate) attempt: u32,
    pub(crate) holder: Gen,
}

/// What came of asking for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    Granted { hold: Hold, is_broken: bool },
    Gone,
    Held,
    NotYet,
}

impl Work {
    pub(super) fn row(&self, id: u64) -> invariants::Work {
        let state = match self.state {
            WorkState::Ready => "ready".to_owned(),
            WorkState::Held(holder) => format!("held by {holder}"),
        };
        invariants::Work { id: u128::from(id), state, attempt: self.attempt }
    }
}

const fn to_extracting(from: &'static [Stage], stage: Stage, attempt: Option<u32>) -> Move<'static> {
    Move {
        states: &[JobState::Extracting],
        stages: from,
        to: JobState::Extracting,
        stage: Some(stage),
        attempt,
        verdict: None,
    }
}

impl Database {
    /// The jobs that wait for an image's layers.
    fn extracting(&self, image: Image) -> Vec<JobId> {
        let waits =
            |job: &super::Job| job.image == image && job.is_admitted && job.state == JobState::Extracting;
        self.jobs.iter().filter(|(_, job)| waits(job)).map(|(id, _)| job_id(*id)).collect()
    }

    /// `orchestrator.dispatch`.
    pub(super) fn dispatch(&mut self, image: Image, jobs: &[JobId], now: Duration) -> Applied {
        let asks = |job: &super::Job| {
            let waits = job.state == JobState::Accepted && job.stage == Stage::Dispatched;
            job.image == image && (waits || job.state == JobState::Extracting)
        };
        let named = jobs.iter().filter_map(|job| self.jobs.get(&job.as_uuid().as_u128()));
        let Some(urgent) = named.filter(|job| asks(job)).map(|job| job.lane).min() else {
            return Applied::Moved(0);
        };
        let known = self.work.iter_mut().find(|(_, work)| work.image == image);
        let known = known.map(|(id, work)| {
            work.lane = work.lane.min(urgent);
            *id
        });
        let id = known.unwrap_or_else(|| {
            let id = self.number();
            let ready = WorkState::Ready;
            let work =
                Work { image, lane: urgent, state: ready, attempt: 0, due: now, kept: now, last_reason: "" };
            self.work.insert(id, work);
            id
        });
        let by = Move {
            states: &[JobState::Accepted],
            stages: &[Stage::Dispatched],
            to: JobState::Extracting,
            stage: Some(Stage::Dispatched),
            attempt: None,
            verdict: None,
        };
        let (moved, _) = self.advance(jobs, &by, now);
        if known.is_none() {
            self.advance(jobs, &to_extracting(&[Stage::Extracting], Stage::Dispatched, None), now);
        }
        let work = self.work[&id].clone();
        if matches!(work.state, WorkState::Held(_)) {
            let by = to_extracting(&[Stage::Dispatched], Stage::Extracting, Some(work.attempt));
            self.advance(jobs, &by, now);
        } else if known.is_none() || work.lane == urgent {
            self.ring(Who::Work(id), work.lane, now, Duration::ZERO);
        }
        Applied::Moved(usize::try_from(moved).unwrap_or(0))
    }

    fn end_work(&mut self, id: u64, image: Image, now: Duration) {
        let jobs = self.extracting(image);
        self.work.remove(&id);
        self.finish(image.tenant, &jobs, &[JobState::Extracting], (JobState::Failed, None), now);
    }

    fn bury(&mut self, id: u64, reason: &str, now: Duration) {
        let Some(work) = self.work.get(&id).cloned() else { return };
        self.end_work(id, work.image, now);
        self.dead_letters.push((work.image, format!("{}, before: {}", reason, work.last_reason)));
    }

    /// `orchestrator.take_work`.
    pub(crate) fn take_work(&mut self, id: u64, me: Gen, silent: Option<Duration>, now: Duration) -> Claimed {
        let Some(work) = self.work.get(&id).cloned() else { return Claimed::Gone };
        match work.state {
            WorkState::Ready if work.due > now => return Claimed::NotYet,
            WorkState::Held(_) if !self.is_forsaken(&work, silent.unwrap_or(HOLD_LASTS), now) => {
                return Claimed::Held;
            }
            WorkState::Held(_) if work.attempt >= ATTEMPTS_MAX => {
                self.bury(id, "taken over", now);
                return Claimed::Gone;
            }
            WorkState::Ready | WorkState::Held(_) => {}
        }
        let jobs = self.extracting(work.image);
        let attempt = work.attempt + 1;
        if let WorkState::Held(_) = work.state {
            let by = to_extracting(&[Stage::Extracting], Stage::Dispatched, Some(work.attempt));
            self.advance(&jobs, &by, now);
        }
        self.advance(&jobs, &to_extracting(&[Stage::Dispatched], Stage::Extracting, Some(attempt)), now);
        if let Some(row) = self.work.get_mut(&id) {
            row.state = WorkState::Held(me);
            (row.attempt, row.kept) = (attempt, now);
            row.last_reason = if work.state == WorkState::Ready { row.last_reason } else { "taken over" };
        }
        let is_broken = self.images[&work.image].is_broken;
        Claimed::Granted { hold: Hold { work: id, attempt, holder: me }, is_broken }
    }

    /// The work of an attempt that still stands.
    fn held(&self, hold: Hold) -> Option<Work> {
        let work = self.work.get(&hold.work)?;
        let stands = work.state == WorkState::Held(hold.holder) && work.attempt == hold.attempt;
        (stands || !self.defences.attempt).then(|| work.clone())
    }

    /// Whether its holder is gone, or has not asked for it for so long.
    fn is_forsaken(&self, work: &Work, silent: Duration, now: Duration) -> bool {
        let WorkState::Held(holder) = work.state else { return false };
        !self.authority.is_live(holder) || (self.defences.holds && work.kept + silent <= now)
    }

    /// Whether the sweep rings for it.
    pub(super) fn is_standing(&self, work: &Work, older_than: Duration, now: Duration) -> bool {
        match work.state {
            WorkState::Ready => work.due + older_than < now,
            WorkState::Held(_) => self.is_forsaken(work, HOLD_LASTS, now),
        }
    }

    /// `orchestrator.keep_work`: whether an attempt is still wanted. Keeps the hold.
    pub(crate) fn keep_work(&mut self, hold: Hold, now: Duration) -> store::work::Keep {
        use store::work::{Keep, StopReason};
        if self.held(hold).is_some()
            && let Some(work) = self.work.get_mut(&hold.work)
        {
            work.kept = now;
        }
        if !self.work.contains_key(&hold.work) {
            return Keep::Stop(StopReason::Cancelled);
        }
        self.held(hold).map_or(Keep::Stop(StopReason::TakenOver), |_| Keep::Continue)
    }

    /// `orchestrator.complete_work`.
    pub(crate) fn complete_work(&mut self, hold: Hold, now: Duration) -> Applied {
        let Some(work) = self.held(hold) else { return Applied::Stale };
        let image = self.images.get_mut(&work.image).expect("it is there");
        image.has_sbom = true;
        image.revision += 1;
        image.changed_at = now;
        let jobs = self.extracting(work.image);
        // Without the check of the attempt there is nothing by which the work could be told to be over.
        self.work.remove(&hold.work);
        let by = Move {
            states: &[JobState::Extracting],
            stages: &[Stage::Dispatched, Stage::Extracting],
            to: JobState::Evaluating,
            stage: Some(Stage::Evaluating),
            attempt: Some(hold.attempt),
            verdict: None,
        };
        self.advance(&jobs, &by, now);
        self.ring(Who::Entity(Key::Image(work.image)), work.lane, now, Duration::ZERO);
        Applied::Moved(jobs.len())
    }

    /// `orchestrator.fail_work`. `pause` is the back-off of the first attempt.
    pub(crate) fn fail_work(
        &mut self,
        hold: Hold,
        permanent: bool,
        pause: Duration,
        now: Duration,
    ) -> Applied {
        let Some(work) = self.held(hold) else { return Applied::Stale };
        if permanent {
            self.end_work(hold.work, work.image, now);
        } else if work.attempt >= ATTEMPTS_MAX {
            self.bury(hold.work, "failed", now);
        } else {
            let pause = pause * 2_u32.pow(work.attempt.saturating_sub(1));
            if let Some(row) = self.work.get_mut(&hold.work) {
                (row.state, row.due, row.last_reason) = (WorkState::Ready, now + pause, "failed");
            }
            let jobs = self.extracting(work.image);
            let by = to_extracting(&[Stage::Extracting], Stage::Dispatched, Some(hold.attempt));
            self.advance(&jobs, &by, now);
            self.ring(Who::Work(hold.work), work.lane, now, pause);
        }
        Applied::Moved(1)
    }
}
