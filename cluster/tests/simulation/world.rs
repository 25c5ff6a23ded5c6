//! Virtual time, a network between nodes and authority, and nodes that run the pure machines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use cluster::{Gen, Timing};

use super::chance::Chance;
use super::model::{Model, Why};
use super::node::{News, Node, Question};

/// How long a node waits for an answer of the authority.
const PATIENCE: Duration = Duration::from_secs(2);
/// A cause of suspicion counts for this long afterwards.
const CAUSE_LASTS: Duration = Duration::from_secs(30);

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) partitions: u16,
    pub(crate) timing: Timing,
    /// Whether the authority checks epochs. Off only in the negative control.
    pub(crate) fence: bool,
    /// Whether ended nodes go on writing with what they once held.
    pub(crate) zombies: bool,
    /// Once in so many, a message takes seconds or arrives twice.
    pub(crate) odd_message_in: u64,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) plan: Plan,
    pub(crate) model: Model,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chance: Chance,
    /// Everything that happened, folded into one number.
    pub(crate) trace: u64,
    pub(crate) authority_down: bool,
    /// Nodes whose questions to the authority are lost, and to whom its answers are.
    pub(crate) cut_to: BTreeSet<usize>,
    pub(crate) cut_from: BTreeSet<usize>,
    /// Pairs of nodes that cannot reach each other, and when each pair last could not.
    pub(crate) cut_links: BTreeSet<(usize, usize)>,
    pub(crate) out_of_reach: BTreeMap<(usize, usize), Duration>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    scheduled: BTreeMap<u64, (usize, u64, Happening)>,
    next: u64,
}

/// What happens to a node, in one of its lives.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A question of its arrives at the authority.
    Asked(u64, Question),
    /// An answer arrives, or the waiting for it ends.
    Answered(u64, News),
    /// Something else reaches it.
    Told(News),
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let nodes = (0..plan.nodes).map(|index| Node::new(index, &mut chance)).collect();
        let model = Model::new(plan.partitions, plan.fence);
        Self {
            now: Duration::from_secs(1),
            plan,
            model,
            nodes,
            chance,
            trace: 0xcbf2_9ce4_8422_2325,
            authority_down: false,
            cut_to: BTreeSet::new(),
            cut_from: BTreeSet::new(),
            cut_links: BTreeSet::new(),
            out_of_reach: BTreeMap::new(),
            queue: BinaryHeap::new(),
            scheduled: BTreeMap::new(),
            next: 0,
        }
    }

    /// Runs until then.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, id))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            self.now = at;
            let (node, life, what) = self.scheduled.remove(&id).expect("scheduled");
            self.remember(node, &what);
            match what {
                Happening::Asked(question, what) => self.authority(node, life, question, what),
                what if self.nodes[node].life == life => self.arrive(node, what),
                _ => {} // Meant for a former life.
            }
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn remember(&mut self, node: usize, what: &Happening) {
        for byte in format!("{:?} {node} {what:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn schedule(&mut self, after: Duration, node: usize, life: u64, what: Happening) {
        self.next += 1;
        self.queue.push(Reverse((self.now + after, self.next)));
        self.scheduled.insert(self.next, (node, life, what));
    }

    /// Something reaches the node, in its present life, after a while.
    pub(crate) fn tell(&mut self, node: usize, after: Duration, news: News) {
        self.schedule(after, node, self.nodes[node].life, Happening::Told(news));
    }

    /// The node asks the authority; the news `unanswered` reaches it when no answer does in time.
    pub(crate) fn ask(&mut self, node: usize, what: Question, unanswered: News) {
        self.next += 1;
        let (question, life) = (self.next, self.nodes[node].life);
        self.nodes[node].open.insert(question);
        self.schedule(PATIENCE, node, life, Happening::Answered(question, unanswered));
        if self.cut_to.contains(&node) {
            return;
        }
        let copies = if self.is_odd() { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            self.schedule(delay, node, life, Happening::Asked(question, what.clone()));
        }
    }

    fn is_odd(&mut self) -> bool {
        self.plan.odd_message_in > 0 && self.chance.one_in(self.plan.odd_message_in)
    }

    fn delay(&mut self) -> Duration {
        let odd = self.is_odd();
        let (from, to) = if odd { (50, 6000) } else { (0, 20) };
        self.chance.between(Duration::from_millis(from), Duration::from_millis(to))
    }

    fn authority(&mut self, node: usize, life: u64, question: u64, what: Question) {
        if self.authority_down {
            return;
        }
        let claims = self.model.ledger.claims.len();
        let deaths = self.model.ledger.declared_dead.len();
        let answer = what.execute(&mut self.model, &self.nodes[node], self.now, self.plan.timing.votes);
        if self.model.ledger.claims.len() > claims {
            self.judge_claim();
        }
        if self.model.ledger.declared_dead.len() > deaths {
            self.judge_death();
        }
        if let Some(news) = answer.filter(|_| !self.cut_from.contains(&node)) {
            let delay = self.delay();
            self.schedule(delay, node, life, Happening::Answered(question, news));
        }
    }

    /// Nobody else may still believe that it may act for a partition somebody just claimed; except who
    /// was voted out while beating, and only the epoch holds back.
    fn judge_claim(&mut self) {
        let (partition, by, now) = *self.model.ledger.claims.last().expect("a claim");
        for node in self.nodes.iter().filter(|n| n.running) {
            let Some(minds) = node.minds.as_ref().filter(|m| m.me != by) else { continue };
            let voted_out = self.model.ledger.why_dead(minds.me).is_some_and(|why| why != Why::StoodStill);
            let acts = minds.hosted.contains_key(&partition) && minds.membership.may_act(node.clock(now));
            if acts && !voted_out {
                let what = format!("{by} claimed {partition} while {} still acts for it", minds.me);
                self.model.ledger.complain(what);
                return;
            }
        }
    }

    /// Whoever was declared dead must not have beaten lately, or two must have had cause.
    fn judge_death(&mut self) {
        let (target, now, why) = *self.model.ledger.declared_dead.last().expect("a death");
        let silent = now - self.model.last_beat(target);
        let ok = match why {
            Why::StoodStill => silent > self.plan.timing.ttl.mul_f64(0.999),
            Why::OutOfReach => self.with_cause_against(target) >= 2,
            Why::Replaced => silent > self.plan.timing.rival_watch.mul_f64(0.999),
        };
        if !ok {
            self.model
                .ledger
                .complain(format!("{target} declared dead ({why:?}) {silent:?} after its last beat"));
        }
    }

    fn with_cause_against(&self, target: Gen) -> usize {
        let Some(index) = self.nodes.iter().position(|n| n.bore(target)) else { return 0 };
        let lately = |at: &Duration| self.now - *at < CAUSE_LASTS;
        let target = &self.nodes[index];
        let no_answer =
            target.is_paused() || !target.running || target.unresponsive.as_ref().is_some_and(lately);
        let cut = |other: &usize| {
            let pair = (index.min(*other), index.max(*other));
            self.cut_links.contains(&pair) || self.out_of_reach.get(&pair).is_some_and(lately)
        };
        (0..self.nodes.len()).filter(|other| *other != index).filter(|other| no_answer || cut(other)).count()
    }
}
