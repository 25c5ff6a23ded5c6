//! The key of an entity, and the partition it belongs to.
//!
//! The hash is part of the protocol between nodes: explicit bytes into xxh3 with no seed, never
//! `std::hash::Hash`. Partition count and hash are fixed for the life of a cluster.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

/// How many partitions the key space has.
pub const PARTITIONS: u16 = 1024;

/// Who is meant: a kind known to some [`crate::EntityFactory`], a tenant, and an id within both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKey {
    /// Which kind of entity, such as `image`. Holds no zero byte.
    pub kind: Arc<str>,
    /// Whose it is; the nil UUID for what belongs to the system.
    pub tenant: Uuid,
    /// Which one of that kind and tenant.
    pub id: Arc<str>,
}

impl EntityKey {
    /// A key from its three parts.
    pub fn new(kind: impl Into<Arc<str>>, tenant: Uuid, id: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), tenant, id: id.into() }
    }

    /// The partition this key belongs to: [`partition_of`].
    pub fn partition(&self) -> u16 {
        partition_of(self)
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.tenant, self.id)
    }
}

/// `xxh3_64(kind 0 tenant 0 id) mod 1024`, the tenant as its 16 bytes.
pub fn partition_of(key: &EntityKey) -> u16 {
    let mut hash = Xxh3::new();
    hash.update(key.kind.as_bytes());
    hash.update(&[0]);
    hash.update(key.tenant.as_bytes());
    hash.update(&[0]);
    hash.update(key.id.as_bytes());
    u16::try_from(hash.digest() % u64::from(PARTITIONS)).expect("a remainder of 1024 fits in 16 bits")
}
