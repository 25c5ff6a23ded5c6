//! One process under one name: it runs the pure machines and carries out what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::membership::{self, JoinStep, Joining, Membership};
use cluster::ownership::{self, Claim, Ownership};
use cluster::{Gen, Join, Lease, MemberState, NewMember, Rival};

use super::chance::Chance;
use super::model::Model;
use super::world::{Happening, World};

const TICK: Duration = Duration::from_millis(50);
const MS: Duration = Duration::from_millis(1);

/// A process and its successors under the same name.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Counts its processes; what is meant for a former one is lost.
    pub(crate) life: u64,
    pub(crate) running: bool,
    /// It was told to start while it still ran: it starts again once it has left.
    again: bool,
    /// While stopped (as by SIGSTOP): what waits for it.
    paused: Option<Vec<Happening>>,
    /// When it last was stopped or down.
    pub(crate) unresponsive: Option<Duration>,
    /// Questions without answer yet.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) minds: Option<Minds>,
    former: Vec<Gen>,
    joining: Joining,
    clock_offset: Duration,
    /// How fast its clock runs, in parts per million.
    clock_rate: u32,
}

/// The machines of a node that has joined.
pub(crate) struct Minds {
    pub(crate) me: Gen,
    pub(crate) membership: Membership,
    pub(crate) ownership: Ownership,
    /// Partitions whose entities live here.
    pub(crate) hosted: BTreeMap<u16, Lease>,
}

/// What a node asks the authority.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Join(Option<Rival>),
    Up(Gen),
    Beat { me: Gen, sent: Duration },
    Observe { sent: Duration },
    Vote { me: Gen, target: Gen, seen: Option<i64> },
    Table { sent: Duration },
    Mine { me: Gen, sent: Duration },
    Claim { me: Gen, partition: u16, seen_epoch: i64 },
    Release { me: Gen, lease: Lease },
    Leave(Gen),
    Write { me: Gen, lease: Lease },
}

/// What reaches a node.
#[derive(Debug, Clone)]
pub(crate) enum News {
    Tick,
    /// Its entities want to have an effect.
    Act,
    TryJoin(Option<Rival>),
    JoinAnswer(Option<Join>),
    UpAnswer(Gen, Option<bool>),
    Member(membership::Event),
    Owner(ownership::Event),
    Left,
    Nothing,
}

impl Node {
    pub(crate) fn new(index: usize, chance: &mut Chance) -> Self {
        Self {
            name: format!("node-{index}"),
            life: 0,
            running: false,
            again: false,
            paused: None,
            unresponsive: None,
            open: BTreeSet::new(),
            minds: None,
            former: Vec::new(),
            joining: Joining::default(),
            clock_offset: chance.between(Duration::ZERO, Duration::from_secs(1_000_000)),
            clock_rate: 999_800 + u32::try_from(chance.below(401)).expect("small"),
        }
    }

    /// What its monotonic clock shows.
    pub(crate) fn clock(&self, now: Duration) -> Duration {
        self.clock_offset + now * self.clock_rate / 1_000_000
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    pub(crate) fn bore(&self, generation: Gen) -> bool {
        self.former.contains(&generation)
    }

    fn introduction(&self) -> NewMember {
        NewMember {
            name: self.name.clone(),
            address: format!("{}:1", self.name),
            weight: 1.0,
            wire_min: 1,
            wire_max: 1,
            build: "simulated".to_owned(),
        }
    }
}

impl Question {
    /// Executes it at the authority; `None` when nobody waits for an answer.
    pub(crate) fn execute(self, model: &mut Model, from: &Node, now: Duration, votes: u32) -> Option<News> {
        use membership::Event as M;
        use ownership::Event as O;
        Some(match self {
            Self::Join(replacing) => News::JoinAnswer(Some(model.join(&from.introduction(), replacing, now))),
            Self::Up(me) => News::UpAnswer(me, Some(model.up(me))),
            Self::Beat { me, sent } => News::Member(M::Beaten { sent, counted: Some(model.beat(me, now)) }),
            Self::Observe { sent } => News::Member(M::Observed { sent, view: Some(model.observe()) }),
            Self::Vote { me, target, seen } => {
                let dead = Some(model.declare_dead(target, seen, me, votes, now));
                News::Member(M::Voted { target, dead })
            }
            Self::Table { sent } => News::Owner(O::Table { sent, rows: Some(model.partitions()) }),
            Self::Mine { me, sent } => News::Owner(O::Mine { sent, leases: Some(model.partitions_of(me)) }),
            Self::Claim { me, partition, seen_epoch } => {
                let outcome = model.claim(partition, seen_epoch, me, now).map_or(Claim::Refused, Claim::Got);
                News::Owner(O::Claimed { partition, outcome })
            }
            Self::Release { me, lease } => {
                News::Owner(O::Released { lease, done: Some(model.release(lease, me)) })
            }
            Self::Leave(me) => {
                model.set_state(me, MemberState::Left);
                News::Left
            }
            Self::Write { me, lease } => {
                model.write(lease, me);
                return None;
            }
        })
    }
}

impl World {
    pub(crate) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.running {
            node.again = true;
            return;
        }
        node.running = true;
        node.again = false;
        node.life += 1;
        node.joining = Joining::default();
        self.tell(index, MS, News::TryJoin(None));
    }

