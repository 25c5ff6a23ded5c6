//! PostgreSQL in memory: tenants, images, jobs, work, bells and runs, and the steps that SQL takes on them.
//!
//! Each step is one transaction, as `store/migrations` has it, in the same order and with the same conditions; the
//! names are the same too. Two of its defences can be left away, and then it does what a table without them would.

mod runs;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Gen, Lease};
use invariants::{Answer, Id, Rows};
use model::{JobId, JobKind, JobState, Lane, Stage};
use store::images::{Behind, CurrentSbom, OpenJob};
use uuid::Uuid;

pub(crate) use self::runs::{RunEffect, Runs};
pub(crate) use self::work::{Claimed, Hold, Work, WorkState};
use crate::authority::{Authority, micros};
use crate::keys::{Bell, Image, Key, Who};
use crate::plan::Defences;

/// All tables.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) authority: Authority,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) images: BTreeMap<Image, ImageRow>,
    pub(crate) jobs: BTreeMap<Id, Job>,
    pub(crate) work: BTreeMap<u64, Work>,
    pub(crate) outbox: BTreeMap<u64, Owed>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) dead_letters: Vec<(Image, String)>,
    pub(crate) runs: Runs,
    /// The newest snapshot of the feeds, and which images each one changed what is known of.
    pub(crate) snapshots: Vec<BTreeSet<Image>>,
    /// How far its clock is ahead of true time.
    pub(crate) ahead: Duration,
    pub(crate) defences: Defences,
    next: u64,
}

/// A tenant, with its counters.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) weight: u32,
    pub(crate) max_inflight: u32,
    pub(crate) max_queued: i64,
    pub(crate) open: i64,
    pub(crate) inflight: i64,
}

/// An image.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageRow {
    pub(crate) revision: i64,
    pub(crate) evaluated_revision: i64,
    pub(crate) evaluated_snapshot: Option<i64>,
    pub(crate) has_sbom: bool,
    pub(crate) last_verdict: u32,
    pub(crate) changed_at: Duration,
    /// It can never be read.
    pub(crate) is_broken: bool,
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) request: Id,
    pub(crate) image: Image,
    pub(crate) kind: JobKind,
    pub(crate) lane: Lane,
    pub(crate) state: JobState,
    pub(crate) stage: Stage,
    pub(crate) since: Duration,
    pub(crate) attempt: u32,
    pub(crate) is_admitted: bool,
    pub(crate) verdict: Option<u32>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) events: Vec<JobEvent>,
}

/// What was said of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobEvent {
    stage: Stage,
    state: JobState,
    attempt: u32,
    started: Duration,
    ended: Duration,
}

/// A bell that is owed.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    pub(crate) bell: Bell,
    pub(crate) due: Duration,
    /// The relay that is just taking it, in a transaction that is still open.
    pub(crate) taken: Option<Taking>,
}

/// An open transaction of a relay: of which process, its number there, and when the server ends it at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taking {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) round: u64,
    pub(crate) until: Duration,
}

/// A verdict.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) image: Image,
    pub(crate) version: u32,
    pub(crate) revision: i64,
    pub(crate) snapshot: i64,
    pub(crate) says: u64,
}

/// What an entity does, durably.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Admit { tenant: u8, jobs: Vec<JobId> },
    Dispatch { image: Image, jobs: Vec<JobId> },
    SkipExtraction { image: Image, jobs: Vec<JobId> },
    SaveEvaluation { image: Image, inputs: Inputs, jobs: Vec<JobId> },
    Run(RunEffect),
}

/// What an evaluation is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs {
    pub(crate) revision: i64,
    pub(crate) snapshot: i64,
    /// The last verdict.
    pub(crate) before: u32,
}

/// What came of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// So many jobs or images moved.
    Moved(usize),
    Fenced,
    Stale,
}

/// Where jobs come from and go to.
struct Move<'a> {
    states: &'a [JobState],
    stages: &'a [Stage],
    to: JobState,
    stage: Option<Stage>,
    attempt: Option<u32>,
    verdict: Option<u32>,
}

const OPEN: [JobState; 3] = [JobState::Accepted, JobState::Extracting, JobState::Evaluating];
const STAGES: [Stage; 4] = [Stage::Queued, Stage::Dispatched, Stage::Extracting, Stage::Evaluating];

