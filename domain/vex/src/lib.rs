//! VEX documents become statements; statements and an image's findings become one word for each finding.
//!
//! A document is hostile until read: [`Limits`] bound it, and what is wrong in it costs as little as possible and
//! is answered as a [`model::Problem`] beside the rest. No statement is dropped without a word: see [`Complaint`].
//! Nothing here asks for the time: whoever asks says as of when.

mod complaint;
pub mod formats;
mod hearing;
mod limits;
mod matching;
mod product;
mod score;
pub mod signature;
pub mod summary;
pub mod trust;
mod versions;

use std::sync::Arc;

use model::{Justification, VexStatus};
use time::OffsetDateTime;

pub use complaint::{Complaint, Effect, Heard, Name, Part};
pub use formats::{Format, Parsed, Unreadable, parse};
pub use hearing::{Evidence, Hearing, hear, words};
pub use limits::Limits;
pub use matching::{Difference, NearMiss, Precision, Sides, Subject, repository};
pub use product::{Identity, Package, Product};
pub use score::{FRESHNESS_MIN, HALF_LIFE_DAYS};
pub use summary::Summary;
pub use versions::Versions;

/// What one issuer says in one document, in one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The format it came in.
    pub format: Format,
    /// Its id; all versions of a document have the same.
    pub id: String,
    /// Its version, as it writes it; empty where it does not.
    pub version: String,
    /// Who made it, by its own word: a name or a namespace. Empty where it does not say.
    pub author: String,
    /// When it was last changed, by its own word.
    pub timestamp: Option<OffsetDateTime>,
    /// What it says.
    pub statements: Vec<Statement>,
}

/// What is said of one vulnerability in some products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its own id, or else its place in the document.
    pub id: String,
    /// The vulnerability's name, and then its other names.
    pub vulnerability: Vec<String>,
    /// The products.
    pub products: Vec<Product>,
    /// What is said.
    pub status: VexStatus,
    /// Why they are not affected, where that is said.
    pub justification: Option<Justification>,
    /// More of why, in the issuer's words.
    pub impact: Option<String>,
    /// What to do, in the issuer's words.
    pub action: Option<String>,
    /// When it was said: the statement's own time, or else the document's.
    pub timestamp: Option<OffsetDateTime>,
}

/// Names of one thing, any of which will do; shared by all that speak of it.
pub type Identities = Arc<[Identity]>;
