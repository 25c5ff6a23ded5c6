//! The entities of a node: woken, each looks, decides with the product's own decisions, and has one effect after the
//! other.
//!
//! A thin model of `cluster::entities` and of the entities' shells: at most one wake of a key at a time; bells are
//! acknowledged when it has caught up; in trouble it fails, loses what it knew, and is started again later and later.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use actors::image::decide::{self as image, Step as ImageStep};
use actors::scheduler::budget::Budget;
use actors::scheduler::{self, Step as RunStep};
use actors::sweeper::memory::Memory;
use actors::tenant::admission;
use cluster::{EntityLimits, Gen, Lease};
use model::{RunId, RunState};
use store::images::Behind;
use store::runs::effects::Situation;

use crate::database::{Applied, EXTRACTOR, Effect, Inputs, RunEffect};
use crate::keys::{Bell, Image, Key};
use crate::node::News;
use crate::question::{Answer, Ask, PAGE, Question, To};
use crate::valkey::{Command, EntryId};
use crate::world::World;

/// How often an entity looks again at once before it fails.
const LOOKS_MAX: u32 = 8;
/// Steps of the scheduler in one wake.
const STEPS_MAX: u32 = 200;
/// How long a hand-over waits for the reader to have let go of a partition.
const LET_GO: Duration = Duration::from_secs(1);

/// All of them on one node.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) entities: BTreeMap<Key, Activation>,
    /// Partitions that are handed over.
    stopping: BTreeMap<u16, Stopping>,
    numbers: u64,
}

/// A partition that is handed over.
#[derive(Debug)]
struct Stopping {
    lease: Lease,
    since: Duration,
    /// The reader's number at that moment.
    reader: u64,
}

/// An entity that lives here.
#[derive(Debug)]
pub(crate) struct Activation {
    number: u64,
    lease: Lease,
    doing: Option<Doing>,
    resting: bool,
    wanted: bool,
    bells: Vec<EntryId>,
    /// Bells of the present wake.
    in_hand: Vec<EntryId>,
    looks: u32,
    failures: u32,
    /// When it is woken without a bell, by its node's clock.
    next_tick: Duration,
    memory: Known,
}

/// What it has learned since it was started.
#[derive(Debug)]
enum Known {
    Nothing,
    Sweeper { swept: Option<Duration>, haste: Haste, memory: Memory },
    Scheduler { budget: Option<Budget>, settled: HashSet<RunId>, steps: u32 },
}

/// How urgent a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Haste {
    None,
    Look,
    Everything,
}

/// What it waits for.
#[derive(Debug)]
enum Doing {
    /// What it reads first.
    Looking,
    /// The admission of jobs, of a full page or not.
    Admitting { full: bool },
    /// The inputs of an evaluation.
    Reading(Box<(Behind, ImageStep)>),
    /// The evaluation.
    Evaluating(Box<(Behind, ImageStep)>, Inputs),
    /// A step of an image.
    Stepping(Box<(Behind, ImageStep)>),
    /// The end of deadlines that are over.
    Expiring,
    /// What stands still.
    Finding,
    /// The bells for it.
    Ringing(Vec<Bell>),
    /// The same, left in the outbox.
    Leaving,
    /// A step of the scheduler, and what comes right after it.
    Scheduling(RunStep, Option<RunEffect>, Box<Situation>),
}

/// How a wake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// Another node has it, or it is in trouble: its bells ring again.
    Undone,
}

impl Known {
    fn of(key: Key) -> Self {
        match key {
            Key::Tenant(_) | Key::Image(_) => Self::Nothing,
            Key::Sweeper => Self::Sweeper { swept: None, haste: Haste::None, memory: Memory::default() },
            Key::Scheduler => Self::Scheduler { budget: None, settled: HashSet::new(), steps: 0 },
        }
    }
}

impl Host {
    /// Its entities end at once.
    pub(crate) fn abandon(&mut self, partition: u16, partitions: u16) {
        self.entities.retain(|key, _| key.partition(partitions) != partition);
        self.stopping.remove(&partition);
    }

    fn is_busy(&self, partition: u16, partitions: u16) -> bool {
        let mut here = self.entities.iter().filter(|(key, _)| key.partition(partitions) == partition);
        here.any(|(_, entity)| entity.doing.is_some())
    }
}

