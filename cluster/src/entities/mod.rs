//! Entities: what a builder of actors implements, and what an entity is handed.
//!
//! An entity is a ractor actor whose messages are [`EntityMessage`]. The cluster holds at most one of a
//! key alive at a time, starts it on demand on the node that owns its partition, passivates it when it is
//! idle, and starts it again, later and later, when it fails.

mod activation;
pub(crate) mod host;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ractor::{ActorCell, ActorRef, SpawnErr};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::authority::Lease;
use crate::key::EntityKey;
use crate::shell::Cluster;

/// Makes entities of one kind.
#[async_trait]
pub trait EntityFactory: Send + Sync + 'static {
    /// The kind, as in [`EntityKey::kind`].
    fn kind(&self) -> &'static str;

    /// Starts one: `Actor::spawn_linked(None, actor, arguments, context.supervisor)`. Never give it a name
    /// (names live in one registry for the whole process).
    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr>;

    /// Whether an entity of this kind keeps time for itself and so is not passivated when idle.
    fn stays(&self) -> bool {
        false
    }

    /// Keys that are to be alive at all times, without any bell: each is started as soon as some node owns
    /// its partition (a sweeper, a timer).
    fn residents(&self) -> Vec<EntityKey> {
        Vec::new()
    }
}

/// What an entity is started with.
#[derive(Clone)]
pub struct EntityContext {
    /// Who it is.
    pub key: EntityKey,
    /// The right it acts under: the fence of each of its effects.
    pub lease: Lease,
    /// What to link it to.
    pub supervisor: ActorCell,
    /// The node it lives on.
    pub cluster: Cluster,
}

impl fmt::Debug for EntityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityContext").field("key", &self.key).field("lease", &self.lease).finish()
    }
}

/// What an entity is sent.
#[derive(Debug)]
pub enum EntityMessage {
    /// Look at the store: something changed. At most one is under way at a time; bells that ring
    /// meanwhile are gathered into the next. Also sent once when an entity of [`EntityFactory::residents`]
    /// starts or one starts again after a failure.
    Wake(Receipt),
    /// A question from this or another node. Answer through `reply`; keep `permit` until then.
    Ask {
        /// What is asked, opaque to the cluster.
        body: Bytes,
        /// Where the answer goes. Dropped unused, the caller learns that nobody answered.
        reply: Reply,
        /// The place the question takes in the entity's bounded mailbox.
        permit: Permit,
    },
}

/// Stands for all bells a wake answers. [`Receipt::done`] after the effect is committed acknowledges
/// them; a receipt dropped undone means that they are delivered again, here or at the next owner.
#[must_use = "call done() after the effect is committed; dropping it asks for another wake"]
pub struct Receipt {
    settle: Option<Box<dyn FnOnce(bool) + Send>>,
}

impl Receipt {
    pub(crate) fn new(settle: impl FnOnce(bool) + Send + 'static) -> Self {
        Self { settle: Some(Box::new(settle)) }
    }

    /// A receipt of nobody's bells, and whether it was done (`true`) or dropped (`false`). For tests of
    /// actors.
    pub fn watched() -> (Self, oneshot::Receiver<bool>) {
        let (sender, receiver) = oneshot::channel();
        let settle = move |done| {
            let _ = sender.send(done);
        };
        (Self::new(settle), receiver)
    }

    /// What the wake asked for is done and committed: acknowledge its bells.
    pub fn done(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, done: bool) {
        if let Some(settle) = self.settle.take() {
            settle(done);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// Where the answer to an ask goes.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Bytes>);

impl Reply {
    /// A reply and where it arrives.
    pub fn channel() -> (Self, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. Nothing happens when the caller has given up.
    pub fn send(self, body: impl Into<Bytes>) {
        drop(self.0.send(body.into()));
    }
}

/// A place in a bounded mailbox, given back when dropped.
#[derive(Debug, Default)]
pub struct Permit {
    _places: Vec<OwnedSemaphorePermit>,
}

impl Permit {
    pub(crate) fn new(places: Vec<OwnedSemaphorePermit>) -> Self {
        Self { _places: places }
    }
}

/// Why a message could not be delivered or answered. Nothing relies on delivery: what matters is in the
/// store, and its bell comes by stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// A bounded queue on the way is full: try again later.
    #[error("busy")]
    Busy,
    /// Nobody owns the partition now, its owner cannot be reached, or the entity ended before answering.
    #[error("unavailable")]
    Unavailable,
    /// No answer in time. The question may still be acted upon.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No factory makes entities of this kind.
    #[error("unknown kind of entity")]
    UnknownKind,
    /// The body is larger than the links allow.
    #[error("message too large")]
    TooLarge,
}

pub(crate) type Factories = Arc<std::collections::HashMap<&'static str, Arc<dyn EntityFactory>>>;
