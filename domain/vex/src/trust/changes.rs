//! How a directory of issuers comes to be: by changes, one after the other, that are never taken out again.
//!
//! Some changes count for everybody, others for one tenant alone. What a tenant sees is the fold of the first and then
//! of its own. An issuer of its own stands before one for everybody with the same id, so that what others do later
//! takes nothing from it. Folding refuses nothing: whether a change may be made is asked before it is ([`Register::may`]).

mod register;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

use super::{Directory, Tier};
use crate::signature::Key;

pub use register::{Entry, Refused, Register, Scope};

/// One change of what is known of issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChange {
    /// Which issuer; empty for a policy.
    pub issuer: String,
    /// What changes.
    pub kind: IssuerChangeKind,
    /// When it was made.
    pub at: OffsetDateTime,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerChangeKind {
    /// It is known from now on. An id is given once.
    Created {
        /// What people call it.
        name: String,
        /// How its documents call it.
        authors: Vec<String>,
        /// How far it is trusted.
        tier: Tier,
    },
    /// Something of it is another; what is none stays.
    Changed {
        /// What people call it.
        name: Option<String>,
        /// How its documents call it.
        authors: Option<Vec<String>>,
        /// How far it is trusted.
        tier: Option<Tier>,
    },
    /// It signs with this key.
    KeyAdded {
        /// The key.
        key: Key,
        /// The id of the key that is over with that.
        replaces: Option<String>,
    },
    /// What was signed with this key and taken in since counts no more.
    KeyRevoked {
        /// The key's id.
        key: String,
        /// Since when.
        since: OffsetDateTime,
    },
    /// A tenant trusts an issuer that everybody has otherwise than everybody does; none: as everybody again.
    Trusted {
        /// How far.
        tier: Option<Tier>,
    },
    /// It is not known any more.
    Retired,
    /// What is done with documents of nobody that is known.
    Policy {
        /// Whether statements of unknown issuers count.
        accepts_unknown: bool,
        /// Whether statements without a good signature count.
        accepts_unsigned: bool,
    },
}

impl IssuerChangeKind {
    /// The words for all kinds, in their order.
    pub const WORDS: [&str; 7] =
        ["created", "changed", "key_added", "key_revoked", "trusted", "retired", "policy"];

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Changed { .. } => "changed",
            Self::KeyAdded { .. } => "key_added",
            Self::KeyRevoked { .. } => "key_revoked",
            Self::Trusted { .. } => "trusted",
            Self::Retired => "retired",
            Self::Policy { .. } => "policy",
        }
    }
}

/// The directory that comes of the changes for everybody and then of a tenant's own.
pub fn fold(global: &[IssuerChange], own: &[IssuerChange]) -> Directory {
    Register::of(global, own).directory()
}
