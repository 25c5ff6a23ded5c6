//! What became of each statement: what it had effect on, and if on nothing, why.

use std::fmt;

use model::VexStatus;

use crate::trust::Doubt;
use crate::{Document, NearMiss};

/// What became of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which of the documents.
    pub document: usize,
    /// Which of its statements.
    pub statement: usize,
    /// What it is said of, by vulnerability and component.
    pub effects: Vec<Effect>,
    /// Why it has no effect, or what is to be known of it; sorted.
    pub complaints: Vec<Complaint>,
}

/// A finding that a statement speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// Which of the findings.
    pub finding: usize,
    /// What it comes to.
    pub part: Part,
    /// What the claim weighs beside the newest one on the finding, of 10,000.
    pub score: u32,
}

/// The part that a claim has in what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// It is what counts.
    Decides,
    /// It says the same as what counts.
    Agrees,
    /// Something that weighs more counts.
    Outweighed,
    /// It would count, but is contradicted so much that a person has to decide.
    Held,
}

impl Part {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decides => "decides",
            Self::Agrees => "agrees",
            Self::Outweighed => "outweighed",
            Self::Held => "held",
        }
    }
}

/// A statement by the ids of its document and its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The document's id.
    pub document: String,
    /// The document's version.
    pub version: String,
    /// The statement's id.
    pub statement: String,
}

/// Why a statement has no effect, or less than one may think.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// It has no signature, or none that proves anything.
    Doubted(Doubt),
    /// It does not count for what is wrong with its origin.
    Refused(Doubt),
    /// Nothing that it names is in the image.
    ProductNotFound(String),
    /// What it names is in the image, and is not found to have the vulnerability.
    VulnerabilityNotFound(String),
    /// Something in the image has the vulnerability and is nearly what it names.
    NearMiss(NearMiss),
    /// The component is in other places of the image too, of which it does not speak.
    Elsewhere(String),
    /// A later or more precise statement of the same issuer counts instead.
    Shadowed(Name),
    /// Another issuer says otherwise.
    Conflict {
        /// Where.
        with: Name,
        /// What that one says.
        status: VexStatus,
        /// Whether nothing is suppressed before a person decides.
        held: bool,
    },
    /// It is so old that it weighs no less when it gets older: its days.
    Stale(i64),
    /// It has no date.
    Undated,
    /// It is of a time that was still to come when it was taken in.
    NotYet(String),
}

impl Complaint {
    /// The word for its kind.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Doubted(doubt) | Self::Refused(doubt) => match doubt {
                Doubt::Unsigned => "unsigned",
                Doubt::UnknownKey => "unknown_key",
                Doubt::BadSignature(_) => "bad_signature",
                Doubt::NotTrusted(_) => "issuer_not_trusted",
            },
            Self::ProductNotFound(_) => "product_not_found",
            Self::VulnerabilityNotFound(_) => "vulnerability_not_found",
            Self::NearMiss(_) => "near_miss",
            Self::Elsewhere(_) => "elsewhere",
            Self::Shadowed(_) => "shadowed",
            Self::Conflict { .. } => "conflict",
            Self::Stale(_) => "stale",
            Self::Undated => "undated",
            Self::NotYet(_) => "not_yet",
        }
    }
}

impl Name {
    pub(crate) fn of(document: &Document, statement: usize) -> Self {
        Self {
            document: document.id.clone(),
            version: document.version.clone(),
            statement: document.statements.get(statement).map(|s| s.id.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version =
            if self.version.is_empty() { String::new() } else { format!(" (version {})", self.version) };
        write!(f, "{} of {}{version}", self.statement, self.document)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("it is not signed"),
            Self::UnknownKey => f.write_str("it is signed by a key that no issuer is known for"),
            Self::BadSignature(reason) => write!(f, "its signature does not hold: {reason}"),
            Self::NotTrusted(issuer) => write!(f, "{issuer} is not trusted"),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubted(doubt) => doubt.fmt(f),
            Self::Refused(doubt) => write!(f, "it does not count: {doubt}"),
            Self::ProductNotFound(product) => write!(f, "{product} is not in the image"),
            Self::VulnerabilityNotFound(name) => {
                write!(f, "what it names is there and is not found to have {name}")
            }
            Self::NearMiss(near) => near.fmt(f),
            Self::Elsewhere(component) => {
                write!(f, "{component} is also where it does not speak of")
            }
            Self::Shadowed(by) => write!(f, "the same issuer's {by} counts instead"),
            Self::Conflict { with, status, held } => {
                let held = if *held { ", and a person has to decide" } else { "" };
                write!(f, "{with} says {}{held}", status.as_str())
            }
            Self::Stale(days) => write!(f, "it is {days} days old"),
            Self::Undated => f.write_str("it has no date"),
            Self::NotYet(when) => {
                write!(f, "it is dated {when}, which was still to come when it was taken in")
            }
        }
    }
}
