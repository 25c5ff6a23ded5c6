//! Remembering: all SQL, one file per group of tables, and the objects.
//!
//! Nothing reaches a table but through a transaction that says for whom it acts: [`TenantTx`] sees the rows of one
//! tenant (row-level security stands behind every query), [`FleetTx`] is for relay, sweeper, feeds and operators.
//! Functions that are one durable step by themselves take the [`Store`] and open their own transaction.
//! Times are the database's; ids are UUIDv7 made here.

pub mod admission;
pub mod aoc;
pub mod backup;
pub mod dead_letters;
pub mod deltas;
pub mod effects;
pub mod enrichment;
mod error;
pub mod evaluations;
mod facts;
pub mod feed_control;
pub mod feed_orders;
pub mod feeds;
pub mod findings;
mod gaps;
pub mod images;
pub mod impact;
pub mod issuers;
pub mod jobs;
pub mod lanes;
pub mod layers;
pub mod linksets;
pub mod members;
pub mod objects;
pub mod observations;
pub mod outbox;
mod pool;
pub mod quarantine;
pub mod requests;
pub mod revised;
mod row;
pub mod runs;
pub mod schedules;
pub mod sweep;
pub mod tenants;
pub mod tokens;
mod tx;
pub mod verdicts;
pub mod vex;
pub mod webhooks;
pub mod work;

pub use error::Error;
pub use objects::Objects;
pub use outbox::Bell;
pub use pool::{Config, Store};
pub use tx::{FleetTx, TenantTx};

/// A partition and the epoch under which the caller owns it; every effect of an entity names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The partition of the entity's key.
    pub partition: u16,
    /// The fencing number its owner was given.
    pub epoch: i64,
}
