//! The public contract: messages, clients and servers made from the .proto files beside this crate.
//!
//! One module for each package `starling.<area>.v1`. Nothing is written by hand here but the meaning
//! of the error reasons.
#![expect(clippy::allow_attributes, reason = "the code generator writes `allow` into what it makes")]

mod reasons;

pub use reasons::{DOMAIN, Guide};

/// The compiled .proto files (a `google.protobuf.FileDescriptorSet`), for reflection and for tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! area {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    };
}

area! {
    /// Words that several services speak, and the reasons of errors.
    common, "starling.common.v1"
}
area! {
    /// Advisories: revisions, snapshots, what changed.
    advisory, "starling.advisory.v1"
}
area! {
    /// The cluster: nodes, the ring, draining.
    cluster, "starling.cluster.v1"
}
area! {
    /// Feeds and their freshness.
    feed, "starling.feed.v1"
}
area! {
    /// Findings and verdicts.
    finding, "starling.finding.v1"
}
area! {
    /// Images and their blobs.
    image, "starling.image.v1"
}
area! {
    /// Whom a vulnerability concerns.
    impact, "starling.impact.v1"
}
area! {
    /// Whose VEX is heard.
    issuer, "starling.issuer.v1"
}
area! {
    /// Jobs.
    job, "starling.job.v1"
}
area! {
    /// Lanes and dead letters.
    queue, "starling.queue.v1"
}
area! {
    /// Runs of the scheduler, and schedules.
    run, "starling.run.v1"
}
area! {
    /// Tenants and quotas.
    tenant, "starling.tenant.v1"
}
area! {
    /// Verdicts over time.
    verdict, "starling.verdict.v1"
}
area! {
    /// VEX documents.
    vex, "starling.vex.v1"
}