impl World {
    /// A partition is served from now on.
    pub(crate) fn activate(&mut self, index: usize, lease: Lease) {
        if let Some(minds) = &mut self.nodes[index].minds {
            minds.host.stopping.remove(&lease.partition);
        }
        let sweeper = if self.plan.defences.sweeper { vec![Key::Sweeper] } else { vec![] };
        for key in sweeper.into_iter().chain([Key::Scheduler]) {
            if self.plan.has_work && key.partition(self.plan.partitions) == lease.partition {
                self.wake(index, key, None);
            }
        }
    }

    /// A partition is handed over: whoever is at something may finish it.
    pub(crate) fn stop(&mut self, index: usize, lease: Lease, now: Duration) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let reader = minds.reader.number();
        minds.host.stopping.insert(lease.partition, Stopping { lease, since: now, reader });
        for entity in minds.host.entities.values_mut().filter(|entity| entity.lease == lease) {
            entity.wanted = false;
            entity.bells.clear(); // The next owner finds these.
        }
    }

    /// Looks which hand-overs are done, and who is to be woken without a bell.
    pub(crate) fn tick_host(&mut self, index: usize) {
        let clock = self.nodes[index].clock(self.now);
        let partitions = self.plan.partitions;
        let (hand_over, tick) = (self.plan.timing.hand_over, self.plan.sweep.tick);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let host = &mut minds.host;
        let mut stopped = Vec::new();
        for (partition, stopping) in &host.stopping {
            let waited = clock.saturating_sub(stopping.since);
            let let_go = minds.reader.has_passed(stopping.reader) || waited >= LET_GO;
            if (let_go && !host.is_busy(*partition, partitions)) || waited >= hand_over {
                stopped.push(stopping.lease);
            }
        }
        for lease in &stopped {
            host.abandon(lease.partition, partitions);
        }
        let due = host.entities.iter_mut().filter(|(key, entity)| {
            let ticks = matches!(key, Key::Sweeper | Key::Scheduler);
            ticks && entity.doing.is_none() && !entity.resting && entity.next_tick <= clock
        });
        for (_, entity) in due {
            entity.next_tick = clock + tick;
            entity.wanted = true;
        }
        let wanted: Vec<Key> =
            host.entities.iter().filter(|(_, entity)| entity.wanted).map(|(key, _)| *key).collect();
        for lease in stopped {
            self.owner(index, cluster::ownership::Event::Stopped(lease));
        }
        for key in wanted {
            self.hand_wake(index, key);
        }
    }

    /// A node is gone.
    pub(crate) fn has_died(&mut self, index: usize, generation: Gen) {
        if let Some(minds) = &mut self.nodes[index].minds {
            minds.slots.has_died(generation);
        }
        self.hasten(index, Haste::Look);
    }

    /// Wakes the sweeper, if it lives here.
    pub(crate) fn hasten(&mut self, index: usize, how: Haste) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let Some(sweeper) = minds.host.entities.get_mut(&Key::Sweeper) else { return };
        if let Known::Sweeper { haste, .. } = &mut sweeper.memory {
            *haste = how.max(*haste);
        }
        sweeper.wanted = true;
        self.hand_wake(index, Key::Sweeper);
    }

    /// Somebody rings.
    pub(crate) fn wake(&mut self, index: usize, key: Key, bell: Option<EntryId>) {
        let partition = key.partition(self.plan.partitions);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        if minds.host.stopping.contains_key(&partition) {
            return;
        }
        let Some(lease) = minds.hosted.get(&partition).copied() else { return };
        let host = &mut minds.host;
        let numbers = &mut host.numbers;
        let entity = host.entities.entry(key).or_insert_with(|| {
            *numbers += 1;
            Activation {
                number: *numbers,
                lease,
                doing: None,
                resting: false,
                wanted: false,
                bells: Vec::new(),
                in_hand: Vec::new(),
                looks: 0,
                failures: 0,
                next_tick: Duration::ZERO,
                memory: Known::of(key),
            }
        });
        entity.wanted = true;
        entity.bells.extend(bell);
        self.hand_wake(index, key);
    }

    /// Hands an entity its wake, if it can take one now and this node may act.
    fn hand_wake(&mut self, index: usize, key: Key) {
        let clock = self.nodes[index].clock(self.now);
        let ignores_time = self.plan.zombies || !self.plan.defences.step_down;
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let may_act = minds.membership.may_act(clock) || ignores_time;
        let host = &mut minds.host;
        let Some(entity) = host.entities.get_mut(&key) else { return };
        if !may_act || !entity.wanted || entity.resting || entity.doing.is_some() {
            return;
        }
        host.numbers += 1;
        entity.number = host.numbers;
        entity.wanted = false;
        entity.in_hand.append(&mut entity.bells);
        entity.looks = 0;
        if let Known::Scheduler { settled, steps, .. } = &mut entity.memory {
            settled.clear();
            *steps = 0;
        }
        self.look(index, key);
    }

    /// Asks what it reads first.
    fn look(&mut self, index: usize, key: Key) {
        let (doing, ask) = match key {
            Key::Tenant(tenant) => (Doing::Looking, Ask::AdmissionView(tenant)),
            Key::Image(image) => (Doing::Looking, Ask::Behind(image)),
            Key::Sweeper => (Doing::Expiring, Ask::ExpireOverdue),
            Key::Scheduler => (Doing::Looking, Ask::Situation),
        };
        self.go_on(index, key, doing, ask);
    }

    fn entity(&mut self, index: usize, key: Key) -> Option<&mut Activation> {
        self.nodes[index].minds.as_mut()?.host.entities.get_mut(&key)
    }

    fn go_on(&mut self, index: usize, key: Key, doing: Doing, ask: Ask) {
        let Some(entity) = self.entity(index, key) else { return };
        entity.doing = Some(doing);
        let to = To::Entity(key, entity.number);
        self.ask(index, Question::Database(to, ask), News::Database(to, None));
    }

    /// Has an effect under the lease that it was started with.
    fn effect(&mut self, index: usize, key: Key, doing: Doing, effect: Effect) {
        let Some(lease) = self.entity(index, key).map(|entity| entity.lease) else { return };
        self.go_on(index, key, doing, Ask::Apply(lease, effect));
    }

    /// What it decided on has changed meanwhile.
    fn look_again(&mut self, index: usize, key: Key) {
        let Some(entity) = self.entity(index, key) else { return };
        entity.looks += 1;
        if entity.looks >= LOOKS_MAX {
            return self.end(index, key, End::Undone);
        }
        self.look(index, key);
    }

    fn end(&mut self, index: usize, key: Key, end: End) {
        let Some(entity) = self.entity(index, key) else { return };
        entity.doing = None;
        let bells = std::mem::take(&mut entity.in_hand);
        if end == End::Done {
            entity.failures = 0;
            if !bells.is_empty() {
                self.ask(index, Question::Valkey(To::Nobody, Command::Acknowledge(bells)), News::Nothing);
            }
            return self.hand_wake(index, key);
        }
        entity.bells.extend(bells);
        entity.failures += 1;
        entity.resting = true;
        entity.memory = Known::of(key);
        let wait = EntityLimits::default().back_off(entity.failures);
        let number = entity.number;
        self.inform(index, wait, News::Rested(key, number));
    }

    pub(crate) fn rested(&mut self, index: usize, key: Key, number: u64) {
        let Some(entity) = self.entity(index, key).filter(|entity| entity.number == number) else { return };
        entity.resting = false;
        entity.wanted = true;
        self.hand_wake(index, key);
    }

    pub(crate) fn entity_answered(&mut self, index: usize, key: Key, number: u64, answer: Option<Answer>) {
        let Some(entity) = self.entity(index, key).filter(|entity| entity.number == number) else { return };
        let Some(doing) = entity.doing.take() else { return };
        let Some(answer) = answer else { return self.end(index, key, End::Undone) };
        if let Answer::Applied(Applied::Fenced) = answer {
            return self.end(index, key, End::Undone);
        }
        if let Answer::Applied(Applied::Stale) = answer {
            return self.look_again(index, key);
        }
        match (key, doing, answer) {
            (Key::Tenant(tenant), Doing::Looking, Answer::AdmissionView(view)) => {
                self.admit(index, tenant, &view);
            }
            (Key::Tenant(_), Doing::Admitting { full }, Answer::Applied(_)) => {
                if full {
                    self.look(index, key)
                } else {
                    self.end(index, key, End::Done)
                }
            }
            (Key::Image(of), Doing::Looking, Answer::Behind(behind)) => self.step_image(index, of, *behind),
            (Key::Image(_), Doing::Reading(step), Answer::Inputs(inputs)) => {
                let takes = self.chance.between(Duration::from_millis(2), Duration::from_millis(400));
                if let Some(entity) = self.entity(index, key) {
                    entity.doing = Some(Doing::Evaluating(step, inputs));
                }
                self.inform(index, takes, News::Evaluated(key, number));
            }
            (Key::Image(_), Doing::Stepping(step), Answer::Applied(Applied::Moved(moved))) => {
                let (behind, step) = *step;
                self.image_stepped(index, key, &behind, &step, moved);
            }
            (Key::Sweeper, Doing::Expiring, Answer::Done) => self.sweep(index),
            (Key::Sweeper, Doing::Finding, Answer::Bells(found)) => self.ring_for(index, &found),
            (Key::Sweeper, Doing::Leaving, Answer::Done) => self.end(index, key, End::Done),
            (Key::Scheduler, Doing::Looking, Answer::Situation(at)) => self.decide_run(index, *at),
            (Key::Scheduler, Doing::Scheduling(step, next, at), Answer::Applied(Applied::Moved(moved))) => {
                self.run_stepped(index, step, next, at, moved);
            }
            (_, doing, answer) => unreachable!("{key:?} at {doing:?} was answered {answer:?}"),
        }
    }

    fn admit(&mut self, index: usize, tenant: u8, view: &admission::View) {
        let key = Key::Tenant(tenant);
        let jobs = admission::decide(view);
        if jobs.is_empty() {
            return self.end(index, key, End::Done);
        }
        let full = view.lanes.iter().any(|lane| lane.waiting.len() >= PAGE);
        self.effect(index, key, Doing::Admitting { full }, Effect::Admit { tenant, jobs });
    }

    fn step_image(&mut self, index: usize, of: Image, behind: Behind) {
        let key = Key::Image(of);
        let step = image::decide(&behind, EXTRACTOR);
        let effect = match step.clone() {
            ImageStep::Rest => return self.end(index, key, End::Done),
            ImageStep::Dispatch(jobs) => Effect::Dispatch { image: of, jobs },
            ImageStep::SkipExtraction(jobs) => Effect::SkipExtraction { image: of, jobs },
            ImageStep::Evaluate(_) => {
                let reading = Doing::Reading(Box::new((behind, step)));
                return self.go_on(index, key, reading, Ask::Inputs(of));
            }
        };
        self.effect(index, key, Doing::Stepping(Box::new((behind, step))), effect);
    }

    pub(crate) fn evaluated(&mut self, index: usize, key: Key, number: u64) {
        let Some(entity) = self.entity(index, key).filter(|entity| entity.number == number) else { return };
        let Some(Doing::Evaluating(step, inputs)) = entity.doing.take() else { return };
        let (Key::Image(image), ImageStep::Evaluate(jobs)) = (key, &step.1) else { return };
        let effect = Effect::SaveEvaluation { image, inputs, jobs: jobs.clone() };
        self.effect(index, key, Doing::Stepping(step), effect);
    }

    fn image_stepped(&mut self, index: usize, key: Key, behind: &Behind, step: &ImageStep, moved: usize) {
        if matches!(step, ImageStep::SkipExtraction(_)) && moved == 0 {
            return self.look_again(index, key);
        }
        if step.goes_on(behind) { self.look(index, key) } else { self.end(index, key, End::Done) }
    }

    fn sweep(&mut self, index: usize) {
        let clock = self.nodes[index].clock(self.now);
        let timing = self.plan.sweep;
        let Some(entity) = self.entity(index, Key::Sweeper) else { return };
        let Known::Sweeper { swept, haste, memory } = &mut entity.memory else { return };
        let how = std::mem::replace(haste, Haste::None);
        let due = swept.is_none_or(|swept| clock.saturating_sub(swept) >= timing.every);
        let older_than = match how {
            Haste::None if !due => return self.end(index, Key::Sweeper, End::Done),
            Haste::None | Haste::Look => timing.older_than,
            Haste::Everything => {
                memory.clear();
                Duration::ZERO
            }
        };
        self.go_on(index, Key::Sweeper, Doing::Finding, Ask::FindStanding(older_than));
    }

    fn ring_for(&mut self, index: usize, found: &[Bell]) {
        let clock = self.nodes[index].clock(self.now);
        let timing = self.plan.sweep;
        let bells = (0..).zip(found).map(|(number, bell)| bell.product(number)).collect();
        let Some(entity) = self.entity(index, Key::Sweeper) else { return };
        let Known::Sweeper { swept, memory, .. } = &mut entity.memory else { return };
        let due = memory.due(bells, clock, &timing);
        if due.is_empty() {
            *swept = Some(clock);
            return self.end(index, Key::Sweeper, End::Done);
        }
        let of =
            |bell: &store::Bell| usize::try_from(bell.id).ok().and_then(|number| found.get(number)).copied();
        let ring: Vec<Bell> = due.iter().filter_map(of).collect();
        let command = Command::Ring(ring.clone());
        entity.doing = Some(Doing::Ringing(ring));
        let to = To::Entity(Key::Sweeper, entity.number);
        self.tell(|| format!("the sweeper has {command:?}"));
        self.ask(index, Question::Valkey(to, command), News::Valkey(to, None));
    }

    pub(crate) fn entity_has_rung(&mut self, index: usize, key: Key, number: u64, done: bool) {
        let clock = self.nodes[index].clock(self.now);
        let Some(entity) = self.entity(index, key).filter(|entity| entity.number == number) else { return };
        let Some(Doing::Ringing(bells)) = entity.doing.take() else { return };
        if let Known::Sweeper { swept, .. } = &mut entity.memory {
            *swept = Some(clock);
        }
        if done {
            self.end(index, key, End::Done)
        } else {
            self.go_on(index, key, Doing::Leaving, Ask::Leave(bells))
        }
    }

    fn decide_run(&mut self, index: usize, at: Situation) {
        let policy = self.plan.policy.clone();
        let Some(entity) = self.entity(index, Key::Scheduler) else { return };
        let Known::Scheduler { budget, settled, steps } = &mut entity.memory else { return };
        *steps += 1;
        let budget = budget.get_or_insert_with(|| Budget::new(policy.rate_per_s, at.now));
        let step = scheduler::decide(&at, &policy, settled, budget);
        if step == RunStep::Rest || *steps > STEPS_MAX {
            budget.keep(|run| at.open.iter().any(|open| open.id == run));
            return self.end(index, Key::Scheduler, End::Done);
        }
        let counts = |run: RunId| at.open.iter().find(|open| open.id == run).map(|open| open.counts);
        let (effect, next) = match step.clone() {
            RunStep::TakeChanges { after, until } => (RunEffect::TakeChanges { after, until }, None),
            RunStep::Plan(run) => (RunEffect::Select(run), Some(RunEffect::EndPlanning(run))),
            RunStep::Hold(run, _) => (RunEffect::MoveTo(run, RunState::Held), None),
            RunStep::Begin(run) => (RunEffect::MoveTo(run, RunState::Running), None),
            RunStep::Dispatch(run, limit) => (RunEffect::Dispatch(run, limit), None),
            RunStep::Settle(run) => {
                settled.insert(run);
                (RunEffect::Settle(run, policy.patience), None)
            }
            RunStep::Finish(run) => {
                let failed = counts(run).is_some_and(|counts| counts.failed > 0);
                let end = if failed { RunState::Failed } else { RunState::Completed };
                (RunEffect::MoveTo(run, end), None)
            }
            RunStep::Cancel(run) => (RunEffect::MoveTo(run, RunState::Cancelled), None),
            RunStep::Rest | RunStep::Come(_) => unreachable!("there are no schedules"),
        };
        self.effect(index, Key::Scheduler, Doing::Scheduling(step, next, Box::new(at)), Effect::Run(effect));
    }

    fn run_stepped(
        &mut self,
        index: usize,
        step: RunStep,
        next: Option<RunEffect>,
        at: Box<Situation>,
        moved: usize,
    ) {
        let key = Key::Scheduler;
        if let Some(next) = next {
            return self.effect(index, key, Doing::Scheduling(step, None, at), Effect::Run(next));
        }
        if let RunStep::Dispatch(run, _) = step {
            if let Some(entity) = self.entity(index, key)
                && let Known::Scheduler { budget: Some(budget), .. } = &mut entity.memory
            {
                budget.spend(run, None, moved as u64, at.now);
            }
            if moved == 0 {
                return self.end(index, key, End::Done);
            }
        }
        self.look(index, key);
    }
}
