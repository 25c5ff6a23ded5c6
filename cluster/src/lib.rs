//! Moving: who is a member, who owns which partition, where an entity lives, and how a bell reaches it.
//!
//! The authority (a table) decides, the ring is only a wish, and the epoch is the last word: every effect
//! of an entity names its lease, and the store refuses an old one. Decisions are plain
//! `step(event, now) -> actions` values (`membership`, `ownership`); the actors in `shell` carry them out,
//! and a seeded simulation replays them.
//!
//! This crate has never heard of an image: it carries an [`EntityKey`] and opaque bytes.

mod acting;
mod asking;
mod authority;
mod batch;
mod config;
mod entities;
mod key;
mod links;
pub mod membership;
mod metrics;
pub mod ownership;
pub mod placement;
mod shell;
pub mod streams;

pub use authority::{
    Authority, AuthorityUnavailable, DeadMember, Gen, Join, Lease, Member, MemberState, NewMember,
    PartitionRow, Removal, Rival, Steer, View,
};
pub use batch::{BatchError, Batcher};
pub use config::{Config, EntityLimits, LaneConfig, LinkLimits, StreamLimits, Timing, TlsConfig, Wire};
pub use entities::{EntityContext, EntityFactory, EntityMessage, Permit, Receipt, Reply, Undelivered};
pub use key::{EntityKey, PARTITIONS, partition_of};
pub use placement::{Move, PartitionOwner, Placement};
pub use shell::{Cluster, Exit, Location, Plan, StartError};
