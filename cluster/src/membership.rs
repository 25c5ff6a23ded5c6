//! Who is alive, as one node sees it: heartbeats, watching, suspicion, and when to stop oneself.
//!
//! No clock of two machines is compared. A peer is suspect when its counter stands still on *my* monotonic
//! clock; the vote is a compare-and-set on that counter, so a node that beat meanwhile cannot be killed.
//! A gap in my own reads (a pause, an outage of the authority) starts all watching afresh, so an outage
//! kills nobody. While I am answered nothing I send no heartbeat either: were only the answers lost, I would look
//! alive to all and own what I may not act for. I stop acting a margin before others may declare me dead; that is a courtesy, the epoch
//! is the safety.

use std::collections::BTreeMap;
use std::time::Duration;

use invariants::step::ends_before_death;

use crate::asking::Asking;
use crate::authority::{Gen, Join, MemberState, Rival, View};
use crate::config::Timing;

/// How many successors (by generation, in a circle) a node probes.
const PROBED: usize = 3;
/// How many failed probes within the window make a peer suspect.
const FAILED_PROBES: usize = 3;

/// What a member learns. `sent` is when the question it answers was sent, on the same clock as `now`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A heartbeat was answered: counted, not counted (no live row of mine), or no answer.
    Beaten {
        /// When it was sent.
        sent: Duration,
        /// Whether a row was counted up; `None` without answer.
        counted: Option<bool>,
    },
    /// The membership was read, or not.
    Observed {
        /// When the question was sent.
        sent: Duration,
        /// The live rows; `None` without answer.
        view: Option<View>,
    },
    /// A vote was answered, or not.
    Voted {
        /// Against whom.
        target: Gen,
        /// Whether the target is dead now.
        dead: Option<bool>,
    },
    /// A health probe came back, or not.
    Probed {
        /// Of whom.
        peer: Gen,
        /// Whether it answered in time.
        reached: bool,
    },
}

/// What a member wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Raise my heartbeat counter.
    Beat,
    /// Read the membership.
    Observe,
    /// Vote that this node is dead.
    Vote {
        /// Against whom.
        target: Gen,
        /// The counter that stood still, or `None` when only probes fail.
        seen_heartbeat: Option<i64>,
    },
    /// See whether this peer can be reached.
    Probe(Gen),
    /// The view has changed.
    Publish(View),
    /// This generation is gone: declared dead, or it left.
    Gone(Gen),
    /// Effects may start until then.
    ValidUntil(Duration),
    /// I am declared dead: stop everything.
    Die,
}

/// The state of one member. See the module.
#[derive(Debug, Clone)]
pub struct Membership {
    me: Gen,
    timing: Timing,
    view: Option<View>,
    peers: BTreeMap<Gen, Peer>,
    beat: Asking,
    observe: Asking,
    probe_due: Duration,
    observed_sent: Option<Duration>,
    observed_at: Option<Duration>,
    /// When the authority last answered me anything.
    heard: Duration,
    valid_until: Option<Duration>,
    dead: bool,
}

/// What is known of another member.
#[derive(Debug, Clone)]
struct Peer {
    heartbeat: i64,
    /// When I saw the counter change, on my clock.
    changed: Duration,
    probe_under_way: bool,
    failed_probes: Vec<Duration>,
    vote_under_way: bool,
}

impl Membership {
    /// A member that is in the view by now.
    pub fn new(me: Gen, timing: Timing, now: Duration) -> Self {
        let first = || Asking::due(now);
        Self {
            me,
            timing,
            view: None,
            peers: BTreeMap::new(),
            beat: first(),
            observe: first(),
            probe_due: now + timing.probe,
            observed_sent: None,
            observed_at: None,
            heard: now,
            valid_until: None,
            dead: false,
        }
    }

