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

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing one of these moves entities between partitions in every running cluster.
    #[test]
    fn golden_partitions() {
        let tenant = Uuid::from_u128(0x0192_f3a4_5b6c_7d8e_9f01_2345_6789_abcd);
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        check("tenant", tenant, "-", 948);
        check("image", tenant, digest, 997);
        check("feed", Uuid::nil(), "osv-debian", 421);
        check("system", Uuid::nil(), "sweeper", 485);
        check("", Uuid::nil(), "", 32);
    }

    #[track_caller]
    fn check(kind: &str, tenant: Uuid, id: &str, partition: u16) {
        assert_eq!(partition_of(&EntityKey::new(kind, tenant, id)), partition, "{kind}/{tenant}/{id}");
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = |kind: &str, id: &str| EntityKey::new(kind, Uuid::nil(), id);
        let differ = (0..200).filter(|n| {
            let n = n.to_string();
            partition_of(&key("ab", &format!("c{n}"))) != partition_of(&key("abc", &n))
        });
        assert!(differ.count() > 190);
    }

    #[test]
    fn ten_thousand_keys_a_kind_spread_evenly() {
        let mut counts = vec![0_u32; usize::from(PARTITIONS)];
        for n in 0..102_400 {
            counts
                [usize::from(EntityKey::new("image", Uuid::from_u128(n % 7), n.to_string()).partition())] +=
                1;
        }
        let (least, most) = (counts.iter().min().copied().unwrap(), counts.iter().max().copied().unwrap());
        assert!(least > 55 && most < 150, "100 expected in each, {least} to {most} found");
    }
}
