//! Which partitions this node owns: claims what the ring wishes here, hands over what it wishes elsewhere.
//!
//! The authority decides each change by compare-and-set on the epoch; this machine only decides what to
//! attempt. Partitions of dead owners are claimed at once. Those of live owners move after a settle time,
//! a few at a time: their owner stops what lives there, releases, and tells the next one. Whatever an
//! answer left unknown, the next read tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::asking::Asking;
use crate::authority::{Gen, Lease, MemberState, PartitionRow, View};
use crate::config::Timing;
use crate::placement::{self, PartitionOwner, Placement};

/// Claims under way at once.
const CLAIMS_MAX: usize = 64;
/// One in so many of a node's partitions may be between owners at once.
const HAND_OVER_PART: usize = 20;

/// What the placer learns. `sent` is when the question it answers was sent, on the same clock as `now`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The members changed.
    View(View),
    /// This generation is dead or has left.
    Gone(Gen),
    /// The ownership table was read, or not.
    Table {
        /// When the question was sent.
        sent: Duration,
        /// All rows; `None` without answer.
        rows: Option<Vec<PartitionRow>>,
    },
    /// My own rows were read, or not.
    Mine {
        /// When the question was sent.
        sent: Duration,
        /// What I own; `None` without answer.
        leases: Option<Vec<Lease>>,
    },
    /// A claim was answered.
    Claimed {
        /// Which partition.
        partition: u16,
        /// How it went.
        outcome: Claim,
    },
    /// Everything that lived in the partition has stopped.
    Stopped(Lease),
    /// A release was answered: done, not mine any more, or no answer.
    Released {
        /// Which lease.
        lease: Lease,
        /// How it went.
        done: Option<bool>,
    },
    /// What a dead node held open at the authority is ended (or could not be; claim all the same).
    CutOff(Gen),
    /// Somebody says that these partitions were released for me.
    Hint,
    /// I was told to stay, just when I was about to leave.
    Stays,
}

/// How a claim went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Mine, with this epoch.
    Got(i64),
    /// Not mine: somebody was faster, or the epoch has changed.
    Refused,
    /// No answer; it may still succeed.
    Unknown,
}

/// What the placer wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Read the whole table.
    ReadTable,
    /// Read my own rows.
    ReadMine,
    /// End what a dead node holds open at the authority, before the first claim from it.
    CutOff(Gen),
    /// Claim.
    Claim {
        /// Which partition.
        partition: u16,
        /// Its epoch as last read.
        seen_epoch: i64,
    },
    /// The partition is mine: serve it.
    Activate(Lease),
    /// Stop serving it in an orderly way and say [`Event::Stopped`].
    Stop(Lease),
    /// It is not mine any more: stop at once, release nothing.
    Abandon(Lease),
    /// Give it back.
    Release(Lease),
    /// Tell this node that a partition waits for it.
    Tell {
        /// Whom.
        to: Gen,
        /// Which partition.
        partition: u16,
    },
    /// Owners or wishes have changed.
    Publish,
    /// I am draining, and own nothing any more or may take no longer.
    Drained,
}

/// The state of one placer. See the module.
#[derive(Debug, Clone)]
pub struct Ownership {
    me: Gen,
    timing: Timing,
    view: View,
    slots: Vec<Slot>,
    gone: BTreeMap<Gen, Cut>,
    /// Released by me and not yet seen with a new owner, until when to wait for it.
    departing: BTreeMap<u16, Duration>,
    settled_at: Duration,
    hand_over_max: usize,
    table: Reading,
    mine: Reading,
    changed: bool,
    /// When I am gone at the latest, while I drain by a time.
    drained_by: Option<Duration>,
    drained: bool,
}

/// A read that repeats, and when the newest that was taken in was sent.
#[derive(Debug, Clone, Default)]
struct Reading {
    asking: Asking,
    taken: Option<Duration>,
}

/// How far the cutting off of a gone node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    NotYet,
    UnderWay,
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    owner: Option<Gen>,
    epoch: i64,
    wished: Option<Gen>,
    mine: Mine,
    /// What I know led to nothing: no claim before the next read.
    stale: bool,
    /// When I last learned of it by an act of my own, or that it is not mine any more: reads sent before may know less.
    learned: Duration,
    /// When a read last told me of another epoch. One that was sent before and tells of a lower epoch was overtaken on
    /// its way; one sent after tells of a database that lost what it had committed.
    raised: Duration,
}

/// What this node is doing with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mine {
    No,
    Claiming,
    Serving,
    Stopping,
    Releasing { retry: Duration, under_way: bool },
}

