//! Members and partitions in memory, as `cluster.*` in SQL has them, and a ledger that judges what is done to them.
//!
//! The ledger does not trust the rows: it keeps its own history of owners and effects and complains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Gen, Join, Lease, Member, MemberState, NewMember, PartitionRow, Rival, Steer, View};
use invariants::{Change, Node, Partition, Rows, Write};

/// A vote counts for this long.
const VOTE_LASTS: Duration = Duration::from_secs(20);

/// Membership and ownership tables.
#[derive(Debug)]
pub(crate) struct Authority {
    version: i64,
    rows: BTreeMap<Gen, Row>,
    votes: BTreeMap<(Gen, Gen), (Option<i64>, Duration)>,
    owners: Vec<(Option<Gen>, i64)>,
    /// Whether writes are checked against the epoch. Off only in the negative control.
    pub(crate) fence: bool,
    pub(crate) ledger: Ledger,
}

#[derive(Debug)]
struct Row {
    member: Member,
    last_beat: Duration,
}

/// What happened, and what must not have.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) violations: Vec<String>,
    /// Effects of entities that were accepted.
    pub(crate) writes: Vec<Write>,
    /// How many were refused for their epoch.
    pub(crate) fenced: u64,
    /// Each change of owner.
    pub(crate) changes: Vec<Change>,
    /// Incarnations that are gone, and since when.
    pub(crate) ended: BTreeMap<Gen, Duration>,
    pub(crate) declared_dead: Vec<(Gen, Duration, Why)>,
    pub(crate) claims: Vec<(u16, Gen, Duration)>,
}

/// By which evidence a node was declared dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    StoodStill,
    OutOfReach,
    Replaced,
}

