//! The node: everything put together, and the handle others use.
//!
//! ```text
//! Root ─┬─ Mind       membership and ownership decide; it carries out what they say
//!       ├─ Host ───── one actor for each live entity
//!       └─ tasks      bell reader, work reader, acknowledgements, Valkey's marker, listener for links
//! ```

mod joining;
mod mind;
mod root;
mod route;
mod start;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{broadcast, watch};

use crate::acting::Acting;
use crate::authority::{Authority, AuthorityUnavailable, Gen, Lease, MemberState, Removal, Steer, View};
use crate::config::Config;
use crate::entities::host;
use crate::key::EntityKey;
use crate::links::Links;
use crate::placement::{self, Move, Placement};
use crate::streams::{Bells, StreamError, Windows, Work};

/// The wire version since which a pong says how many entities live.
const ENTITIES_SINCE: u32 = 2;

/// One node of the cluster. Cheap to clone; the node runs until [`Cluster::shutdown`] or until it is
/// declared dead.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    me: Gen,
    config: Arc<Config>,
    authority: Arc<dyn Authority>,
    view: watch::Receiver<Arc<View>>,
    placement: watch::Receiver<Arc<Placement>>,
    exit: watch::Sender<Option<Exit>>,
    died: broadcast::Sender<Gen>,
    bells: Bells,
    windows: Windows,
    work: Work,
    lost: watch::Receiver<u64>,
    acting: watch::Receiver<bool>,
    may_act: Acting,
    reachable: watch::Receiver<bool>,
    /// How many entities live here.
    entities: Arc<AtomicUsize>,
    links: Links,
    root: std::sync::OnceLock<Parts>,
}

/// The actors of a node that is running.
struct Parts {
    root: ActorRef<root::Message>,
    mind: ActorRef<mind::Message>,
    host: ActorRef<host::Message>,
}

/// Why a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It left: all partitions handed over, or the deadline reached. Exit code 0.
    Left,
    /// Others declared it dead. Exit code 3: start again as a new incarnation.
    DeclaredDead,
    /// A part of the node itself failed. Exit code 1.
    Failed,
}

impl Exit {
    /// What the process should exit with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Left => 0,
            Self::Failed => 1,
            Self::DeclaredDead => 3,
        }
    }
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// Another process lives under this node's name.
    #[error("another live node bears the name {name} (generation {generation})")]
    NameTaken {
        /// The name.
        name: String,
        /// The other's generation.
        generation: Gen,
    },
    /// A live node speaks no wire version that this one does.
    #[error(
        "node {name} speaks wire versions {min} to {max}, which this one does not: upgrade one release at a time"
    )]
    WireVersion {
        /// The other node.
        name: String,
        /// Oldest version it speaks.
        min: u32,
        /// Newest version it speaks.
        max: u32,
    },
    /// The address for links cannot be listened on.
    #[error("cannot listen for other nodes")]
    Listen(#[source] std::io::Error),
    /// The authority did not answer.
    #[error(transparent)]
    Authority(#[from] AuthorityUnavailable),
    /// Valkey's address is malformed.
    #[error(transparent)]
    Streams(#[from] StreamError),
    /// A part of the node did not start.
    #[error("a part of the node did not start")]
    Actor(#[from] ractor::SpawnErr),
}

/// Where an entity lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Its partition.
    pub partition: u16,
    /// The owner of the partition, as last read.
    pub owner: Option<Gen>,
    /// The epoch of that ownership.
    pub epoch: i64,
    /// Whether that is this node.
    pub here: bool,
}

/// What an operator's word to a node would have move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which partitions, by owner and next owner.
    pub moves: Vec<Move>,
    /// How many entities live on that node; `None` when it did not answer.
    pub entities: Option<usize>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("me", &self.inner.me).field("name", &self.inner.config.name).finish()
    }
}

impl Cluster {
    /// This incarnation.
    pub fn generation(&self) -> Gen {
        self.inner.me
    }

    /// The live members, as last read.
    pub fn members(&self) -> Arc<View> {
        self.inner.view.borrow().clone()
    }

    /// Follows the members.
    pub fn watch_members(&self) -> watch::Receiver<Arc<View>> {
        self.inner.view.clone()
    }

    /// Who owns what, as last read, and who should.
    pub fn placement(&self) -> Arc<Placement> {
        self.inner.placement.borrow().clone()
    }

    /// Follows the placement.
    pub fn watch_placement(&self) -> watch::Receiver<Arc<Placement>> {
        self.inner.placement.clone()
    }

    /// Where an entity lives, as far as this node knows.
    pub fn locate(&self, key: &EntityKey) -> Location {
        let partition = key.partition();
        let placement = self.inner.placement.borrow();
        let known = placement.partitions.get(usize::from(partition)).copied().unwrap_or_default();
        Location {
            partition,
            owner: known.owner,
            epoch: known.epoch,
            here: known.owner == Some(self.inner.me),
        }
    }

    /// The lease under which this node acts for a partition, if it does and may do so now.
    pub fn lease(&self, partition: u16) -> Option<Lease> {
        if !self.may_act() {
            return None;
        }
        let placement = self.inner.placement.borrow();
        let known = placement.partitions.get(usize::from(partition))?;
        (known.owner == Some(self.inner.me)).then_some(Lease { partition, epoch: known.epoch })
    }

