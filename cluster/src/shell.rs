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
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{broadcast, watch};

use crate::acting::Acting;
use crate::authority::{Authority, AuthorityUnavailable, Gen, Lease, MemberState, View};
use crate::config::Config;
use crate::entities::host;
use crate::key::EntityKey;
use crate::links::Links;
use crate::placement::Placement;
use crate::streams::{Bells, StreamError, Windows, Work};

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
    #[error("node {name} speaks wire versions {min} to {max}, which this build does not")]
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

/// How far a node has come in leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainProgress {
    /// Partitions it still owns.
    pub remaining: usize,
    /// Whether it has left.
    pub left: bool,
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

    /// Takes a node out of the ring: its partitions move to others, it lives on. False when it is not live.
    pub async fn cordon(&self, node: Gen) -> Result<bool, AuthorityUnavailable> {
        self.inner.authority.cordon(node, true).await
    }

    /// Lets a cordoned node into the ring again. False when it is not live.
    pub async fn uncordon(&self, node: Gen) -> Result<bool, AuthorityUnavailable> {
        self.inner.authority.cordon(node, false).await
    }

    /// Has a node, this one or another, hand everything over and leave. False when it is not up. Follow it
    /// by [`Cluster::drain_progress`].
    pub async fn drain(&self, node: Gen) -> Result<bool, AuthorityUnavailable> {
        self.inner.authority.set_state(node, MemberState::Draining).await
    }

    /// How far a node has come in leaving, as this node knows.
    pub fn drain_progress(&self, node: Gen) -> DrainProgress {
        let remaining = self.placement().owned_by(node);
        DrainProgress { remaining, left: self.members().member(node).is_none() }
    }

    /// Hands everything over, leaves and stops, at the latest after `deadline`.
    pub async fn shutdown(&self, deadline: Duration) -> Exit {
        let leaving = async {
            if let Err(error) = self.drain(self.inner.me).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot say that this node leaves");
            }
            self.exited().await
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

    /// Stops everything at once and leaves what others may take over.
    async fn end(&self, exit: Exit) -> Exit {
        self.inner.may_act.end();
        if let Some(parts) = self.inner.root.get() {
            let _ = parts.host.cast(host::Message::End);
            let _ = parts.root.cast(root::Message::End(exit));
        }
        let left = self.inner.authority.set_state(self.inner.me, MemberState::Left);
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
