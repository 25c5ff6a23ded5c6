//! Components × advisories → findings, and how far they can be trusted.
//!
//! A pure function of an SBOM and an [`Index`]: the same bytes on every machine, whatever order the
//! advisories and the components came in. Nothing found is not yet clean: see [`model::Coverage`].

mod cause;
mod changes;
mod chunks;
pub mod coverage;
mod document;
mod explain;
pub mod impact;
mod index;
mod known;
mod machine;
mod matching;
mod naming;
pub mod packed;
#[cfg(test)]
mod tests;

use model::{Coverage, FeedId, Finding, Gap, Purl};

pub use cause::{Basis, Cause, CauseKind, DocumentSource, Grounds, HeardDocument, RevisedAdvisory};
pub use changes::{Apart, Change, ChangeKind, changes};
pub use document::{
    NoFinding, Written, WrittenFinding, digest_of_documents, findings_digest, from_document, to_document,
};
pub use explain::{Answer, Explanation, Reason, explain};
pub use index::{Changed, Index};
pub use known::{Known, Matched};
pub use matching::evaluate;

/// What holds for an image, by one state of the advisories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Sorted by vulnerability, then component.
    pub findings: Vec<Finding>,
    /// Whether an absent finding means anything.
    pub coverage: Coverage,
    /// Why coverage is not complete, as far as it was found out here. Sorted. What could not be read when the SBOM was
    /// made is [`coverage::unread`].
    pub gaps: Vec<Gap>,
    /// What is no finding because the distributor has the word on it. Sorted.
    pub set_aside: Vec<SetAside>,
}

/// An advisory that would apply to a component, had the component not come in a distribution's package:
/// distributors mend without changing the version, and the distribution's own advisories say so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetAside {
    /// The component.
    pub purl: Purl,
    /// The OS package whose files it is in.
    pub owner: Purl,
    /// The advisory's id.
    pub advisory: String,
    /// The feed it came from.
    pub feed: FeedId,
    /// The comparison that holds.
    pub reason: String,
}
