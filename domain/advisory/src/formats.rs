//! The formats that advisories come in: one file each, and one line in the table.
//!
//! A source hands over documents. Where a document holds many advisories, the format first takes it apart
//! into records, each a small document of the same format, and reads those; elsewhere a document is a record.

pub mod csaf;
pub mod debian_tracker;
pub mod osv;
pub mod secdb;
pub mod walk;
mod yaml;

use model::Problem;

use crate::{Advisory, Limits};

/// A record's advisory, and what in it could not be read.
pub type Parsed = Result<(Advisory, Vec<Problem>), Unreadable>;

/// Takes a document apart, and hands piece after piece to the last argument until that wants no more.
pub type Split = fn(&[u8], &Limits, &mut dyn FnMut(Piece) -> bool) -> Result<(), Unreadable>;

/// What a document was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A record: what [`Format::parse`] reads.
    Record(Vec<u8>),
    /// An entry that gives none.
    Wrong(Problem),
}

/// A record that gives no advisory at all, or a document that gives no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not a JSON object.
    #[error("the record is not a JSON object: {0}")]
    NotJson(String),
    /// It is not YAML, or such as is not read.
    #[error("the document is not YAML that is read: {0}")]
    NotYaml(String),
    /// It has no id that could name it.
    #[error("the record has no id")]
    NoId,
    /// It lacks what it cannot be read without.
    #[error("the record has no {0}")]
    Lacks(&'static str),
    /// It is beyond one of the [`Limits`].
    #[error("the record has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}

/// One format of feeds.
#[derive(Debug)]
pub struct Format {
    /// The word for it in the configuration of a feed.
    pub word: &'static str,
    /// Takes a document apart; `None` where a document is a record.
    split: Option<Split>,
    /// Reads one record of it.
    pub parse: fn(&[u8], &Limits) -> Parsed,
}

/// Every format we read. The first is the usual one.
pub const FORMATS: [Format; 4] = [
    Format { word: "osv", split: None, parse: osv::parse },
    Format { word: secdb::WORD, split: Some(secdb::split), parse: secdb::parse },
    Format { word: "debian-tracker", split: Some(debian_tracker::split), parse: debian_tracker::parse },
    Format { word: "csaf-vex", split: None, parse: csaf::parse },
];

/// The format that is called so.
pub fn by_word(word: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.word == word)
}

impl Format {
    /// Whether one document holds many records. Then its end must be seen to know which are gone.
    pub const fn splits(&self) -> bool {
        self.split.is_some()
    }

    /// Whether its documents may be YAML.
    pub fn reads_yaml(&self) -> bool {
        self.word == secdb::WORD
    }

    /// Bytes of one document at most.
    pub const fn document_bytes(&self, limits: &Limits) -> usize {
        if self.splits() { limits.document_bytes } else { limits.record_bytes }
    }

    /// Hands each record of a document to `take`, until that wants no more.
    ///
    /// # Errors
    /// When the document breaks off; the records before that were handed over.
    pub fn split(
        &self,
        document: Vec<u8>,
        limits: &Limits,
        take: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<(), Unreadable> {
        let Some(split) = self.split else {
            take(Piece::Record(document));
            return Ok(());
        };
        at_most(limits.document_bytes, "bytes", document.len())?;
        split(&document, limits, take)
    }
}

fn at_most(limit: usize, what: &'static str, count: usize) -> Result<(), Unreadable> {
    if count > limit { Err(Unreadable::TooMuch { what, limit }) } else { Ok(()) }
}

/// The error may quote what it found, at any length.
fn short(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}
