//! Reaching an entity wherever it lives. Nothing relies on it: what matters comes by stream.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proto_cluster::v1::Pong;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Cluster, Inner, mind};
use crate::authority::Member;
use crate::entities::{Undelivered, host};
use crate::key::EntityKey;
use crate::links::{Desk, Refused};

/// A question that finds the wrong node is sent on so many times.
const REDIRECTS: u32 = 2;

enum Whereabouts {
    Here,
    There(Member),
}

impl Cluster {
    /// Wakes an entity, here or by a hint over a link. Its delivery is not certain: ring a bell for what
    /// must not be missed.
    pub async fn wake(&self, key: &EntityKey) -> Result<(), Undelivered> {
        match self.whereabouts(key).ok_or(Undelivered::Unavailable)? {
            Whereabouts::Here => self.wake_here(key.clone()).map_err(undelivered),
            Whereabouts::There(owner) => {
                let view = self.members().version;
                self.inner.links.wake(&owner, key, view).map_err(undelivered)
            }
        }
    }

    /// Asks an entity, wherever it lives, and waits for its answer up to `timeout`.
    pub async fn ask(&self, key: &EntityKey, body: Bytes, timeout: Duration) -> Result<Bytes, Undelivered> {
        if body.len() > self.inner.config.links.body_max {
            return Err(Undelivered::TooLarge); // Wherever it lives, so that it does not depend on where.
        }
        let deadline = Instant::now() + timeout;
        match tokio::time::timeout_at(deadline, self.ask_until(key, body, deadline)).await {
            Ok(Err(Refused::Expired)) | Err(_) => Err(Undelivered::TimedOut(timeout)),
            Ok(answer) => answer.map_err(undelivered),
        }
    }

    async fn ask_until(&self, key: &EntityKey, body: Bytes, deadline: Instant) -> Result<Bytes, Refused> {
        let waited = Instant::now() + self.inner.config.timing.route_wait;
        let mut placement = self.watch_placement();
        let mut redirects = 0;
        loop {
            placement.mark_unchanged();
            let refused = match self.whereabouts(key) {
                Some(owner) => match self.ask_at(owner, key, body.clone(), deadline).await {
                    Err(refused @ (Refused::NotOwner { .. } | Refused::Draining)) => {
                        redirects += 1;
                        refused
                    }
                    answer => return answer,
                },
                None => Refused::Unreachable,
            };
            if redirects > REDIRECTS || Instant::now() >= waited {
                return Err(refused);
            }
            self.look();
            // Between two owners: the next one shows in the placement.
            let _ = tokio::time::timeout_at(waited.min(deadline), placement.changed()).await;
        }
    }

    async fn ask_at(
        &self,
        owner: Whereabouts,
        key: &EntityKey,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Refused> {
        match owner {
            Whereabouts::Here => self.ask_here(key.clone(), body).await,
            Whereabouts::There(owner) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.inner.links.ask(&owner, key, body, self.members().version, left).await
            }
        }
    }

    fn whereabouts(&self, key: &EntityKey) -> Option<Whereabouts> {
        let location = self.locate(key);
        if location.here {
            return Some(Whereabouts::Here);
        }
        self.members().member(location.owner?).cloned().map(Whereabouts::There)
    }

    fn wake_here(&self, key: EntityKey) -> Result<(), Refused> {
        let parts = self.inner.root.get().ok_or(Refused::Draining)?;
        parts.host.cast(host::Message::Wake(key, None)).map_err(|_| Refused::Draining)
    }

    async fn ask_here(&self, key: EntityKey, body: Bytes) -> Result<Bytes, Refused> {
        let parts = self.inner.root.get().ok_or(Refused::Draining)?;
        let (asked, answer) = oneshot::channel();
        parts.host.cast(host::Message::Ask(key, body, asked)).map_err(|_| Refused::Draining)?;
        answer.await.map_err(|_| Refused::Draining)??.await.map_err(|_| Refused::Gone)
    }

    /// Has the mind read the table soon.
    fn look(&self) {
        if let Some(parts) = self.inner.root.get() {
            let _ = parts.mind.cast(mind::Message::Look);
        }
    }
}

const fn undelivered(refused: Refused) -> Undelivered {
    match refused {
        Refused::Busy => Undelivered::Busy,
        Refused::Bad => Undelivered::UnknownKind,
        Refused::Expired
        | Refused::NotOwner { .. }
        | Refused::Draining
        | Refused::Gone
        | Refused::Unreachable => Undelivered::Unavailable,
    }
}

/// Answers other nodes, once this one is put together.
#[derive(Default)]
pub(super) struct Reception {
    node: OnceLock<Weak<Inner>>,
}

impl Reception {
    pub(super) fn open(&self, cluster: &Cluster) {
        let _ = self.node.set(Arc::downgrade(&cluster.inner));
    }

    fn cluster(&self) -> Option<Cluster> {
        self.node.get().and_then(Weak::upgrade).map(|inner| Cluster { inner })
    }
}

#[async_trait]
impl Desk for Reception {
    fn wake(&self, key: EntityKey) -> Result<(), Refused> {
        self.cluster().ok_or(Refused::Draining)?.wake_here(key)
    }

    async fn ask(&self, key: EntityKey, body: Bytes, _ttl: Duration) -> Result<Bytes, Refused> {
        self.cluster().ok_or(Refused::Draining)?.ask_here(key, body).await
    }

    fn hint(&self, _view: i64, _released: Vec<u16>) {
        if let Some(cluster) = self.cluster() {
            cluster.look();
        }
    }

    fn health(&self) -> Pong {
        self.cluster().map_or_else(Pong::default, |cluster| Pong {
            generation: cluster.generation().0,
            view: cluster.members().version,
            ready: cluster.is_ready(),
            entities: match cluster.inner.config.wire.max {
                ..super::ENTITIES_SINCE => 0,
                super::ENTITIES_SINCE.. => u64::try_from(cluster.entities()).unwrap_or(u64::MAX),
            },
        })
    }
}
