//! Documents of feeds become advisories: facts in one shape, whatever format they came in.
//!
//! A document is hostile until read: [`Limits`] bound it, and what is wrong in it costs as little as
//! possible, mostly one entry, and is answered as a [`model::Problem`] beside the rest.
//! A new format is one file in [`formats`] and one line in its table.

pub mod contract;
pub mod delta;
pub mod enrichment;
pub mod formats;
pub mod jsonl;
pub mod lifecycle;
mod limits;
pub mod linkset;
mod normalise;
mod severity;

use model::{NoFix, Notice, Severity};
use version::Event;

pub use limits::Limits;
pub use normalise::{Ecosystem, canonical_name, scheme};

/// What one feed says of one vulnerability, in its latest revision.
///
/// Two that are equal mean the same, however differently they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Advisory {
    /// Its own id (`GHSA-…`, `PYSEC-…`, `DSA-…`).
    pub id: String,
    /// Other ids of the same vulnerability, sorted.
    pub aliases: Vec<String>,
    /// Ids of the vulnerabilities that it carries into a distribution, sorted.
    pub upstream: Vec<String>,
    /// When it was published, as the feed writes it.
    pub published: Option<String>,
    /// When it was last changed, as the feed writes it. Not all feeds keep it.
    pub modified: Option<String>,
    /// Whether it was taken back. Then it matches nothing.
    pub withdrawn: bool,
    /// How bad it is, unless a package's entry says otherwise.
    pub severity: Severity,
    /// The packages it speaks of.
    pub affected: Vec<Affected>,
}

/// What an advisory says of one package.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Affected {
    /// Which packages' world, and which release of it.
    pub ecosystem: Ecosystem,
    /// The package's name as [`canonical_name`] writes it.
    pub package: String,
    /// Whether that is a source package where packages are named themselves otherwise (RPM): then all that is
    /// built from it is affected.
    pub is_source: bool,
    /// Affected are the versions in any of these …
    pub ranges: Vec<AffectedRange>,
    /// … and the versions listed here.
    pub versions: Vec<String>,
    /// How bad it is for this package, where that is said.
    pub severity: Option<Severity>,
    /// Why there is no fix, where that is said.
    pub no_fix: Option<NoFix>,
    /// What this is, where it is no vulnerability.
    pub notice: Option<Notice>,
    /// Where alone it holds.
    pub targets: Targets,
}

/// The systems and processors on which something holds, as Rust calls them; none means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Targets {
    /// `windows`, `linux` …; sorted.
    pub systems: Vec<String>,
    /// `x86_64`, `aarch64` …; sorted.
    pub processors: Vec<String>,
}

/// A range of versions of one package.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AffectedRange {
    /// How the feed says that its versions compare.
    pub kind: RangeKind,
    /// Where it begins and ends, in the feed's order.
    pub events: Vec<Event>,
}

/// How a feed says that versions of a range compare. Ranges of git commits are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RangeKind {
    /// As semantic versions.
    Semver,
    /// By the rules of the ecosystem.
    Ecosystem,
}
