//! One process under one name: it runs the machines of membership and ownership and carries out what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::membership::{self, JoinStep, Joining, Membership};
use cluster::ownership::{self, Claim, Ownership};
use cluster::{Gen, Join, Lease, MemberState, NewMember, Rival};
use invariants::Id;

use crate::carrier::{Reader, Relay};
use crate::chance::Chance;
use crate::database::Job;
use crate::host::Host;
use crate::keys::Key;
use crate::question::{Answer, Ask, Question, To};
use crate::slot::Slots;
use crate::valkey::Reply;
use crate::world::{Happening, World};

const TICK: Duration = Duration::from_millis(50);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// A process and its successors under the same name.
#[derive(Debug)]
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
    /// How far its clock of the wall is ahead; its monotonic clock knows nothing of that.
    pub(crate) wall_ahead: Duration,
}

/// What lives in a node that has joined.
#[derive(Debug)]
pub(crate) struct Minds {
    pub(crate) me: Gen,
    pub(crate) membership: Membership,
    pub(crate) ownership: Ownership,
    /// Partitions whose entities live here.
    pub(crate) hosted: BTreeMap<u16, Lease>,
    pub(crate) host: Host,
    pub(crate) relay: Relay,
    pub(crate) reader: Reader,
    pub(crate) slots: Slots,
    /// Valkey's marker as last seen.
    pub(crate) marker: Option<u64>,
    /// Whether it has answered.
    pub(crate) is_valkey_reachable: bool,
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
    /// An answer of the tables of jobs, or none.
    Database(To, Option<Answer>),
    /// An answer of Valkey, or none.
    Valkey(To, Option<Reply>),
    /// An entity's evaluation is done.
    Evaluated(Key, u64),
    /// An entity has rested for long enough.
    Rested(Key, u64),
    /// The relay's next round.
    Round,
    /// The reader's next read of bells.
    ReadBells,
    /// The reader of work looks for some.
    Seek,
    /// A slot has read its image, or could not.
    Read(usize, u64),
    /// A slot renews its lease and asks whether to go on.
    Keep(usize, u64),
    /// A slot tries again to say what came of its work.
    Conclude(usize, u64),
    /// Look whether Valkey has lost everything.
    Look,
    /// Look for what stands still here, if Valkey does not answer.
    LookOut,
    /// A client's request.
    Submit {
        client: usize,
        number: u64,
        job: Box<Job>,
    },
    /// A client does not want its job any more.
    Cancel(Id),
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
            wall_ahead: Duration::from_secs(7200),
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

    pub(crate) fn introduction(&self) -> NewMember {
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
        self.inform(index, MS, News::TryJoin(None));
    }

