//! What holds for an image: findings with their evidence, and how far they can be trusted.

use crate::component::Purl;
use crate::ids::FeedId;
use crate::severity::Severity;

/// Whether and where a vulnerability is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FixState {
    /// Fixed in these versions, lowest first; never empty.
    Fixed(Vec<String>),
    /// The advisory names no fixed version.
    NotFixed,
}

/// One advisory that says so, and why it applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdvisoryMatch {
    /// The advisory's own id (`GHSA-…`, `PYSEC-…`, `DSA-…`).
    pub advisory: String,
    /// The feed it came from.
    pub feed: FeedId,
    /// The comparison that holds, for people: `0.21.0 in [0, 0.21.1) by semver`.
    pub reason: String,
    /// Versions this advisory says are fixed.
    pub fixed_versions: Vec<String>,
}

/// One vulnerability that holds for one component of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The vulnerability: its CVE id where there is exactly one, else the advisory's id.
    pub vulnerability: String,
    /// Its other names, sorted.
    pub aliases: Vec<String>,
    /// The component.
    pub purl: Purl,
    /// The component's name.
    pub package: String,
    /// The component's version.
    pub version: String,
    /// The highest severity that an advisory gives.
    pub severity: Severity,
    /// Fix state over all the advisories.
    pub fix: FixState,
    /// The advisories that say so, sorted; never empty.
    pub advisories: Vec<AdvisoryMatch>,
}

/// How far a result can be trusted. Anything but `Complete` is never shown as clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coverage {
    /// Every component had a feed that speaks of its ecosystem and the whole image was read.
    Complete,
    /// Part of the image could not be read, or a component's ecosystem has no feed.
    Partial,
    /// No feed was loaded when it was evaluated.
    Provisional,
}

impl Coverage {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Provisional => "provisional",
        }
    }

    /// The coverage with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Complete, Self::Partial, Self::Provisional].into_iter().find(|c| c.as_str() == word)
    }
}
