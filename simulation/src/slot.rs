//! The slots of a node that do heavy work: each takes an entry of a lane's stream, claims what it stands for, renews
//! its lease while it works, and says what came of it.

use std::time::Duration;

use actors::scan_worker::entry::{Settled, after_claim, after_stop};
use cluster::Gen;
use cluster::streams::claims::{Ask, Claims};
use model::Lane;
use store::work::{Claim, Keep};

use crate::database::{Applied, Claimed, Hold};
use crate::keys::Who;
use crate::node::{MS, News};
use crate::plan::SLOTS;
use crate::question::{Answer, Ask as DatabaseAsk, Question, To};
use crate::valkey::{Command, Consumer, EntryId, Name, Reply};
use crate::world::World;

/// Between two looks for work.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two questions whether to go on.
const KEEP: Duration = Duration::from_millis(800);
/// A finished extraction is worth so many tries …
const TRIES: u32 = 6;
/// … this long apart.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// All slots of a node, and the reader that they share.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: [Slot; SLOTS],
    claims: Claims,
    number: u64,
    /// The question under way.
    asked: Option<Ask>,
}

/// One slot.
#[derive(Debug, Default)]
struct Slot {
    number: u64,
    at: At,
}

/// What it is at.
#[derive(Debug, Default)]
enum At {
    /// It waits for an entry.
    #[default]
    Nothing,
    /// It claims what the entry stands for.
    Claiming(EntryId),
    /// It works.
    Working { hold: Hold, entry: EntryId, outcome: Outcome },
    /// It says what came of it, for the so manieth time.
    Concluding { hold: Hold, entry: EntryId, outcome: Outcome, tries: u32 },
    /// It asks why it was refused.
    Refused { entry: EntryId },
}

/// What comes of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Read,
    Unreadable,
    /// It may go better later.
    Passing,
}

impl Slots {
    pub(crate) fn new(lease: Duration, now: Duration) -> Self {
        let slots = std::array::from_fn(|_| Slot::default());
        Self { slots, claims: Claims::new(lease, Lane::ALL.len(), now), number: 0, asked: None }
    }

    pub(crate) fn has_died(&mut self, generation: Gen) {
        self.claims.has_died(generation);
    }

    /// The lanes that a slot takes work of: the first is kept for people.
    fn lanes(slot: usize) -> &'static [Lane] {
        if slot == 0 && SLOTS > 1 { &Lane::ALL[..1] } else { Lane::ALL }
    }

    /// Whether one of them works on this.
    pub(crate) fn are_at(&self, work: u64) -> bool {
        let is_at = |slot: &Slot| match slot.at {
            At::Working { hold, .. } | At::Concluding { hold, .. } => hold.work == work,
            At::Nothing | At::Claiming(_) | At::Refused { .. } => false,
        };
        self.slots.iter().any(is_at)
    }

    /// A slot that waits for work of this lane.
    fn waiting(&self, lane: Lane) -> Option<usize> {
        let waits =
            |slot: &usize| matches!(self.slots[*slot].at, At::Nothing) && Self::lanes(*slot).contains(&lane);
        (0..SLOTS).find(waits)
    }

    fn next(&mut self, now: Duration) -> Option<Ask> {
        let waits = |lane: &Lane| {
            let of = |slot: &usize| {
                matches!(self.slots[*slot].at, At::Nothing) && Self::lanes(*slot).contains(lane)
            };
            (0..SLOTS).filter(of).count()
        };
        let wanted: Vec<usize> = Lane::ALL.iter().map(waits).collect();
        self.claims.next(&wanted, now)
    }
}

impl World {
    fn slot(&mut self, index: usize, slot: usize) -> Option<&mut Slot> {
        Some(&mut self.nodes[index].minds.as_mut()?.slots.slots[slot])
    }

    /// The slot turns to something else; its new number.
    fn turn(&mut self, index: usize, slot: usize, at: At) -> Option<To> {
        let of = self.slot(index, slot)?;
        of.number += 1;
        of.at = at;
        Some(To::Slot(slot, of.number))
    }

    fn ask_for_slot(&mut self, index: usize, slot: usize, at: At, ask: DatabaseAsk) {
        if let Some(to) = self.turn(index, slot, at) {
            self.ask(index, Question::Database(to, ask), News::Database(to, None));
        }
    }

