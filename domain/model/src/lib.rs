//! The words everyone speaks: ids, digests, components, severities, job states.
//!
//! Values here are checked when they are built, so nobody checks them again. Nothing here does I/O,
//! and nothing here is serialized: each boundary (protobuf, row, document) has its own types.

mod component;
mod digest;
mod finding;
mod gap;
mod ids;
mod job;
mod run;
mod severity;
mod vex;

pub use component::{
    Component, Distro, Location, Origin, PackageKind, Problem, Purl, Sbom, SourcePackage, ThirdParty,
};
pub use digest::{Digest, ImageDigest, InvalidDigest, sha256};
pub use finding::{AdvisoryMatch, Coverage, Finding, FixState, NoFix, Notice};
pub use gap::{Gap, GapKind};
pub use ids::{FeedId, InvalidFeedId, JobId, RequestId, RunId, SnapshotId, TenantId, TraceId};
pub use job::{JobKind, JobState, Lane, Stage, UnknownWord};
pub use run::{RunImageState, RunKind, RunState};
pub use severity::Severity;
pub use vex::{Justification, VexStatus, VexWord};
