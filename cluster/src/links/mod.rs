//! Links between nodes: gRPC streams with mutual TLS, opened on demand.
//!
//! They carry questions, answers and hints. Nothing relies on their delivery: what must not be missed is
//! in the store and comes by stream. Every queue is bounded; a full one is [`Refused::Busy`] to the caller
//! and never a growing buffer.

mod frames;
mod peer;
mod server;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_cluster::v1::node_client::NodeClient;
use proto_cluster::v1::{Ping, Pong};
use tonic::transport::{Channel, Endpoint};

use self::peer::Peer;
pub(crate) use self::server::{Desk, Listening, serve};
use crate::authority::{Gen, Member, View};
use crate::config::{LinkLimits, TlsConfig, Wire};
use crate::key::EntityKey;

/// A peer that could not be reached is left alone for this long.
const PAUSE: Duration = Duration::from_millis(200);

/// Who this node is to the others.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) generation: Gen,
    pub(crate) wire: Wire,
}

/// Why a peer did not take or answer a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It does not own the partition; it has seen this view.
    #[error("the node does not own the partition")]
    NotOwner {
        /// Version of its view.
        view: i64,
    },
    /// A bounded queue on the way is full.
    #[error("busy")]
    Busy,
    /// No answer in time.
    #[error("no answer in time")]
    Expired,
    /// It is leaving, or does not serve yet.
    #[error("the node is leaving")]
    Draining,
    /// It does not understand the message, or hosts no such kind.
    #[error("the node does not understand the message")]
    Bad,
    /// The entity ended before it answered.
    #[error("the entity ended before it answered")]
    Gone,
    /// The link cannot be opened, or broke.
    #[error("the node cannot be reached")]
    Unreachable,
}

/// The links of one node to its peers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    identity: Arc<Identity>,
    tls: Option<Arc<TlsConfig>>,
    limits: LinkLimits,
    peers: Arc<Mutex<HashMap<Gen, Slot>>>,
}

#[derive(Debug)]
enum Slot {
    Open(Peer),
    /// It could not be reached, at this moment.
    Failed(Instant),
}

impl Links {
    pub(crate) fn new(identity: Identity, tls: Option<TlsConfig>, limits: LinkLimits) -> Self {
        Self { identity: Arc::new(identity), tls: tls.map(Arc::new), limits, peers: Arc::default() }
    }

    /// Asks an entity at a peer, and waits for its answer up to `ttl`.
    pub(crate) async fn ask(
        &self,
        to: &Member,
        key: &EntityKey,
        body: Bytes,
        view: i64,
        ttl: Duration,
    ) -> Result<Bytes, Refused> {
        if body.len() > self.limits.body_max {
            return Err(Refused::Bad);
        }
        let peer = self.peer(to)?;
        let asked = peer.ask(key, body, view, ttl);
        tokio::time::timeout(ttl, asked).await.unwrap_or(Err(Refused::Expired))
    }

    /// Has a peer wake an entity. Not certain to arrive.
    pub(crate) fn wake(&self, to: &Member, key: &EntityKey, view: i64) -> Result<(), Refused> {
        self.peer(to)?.wake(key, view)
    }

    /// Tells a peer that there is something new at the authority: a view, or partitions it may claim.
    pub(crate) fn hint(&self, to: &Member, view: i64, released: &[u16]) -> Result<(), Refused> {
        self.peer(to)?.hint(view, released)
    }

    /// Asks a peer whether it serves, on a connection of its own. `Err` when it does not answer in time.
    pub(crate) async fn probe(&self, to: &Member, within: Duration) -> Result<Pong, Refused> {
        let asked = async {
            let endpoint = self.endpoint(to)?;
            let channel = endpoint.connect().await.map_err(|_| Refused::Unreachable)?;
            let ping = Ping { cluster: self.identity.cluster.clone() };
            let pong = NodeClient::new(channel).health(ping).await.map_err(|_| Refused::Unreachable)?;
            Ok(pong.into_inner())
        };
        tokio::time::timeout(within, asked).await.unwrap_or(Err(Refused::Expired))
    }

    /// Closes the links to nodes that are not in the view.
    pub(crate) fn retain(&self, view: &View) {
        self.slots().retain(|generation, _| view.member(*generation).is_some());
    }

    /// Closes all links, after saying so.
    pub(crate) fn close(&self) {
        for (_, slot) in self.slots().drain() {
            if let Slot::Open(peer) = slot {
                peer.bye();
            }
        }
    }

    fn peer(&self, to: &Member) -> Result<Peer, Refused> {
        let mut slots = self.slots();
        match slots.get(&to.generation) {
            Some(Slot::Open(peer)) if !peer.is_closed() => return Ok(peer.clone()),
            Some(Slot::Open(_)) => {
                slots.insert(to.generation, Slot::Failed(Instant::now()));
                return Err(Refused::Unreachable);
            }
            Some(Slot::Failed(since)) if since.elapsed() < PAUSE => return Err(Refused::Unreachable),
            Some(Slot::Failed(_)) | None => {}
        }
        let peer = Peer::open(self.endpoint(to)?, &self.identity, self.limits);
        slots.insert(to.generation, Slot::Open(peer.clone()));
        Ok(peer)
    }

    fn endpoint(&self, to: &Member) -> Result<Endpoint, Refused> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint =
            Channel::from_shared(format!("{scheme}://{}", to.address)).map_err(|_| Refused::Bad)?;
        let endpoint = endpoint
            .connect_timeout(self.limits.connect)
            .http2_keep_alive_interval(self.limits.keep_alive)
            .keep_alive_timeout(self.limits.keep_alive)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(endpoint) };
        endpoint.tls_config(tls::client(tls, &to.name)).map_err(|_| Refused::Unreachable)
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Gen, Slot>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
