//! Virtual time, and a network between nodes, PostgreSQL and Valkey.
//!
//! Everything happens in one queue, ordered by time and then by number; all chance comes from the seed. A question
//! that is not answered in time is given up by whoever asked, and may be carried out all the same: before that, after
//! it, or not at all.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use cluster::Gen;

use crate::authority::{Authority, Why};
use crate::chance::Chance;
use crate::client::{self, Client};
use crate::database::{Database, Holder};
use crate::faults::Fault;
use crate::node::{News, Node};
use crate::plan::Plan;
use crate::question::{Question, Server};
use crate::trace::Trace;
use crate::valkey::Valkey;

/// How long a node waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A cause of suspicion counts for this long afterwards.
const CAUSE_LASTS: Duration = Duration::from_secs(30);

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) plan: Plan,
    pub(crate) database: Database,
    pub(crate) valkey: Valkey,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) chance: Chance,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    /// Faults that have struck, by when they are healed.
    pub(crate) heals: BTreeMap<(Duration, u64), (Fault, usize, usize)>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    next: u64,
}

/// What does not get through.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) down: BTreeSet<Server>,
    /// Nodes whose questions to a server are lost, and to whom its answers are.
    pub(crate) cut_to: BTreeSet<(usize, Server)>,
    pub(crate) cut_from: BTreeSet<(usize, Server)>,
    /// Which node cannot reach which other; one direction each. And when each last could not.
    pub(crate) cut_links: BTreeSet<(usize, usize)>,
    pub(crate) out_of_reach: BTreeMap<(usize, usize), Duration>,
    /// When something was last wrong with a node, or between it and a server.
    pub(crate) troubled: BTreeMap<usize, Duration>,
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
    number: u64,
    node: usize,
    life: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What happens to a node, in one of its lives; or elsewhere.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A question of its arrives at a server.
    Asked(u64, Question),
    /// An answer arrives, or the waiting for it ends.
    Answered(u64, News),
    /// Something else reaches it.
    Told(News),
    /// Something reaches the client of this number.
    Client(client::News),
    /// The feeds have changed.
    Feeds,
    /// A person looks at what is held.
    Person,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let nodes = (0..plan.nodes).map(|index| Node::new(index, &mut chance)).collect();
        let authority = Authority::new(plan.partitions, plan.defences.fence);
        let mut world = Self {
            now: Duration::from_secs(1),
            database: Database::new(authority, plan.defences),
            valkey: Valkey::default(),
            nodes,
            clients: Vec::new(),
            chance,
            net: Net::default(),
            trace: Trace::new(plan.tell),
            heals: BTreeMap::new(),
            queue: BinaryHeap::new(),
            next: 0,
            plan,
        };
        if world.plan.has_work {
            world.furnish();
        }
        world
    }

    /// The database's clock.
    pub(crate) fn date(&self) -> Duration {
        self.now + self.database.ahead
    }

    /// Runs until then.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end)
            && let Some(Reverse(Scheduled { at, node, life, what, .. })) = self.queue.pop()
        {
            self.now = at;
            self.trace.mix(at, node, &what);
            match what {
                Happening::Asked(question, what) => self.serve(node, life, question, what),
                Happening::Client(news) => self.client_told(node, news),
                Happening::Feeds => self.feeds_change(),
                Happening::Person => self.database.release_held(at),
                what @ (Happening::Answered(..) | Happening::Told(_)) if self.nodes[node].life == life => {
                    self.arrive(node, what);
                }
                Happening::Answered(..) | Happening::Told(_) => {} // Meant for a former life.
            }
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Keeps a line of what happens, if anybody wants to read it.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.trace.tell(self.now, line);
    }

    /// One that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn schedule(&mut self, after: Duration, node: usize, life: u64, what: Happening) {
        let (at, number) = (self.now + after, self.number());
        self.queue.push(Reverse(Scheduled { at, number, node, life, what }));
    }

    /// Something reaches the node, in its present life, after a while.
    pub(crate) fn inform(&mut self, node: usize, after: Duration, news: News) {
        self.schedule(after, node, self.nodes[node].life, Happening::Told(news));
    }

    /// The node asks a server; the news `unanswered` reaches it when no answer does in time.
    pub(crate) fn ask(&mut self, node: usize, what: Question, unanswered: News) {
        let (question, life) = (self.number(), self.nodes[node].life);
        self.nodes[node].open.insert(question);
        self.schedule(PATIENCE, node, life, Happening::Answered(question, unanswered));
        if self.net.cut_to.contains(&(node, what.server())) {
            return;
        }
        let copies = if what.may_come_twice() && self.is_odd() { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            self.schedule(delay, node, life, Happening::Asked(question, what.clone()));
        }
    }

    pub(crate) fn is_odd(&mut self) -> bool {
        self.plan.odd_message_in > 0 && self.chance.one_in(self.plan.odd_message_in)
    }

    pub(crate) fn delay(&mut self) -> Duration {
        let odd = self.is_odd();
        let (from, to) = if odd { (50, 6000) } else { (0, 20) };
        self.chance.between(Duration::from_millis(from), Duration::from_millis(to))
    }

    /// A question arrives: a commit may fail, and its answer may be lost.
    fn serve(&mut self, node: usize, life: u64, question: u64, what: Question) {
        let server = what.server();
        let is_refused = self.is_odd() && self.chance.one_in(2);
        if self.net.down.contains(&server) || is_refused {
            return;
        }
        let claims = self.database.authority.ledger.claims.len();
        let deaths = self.database.authority.ledger.declared_dead.len();
        let answer = self.execute(node, life, what);
        if self.database.authority.ledger.claims.len() > claims {
            self.judge_claim();
        }
        if self.database.authority.ledger.declared_dead.len() > deaths {
            self.judge_death();
        }
        let is_lost = self.is_odd() && self.chance.one_in(2);
        if let Some(news) = answer.filter(|_| !is_lost && !self.net.cut_from.contains(&(node, server))) {
            let delay = self.delay();
            self.schedule(delay, node, life, Happening::Answered(question, news));
        }
    }

    /// The node that an incarnation is or was.
    pub(crate) fn node_of(&self, generation: Gen) -> Option<usize> {
        self.nodes.iter().position(|node| node.bore(generation))
    }

    /// Whether something is or was lately wrong with a node, or between it and a server.
    pub(crate) fn is_troubled(&self, node: usize, lately: Duration) -> bool {
        let of = &self.nodes[node];
        let cut = self.net.cut_to.iter().chain(&self.net.cut_from).any(|(cut, _)| *cut == node);
        let before = self.net.troubled.get(&node).is_some_and(|at| self.now - *at < lately);
        !of.running || of.is_paused() || cut || before || !self.net.down.is_empty()
    }

    /// Something was wrong with this node, or with all of them.
    pub(crate) fn note_trouble(&mut self, node: Option<usize>) {
        let nodes = node.map_or(0..self.nodes.len(), |node| node..node + 1);
        for node in nodes {
            self.net.troubled.insert(node, self.now);
        }
    }

    /// Work was taken over from a node that lives. It must have had trouble that kept it from renewing, or not be at
    /// it at all.
    pub(crate) fn judge_take_over(&mut self, work: u64, from: Holder) {
        let lately = self.plan.streams.work_lease * 2;
        let is_at_it = |node: usize| {
            let minds = self.nodes[node].minds.as_ref().filter(|minds| minds.me == from);
            minds.is_some_and(|minds| minds.slots.are_at(work)) && !self.is_troubled(node, lately)
        };
        let wronged = self.node_of(from).is_some_and(is_at_it);
        if self.database.authority.is_live(from) && wronged {
            let what = format!("work {work} was taken over from {from}, which was well and at it");
            self.database.authority.ledger.complain(what);
        }
    }

    /// Nobody else may still believe that it may act for a partition somebody just claimed; except who
    /// was voted out while beating, and only the epoch holds back.
    fn judge_claim(&mut self) {
        let (partition, by, now) = *self.database.authority.ledger.claims.last().expect("a claim");
        for node in self.nodes.iter().filter(|n| n.running) {
            let Some(minds) = node.minds.as_ref().filter(|m| m.me != by) else { continue };
            let why = self.database.authority.ledger.why_dead(minds.me);
            let voted_out = why.is_some_and(|why| why != Why::StoodStill);
            let may_act = minds.membership.may_act(node.clock(now)) || !self.plan.defences.step_down;
            if minds.hosted.contains_key(&partition) && may_act && !voted_out {
                let what = format!("{by} claimed {partition} while {} still acts for it", minds.me);
                self.database.authority.ledger.complain(what);
                return;
            }
        }
    }

    /// Whoever was declared dead must not have beaten lately, or two must have had cause.
    fn judge_death(&mut self) {
        let (target, now, why) = *self.database.authority.ledger.declared_dead.last().expect("a death");
        let silent = now - self.database.authority.last_beat(target);
        let ok = match why {
            Why::StoodStill => silent > self.plan.timing.ttl.mul_f64(0.999),
            Why::OutOfReach => self.with_cause_against(target) >= 2,
            Why::Replaced => silent > self.plan.timing.rival_watch.mul_f64(0.999),
        };
        if !ok {
            let what = format!("{target} declared dead ({why:?}) {silent:?} after its last beat");
            self.database.authority.ledger.complain(what);
        }
    }

    fn with_cause_against(&self, target: Gen) -> usize {
        let Some(index) = self.node_of(target) else { return 0 };
        let lately = |at: &Duration| self.now - *at < CAUSE_LASTS;
        let target = &self.nodes[index];
        let no_answer =
            target.is_paused() || !target.running || target.unresponsive.as_ref().is_some_and(lately);
        let cut = |other: &usize| {
            [(index, *other), (*other, index)].iter().any(|pair| {
                self.net.cut_links.contains(pair) || self.net.out_of_reach.get(pair).is_some_and(lately)
            })
        };
        (0..self.nodes.len()).filter(|other| *other != index).filter(|other| no_answer || cut(other)).count()
    }
}