    /// The view as last read.
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Whether effects may start: my last counted heartbeat is young enough, and nobody declared me dead.
    pub fn may_act(&self, now: Duration) -> bool {
        !self.dead && self.valid_until.is_some_and(|until| now < until)
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.dead {
            return actions;
        }
        if let Event::Beaten { counted: Some(_), .. } | Event::Observed { view: Some(_), .. } = event {
            self.heard = now;
        }
        match event {
            Event::Tick => {}
            Event::Beaten { sent, counted } => self.beaten(sent, counted, &mut actions),
            Event::Observed { sent, view } => self.observed(sent, view, now, &mut actions),
            Event::Voted { target, dead } => self.voted(target, dead, now),
            Event::Probed { peer, reached } => self.probed(peer, reached, now, &mut actions),
        }
        if !self.dead {
            self.ask(now, &mut actions);
        }
        actions
    }

    /// Asks what is due.
    fn ask(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_heard = now.saturating_sub(self.heard) < self.timing.ttl.saturating_sub(self.timing.margin);
        if is_heard && self.beat.start(now, self.timing.beat) {
            actions.push(Action::Beat);
        }
        if self.observe.start(now, self.timing.observe) {
            actions.push(Action::Observe);
        }
        if now >= self.probe_due {
            self.probe_due = now + self.timing.probe;
            for target in self.probe_targets() {
                if let Some(peer) = self.peers.get_mut(&target).filter(|p| !p.probe_under_way) {
                    peer.probe_under_way = true;
                    actions.push(Action::Probe(target));
                }
            }
        }
    }

    fn beaten(&mut self, sent: Duration, counted: Option<bool>, actions: &mut Vec<Action>) {
        self.beat.answered(sent);
        match counted {
            Some(true) => {
                let until = sent + self.timing.ttl.saturating_sub(self.timing.margin);
                debug_assert!(ends_before_death(until, sent, self.timing.ttl));
                if self.valid_until.is_none_or(|known| known < until) {
                    self.valid_until = Some(until);
                    actions.push(Action::ValidUntil(until));
                }
            }
            Some(false) => self.die(actions),
            None => {}
        }
    }

    fn die(&mut self, actions: &mut Vec<Action>) {
        self.dead = true;
        actions.push(Action::Die);
    }

    fn observed(&mut self, sent: Duration, view: Option<View>, now: Duration, actions: &mut Vec<Action>) {
        self.observe.answered(sent);
        let Some(view) = view else { return };
        if self.observed_sent.is_some_and(|known| sent <= known) {
            return; // An older read, or the same one twice.
        }
        if view.member(self.me).is_none() {
            return self.die(actions);
        }
        let gap = self.observed_at.is_none_or(|at| now - at > self.timing.observe_gap_max);
        self.observed_sent = Some(sent);
        self.observed_at = Some(now);
        if gap {
            self.watch_afresh(now);
        }
        self.forget_gone(&view, actions);
        self.watch(&view, sent, now, actions);
        self.publish(view, actions);
    }

    /// I have not looked for a while, so nothing that stood still meanwhile counts against anybody.
    fn watch_afresh(&mut self, now: Duration) {
        for peer in self.peers.values_mut() {
            peer.changed = now;
            peer.failed_probes.clear();
        }
    }

    fn forget_gone(&mut self, view: &View, actions: &mut Vec<Action>) {
        let gone: Vec<_> = self.peers.keys().copied().filter(|g| view.member(*g).is_none()).collect();
        for generation in gone {
            self.peers.remove(&generation);
            actions.push(Action::Gone(generation));
        }
    }

    fn watch(&mut self, view: &View, sent: Duration, now: Duration, actions: &mut Vec<Action>) {
        for member in view.members.iter().filter(|m| m.generation != self.me) {
            let peer = self.peers.entry(member.generation).or_insert(Peer {
                heartbeat: member.heartbeat,
                changed: now,
                probe_under_way: false,
                failed_probes: Vec::new(),
                vote_under_way: false,
            });
            if peer.heartbeat != member.heartbeat {
                // Also when it goes back (a failover that lost commits): any change is a sign of life.
                peer.heartbeat = member.heartbeat;
                peer.changed = now;
            } else if sent.saturating_sub(peer.changed) > self.timing.ttl && !peer.vote_under_way {
                peer.vote_under_way = true;
                let seen_heartbeat = Some(peer.heartbeat);
                actions.push(Action::Vote { target: member.generation, seen_heartbeat });
            }
        }
    }