impl Ownership {
    /// A placer that knows nothing yet, of a cluster with so many partitions.
    pub fn new(me: Gen, timing: Timing, partitions: u16, now: Duration) -> Self {
        let slot = Slot {
            owner: None,
            epoch: 0,
            wished: None,
            mine: Mine::No,
            stale: false,
            learned: Duration::ZERO,
            raised: Duration::ZERO,
        };
        let reading = |due| Reading { asking: Asking::due(due), taken: None };
        Self {
            me,
            timing,
            view: View::default(),
            slots: vec![slot; usize::from(partitions)],
            gone: BTreeMap::new(),
            departing: BTreeMap::new(),
            settled_at: now,
            hand_over_max: 1,
            table: reading(now),
            mine: reading(now + timing.beat),
            changed: false,
            drained_by: None,
            drained: false,
        }
    }

    /// What is known of all partitions.
    pub fn placement(&self) -> Placement {
        let known = |s: &Slot| PartitionOwner { owner: s.owner, epoch: s.epoch, wished: s.wished };
        Placement { view: self.view.version, partitions: self.slots.iter().map(known).collect() }
    }

    /// Partitions that this node serves.
    pub fn serving(&self) -> impl Iterator<Item = Lease> + '_ {
        let served = self.slots.iter().zip(0..).filter(|(slot, _)| slot.mine == Mine::Serving);
        served.map(|(slot, partition)| Lease { partition, epoch: slot.epoch })
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::View(view) => self.viewed(view, now),
            Event::Gone(generation) => self.is_gone(generation),
            Event::Table { sent, rows } => self.read_table(sent, rows, now, &mut actions),
            Event::Mine { sent, leases } => self.read_mine(sent, leases, now, &mut actions),
            Event::Claimed { partition, outcome } => self.claimed(partition, outcome, now, &mut actions),
            Event::Stopped(lease) => self.stopped(lease, now),
            Event::Released { lease, done } => self.released(lease, done, now, &mut actions),
            Event::CutOff(generation) => drop(self.gone.insert(generation, Cut::Done)),
            Event::Hint => self.table.asking.due = now,
            Event::Stays => self.stays(now),
        }
        self.claim_wished(&mut actions);
        self.hand_over(now, &mut actions);
        self.release_stopped(now, &mut actions);
        self.read(now, &mut actions);
        self.report(now, &mut actions);
        debug_assert!(self.slots.iter().all(|slot| slot.is_mine(self.me)), "{actions:?}");
        actions
    }

    fn viewed(&mut self, view: View, now: Duration) {
        let wishes = placement::place(&placement::seats(&view), self.partitions());
        let before: Vec<_> = self.slots.iter().map(|s| s.wished).collect();
        let within = |view: &View| view.member(self.me).and_then(|member| member.drain_within);
        if within(&view) != within(&self.view) {
            self.drained_by = within(&view).map(|within| now + within);
        }
        self.view = view;
        if wishes == before {
            return;
        }
        for (slot, wished) in self.slots.iter_mut().zip(wishes) {
            slot.wished = wished;
        }
        self.changed = true;
        self.settled_at = now + self.timing.settle;
        self.hand_over_max = 1;
        self.table.asking.due = now;
    }

    fn partitions(&self) -> u16 {
        u16::try_from(self.slots.len()).expect("built from a u16")
    }

    fn is_gone(&mut self, generation: Gen) {
        self.gone.entry(generation).or_insert(Cut::NotYet);
    }

    fn read_table(
        &mut self,
        sent: Duration,
        rows: Option<Vec<PartitionRow>>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(rows) = self.table.take_in(sent, rows) else { return };
        for row in rows {
            if row.owner_gone {
                row.owner.into_iter().for_each(|owner| self.is_gone(owner));
            }
            self.take_in(row.partition, row.owner, row.epoch, sent, now, actions);
        }
        let owns = |generation: &Gen| self.slots.iter().any(|s| s.owner == Some(*generation));
        self.gone.retain(|generation, cut| *cut == Cut::UnderWay || owns(generation));
        self.mine.asking.due = self.mine.asking.due.max(now + self.timing.beat); // This told it too.
    }

    fn read_mine(
        &mut self,
        sent: Duration,
        leases: Option<Vec<Lease>>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(leases) = self.mine.take_in(sent, leases) else { return };
        let mine: BTreeMap<_, _> = leases.iter().map(|l| (l.partition, l.epoch)).collect();
        for partition in 0..self.partitions() {
            match mine.get(&partition) {
                Some(epoch) => self.take_in(partition, Some(self.me), *epoch, sent, now, actions),
                None if self.slots[usize::from(partition)].learned < sent => {
                    self.lost(partition, now, actions)
                }
                None => {}
            }
        }
    }

    /// A partition I thought mine is not among my rows: who has it now, the table tells.
    fn lost(&mut self, partition: u16, now: Duration, actions: &mut Vec<Action>) {
        let slot = &mut self.slots[usize::from(partition)];
        if !matches!(slot.mine, Mine::No | Mine::Claiming) {
            slot.abandon(partition, actions);
            slot.owner = None;
            slot.stale = true;
            slot.learned = now; // A read of the table may be on its way that still calls it mine.
            self.changed = true;
            self.table.asking.due = now;
        }
    }

    /// Takes in one row, unless I have learned newer by an act of my own, or by a read that was answered sooner.
    fn take_in(
        &mut self,
        partition: u16,
        owner: Option<Gen>,
        epoch: i64,
        sent: Duration,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let me = self.me;
        let Some(slot) = self.slots.get_mut(usize::from(partition)) else { return };
        if slot.learned > sent || epoch < slot.epoch && slot.raised > sent {
            return;
        }
        slot.stale = false;
        if epoch != slot.epoch {
            slot.raised = now;
        }
        if (owner, epoch) != (slot.owner, slot.epoch) {
            slot.abandon(partition, actions);
            (slot.owner, slot.epoch) = (owner, epoch);
            self.changed = true;
        }
        if owner == Some(me) && matches!(slot.mine, Mine::No | Mine::Claiming) && !self.drained {
            // A claim of mine whose answer was lost or is still on its way.
            slot.serve(now);
            actions.push(Action::Activate(Lease { partition, epoch }));
        }
        if owner.is_some() {
            self.departing.remove(&partition);
        }
    }

    fn claimed(&mut self, partition: u16, outcome: Claim, now: Duration, actions: &mut Vec<Action>) {
        let slot = &mut self.slots[usize::from(partition)];
        match outcome {
            Claim::Got(epoch) if slot.epoch < epoch => {
                slot.abandon(partition, actions);
                (slot.owner, slot.epoch) = (Some(self.me), epoch);
                slot.serve(now);
                self.changed = true;
                actions.push(Action::Activate(Lease { partition, epoch }));
            }
            Claim::Got(_) if slot.mine == Mine::Claiming => slot.mine = Mine::No,
            Claim::Got(_) => {} // A read told it already.
            Claim::Refused | Claim::Unknown => {
                if slot.mine == Mine::Claiming {
                    slot.mine = Mine::No;
                }
                slot.stale = true;
                self.table.asking.due = now;
            }
        }
    }

    fn stopped(&mut self, lease: Lease, now: Duration) {
        let slot = &mut self.slots[usize::from(lease.partition)];
        if slot.mine == Mine::Stopping && slot.epoch == lease.epoch {
            slot.mine = Mine::Releasing { retry: now, under_way: false };
        }
    }

    fn release_stopped(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for (slot, partition) in self.slots.iter_mut().zip(0..) {
            if let Mine::Releasing { retry, under_way: false } = slot.mine
                && now >= retry
            {
                slot.mine = Mine::Releasing { retry, under_way: true };
                actions.push(Action::Release(Lease { partition, epoch: slot.epoch }));
            }
        }
    }

    fn released(&mut self, lease: Lease, done: Option<bool>, now: Duration, actions: &mut Vec<Action>) {
        let slot = &mut self.slots[usize::from(lease.partition)];
        if slot.epoch != lease.epoch || !matches!(slot.mine, Mine::Releasing { .. }) {
            return;
        }
        let Some(done) = done else {
            slot.mine = Mine::Releasing { retry: now + self.timing.observe, under_way: false };
            return;
        };
        slot.mine = Mine::No;
        slot.learned = now;
        slot.owner = None;
        self.changed = true;
        if done {
            slot.epoch = lease.epoch + 1;
            if let Some(to) = slot.wished.filter(|w| *w != self.me) {
                self.departing.insert(lease.partition, now + 2 * self.timing.beat);
                actions.push(Action::Tell { to, partition: lease.partition });
            }
        } else {
            slot.stale = true;
            self.table.asking.due = now;
        }
    }

    /// Claims what is wished here and free, or whose owner is gone.
    fn claim_wished(&mut self, actions: &mut Vec<Action>) {
        let mut room = CLAIMS_MAX.saturating_sub(self.count(|m| m == Mine::Claiming));
        let mut cut = BTreeSet::new();
        if self.table.taken.is_none() {
            return; // I do not know the epochs yet.
        }
        for (slot, partition) in self.slots.iter_mut().zip(0..) {
            if room == 0 {
                break;
            }
            if slot.wished != Some(self.me) || slot.mine != Mine::No || slot.stale {
                continue;
            }
            match slot.owner.map(|owner| (owner, self.gone.get(&owner))) {
                None | Some((_, Some(Cut::Done))) => {
                    room -= 1;
                    slot.mine = Mine::Claiming;
                    actions.push(Action::Claim { partition, seen_epoch: slot.epoch });
                }
                Some((owner, Some(Cut::NotYet))) => drop(cut.insert(owner)),
                Some((_, Some(Cut::UnderWay) | None)) => {}
            }
        }
        for owner in cut {
            self.gone.insert(owner, Cut::UnderWay);
            actions.push(Action::CutOff(owner));
        }
    }

    /// Begins to hand over what is wished elsewhere, a few at a time.
    fn hand_over(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let draining = self.is_draining();
        if now < self.settled_at && !draining {
            return;
        }
        self.departing.retain(|_, until| now < *until);
        // Of what it has had since the ring changed: so the last ones of many do not go one by one.
        self.hand_over_max = self.hand_over_max.max(self.serving().count() / HAND_OVER_PART);
        let leaving = self.count(|m| matches!(m, Mine::Stopping | Mine::Releasing { .. }));
        let mut room = self.hand_over_max.saturating_sub(leaving + self.departing.len());
        for (slot, partition) in self.slots.iter_mut().zip(0..) {
            if room == 0 {
                break;
            }
            let elsewhere = slot.wished.is_some_and(|w| w != self.me) || draining;
            if slot.mine == Mine::Serving && elsewhere {
                room -= 1;
                slot.mine = Mine::Stopping;
                actions.push(Action::Stop(Lease { partition, epoch: slot.epoch }));
            }
        }
    }

    fn is_draining(&self) -> bool {
        self.view.member(self.me).is_some_and(|m| m.state == MemberState::Draining)
    }

    fn count(&self, what: impl Fn(Mine) -> bool) -> usize {
        self.slots.iter().filter(|s| what(s.mine)).count()
    }

    /// Reads what is due: the table often while something has still to move, seldom otherwise.
    fn read(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let settled = self.departing.is_empty() && self.slots.iter().all(|s| s.owner == s.wished);
        let period = if settled { 4 * self.timing.beat } else { self.timing.observe };
        if self.table.asking.start(now, period) {
            actions.push(Action::ReadTable);
        }
        if self.mine.asking.start(now, self.timing.beat) {
            actions.push(Action::ReadMine);
        }
    }

    /// What was let go of for leaving is mine still, as the next read tells.
    fn stays(&mut self, now: Duration) {
        self.drained = false;
        self.table.asking.due = now;
    }

    fn report(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.changed) {
            actions.push(Action::Publish);
        }
        let empty = self.slots.iter().all(|s| s.mine == Mine::No) && self.table.taken.is_some();
        let over = self.drained_by.is_some_and(|by| now >= by);
        if self.is_draining() && (empty || over) && !self.drained {
            self.drained = true;
            // Others may claim what is left the moment that this node has left, before it learns of it.
            for (slot, partition) in self.slots.iter_mut().zip(0..) {
                slot.abandon(partition, actions);
            }
            actions.push(Action::Drained);
        }
    }
}

impl Slot {
    /// Whether this node acts only where it is the owner, as far as it knows.
    fn is_mine(&self, me: Gen) -> bool {
        invariants::step::acts_as_owner(
            !matches!(self.mine, Mine::No | Mine::Claiming),
            self.owner == Some(me),
        )
    }

    fn serve(&mut self, now: Duration) {
        self.mine = Mine::Serving;
        self.learned = now;
    }

    /// Ends what this node does there, if it does anything.
    fn abandon(&mut self, partition: u16, actions: &mut Vec<Action>) {
        if !matches!(self.mine, Mine::No | Mine::Claiming) {
            actions.push(Action::Abandon(Lease { partition, epoch: self.epoch }));
            self.mine = Mine::No;
        }
    }
}

impl Reading {
    /// The answer to a read, unless there is none or a newer one was taken in.
    fn take_in<T>(&mut self, sent: Duration, answer: Option<T>) -> Option<T> {
        self.asking.answered(sent);
        let newer = self.taken.is_none_or(|taken| taken < sent);
        let answer = answer.filter(|_| newer)?;
        self.taken = Some(sent);
        Some(answer)
    }
}