    /// The process ends at once. What it had sent may still arrive.
    pub(crate) fn crash(&mut self, index: usize) {
        let haunting = if self.plan.zombies { 12 } else { 3 };
        let leases: Vec<_> =
            self.nodes[index].minds.iter().flat_map(|m| m.hosted.values().map(|l| (m.me, *l))).collect();
        for (me, lease) in leases.into_iter().take(haunting) {
            let delay = self.chance.between(Duration::ZERO, Duration::from_secs(8));
            let life = self.nodes[index].life;
            self.schedule(delay, index, life, Happening::Asked(0, Question::Write { me, lease }));
        }
        let now = self.now;
        let node = &mut self.nodes[index];
        node.running = false;
        node.life += 1;
        node.paused = None;
        node.open.clear();
        node.minds = None;
        node.unresponsive = Some(now);
    }

    pub(crate) fn pause(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.running && node.paused.is_none() {
            node.paused = Some(Vec::new());
        }
    }

    pub(crate) fn resume(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let Some(waiting) = node.paused.take() else { return };
        node.unresponsive = Some(now);
        let life = node.life;
        for what in waiting {
            if self.nodes[index].life == life {
                self.arrive(index, what);
            }
        }
    }

    pub(crate) fn arrive(&mut self, index: usize, what: Happening) {
        let node = &mut self.nodes[index];
        if let Some(waiting) = &mut node.paused {
            return waiting.push(what);
        }
        match what {
            Happening::Answered(question, news) if node.open.remove(&question) => self.told(index, news),
            Happening::Told(news) => self.told(index, news),
            Happening::Answered(..) | Happening::Asked(..) => {}
        }
    }

    fn told(&mut self, index: usize, news: News) {
        let clock = self.nodes[index].clock(self.now);
        match news {
            News::Tick => {
                self.tell(index, TICK, News::Tick);
                self.member(index, membership::Event::Tick);
                self.owner(index, ownership::Event::Tick);
            }
            News::Act => self.act(index),
            News::TryJoin(replacing) => self.ask(index, Question::Join(replacing), News::JoinAnswer(None)),
            News::JoinAnswer(answer) => self.join_answered(index, answer, clock),
            News::UpAnswer(me, Some(true)) => self.live(index, me, clock),
            News::UpAnswer(me, None) => self.ask(index, Question::Up(me), News::UpAnswer(me, None)),
            News::UpAnswer(me, Some(false)) => {
                // Up already and the answer was lost, or declared dead meanwhile.
                if self.model.state(me) == Some(MemberState::Up) {
                    self.live(index, me, clock)
                } else {
                    self.restart(index)
                }
            }
            News::Member(event) => self.member(index, event),
            News::Owner(event) => self.owner(index, event),
            News::Left => self.left(index),
            News::Nothing => {}
        }
    }

    fn join_answered(&mut self, index: usize, answer: Option<Join>, clock: Duration) {
        let watch = self.plan.timing.rival_watch;
        let step = answer.map(|answer| self.nodes[index].joining.step(answer, watch, clock));
        match step {
            None | Some(JoinStep::Wait) => self.tell(index, 200 * MS, News::TryJoin(None)),
            Some(JoinStep::Replace(rival)) => self.tell(index, MS, News::TryJoin(Some(rival))),
            Some(JoinStep::Joined(me)) => self.ask(index, Question::Up(me), News::UpAnswer(me, None)),
            Some(JoinStep::NameTaken(_)) => self.restart(index),
        }
    }

    fn live(&mut self, index: usize, me: Gen, clock: Duration) {
        let timing = self.plan.timing;
        let node = &mut self.nodes[index];
        node.former.push(me);
        node.minds = Some(Minds {
            me,
            membership: Membership::new(me, timing, clock),
            ownership: Ownership::new(me, timing, self.plan.partitions, clock),
            hosted: BTreeMap::new(),
        });
        self.tell(index, MS, News::Tick);
        self.tell(index, MS, News::Act);
    }

    fn left(&mut self, index: usize) {
        let again = self.nodes[index].again;
        self.crash(index);
        if again {
            self.start(index);
        }
    }