    /// Nothing is in hand any more.
    fn is_free(&mut self, index: usize, slot: usize) {
        self.turn(index, slot, At::Nothing);
    }

    fn settle(&mut self, index: usize, slot: usize, entry: EntryId, settled: Settled) {
        if settled == Settled::Yes {
            let acknowledge = Command::Acknowledge(vec![entry]);
            self.ask(index, Question::Valkey(To::Nobody, acknowledge), News::Nothing);
        }
        self.is_free(index, slot);
    }

    /// The reader's next question.
    pub(crate) fn seek(&mut self, index: usize) {
        let clock = self.nodes[index].clock(self.now);
        let lease = self.plan.streams.work_lease;
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let ask = if minds.membership.may_act(clock) { minds.slots.next(clock) } else { None };
        let Some(ask) = ask else { return self.inform(index, PAUSE, News::Seek) };
        let by = Consumer::Worker(minds.me);
        let names = |lanes: &[usize]| lanes.iter().map(|lane| Name::Work(Lane::ALL[*lane])).collect();
        let command = match &ask {
            Ask::TakeFrom { dead, lane, count } => {
                Command::TakeFrom { streams: names(&[*lane]), by, dead: *dead, count: *count }
            }
            Ask::TakeExpired(lanes) => Command::TakeOver { streams: names(lanes), by, idle: lease, count: 1 },
            Ask::Read(lanes) => Command::Read { streams: names(lanes), by, count: 1 },
        };
        minds.slots.number += 1;
        minds.slots.asked = Some(ask);
        let to = To::Work(minds.slots.number);
        self.ask(index, Question::Valkey(to, command), News::Valkey(to, None));
    }