    fn publish(&mut self, view: View, actions: &mut Vec<Action>) {
        if self.view.as_ref().is_none_or(|known| differ(known, &view)) {
            actions.push(Action::Publish(view.clone()));
        }
        self.view = Some(view);
    }

    fn voted(&mut self, target: Gen, dead: Option<bool>, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&target) {
            peer.vote_under_way = false;
            peer.failed_probes.clear();
        }
        if dead == Some(true) {
            self.observe.due = now; // See the new view at once.
        }
    }

    /// The next few live members after me, by generation, in a circle: so each is probed by as many.
    fn probe_targets(&self) -> Vec<Gen> {
        let Some(view) = &self.view else { return Vec::new() };
        let probed =
            |m: &&crate::authority::Member| matches!(m.state, MemberState::Up | MemberState::Draining);
        let all: Vec<_> = view.members.iter().filter(probed).map(|m| m.generation).collect();
        let after = all.iter().filter(|g| **g > self.me);
        let before = all.iter().filter(|g| **g < self.me);
        after.chain(before).copied().take(PROBED).collect()
    }

    fn probed(&mut self, peer: Gen, reached: bool, now: Duration, actions: &mut Vec<Action>) {
        let oldest = now.saturating_sub(self.timing.probe_window);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.probe_under_way = false;
        if reached {
            known.failed_probes.clear();
            return;
        }
        known.failed_probes.push(now);
        known.failed_probes.retain(|at| *at >= oldest);
        let beats = now.saturating_sub(known.changed) <= self.timing.ttl;
        if known.failed_probes.len() >= FAILED_PROBES
            && beats
            && !known.vote_under_way
            && !self.reaches_nobody()
        {
            if let Some(known) = self.peers.get_mut(&peer) {
                known.vote_under_way = true;
            }
            actions.push(Action::Vote { target: peer, seen_heartbeat: None });
        }
    }

    /// Whoever reaches none of several peers is more likely cut off itself, and accuses nobody.
    fn reaches_nobody(&self) -> bool {
        let targets = self.probe_targets();
        let fails = |g: &Gen| self.peers.get(g).is_some_and(|p| !p.failed_probes.is_empty());
        targets.len() > 1 && targets.iter().all(fails)
    }
}

/// Whether anything but heartbeats differs.
fn differ(one: &View, other: &View) -> bool {
    let still = |view: &View| {
        let mut view = view.clone();
        view.members.iter_mut().for_each(|m| m.heartbeat = 0);
        view
    };
    still(one) != still(other)
}

/// Getting a row under one's own name, although a predecessor's row may still look alive.
#[derive(Debug, Clone, Default)]
pub struct Joining {
    rival: Option<(Rival, Duration)>,
}

/// What a node that wants to join does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStep {
    /// Ask again after a while, replacing nobody.
    Wait,
    /// Ask again now, replacing this row: it has stood still for long enough.
    Replace(Rival),
    /// The row is written.
    Joined(Gen),
    /// The counter of the other moved: another process lives under my name.
    NameTaken(Gen),
}

impl Joining {
    /// Takes in an answer of [`crate::Authority::join`].
    pub fn step(&mut self, answer: Join, watch: Duration, now: Duration) -> JoinStep {
        match (answer, self.rival) {
            (Join::Joined(me), _) => JoinStep::Joined(me),
            (Join::Taken(rival), Some((known, since))) if rival == known => {
                if now.saturating_sub(since) >= watch { JoinStep::Replace(rival) } else { JoinStep::Wait }
            }
            (Join::Taken(rival), Some((known, _))) if rival.generation == known.generation => {
                JoinStep::NameTaken(rival.generation)
            }
            (Join::Taken(rival), _) => {
                self.rival = Some((rival, now));
                JoinStep::Wait
            }
        }
    }
}