    /// The process ends and is started again by whoever watches over processes.
    fn restart(&mut self, index: usize) {
        self.crash(index);
        self.start(index);
    }

    fn member(&mut self, index: usize, event: membership::Event) {
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let me = minds.me;
        for action in minds.membership.step(event, clock) {
            use membership::{Action, Event};
            let event = |event| News::Member(event);
            match action {
                Action::Beat => {
                    let sent = clock;
                    self.ask(
                        index,
                        Question::Beat { me, sent },
                        event(Event::Beaten { sent, counted: None }),
                    );
                }
                Action::Observe => {
                    let sent = clock;
                    self.ask(index, Question::Observe { sent }, event(Event::Observed { sent, view: None }));
                }
                Action::Vote { target, seen_heartbeat: seen } => {
                    self.ask(
                        index,
                        Question::Vote { me, target, seen },
                        event(Event::Voted { target, dead: None }),
                    );
                }
                Action::Probe(peer) => self.probe(index, peer),
                Action::Publish(view) => self.owner(index, ownership::Event::View(view)),
                Action::Gone(generation) => self.owner(index, ownership::Event::Gone(generation)),
                Action::ValidUntil(_) => {}
                Action::Die => return self.restart(index),
            }
        }
    }

    fn probe(&mut self, index: usize, peer: Gen) {
        let found = self.nodes.iter().position(|n| n.minds.as_ref().is_some_and(|m| m.me == peer));
        let reached = found.is_some_and(|other| self.reaches(index, other));
        let after = if reached { 10 * MS } else { 1000 * MS };
        self.tell(index, after, News::Member(membership::Event::Probed { peer, reached }));
    }

    fn reaches(&self, one: usize, other: usize) -> bool {
        let answers = self.nodes[other].running && !self.nodes[other].is_paused();
        answers && !self.cut_links.contains(&(one.min(other), one.max(other)))
    }

    fn owner(&mut self, index: usize, event: ownership::Event) {
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let me = minds.me;
        if let ownership::Event::Stopped(lease) = event {
            minds.hosted.remove(&lease.partition);
        }
        for action in minds.ownership.step(event, clock) {
            self.carry_out(index, me, action, clock);
        }
    }

    fn carry_out(&mut self, index: usize, me: Gen, action: ownership::Action, sent: Duration) {
        use ownership::{Action, Event};
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let event = |event| News::Owner(event);
        match action {
            Action::ReadTable => {
                self.ask(index, Question::Table { sent }, event(Event::Table { sent, rows: None }));
            }
            Action::ReadMine => {
                self.ask(index, Question::Mine { me, sent }, event(Event::Mine { sent, leases: None }));
            }
            Action::CutOff(generation) => self.tell(index, 5 * MS, event(Event::CutOff(generation))),
            Action::Claim { partition, seen_epoch } => {
                let unknown = Event::Claimed { partition, outcome: Claim::Unknown };
                self.ask(index, Question::Claim { me, partition, seen_epoch }, event(unknown));
            }
            Action::Activate(lease) => {
                if let Some(former) = minds.hosted.insert(lease.partition, lease) {
                    self.model.ledger.complain(format!("{me} activates {lease:?} over {former:?}"));
                }
            }
            Action::Stop(lease) => {
                let after = self.chance.between(Duration::ZERO, 300 * MS);
                self.tell(index, after, event(Event::Stopped(lease)));
            }
            Action::Abandon(lease) => drop(minds.hosted.remove(&lease.partition)),
            Action::Release(lease) => {
                self.ask(
                    index,
                    Question::Release { me, lease },
                    event(Event::Released { lease, done: None }),
                );
            }
            Action::Tell { to, .. } => {
                let found = self.nodes.iter().position(|n| n.minds.as_ref().is_some_and(|m| m.me == to));
                if let Some(other) = found.filter(|other| self.reaches(index, *other)) {
                    self.tell(other, 2 * MS, event(Event::Hint));
                }
            }
            Action::Publish => {}
            Action::Drained => self.ask(index, Question::Leave(me), News::Owner(Event::Tick)),
        }
    }

    /// Some entity that lives here has an effect, if this node believes that it may.
    fn act(&mut self, index: usize) {
        let wait = self.chance.between(20 * MS, 80 * MS);
        self.tell(index, wait, News::Act);
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &self.nodes[index].minds else { return };
        if !minds.hosted.is_empty() && (minds.membership.may_act(clock) || self.plan.zombies) {
            let pick = usize::try_from(self.chance.below(minds.hosted.len() as u64)).expect("small");
            let lease = *minds.hosted.values().nth(pick).expect("within");
            let me = minds.me;
            self.ask(index, Question::Write { me, lease }, News::Nothing);
        }
    }
}
