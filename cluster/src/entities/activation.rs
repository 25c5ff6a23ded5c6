//! One entity that lives here, or is about to, or is ending: what waits for it, and what it is doing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ractor::{ActorCell, ActorRef, MessagingErr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::{EntityMessage, Permit, Receipt, Reply};
use crate::streams::Ack;

/// The present activation of an entity.
pub(super) struct Activation {
    /// Counts all activations of a node.
    pub(super) number: u64,
    pub(super) phase: Phase,
    /// Bells rung and not handed to it yet.
    pub(super) wanted: Wanted,
    /// How often in a row it failed.
    pub(super) failures: u32,
    /// How often in a row it dropped a wake undone.
    pub(super) undone: u32,
    /// When to start it again, or to wake it again.
    pub(super) due: Option<Instant>,
    pub(super) used: Instant,
    /// Never passivated.
    pub(super) stays: bool,
    places: Arc<Semaphore>,
    asks_max: usize,
}

/// What it is doing.
pub(super) enum Phase {
    /// Its factory is at work; asks wait.
    Starting { attempt: AbortHandle, asks: Vec<Asking> },
    /// It is alive. At most one wake is with it.
    Live { actor: ActorRef<EntityMessage>, waking: bool },
    /// It was told to end and has not yet. `None` while its factory is still at work.
    Ending { actor: Option<ActorCell>, attempt: Option<AbortHandle> },
    /// It failed, or ended before its time: started again when due.
    Resting,
}

/// A wake that is due.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) wake: bool,
    pub(super) bells: Vec<Ack>,
}

/// A question that waits for the entity to start.
pub(super) struct Asking {
    pub(super) body: Bytes,
    pub(super) reply: Reply,
    pub(super) permit: Permit,
}

impl Wanted {
    pub(super) fn add(&mut self, bells: impl IntoIterator<Item = Ack>) {
        self.wake = true;
        self.bells.extend(bells);
    }
}

impl Activation {
    pub(super) fn new(number: u64, phase: Phase, asks_max: usize, stays: bool) -> Self {
        Self {
            number,
            phase,
            wanted: Wanted::default(),
            failures: 0,
            undone: 0,
            due: None,
            used: Instant::now(),
            stays,
            places: Arc::new(Semaphore::new(asks_max)),
            asks_max,
        }
    }

    /// A place in the mailbox, if there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Questions that have a place in its mailbox now.
    pub(super) fn depth(&self) -> usize {
        self.asks_max - self.places.available_permits()
    }

    /// Asks it, now or when it has started. Nothing when it is not there to be asked.
    pub(super) fn ask(&mut self, asking: Asking) -> bool {
        self.used = Instant::now();
        match &mut self.phase {
            Phase::Starting { asks, .. } => {
                asks.push(asking);
                true
            }
            Phase::Live { actor, .. } => send(actor, asking).is_ok(),
            Phase::Ending { .. } | Phase::Resting => false,
        }
    }

    /// Hands it what is wanted, unless a wake is with it already or it is to be left alone for a while.
    /// `receipt` makes the receipt for these bells.
    pub(super) fn wake(&mut self, receipt: impl FnOnce(u64, Vec<Ack>) -> Receipt) {
        let Phase::Live { actor, waking } = &mut self.phase else { return };
        if *waking || !self.wanted.wake || self.due.is_some() {
            return;
        }
        *waking = true;
        self.used = Instant::now();
        self.wanted.wake = false;
        let receipt = receipt(self.number, std::mem::take(&mut self.wanted.bells));
        // To one that has just ended: the receipt is dropped undone, which is told like any other.
        let _ = actor.cast(EntityMessage::Wake(receipt));
    }

    /// The factory is done: questions that waited go first.
    pub(super) fn started(&mut self, actor: ActorRef<EntityMessage>) {
        self.used = Instant::now();
        let live = Phase::Live { actor: actor.clone(), waking: false };
        if let Phase::Starting { asks, .. } = std::mem::replace(&mut self.phase, live) {
            for asking in asks {
                let _ = send(&actor, asking); // Ended already: whoever asked learns that nobody answers.
            }
        }
    }

    /// The wake that was with it is settled.
    pub(super) fn settled(&mut self) {
        self.used = Instant::now();
        if let Phase::Live { waking, .. } = &mut self.phase {
            *waking = false;
        }
    }

    /// Whether it has had nothing to do and may go.
    pub(super) fn is_idle(&self) -> bool {
        let at_rest = matches!(self.phase, Phase::Live { waking: false, .. });
        at_rest && !self.stays && !self.wanted.wake && self.depth() == 0
    }

    /// Ends it after the message it is at, and what is queued before that.
    pub(super) fn end(&mut self, how: How) {
        let ending = match &self.phase {
            Phase::Starting { attempt, .. } => {
                if matches!(how, How::AtOnce) {
                    attempt.abort();
                }
                Phase::Ending { actor: None, attempt: Some(attempt.clone()) }
            }
            Phase::Live { actor, .. } => {
                how.end(&actor.get_cell());
                Phase::Ending { actor: Some(actor.get_cell()), attempt: None }
            }
            Phase::Ending { actor, attempt } => {
                if matches!(how, How::AtOnce) {
                    actor.iter().for_each(ActorCell::kill);
                    attempt.iter().for_each(AbortHandle::abort);
                }
                return;
            }
            Phase::Resting => return,
        };
        self.phase = ending;
    }
}

/// How to end an entity.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// It has nothing to do.
    Idle,
    /// It finishes what is in its mailbox.
    Drained,
    /// It is stopped wherever it waits.
    AtOnce,
}

impl How {
    pub(super) fn end(self, actor: &ActorCell) {
        match self {
            Self::Idle => actor.stop(None),
            Self::Drained => {
                let _ = actor.drain(); // It may have ended by itself.
            }
            Self::AtOnce => actor.kill(),
        }
    }
}

fn send(actor: &ActorRef<EntityMessage>, asking: Asking) -> Result<(), MessagingErr<EntityMessage>> {
    let Asking { body, reply, permit } = asking;
    actor.cast(EntityMessage::Ask { body, reply, permit })
}
