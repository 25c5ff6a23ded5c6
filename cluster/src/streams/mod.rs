//! Valkey streams: bells by partition and lane, work by lane.
//!
//! Streams carry ids only and are never trimmed. An entry is acknowledged and deleted after its effect is
//! committed; whatever is lost here, the store still knows, and a sweep rings again.

mod acks;
pub(crate) mod bell_reader;
mod bells;
pub mod claims;
pub mod listening;
pub(crate) mod marker;
mod turns;
mod valkey;
mod windows;
mod work;
pub(crate) mod work_reader;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::key::EntityKey;

pub(crate) use acks::{Ack, Acks};
pub use bells::Bells;
pub(crate) use valkey::Valkey;
pub use windows::Windows;
pub(crate) use work::Demand;
pub use work::Work;

/// A bell: who should look, and how urgently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bell {
    /// Who should look.
    pub key: EntityKey,
    /// Index into [`crate::Config::lanes`].
    pub lane: usize,
    /// The outbox row it comes from, for people who trace one.
    pub outbox_id: i64,
}

/// A heavy stateless task that any node may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItem {
    /// Whose work it is.
    pub tenant: Uuid,
    /// Its id in the store.
    pub id: Arc<str>,
    /// Index into [`crate::Config::lanes`].
    pub lane: usize,
}

/// Work handed to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What to do.
    pub item: WorkItem,
    /// What to name when renewing or acknowledging it.
    pub entry: WorkEntry,
    /// Another node held it before and let its lease run out, or died.
    pub reclaimed: bool,
}

/// An entry of a work stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkEntry {
    /// Index of its lane.
    pub lane: usize,
    /// Its id in the stream.
    pub id: Arc<str>,
}

/// Valkey did not answer, or not in time.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The server cannot be reached, or refused. What was to be sent may or may not have arrived.
    #[error("valkey is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A consumer group is missing: the server has lost it.
    #[error("valkey has lost a consumer group")]
    NoGroup,
    /// No such lane in [`crate::Config::lanes`].
    #[error("there is no lane {0}")]
    UnknownLane(usize),
}

/// Milliseconds, as the server counts.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