impl Authority {
    pub(crate) fn new(partitions: u16, fence: bool) -> Self {
        Self {
            version: 0,
            rows: BTreeMap::new(),
            votes: BTreeMap::new(),
            owners: vec![(None, 0); usize::from(partitions)],
            fence,
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn is_live(&self, generation: Gen) -> bool {
        self.rows.get(&generation).is_some_and(|r| r.member.state.is_live())
    }

    pub(crate) fn state(&self, generation: Gen) -> Option<MemberState> {
        self.rows.get(&generation).map(|r| r.member.state)
    }

    pub(crate) fn join(&mut self, me: &NewMember, replacing: Option<Rival>, now: Duration) -> Join {
        let taken = self.rows.values().find(|r| r.member.name == me.name && r.member.state.is_live());
        if let Some(row) = taken {
            let rival = Rival { generation: row.member.generation, heartbeat: row.member.heartbeat };
            if replacing != Some(rival) {
                return Join::Taken(rival);
            }
            self.end(rival.generation, now, Why::Replaced);
        }
        let generation = Gen(self.rows.len() as i64 + 1);
        let member = Member {
            generation,
            name: me.name.clone(),
            address: me.address.clone(),
            state: MemberState::Joining,
            cordoned: false,
            heartbeat: 0,
            weight: me.weight,
            wire_min: me.wire_min,
            wire_max: me.wire_max,
            build: me.build.clone(),
            drain_within: None,
        };
        self.rows.insert(generation, Row { member, last_beat: now });
        Join::Joined(generation)
    }

    pub(crate) fn up(&mut self, me: Gen) -> bool {
        self.change(me, |m| m.state == MemberState::Joining, |m| m.state = MemberState::Up)
    }

    /// As `set_state` to left in SQL: not from up, for it was told to stay meanwhile.
    pub(crate) fn leave(&mut self, me: Gen, now: Duration) -> bool {
        let leaves = |m: &Member| matches!(m.state, MemberState::Joining | MemberState::Draining);
        let left = self.change(me, leaves, |m| m.state = MemberState::Left);
        if left {
            self.ledger.ended.entry(me).or_insert(now);
        }
        left
    }

    /// As `cordon`, `drain`, `undrain` and `weigh` in SQL.
    pub(crate) fn steer(&mut self, of: Gen, word: Steer) -> bool {
        let drains = |m: &Member| m.state == MemberState::Draining;
        let allowed = |m: &Member| match word {
            Steer::Cordon | Steer::Uncordon | Steer::Weigh(_) => m.state.is_live(),
            Steer::Drain { .. } => m.state == MemberState::Up || drains(m),
            Steer::Undrain => drains(m),
        };
        self.change(of, allowed, |m| *m = word.done_to(m.clone()))
    }

    fn change(&mut self, of: Gen, allowed: impl Fn(&Member) -> bool, change: impl Fn(&mut Member)) -> bool {
        let Some(row) = self.rows.get_mut(&of).filter(|r| allowed(&r.member)) else { return false };
        change(&mut row.member);
        self.version += 1;
        true
    }

    pub(crate) fn end(&mut self, of: Gen, now: Duration, why: Why) {
        self.change(of, |_| true, |m| m.state = MemberState::Dead);
        self.ledger.ended.insert(of, now);
        self.ledger.declared_dead.push((of, now, why));
    }

    /// How many nodes take work now.
    pub(crate) fn workers(&self) -> usize {
        self.rows.values().filter(|row| row.member.is_placeable()).count()
    }

    pub(crate) fn beat(&mut self, me: Gen, now: Duration) -> bool {
        let Some(row) = self.rows.get_mut(&me) else { return false };
        let live = matches!(row.member.state, MemberState::Up | MemberState::Draining);
        if live {
            row.member.heartbeat += 1;
            row.last_beat = now;
        }
        live
    }

    pub(crate) fn observe(&self) -> View {
        let live = self.rows.values().filter(|r| r.member.state.is_live());
        View { version: self.version, members: live.map(|r| r.member.clone()).collect() }
    }

    /// As `declare_dead` in SQL: the vote, the quorum, the compare-and-set on the counter.
    pub(crate) fn declare_dead(
        &mut self,
        target: Gen,
        seen: Option<i64>,
        voter: Gen,
        votes: u32,
        now: Duration,
    ) -> bool {
        let votes = votes as usize;
        if !self.is_live(voter) {
            return false;
        }
        self.votes.insert((target, voter), (seen, now));
        let agree: BTreeSet<_> = self
            .votes
            .iter()
            .filter(|((t, v), (s, at))| {
                *t == target && *v != target && *s == seen && now - *at <= VOTE_LASTS && self.is_live(*v)
            })
            .map(|((_, v), _)| *v)
            .collect();
        // A peer whose own heartbeat was seen standing still is no witness to wait for.
        let suspected = |row: &Row| {
            let of = row.member.generation;
            self.votes.iter().any(|((t, _), (s, at))| {
                *t == of && *s == Some(row.member.heartbeat) && now - *at <= VOTE_LASTS
            })
        };
        let witness = |row: &&Row| {
            let of = row.member.generation;
            row.member.state.is_live() && of != target && (of == voter || !suspected(row))
        };
        let others = self.rows.values().filter(witness).count();
        let needed = if seen.is_none() { votes.max(2) } else { votes.min(others.max(1)) };
        let row = &self.rows[&target];
        if agree.len() < needed
            || !row.member.state.is_live()
            || seen.is_some_and(|s| s != row.member.heartbeat)
        {
            return false;
        }
        let why = if seen.is_some() { Why::StoodStill } else { Why::OutOfReach };
        self.end(target, now, why);
        true
    }

    /// When a generation's heartbeat was last counted, in true time.
    pub(crate) fn last_beat(&self, of: Gen) -> Duration {
        self.rows[&of].last_beat
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionRow> {
        let rows = self.owners.iter().zip(0..);
        rows.map(|((owner, epoch), partition)| PartitionRow {
            partition,
            owner: *owner,
            owner_gone: owner.is_some_and(|o| !self.is_live(o)),
            epoch: *epoch,
        })
        .collect()
    }

    pub(crate) fn partitions_of(&self, owner: Gen) -> Vec<Lease> {
        let mine = self.owners.iter().zip(0..).filter(|((o, _), _)| *o == Some(owner));
        mine.map(|((_, epoch), partition)| Lease { partition, epoch: *epoch }).collect()
    }

    pub(crate) fn claim(&mut self, partition: u16, seen_epoch: i64, me: Gen, now: Duration) -> Option<i64> {
        let (owner, epoch) = self.owners[usize::from(partition)];
        let free = owner.is_none_or(|o| !self.is_live(o));
        if epoch != seen_epoch || !free || self.state(me) != Some(MemberState::Up) {
            return None;
        }
        self.pass_on(partition, Some(me), now);
        self.ledger.claims.push((partition, me, now));
        Some(epoch + 1)
    }

    pub(crate) fn release(&mut self, lease: Lease, me: Gen, now: Duration) -> bool {
        let mine = self.owners[usize::from(lease.partition)] == (Some(me), lease.epoch);
        if mine {
            self.pass_on(lease.partition, None, now);
        }
        mine
    }

    fn pass_on(&mut self, partition: u16, to: Option<Gen>, now: Duration) {
        let row = &mut self.owners[usize::from(partition)];
        *row = (to, row.1 + 1);
        let (epoch, to) = (row.1, to.map(|owner| owner.0));
        self.ledger.changes.push(Change { partition, epoch, to, at: micros(now) });
    }

    /// `cluster.fence`: whether an effect of an entity is accepted. The ledger notes by which epoch it was.
    pub(crate) fn fence(&mut self, lease: Lease) -> bool {
        let (_, epoch_then) = self.owners[usize::from(lease.partition)];
        if self.fence && !invariants::step::is_current(epoch_then, lease.epoch) {
            self.ledger.fenced += 1;
            return false;
        }
        let (partition, epoch) = (lease.partition, lease.epoch);
        self.ledger.writes.push(Write { partition, epoch, epoch_then });
        true
    }

    /// The rows of members and partitions, and what was done to them.
    pub(crate) fn tell(&self, rows: &mut Rows) {
        let ended = |generation: Gen| self.ledger.ended.get(&generation).copied().map(micros);
        let node = |of: Gen| Node { generation: of.0, name: of.to_string(), ended: ended(of) };
        rows.nodes = self.rows.keys().copied().map(node).collect();
        let partition =
            |(number, (_, epoch)): (u16, &(Option<Gen>, i64))| Partition { number, epoch: *epoch };
        rows.partitions = (0..).zip(&self.owners).map(partition).collect();
        rows.changes.clone_from(&self.ledger.changes);
        rows.writes.clone_from(&self.ledger.writes);
    }
}

/// Microseconds, as rows have them.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).expect("a run is short")
}

impl Ledger {
    /// By which evidence a generation was declared dead, if it was.
    pub(crate) fn why_dead(&self, generation: Gen) -> Option<Why> {
        self.declared_dead.iter().find(|(g, ..)| *g == generation).map(|(.., why)| *why)
    }

    pub(crate) fn complain(&mut self, what: String) {
        self.violations.push(what);
    }
}
