//! The formats that VEX comes in, told apart by their own marks; a file may be a list of documents.

mod csaf;
mod cyclonedx;
mod openvex;
mod reader;

use std::collections::HashSet;
use std::fmt;

use advisory::formats::walk;
use model::{Digest, Problem};

use crate::{Document, Limits};
use reader::{Reader, short};

/// The documents of a file, and what in it could not be read.
pub type Parsed = Result<(Vec<Document>, Vec<Problem>), Unreadable>;

/// A format of VEX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// OpenVEX 0.0.1 and 0.2.0.
    OpenVex,
    /// CSAF 2.0 and 2.1, whichever profile says what products' status is.
    Csaf,
    /// CycloneDX 1.4 to 1.7 with analysed vulnerabilities.
    CycloneDx,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::OpenVex, Self::Csaf, Self::CycloneDx];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenVex => "openvex",
            Self::Csaf => "csaf",
            Self::CycloneDx => "cyclonedx",
        }
    }

    /// The format with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A document of which nothing can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("not a JSON document: {0}")]
    NotJson(String),
    /// It has none of the marks of a format.
    #[error("neither OpenVEX (@context) nor CSAF (document) nor CycloneDX (bomFormat)")]
    UnknownFormat,
    /// Something in it is not as it must be.
    #[error("{place}: {what}")]
    Wrong {
        /// Where.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// It is beyond one of the [`Limits`].
    #[error("more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}

/// Reads a file: one document, or a list of them. In a list one that cannot be read costs itself.
///
/// # Errors
/// When no document can be read in it, or it is beyond the limits.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    at_most(limits.document_bytes, "bytes", bytes.len())?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let json = walk::text(bytes).map_err(|error| Unreadable::NotJson(short(&error)))?;
    if json.trim_start().starts_with('[') { list(json, limits) } else { single(json, limits) }
}

fn single(json: &str, limits: &Limits) -> Parsed {
    let mut reader = Reader::new(limits);
    let document = document(json, &mut reader)?;
    Ok((vec![document], reader.problems))
}

fn list(json: &str, limits: &Limits) -> Parsed {
    let (mut documents, mut problems, mut over) = (Vec::new(), Vec::new(), false);
    let mut room = limits.clone();
    let walked = walk::elements(json, &mut |at, json| {
        if at == limits.documents {
            over = true;
            return false;
        }
        let mut reader = Reader::new(&room);
        let place = format!("[{at}]");
        let read = document(json, &mut reader).map_err(|error| reader.problem("", error.to_string())).ok();
        let within = |problem: Problem| {
            let dot = if problem.place.is_empty() { "" } else { "." };
            Problem { place: format!("{place}{dot}{}", problem.place), ..problem }
        };
        let (used, found) = (reader.products, reader.problems);
        room.problems -= found.len();
        problems.extend(found.into_iter().map(within));
        if let Some(document) = read {
            room.statements -= document.statements.len();
            room.products -= used;
            documents.push(document);
        }
        true
    });
    walked.map_err(|error| Unreadable::NotJson(short(&error)))?;
    if over {
        return Err(Unreadable::TooMuch { what: "documents", limit: limits.documents });
    }
    match (documents.is_empty(), problems.first()) {
        (true, Some(Problem { place, what })) => {
            Err(Unreadable::Wrong { place: place.clone(), what: what.clone() })
        }
        _ => Ok((documents, problems)),
    }
}

/// The members of an object, each a piece of text.
struct Members<'a>(Vec<(String, &'a str)>);

impl<'a> Members<'a> {
    /// Two members of one name mean different things to different readers: that is refused.
    fn of(json: &'a str) -> Result<Self, Unreadable> {
        let (mut members, mut seen, mut twice) = (Vec::new(), HashSet::new(), None);
        let walked = walk::members(json, &mut |name, value| {
            if !seen.insert(name.clone()) {
                twice = Some(name);
                return false;
            }
            members.push((name, value));
            true
        });
        walked.map_err(|error| Unreadable::NotJson(short(&error)))?;
        match twice {
            Some(name) => Err(wrong(&name.chars().take(100).collect::<String>(), "it is there twice")),
            None => Ok(Self(members)),
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }
}

fn document(json: &str, reader: &mut Reader<'_>) -> Result<Document, Unreadable> {
    let members = Members::of(json)?;
    let mut document = if members.get("@context").is_some() {
        openvex::read(&members, reader)?
    } else if members.get("document").is_some() {
        csaf::read(&members, reader)?
    } else if members.get("bomFormat").is_some() {
        cyclonedx::read(&members, reader)?
    } else {
        return Err(Unreadable::UnknownFormat);
    };
    if document.id.is_empty() {
        document.id = Digest::of(json.trim().as_bytes()).to_string();
    }
    if document.statements.is_empty() {
        reader.problem("", "it says nothing of any product".to_owned());
    }
    Ok(document)
}

fn wrong(place: &str, what: &str) -> Unreadable {
    Unreadable::Wrong { place: place.to_owned(), what: what.to_owned() }
}

fn at_most(limit: usize, what: &'static str, count: usize) -> Result<(), Unreadable> {
    if count > limit { Err(Unreadable::TooMuch { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
