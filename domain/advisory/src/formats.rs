//! The formats that advisories come in: one file each, and one line in the table.

pub mod osv;

use model::Problem;

use crate::{Advisory, Limits};

/// A record's advisory, and what in it could not be read.
pub type Parsed = Result<(Advisory, Vec<Problem>), Unreadable>;

/// A record that gives no advisory at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not a JSON object.
    #[error("the record is not a JSON object: {0}")]
    NotJson(String),
    /// It has no id that could name it.
    #[error("the record has no id")]
    NoId,
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
    /// Reads one record of it.
    pub parse: fn(&[u8], &Limits) -> Parsed,
}

/// Every format we read.
pub const FORMATS: [Format; 1] = [Format { word: "osv", parse: osv::parse }];

/// The format that is called so.
pub fn by_word(word: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.word == word)
}
