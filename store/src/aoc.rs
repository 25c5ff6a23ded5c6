//! Proof of the store: that what was taken in is all there, unchanged, with where it came from, and that nobody may
//! change it. (The aggregation-only contract: facts and their provenance, append-only.)

mod attached;
mod documents;
mod structure;

use std::fmt;

use crate::{Error, FleetTx};

pub use documents::{Checked, Documents, documents};
pub use structure::structure;

use model::SnapshotId;
use time::OffsetDateTime;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A document is what its digest says.
    Digest,
    /// A document carries what a source may say, and is the advisory it is filed under.
    Content,
    /// A revision supersedes the one before, back to the first.
    Supersession,
    /// It is known where a document came from.
    Provenance,
    /// Snapshots are numbered without a gap, and each holds as much as was counted when it was made.
    Snapshots,
    /// The triggers that refuse changes are in place and on.
    Triggers,
    /// Nobody but the owner may change what was taken in.
    Grants,
    /// The keys that hold revisions together are in place.
    Keys,
}

impl Rule {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Content => "content",
            Self::Supersession => "supersession",
            Self::Provenance => "provenance",
            Self::Snapshots => "snapshots",
            Self::Triggers => "triggers",
            Self::Grants => "grants",
            Self::Keys => "keys",
        }
    }
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// What should.
    pub rule: Rule,
    /// Where: a table, or feed, advisory and revision.
    pub place: String,
    /// What is there instead.
    pub what: String,
}

impl Violation {
    fn new(rule: Rule, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule, place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule.as_str(), self.place, self.what)
    }
}

/// The last snapshot that was made before this moment; 0 when there was none.
pub async fn snapshot_before(tx: &mut FleetTx, moment: OffsetDateTime) -> Result<SnapshotId, Error> {
    let id = sqlx::query_scalar!(
        r#"select coalesce(max(snapshot_id), 0) as "id!" from vuln.snapshot where at < $1"#,
        moment,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(SnapshotId(id))
}