    /// The process ends at once. What it had sent may still arrive.
    pub(crate) fn crash(&mut self, index: usize) {
        let haunting = if self.plan.zombies { 12 } else { 3 };
        let leases: Vec<_> =
            self.nodes[index].minds.iter().flat_map(|m| m.hosted.values().copied()).collect();
        for lease in leases.into_iter().take(haunting) {
            let delay = self.chance.between(Duration::ZERO, Duration::from_secs(8));
            let life = self.nodes[index].life;
            self.schedule(delay, index, life, Happening::Asked(0, Question::Write(lease)));
        }
        let now = self.now;
        if self.nodes[index].running {
            // Its connections are closed, and what was open on them ends.
            let life = self.nodes[index].life;
            self.database.roll_back(Some((index, life)));
            self.note_trouble(Some(index));
            self.tell(|| format!("node {index} ends"));
        }
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
        self.note_trouble(Some(index));
        let node = &self.nodes[index];
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
            Happening::Answered(..)
            | Happening::Asked(..)
            | Happening::Client(_)
            | Happening::Feeds
            | Happening::Person => {}
        }
    }

    fn told(&mut self, index: usize, news: News) {
        let clock = self.nodes[index].clock(self.now);
        match news {
            News::Tick => {
                self.inform(index, TICK, News::Tick);
                self.member(index, membership::Event::Tick);
                self.owner(index, ownership::Event::Tick);
                self.tick_host(index);
            }
            News::Act => self.act(index),
            News::TryJoin(replacing) => self.ask(index, Question::Join(replacing), News::JoinAnswer(None)),
            News::JoinAnswer(answer) => self.join_answered(index, answer, clock),
            News::UpAnswer(me, Some(true)) => self.live(index, me, clock),
            News::UpAnswer(me, None) => self.ask(index, Question::Up(me), News::UpAnswer(me, None)),
            News::UpAnswer(me, Some(false)) => {
                // Up already and the answer was lost, or declared dead meanwhile.
                if self.database.authority.state(me) == Some(MemberState::Up) {
                    self.live(index, me, clock)
                } else {
                    self.restart(index)
                }
            }
            News::Member(event) => self.member(index, event),
            News::Owner(event) => self.owner(index, event),
            News::Left => self.left(index),
            News::Nothing => {}
            News::Database(to, answer) => self.database_answered(index, to, answer),
            News::Valkey(to, reply) => self.valkey_answered(index, to, reply),
            News::Evaluated(key, number) => self.evaluated(index, key, number),
            News::Rested(key, number) => self.rested(index, key, number),
            News::Round => self.begin_round(index),
            News::ReadBells => self.read_bells(index),
            News::Seek => self.seek(index),
            News::Read(slot, number) => self.has_read(index, slot, number),
            News::Keep(slot, number) => self.keep(index, slot, number),
            News::Conclude(slot, number) => self.conclude(index, slot, number),
            News::Look => self.look_at_marker(index),
            News::LookOut => self.look_out(index),
            News::Submit { client, number, job } => self.pass_on(index, client, number, job),
            News::Cancel(job) => {
                let ask = Question::Database(To::Nobody, Ask::Cancel(job));
                self.ask(index, ask, News::Nothing);
            }
        }
    }

    fn join_answered(&mut self, index: usize, answer: Option<Join>, clock: Duration) {
        let watch = self.plan.timing.rival_watch;
        let step = answer.map(|answer| self.nodes[index].joining.step(answer, watch, clock));
        match step {
            None | Some(JoinStep::Wait) => self.inform(index, 200 * MS, News::TryJoin(None)),
            Some(JoinStep::Replace(rival)) => self.inform(index, MS, News::TryJoin(Some(rival))),
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
            host: Host::default(),
            relay: Relay::default(),
            reader: Reader::new(self.plan.streams.bell_idle_max, clock),
            slots: Slots::new(self.plan.streams.work_lease, clock),
            marker: None,
            is_valkey_reachable: true,
        });
        self.tell(|| format!("node {index} is {me}"));
        self.inform(index, MS, News::Tick);
        if self.plan.has_work {
            self.set_going(index);
        } else {
            self.inform(index, MS, News::Act);
        }
    }

    /// Its own actors.
    fn set_going(&mut self, index: usize) {
        for news in [News::Round, News::ReadBells, News::Seek, News::Look, News::LookOut] {
            self.inform(index, MS, news);
        }
    }

    fn database_answered(&mut self, index: usize, to: To, answer: Option<Answer>) {
        match to {
            To::Entity(key, number) => self.entity_answered(index, key, number, answer),
            To::Slot(slot, number) => self.slot_answered(index, slot, number, answer),
            To::Relay(round) => self.relay_answered(index, round, answer),
            To::Door { client, number } => self.answer_client(client, number, answer),
            To::Lookout => self.has_looked_out(index, answer),
            To::Work(_) | To::Reader(_) | To::Marker | To::Nobody => {}
        }
    }

    fn valkey_answered(&mut self, index: usize, to: To, reply: Option<Reply>) {
        match to {
            To::Entity(key, number) => self.entity_has_rung(index, key, number, reply.is_some()),
            To::Work(number) => self.work_found(index, number, reply),
            To::Relay(round) => self.relay_has_rung(index, round, reply.is_some()),
            To::Reader(number) => self.bells_read(index, number, reply),
            To::Marker => self.marker_seen(index, reply),
            To::Slot(..) | To::Door { .. } | To::Lookout | To::Nobody => {}
        }
    }

    fn left(&mut self, index: usize) {
        let again = self.nodes[index].again;
        self.crash(index);
        if again {
            self.start(index);
        }
    }

    /// The process ends and is started again by whoever watches over processes.
    pub(crate) fn restart(&mut self, index: usize) {
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
                Action::Gone(generation) => {
                    self.has_died(index, generation);
                    self.owner(index, ownership::Event::Gone(generation));
                }
                Action::ValidUntil(_) => {}
                Action::Die => return self.restart(index),
            }
        }
    }

    fn probe(&mut self, index: usize, peer: Gen) {
        let found = self.nodes.iter().position(|n| n.minds.as_ref().is_some_and(|m| m.me == peer));
        let reached = found
            .is_some_and(|other| self.reaches(index, other) && !self.net.cut_links.contains(&(other, index)));
        let after = if reached { 10 * MS } else { 1000 * MS };
        self.inform(index, after, News::Member(membership::Event::Probed { peer, reached }));
    }

    /// Whether a message gets there.
    fn reaches(&self, one: usize, other: usize) -> bool {
        let takes = self.nodes[other].running && !self.nodes[other].is_paused();
        takes && !self.net.cut_links.contains(&(one, other))
    }

    pub(crate) fn owner(&mut self, index: usize, event: ownership::Event) {
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let me = minds.me;
        if let ownership::Event::Stopped(lease) = event {
            minds.hosted.remove(&lease.partition);
        }
        for action in minds.ownership.step(event, clock) {
            self.tell_of_owner(me, &action);
            self.carry_out(index, me, action, clock);
        }
    }

    fn tell_of_owner(&mut self, me: Gen, action: &ownership::Action) {
        use ownership::Action;
        if let Action::Activate(_) | Action::Stop(_) | Action::Abandon(_) = action {
            self.tell(|| format!("{me}: {action:?}"));
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
            Action::CutOff(generation) => {
                self.ask(index, Question::CutOff(generation), event(Event::CutOff(generation)));
            }
            Action::Claim { partition, seen_epoch } => {
                let unknown = Event::Claimed { partition, outcome: Claim::Unknown };
                self.ask(index, Question::Claim { me, partition, seen_epoch }, event(unknown));
            }
            Action::Activate(lease) => {
                let former = minds.hosted.insert(lease.partition, lease);
                if let Some(former) = former {
                    let what = format!("{me} activates {lease:?} over {former:?}");
                    self.database.authority.ledger.complain(what);
                }
                self.activate(index, lease);
            }
            Action::Stop(lease) => self.stop(index, lease, sent),
            Action::Abandon(lease) => {
                minds.hosted.remove(&lease.partition);
                minds.host.abandon(lease.partition, self.plan.partitions);
            }
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
                    self.inform(other, 2 * MS, event(Event::Hint));
                }
            }
            Action::Publish => {}
            Action::Drained => self.ask(index, Question::Leave(me), News::Left),
        }
    }

    /// Some entity that lives here has an effect, if this node believes that it may.
    fn act(&mut self, index: usize) {
        let wait = self.chance.between(20 * MS, 80 * MS);
        self.inform(index, wait, News::Act);
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &self.nodes[index].minds else { return };
        if !minds.hosted.is_empty() && (minds.membership.may_act(clock) || self.plan.zombies) {
            let pick = usize::try_from(self.chance.below(minds.hosted.len() as u64)).expect("small");
            let lease = *minds.hosted.values().nth(pick).expect("within");
            self.ask(index, Question::Write(lease), News::Nothing);
        }
    }
}