    /// Whether effects may start now: the last heartbeat counted recently enough. Entities need not ask,
    /// nothing is handed to them otherwise; what acts by itself should.
    pub fn may_act(&self) -> bool {
        self.inner.may_act.may_act()
    }

    /// Has a node, this one or another, do as an operator says. False when its state does not allow it.
    pub async fn steer(&self, node: Gen, word: Steer) -> Result<bool, AuthorityUnavailable> {
        self.inner.authority.steer(node, word).await
    }

    /// What that would have move, as far as this node knows; nothing is done.
    pub async fn plan(&self, node: Gen, word: Steer) -> Plan {
        let mut view = View::clone(&self.members());
        for member in view.members.iter_mut().filter(|member| member.generation == node) {
            *member = word.done_to(member.clone());
        }
        let moves = self.placement().moves_to(&placement::seats(&view));
        Plan { moves, entities: self.entities_of(node).await }
    }

    async fn entities_of(&self, node: Gen) -> Option<usize> {
        if node == self.inner.me {
            return Some(self.entities());
        }
        let member = self.members().member(node)?.clone();
        if member.wire_max < ENTITIES_SINCE {
            return None;
        }
        let pong = self.inner.links.probe(&member, self.inner.config.timing.ttl).await.ok()?;
        usize::try_from(pong.entities).ok()
    }

    /// How many entities live here.
    pub fn entities(&self) -> usize {
        self.inner.entities.load(Ordering::Relaxed)
    }

    /// Forgets a node that is gone. One that still counts as live is watched: only when its heartbeat stands still is
    /// it ended.
    pub async fn remove(&self, name: &str) -> Result<Removal, AuthorityUnavailable> {
        let authority = &self.inner.authority;
        match authority.remove(name, None).await? {
            Removal::Lives(rival) => {
                tokio::time::sleep(self.inner.config.timing.rival_watch).await;
                authority.remove(name, Some(rival)).await
            }
            done @ (Removal::Gone | Removal::Unknown) => Ok(done),
        }
    }

    /// Hands everything over, leaves and stops, at the latest after `deadline`.
    pub async fn shutdown(&self, deadline: Duration) -> Exit {
        let leaving = async {
            let mut view = self.inner.view.clone();
            loop {
                self.say_that_it_leaves().await;
                tokio::select! {
                    exit = self.exited() => return exit,
                    // An operator may take back a drain, but not the end of a process.
                    () = told_to_stay(&mut view, self.inner.me) => {}
                }
            }
        };
        let exit = match tokio::time::timeout(deadline, leaving).await {
            Ok(exit) => exit,
            Err(_) => {
                tracing::warn!("not everything was handed over in time");
                self.end(Exit::Left).await
            }
        };
        self.inner.links.close();
        exit
    }

    async fn say_that_it_leaves(&self) {
        if let Err(error) = self.steer(self.inner.me, Steer::Drain { within: None }).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot say that this node leaves");
        }
    }

    /// Stops everything at once and leaves what others may take over.
    async fn end(&self, exit: Exit) -> Exit {
        self.inner.may_act.end();
        if let Some(parts) = self.inner.root.get() {
            let _ = parts.host.cast(host::Message::End);
            let _ = parts.root.cast(root::Message::End(exit));
        }
        let left = self.inner.authority.leave(self.inner.me);
        let _ = tokio::time::timeout(Duration::from_secs(2), left).await;
        self.exited().await
    }

    /// Waits until the node has ended.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.inner.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.map(|e| *e);
        ended.ok().flatten().unwrap_or(Exit::Failed)
    }

    /// Follows the generations that are gone: declared dead, or left. One that lags behind misses the oldest.
    pub fn died(&self) -> broadcast::Receiver<Gen> {
        self.inner.died.subscribe()
    }

    /// Whether the node serves: it is in the view, able to renew, and able to reach Valkey.
    pub fn is_ready(&self) -> bool {
        self.inner.exit.borrow().is_none() && self.may_act() && self.is_valkey_reachable()
    }

    /// Whether Valkey answers. While it does not, no bells are heard here.
    pub fn is_valkey_reachable(&self) -> bool {
        *self.inner.reachable.borrow()
    }

    /// Rings bells.
    pub fn bells(&self) -> &Bells {
        &self.inner.bells
    }

    /// Counts and remembers for a while, for all nodes together.
    pub fn windows(&self) -> &Windows {
        &self.inner.windows
    }

    /// Pushes work and takes it.
    pub fn work(&self) -> &Work {
        &self.inner.work
    }

    /// Rises each time Valkey turns out to have lost everything: ring for all that is unfinished, now.
    pub fn valkey_lost(&self) -> watch::Receiver<u64> {
        self.inner.lost.clone()
    }
}

/// Waits until this node was seen to drain and then to be up again.
async fn told_to_stay(view: &mut watch::Receiver<Arc<View>>, me: Gen) {
    for state in [MemberState::Draining, MemberState::Up] {
        let is = |view: &Arc<View>| view.member(me).is_some_and(|member| member.state == state);
        if view.wait_for(is).await.is_err() {
            std::future::pending::<()>().await; // The node ends.
        }
    }
}
