//! Who is meant, in small numbers; and as the product names it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use cluster::EntityKey;
use model::{Digest, Lane, TenantId};
use uuid::Uuid;

/// How many tenants there are, and images of each.
pub(crate) const TENANTS: u8 = 3;
pub(crate) const IMAGES: u8 = 4;

/// An image of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Image {
    pub(crate) tenant: u8,
    pub(crate) number: u8,
}

/// An entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Tenant(u8),
    Image(Image),
    Sweeper,
    Scheduler,
}

/// Whom a bell rings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Entity(Key),
    /// Any worker.
    Work(u64),
}

/// A bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bell {
    pub(crate) who: Who,
    pub(crate) lane: Lane,
}

impl Image {
    /// As rows name it.
    pub(crate) fn row(self) -> invariants::ImageId {
        (u128::from(self.tenant), self.number.to_string())
    }
}

impl Key {
    /// The partition it belongs to, of so many.
    pub(crate) fn partition(self, partitions: u16) -> u16 {
        static KNOWN: OnceLock<BTreeMap<Key, u16>> = OnceLock::new();
        let known = KNOWN.get_or_init(|| Self::all().map(|key| (key, key.product().partition())).collect());
        known[&self] % partitions
    }

    /// As the product names it.
    fn product(self) -> EntityKey {
        let tenant = |tenant: u8| Uuid::from_u128(u128::from(tenant) + 1);
        match self {
            Self::Tenant(number) => EntityKey::new("tenant", tenant(number), "-"),
            Self::Image(image) => EntityKey::new("image", tenant(image.tenant), image.number.to_string()),
            Self::Sweeper => actors::sweeper::key(),
            Self::Scheduler => actors::scheduler::key(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let images = |tenant| (0..IMAGES).map(move |number| Self::Image(Image { tenant, number }));
        let tenants = (0..TENANTS).flat_map(move |tenant| images(tenant).chain([Self::Tenant(tenant)]));
        tenants.chain([Self::Sweeper, Self::Scheduler])
    }
}

impl Bell {
    /// As the product's own code takes it. `number` tells it apart from the others of a list.
    pub(crate) fn product(self, number: usize) -> store::Bell {
        let id = i64::try_from(number).expect("few");
        store::Bell {
            id,
            kind: "simulated".to_owned(),
            tenant: TenantId::SYSTEM,
            key: format!("{:?}", self.who),
            lane: self.lane,
        }
    }
}

/// The digest of every SBOM: what is in it has no part here.
pub(crate) fn sbom() -> Digest {
    static SBOM: OnceLock<Digest> = OnceLock::new();
    SBOM.get_or_init(|| Digest::of(b"simulated")).clone()
}