impl Database {
    pub(crate) fn new(authority: Authority, defences: Defences) -> Self {
        Self {
            authority,
            tenants: Vec::new(),
            images: BTreeMap::new(),
            jobs: BTreeMap::new(),
            work: BTreeMap::new(),
            outbox: BTreeMap::new(),
            verdicts: Vec::new(),
            dead_letters: Vec::new(),
            runs: Runs::default(),
            snapshots: vec![BTreeSet::new()],
            ahead: Duration::ZERO,
            defences,
            next: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn latest(&self) -> i64 {
        i64::try_from(self.snapshots.len()).expect("few") - 1
    }

    pub(crate) fn ring(&mut self, who: Who, lane: Lane, now: Duration, after: Duration) {
        let number = self.number();
        self.outbox.insert(number, Owed { bell: Bell { who, lane }, due: now + after, taken: None });
    }

    fn load(&mut self, tenant: u8) -> &mut Tenant {
        &mut self.tenants[usize::from(tenant)]
    }

    /// `orchestrator.advance`: moves those of the jobs that are where the caller believes them to be, and says how
    /// many, and how many of these were admitted before.
    fn advance(&mut self, jobs: &[JobId], by: &Move<'_>, now: Duration) -> (i64, i64) {
        let (mut moved, mut admitted) = (0, 0);
        for job in jobs {
            let Some(job) = self.jobs.get_mut(&job.as_uuid().as_u128()) else { continue };
            let expected = by.states.contains(&job.state) && by.stages.contains(&job.stage);
            if !expected && self.defences.dedupe {
                continue;
            }
            moved += 1;
            admitted += i64::from(job.is_admitted);
            let attempt = by.attempt.unwrap_or(job.attempt);
            job.events.push(JobEvent {
                stage: job.stage,
                state: by.to,
                attempt,
                started: job.since,
                ended: now,
            });
            (job.state, job.stage) = (by.to, by.stage.unwrap_or(job.stage));
            (job.since, job.attempt, job.verdict) = (now, attempt, by.verdict);
            job.is_admitted |= by.stage == Some(Stage::Dispatched);
        }
        (moved, admitted)
    }

    /// `orchestrator.finish`: ends jobs.
    fn finish(
        &mut self,
        tenant: u8,
        jobs: &[JobId],
        from: &[JobState],
        to: (JobState, Option<u32>),
        now: Duration,
    ) -> i64 {
        let by = Move { states: from, stages: &STAGES, to: to.0, stage: None, attempt: None, verdict: to.1 };
        let (moved, admitted) = self.advance(jobs, &by, now);
        if moved > 0 {
            let load = self.load(tenant);
            load.open -= moved;
            load.inflight -= admitted;
            self.ring(Who::Entity(Key::Tenant(tenant)), Lane::Interactive, now, Duration::ZERO);
        }
        moved
    }

    /// `orchestrator.submit`: the job of this request, new or known; `None` when the queue is full.
    pub(crate) fn submit(&mut self, id: Id, new: Job, now: Duration) -> Option<Id> {
        let tenant = new.image.tenant;
        let same = |job: &&Job| job.image.tenant == tenant && job.request == new.request;
        let known = self.jobs.iter().find(|(_, job)| same(job)).map(|(id, _)| *id);
        if self.defences.idempotency && known.is_some() {
            return known;
        }
        if self.tenants[usize::from(tenant)].open >= self.tenants[usize::from(tenant)].max_queued {
            return None;
        }
        let lane = new.lane;
        self.jobs.insert(id, Job { since: now, ..new });
        self.load(tenant).open += 1;
        self.ring(Who::Entity(Key::Tenant(tenant)), lane, now, Duration::ZERO);
        Some(id)
    }

    /// `orchestrator.give_up`: ends a job from outside, on request or because its deadline is over.
    pub(crate) fn give_up(&mut self, id: Id, to: JobState, now: Duration) {
        let Some(job) = self.jobs.get(&id).filter(|job| !job.state.is_final()) else { return };
        let image = job.image;
        self.finish(image.tenant, &[job_id(id)], &OPEN, (to, None), now);
        let waits = |job: &Job| job.image == image && job.is_admitted && job.state == JobState::Extracting;
        if !self.jobs.values().any(waits) {
            self.work.retain(|_, work| work.image != image);
        }
    }

    /// `store::sweep::expire_overdue`.
    pub(crate) fn expire_overdue(&mut self, now: Duration) {
        let overdue =
            |job: &Job| !job.state.is_final() && job.deadline.is_some_and(|deadline| deadline < now);
        let jobs: Vec<_> = self.jobs.iter().filter(|(_, job)| overdue(job)).map(|(id, _)| *id).collect();
        for job in jobs {
            self.give_up(job, JobState::Failed, now);
        }
    }

    /// `store::admission::view`, as `actors::tenant` hands it to the decision.
    pub(crate) fn admission_view(&self, tenant: u8, page: usize) -> actors::tenant::admission::View {
        use actors::tenant::admission::{LaneView, View};
        let lane = |lane: &Lane| {
            let open = || {
                let open =
                    |job: &&Job| job.image.tenant == tenant && job.lane == *lane && !job.state.is_final();
                self.jobs.iter().filter(move |(_, job)| open(job))
            };
            let waiting = open().filter(|(_, job)| !job.is_admitted).take(page);
            LaneView {
                waiting: waiting.map(|(id, _)| job_id(*id)).collect(),
                inflight: small(open().filter(|(_, job)| job.is_admitted).count()),
            }
        };
        let load = &self.tenants[usize::from(tenant)];
        let busy = self.tenants.iter().zip(0..).filter(|(other, number)| other.open > 0 || *number == tenant);
        let all: u32 = busy.map(|(other, _)| other.weight).sum();
        View {
            lanes: [Lane::Interactive, Lane::Bulk, Lane::Sweep].each_ref().map(lane),
            max_inflight: load.max_inflight,
            share: f64::from(load.weight) / f64::from(all),
            capacity: small(self.authority.workers() * crate::plan::SLOTS) * crate::plan::JOBS_PER_SLOT,
        }
    }

    /// `store::images::behind`.
    pub(crate) fn behind(&self, image: Image) -> Behind {
        let row = &self.images[&image];
        let sbom = CurrentSbom { digest: crate::keys::sbom(), extractor: EXTRACTOR.to_owned() };
        let mut behind = Behind {
            revision: row.revision,
            evaluated_revision: row.evaluated_revision,
            evaluated_snapshot: row.evaluated_snapshot,
            sbom: row.has_sbom.then_some(sbom),
            admitted: Vec::new(),
            extracting: Vec::new(),
            evaluating: Vec::new(),
            open_work: self.work.values().any(|work| work.image == image),
            last_verdict: row.last_verdict,
        };
        for (id, job) in &self.jobs {
            if job.image != image || !job.is_admitted || job.state.is_final() {
                continue;
            }
            let open = OpenJob { job: job_id(*id), lane: job.lane, kind: job.kind, trace: None };
            match job.state {
                JobState::Extracting if behind.open_work => behind.extracting.push(open),
                JobState::Evaluating => behind.evaluating.push(open),
                _ => behind.admitted.push(open),
            }
        }
        behind
    }

    /// `store::evaluations::inputs`, beside the newest snapshot.
    pub(crate) fn inputs(&self, image: Image) -> Inputs {
        let row = &self.images[&image];
        Inputs { revision: row.revision, snapshot: self.latest(), before: row.last_verdict }
    }

    /// `orchestrator.apply`: one effect of an entity, under its lease.
    pub(crate) fn apply(&mut self, lease: Lease, effect: Effect, now: Duration) -> Applied {
        if !self.authority.fence(lease) {
            return Applied::Fenced;
        }
        match effect {
            Effect::Admit { tenant, jobs } => self.admit(tenant, &jobs, now),
            Effect::Dispatch { image, jobs } => self.dispatch(image, &jobs, now),
            Effect::SkipExtraction { image, jobs } => self.skip_extraction(image, &jobs, now),
            Effect::SaveEvaluation { image, inputs, jobs } => self.save_evaluation(image, inputs, &jobs, now),
            Effect::Run(effect) => self.run_effect(effect, now),
        }
    }

    fn admit(&mut self, tenant: u8, jobs: &[JobId], now: Duration) -> Applied {
        let by = Move {
            states: &[JobState::Accepted],
            stages: &[Stage::Queued],
            to: JobState::Accepted,
            stage: Some(Stage::Dispatched),
            attempt: None,
            verdict: None,
        };
        let load = self.load(tenant);
        let room = usize::try_from(i64::from(load.max_inflight) - load.inflight).unwrap_or(0);
        let (moved, _) = self.advance(&jobs[..room.min(jobs.len())], &by, now);
        let load = self.load(tenant);
        let before = u32::try_from(load.inflight).unwrap_or(0);
        load.inflight += moved;
        let (max, admitted) = (load.max_inflight, u32::try_from(moved).unwrap_or(0));
        if !invariants::step::is_within_quota(before, admitted, max) {
            let what =
                format!("tenant {tenant} was let in {admitted} beside {before}, over its quota of {max}");
            self.authority.ledger.complain(what);
        }
        let mut lanes: BTreeMap<Image, Lane> = BTreeMap::new();
        for job in jobs.iter().filter_map(|job| self.jobs.get(&job.as_uuid().as_u128())) {
            if job.state == JobState::Accepted && job.stage == Stage::Dispatched {
                let lane = lanes.entry(job.image).or_insert(job.lane);
                *lane = (*lane).min(job.lane);
            }
        }
        for (image, lane) in lanes {
            self.ring(Who::Entity(Key::Image(image)), lane, now, Duration::ZERO);
        }
        Applied::Moved(usize::try_from(moved).unwrap_or(0))
    }

    fn skip_extraction(&mut self, image: Image, jobs: &[JobId], now: Duration) -> Applied {
        if !self.images[&image].has_sbom {
            return Applied::Stale;
        }
        let by = Move {
            states: &[JobState::Accepted, JobState::Extracting],
            stages: &[Stage::Dispatched, Stage::Extracting],
            to: JobState::Evaluating,
            stage: Some(Stage::Evaluating),
            attempt: None,
            verdict: None,
        };
        let (moved, _) = self.advance(jobs, &by, now);
        Applied::Moved(usize::try_from(moved).unwrap_or(0))
    }

    fn save_evaluation(&mut self, image: Image, inputs: Inputs, jobs: &[JobId], now: Duration) -> Applied {
        let row = self.images[&image].clone();
        let older = row.evaluated_snapshot.is_some_and(|known| inputs.snapshot < known);
        if !row.has_sbom || row.revision != inputs.revision || older {
            return Applied::Stale;
        }
        let says = self.findings(image, inputs.snapshot);
        let last = self.verdicts.iter().rev().find(|verdict| verdict.image == image);
        let mut version = row.last_verdict;
        if last.is_none_or(|last| last.says != says) {
            if row.last_verdict != inputs.before {
                return Applied::Stale;
            }
            version += 1;
            let Inputs { revision, snapshot, .. } = inputs;
            self.verdicts.push(Verdict { image, version, revision, snapshot, says });
        }
        let row = self.images.get_mut(&image).expect("it is there");
        row.evaluated_revision = row.revision;
        row.evaluated_snapshot = Some(inputs.snapshot);
        row.last_verdict = version;
        let moved =
            self.finish(image.tenant, jobs, &[JobState::Evaluating], (JobState::Done, Some(version)), now);
        Applied::Moved(usize::try_from(moved).unwrap_or(0))
    }

    /// What is found in an image against a snapshot, in short: how often the feeds changed what is known of it.
    fn findings(&self, image: Image, snapshot: i64) -> u64 {
        let until = usize::try_from(snapshot).expect("not negative");
        self.snapshots.iter().take(until + 1).filter(|changed| changed.contains(&image)).count() as u64
    }

    /// `store::outbox::take`, in a transaction that stays open.
    pub(crate) fn take_bells(&mut self, taking: Taking, limit: usize, now: Duration) -> Vec<(u64, Bell)> {
        let free = |owed: &Owed| owed.due <= now && owed.taken.is_none_or(|taking| taking.until <= now);
        let mut due: Vec<_> = self
            .outbox
            .iter()
            .filter(|(_, owed)| free(owed))
            .map(|(id, owed)| (owed.bell.lane, *id))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut bells = Vec::with_capacity(due.len());
        for (_, id) in due {
            if let Some(owed) = self.outbox.get_mut(&id) {
                owed.taken = Some(taking);
                bells.push((id, owed.bell));
            }
        }
        bells
    }

    /// The transaction of [`Self::take_bells`] is committed; false when the server has ended it meanwhile.
    pub(crate) fn commit_bells(&mut self, taking: Taking, now: Duration) -> bool {
        let is_open = taking.until > now;
        if is_open {
            self.outbox.retain(|_, owed| owed.taken != Some(taking));
        }
        is_open
    }

    /// All open transactions of a process end, or of all of them.
    pub(crate) fn roll_back(&mut self, of: Option<(usize, u64)>) {
        for owed in self.outbox.values_mut() {
            if owed.taken.is_some_and(|taking| of.is_none_or(|of| of == (taking.node, taking.life))) {
                owed.taken = None;
            }
        }
    }

    /// `store::sweep::find`.
    pub(crate) fn find_standing(&self, older_than: Duration, now: Duration) -> Vec<Bell> {
        let late = |since: Duration| since + older_than < now;
        let mut found: BTreeMap<Who, Lane> = BTreeMap::new();
        let mut add = |who: Who, lane: Lane| {
            let known = found.entry(who).or_insert(lane);
            *known = (*known).min(lane);
        };
        for tenant in 0..u8::try_from(self.tenants.len()).expect("few") {
            let waiting = self
                .jobs
                .values()
                .filter(|job| job.image.tenant == tenant && !job.is_admitted && !job.state.is_final());
            if let Some(job) = waiting.min_by_key(|job| job.lane).filter(|job| late(job.since)) {
                add(Who::Entity(Key::Tenant(tenant)), job.lane);
            }
        }
        let worked_on: BTreeSet<Image> = self.work.values().map(|work| work.image).collect();
        for job in self.jobs.values().filter(|job| job.is_admitted && !job.state.is_final()) {
            if late(job.since) && !worked_on.contains(&job.image) {
                add(Who::Entity(Key::Image(job.image)), job.lane);
            }
        }
        for (image, row) in &self.images {
            if row.revision > row.evaluated_revision && late(row.changed_at) {
                add(Who::Entity(Key::Image(*image)), Lane::Sweep);
            }
        }
        for (id, work) in &self.work {
            if self.is_standing(work, older_than, now) {
                add(Who::Work(*id), work.lane);
            }
        }
        let mut found: Vec<_> = found.into_iter().map(|(who, lane)| Bell { who, lane }).collect();
        found.sort_by_key(|bell| bell.lane);
        found
    }

    /// How many jobs ended like this.
    pub(crate) fn ended(&self, state: JobState) -> usize {
        self.jobs.values().filter(|job| job.state == state).count()
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.work.is_empty()
            && self.outbox.is_empty()
            && self.jobs.values().all(|job| job.state.is_final())
            && self.images.values().all(|image| image.evaluated_revision == image.revision)
            && self.runs.are_at_rest(self.latest())
    }

    /// The rows that the invariants are asked of.
    pub(crate) fn rows(&self, answers: &[Answer]) -> Rows {
        let mut rows = Rows { answers: answers.to_vec(), ..Rows::default() };
        self.authority.tell(&mut rows);
        for (id, job) in &self.jobs {
            rows.jobs.push(job.row(*id));
            rows.events.extend((1..).zip(&job.events).map(|(seq, event)| event.row(*id, job, seq)));
        }
        rows.images = self
            .images
            .iter()
            .map(|(image, row)| invariants::Image {
                id: image.row(),
                revision: row.revision,
                evaluated_revision: row.evaluated_revision,
                last_verdict: row.last_verdict,
            })
            .collect();
        rows.verdicts = self.verdicts.iter().map(Verdict::row).collect();
        rows.work = self.work.iter().map(|(id, work)| work.row(*id)).collect();
        rows.bells = self
            .outbox
            .values()
            .map(|owed| invariants::Bell { who: format!("{:?} due {:?}", owed.bell, owed.due) })
            .collect();
        rows.dead_letters = self
            .dead_letters
            .iter()
            .map(|(image, reason)| invariants::DeadLetter { image: image.row(), reason: reason.clone() })
            .collect();
        rows.loads = (0..)
            .zip(&self.tenants)
            .map(|(tenant, load)| invariants::Load { tenant, open: load.open, inflight: load.inflight })
            .collect();
        rows.run_images = self.runs.rows();
        rows
    }
}

/// The extractor that has made every SBOM.
pub(crate) const EXTRACTOR: &str = "simulated";

pub(crate) fn job_id(id: Id) -> JobId {
    JobId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn small(count: usize) -> u32 {
    u32::try_from(count).expect("few")
}

impl Job {
    fn row(&self, id: Id) -> invariants::Job {
        let image = self.image.row();
        invariants::Job {
            id,
            tenant: image.0,
            request: self.request,
            image: image.1,
            state: self.state.as_str().to_owned(),
            events: small(self.events.len()),
            verdict: self.verdict,
            is_admitted: self.is_admitted,
            has_ended: self.state.is_final(),
        }
    }
}

impl JobEvent {
    fn row(&self, job: Id, of: &Job, seq: u32) -> invariants::Event {
        invariants::Event {
            tenant: of.image.row().0,
            job,
            seq,
            stage: self.stage.as_str().to_owned(),
            state: self.state.as_str().to_owned(),
            attempt: self.attempt,
            started: micros(self.started),
            ended: micros(self.ended),
        }
    }
}

impl Verdict {
    fn row(&self) -> invariants::Verdict {
        invariants::Verdict {
            image: self.image.row(),
            version: self.version,
            revision: self.revision,
            snapshot: self.snapshot,
            says: self.says.to_string(),
        }
    }
}

/// The node that a claim or a word of an attempt comes from.
pub(crate) type Holder = Gen;