    /// Entries, or none. What nobody waits for any more is left to its lease.
    pub(crate) fn work_found(&mut self, index: usize, number: u64, reply: Option<Reply>) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let slots = &mut minds.slots;
        if slots.number != number {
            return;
        }
        let (me, asked) = (minds.me, slots.asked.take());
        let (Some(Reply::Entries(entries)), Some(ask)) = (&reply, asked) else {
            let makes_groups = Command::TakeOver {
                streams: Lane::ALL.iter().map(|lane| Name::Work(*lane)).collect(),
                by: Consumer::Worker(me),
                idle: Duration::MAX,
                count: 0,
            };
            if let Some(Reply::NoGroup) = reply {
                self.ask(index, Question::Valkey(To::Nobody, makes_groups), News::Nothing);
            }
            return self.inform(index, 2 * PAUSE, News::Seek);
        };
        slots.claims.came(&ask, entries.len());
        let pause = if entries.is_empty() { PAUSE } else { MS };
        let reclaimed = !matches!(ask, Ask::Read(_));
        for (entry, who) in entries.clone() {
            let (Name::Work(lane), Who::Work(work)) = (entry.stream, who) else { continue };
            let waiting = self.nodes[index].minds.as_ref().and_then(|minds| minds.slots.waiting(lane));
            if let Some(slot) = waiting {
                let silent = reclaimed.then_some(self.plan.streams.work_lease / 2);
                let ask = DatabaseAsk::TakeWork { work, me, silent };
                self.ask_for_slot(index, slot, At::Claiming(entry), ask);
            }
        }
        self.inform(index, pause, News::Seek);
    }

    pub(crate) fn slot_answered(&mut self, index: usize, slot: usize, number: u64, answer: Option<Answer>) {
        let Some(of) = self.slot(index, slot).filter(|of| of.number == number) else { return };
        match (std::mem::take(&mut of.at), answer) {
            // Whether it was claimed is unknown. It is left to its lease.
            (At::Claiming(_) | At::Refused { .. }, None) => self.is_free(index, slot),
            (At::Claiming(entry), Some(Answer::Claimed(claimed))) => {
                self.claimed(index, slot, entry, claimed)
            }
            (At::Working { hold, entry, outcome }, Some(Answer::Keep(Keep::Continue)) | None) => {
                of.at = At::Working { hold, entry, outcome };
            }
            (At::Working { entry, .. } | At::Refused { entry }, Some(Answer::Keep(keep))) => {
                let settled = if let Keep::Stop(reason) = keep { after_stop(reason) } else { Settled::No };
                self.settle(index, slot, entry, settled);
            }
            (At::Concluding { entry, .. }, Some(Answer::Applied(Applied::Moved(_)))) => {
                self.settle(index, slot, entry, Settled::Yes);
            }
            (At::Concluding { hold, entry, .. }, Some(Answer::Applied(_))) => {
                self.ask_for_slot(index, slot, At::Refused { entry }, DatabaseAsk::KeepWork(hold));
            }
            (At::Concluding { hold, entry, outcome, tries }, None) => {
                if outcome != Outcome::Read || tries >= TRIES {
                    return self.is_free(index, slot);
                }
                let again = At::Concluding { hold, entry, outcome, tries: tries + 1 };
                if let Some(To::Slot(slot, number)) = self.turn(index, slot, again) {
                    self.inform(index, TRY_AGAIN, News::Conclude(slot, number));
                }
            }
            (at, answer) => unreachable!("a slot at {at:?} was answered {answer:?}"),
        }
    }

    fn claimed(&mut self, index: usize, slot: usize, entry: EntryId, claimed: Claimed) {
        let (hold, is_broken) = match claimed {
            Claimed::Granted { hold, is_broken } => (hold, is_broken),
            Claimed::Gone => return self.settle(index, slot, entry, after_claim(&Claim::AlreadyDone)),
            Claimed::Held => return self.settle(index, slot, entry, after_claim(&Claim::HeldByLiveNode)),
            Claimed::NotYet => return self.settle(index, slot, entry, after_claim(&Claim::NotYet)),
        };
        let fails = self.chance.one_in(15);
        let outcome = match (is_broken, fails) {
            (true, _) => Outcome::Unreadable,
            (false, true) => Outcome::Passing,
            (false, false) => Outcome::Read,
        };
        let most = if self.chance.one_in(8) { 25_000 } else { 2_500 };
        let takes = self.chance.between(50 * MS, most * MS);
        if let Some(To::Slot(slot, number)) = self.turn(index, slot, At::Working { hold, entry, outcome }) {
            self.inform(index, takes, News::Read(slot, number));
            self.inform(index, MS, News::Keep(slot, number));
        }
    }

    pub(crate) fn keep(&mut self, index: usize, slot: usize, number: u64) {
        let Some(me) = self.nodes[index].minds.as_ref().map(|minds| minds.me) else { return };
        let Some(of) = self.slot(index, slot).filter(|of| of.number == number) else { return };
        let At::Working { hold, entry, .. } = of.at else { return };
        let to = To::Slot(slot, number);
        self.inform(index, KEEP, News::Keep(slot, number));
        if !self.plan.defences.renewal {
            return;
        }
        let renew = Command::Renew(entry, Consumer::Worker(me));
        self.ask(index, Question::Valkey(To::Nobody, renew), News::Nothing);
        self.ask(index, Question::Database(to, DatabaseAsk::KeepWork(hold)), News::Database(to, None));
    }

    pub(crate) fn has_read(&mut self, index: usize, slot: usize, number: u64) {
        let Some(of) = self.slot(index, slot).filter(|of| of.number == number) else { return };
        let At::Working { hold, entry, outcome } = of.at else { return };
        if let Some(To::Slot(slot, number)) =
            self.turn(index, slot, At::Concluding { hold, entry, outcome, tries: 1 })
        {
            self.conclude(index, slot, number);
        }
    }

    pub(crate) fn conclude(&mut self, index: usize, slot: usize, number: u64) {
        let pause = self.chance.between(500 * MS, 1500 * MS);
        let Some(of) = self.slot(index, slot).filter(|of| of.number == number) else { return };
        let At::Concluding { hold, outcome, .. } = of.at else { return };
        let ask = match outcome {
            Outcome::Read => DatabaseAsk::CompleteWork(hold),
            Outcome::Unreadable => DatabaseAsk::FailWork { hold, permanent: true, pause },
            Outcome::Passing => DatabaseAsk::FailWork { hold, permanent: false, pause },
        };
        let to = To::Slot(slot, number);
        self.ask(index, Question::Database(to, ask), News::Database(to, None));
    }
}
