//! Doing: one file per actor.
//!
//! ```text
//! entities, at most one of a key in the cluster        on every node
//!   tenant.rs   whose turn it is                         relay.rs        outbox → streams
//!   image.rs    from job to verdict                      scan_worker.rs  work → SBOM, one slot each
//!   feed.rs     from source to observations
//!   scheduler.rs  from changes of feeds to images      lookout.rs    wakes what it hears no bells for
//!   sweeper.rs  rings for what stands still
//! ```
//!
//! Actors know no protobuf and no SQL. Whatever they hold may be lost at any line: the store knows the
//! rest, and bells that ring twice do no harm.

mod authority;
mod backoff;
mod bells;
pub mod blast_radius;
pub mod clients;
mod config;
pub mod effects;
mod entity;
mod evaluator;
pub mod failpoint;
pub mod feed;
mod feed_format;
pub mod image;
pub mod index_cache;
mod known_facts;
pub mod lookout;
mod looks;
pub mod metrics;
mod node;
mod places;
mod recall;
pub mod relay;
mod remembered;
pub mod sampler;
pub mod scan_worker;
pub mod scheduler;
mod supervisor;
pub mod sweeper;
mod system;
pub mod tenant;
pub mod vex_hearing;

use std::sync::Arc;

use cluster::{EntityFactory, Lease};
use store::Fence;

pub use authority::StoreAuthority;
pub use config::{Config, Deps};
pub use evaluator::Asked;
pub use feed_format::FeedFormat;
pub use node::{NodeActors, spawn_node_actors};
pub use recall::{Recall, RecallError};
pub use sweeper::SweepTiming;

/// A factory for each kind of entity.
pub fn factories(deps: &Deps) -> Vec<Arc<dyn EntityFactory>> {
    vec![tenant::factory(deps), image::factory(deps), feed::factory(deps), system::factory(deps)]
}

const fn fence_of(lease: Lease) -> Fence {
    Fence { partition: lease.partition, epoch: lease.epoch }
}

/// An error in one line, with what it comes from.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
