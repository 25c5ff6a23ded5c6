//! What the formats share: pieces of a document, each with its place, and the limits on them.

use std::sync::Arc;

use advisory::formats::walk;
use model::Problem;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Unreadable, at_most};
use crate::{Identities, Identity, Limits, Statement};

/// Reads one document: its problems and how much it has used.
pub(super) struct Reader<'l> {
    pub(super) limits: &'l Limits,
    pub(super) problems: Vec<Problem>,
    pub(super) products: usize,
    statements: usize,
}

impl<'l> Reader<'l> {
    pub(super) const fn new(limits: &'l Limits) -> Self {
        Self { limits, problems: Vec::new(), products: 0, statements: 0 }
    }

    /// The first of them tell what is wrong with a document.
    pub(super) fn problem(&mut self, place: &str, what: String) {
        if self.problems.len() < self.limits.problems {
            self.problems.push(Problem { place: place.to_owned(), what });
        }
    }

    /// A piece as it should be, or a problem.
    pub(super) fn typed<T: DeserializeOwned>(&mut self, place: &str, json: &str) -> Option<T> {
        serde_json::from_str(json).map_err(|error| self.problem(place, short(&error))).ok()
    }

    /// Each element of a list with its place.
    pub(super) fn each(&mut self, place: &str, json: &str, mut read: impl FnMut(&mut Self, &str, &str)) {
        let walked = walk::elements(json, &mut |at, value| {
            read(self, &format!("{place}[{at}]"), value);
            true
        });
        if let Err(error) = walked {
            self.problem(place, short(&error));
        }
    }

    /// A moment by RFC 3339.
    pub(super) fn moment(&mut self, place: &str, text: Option<&str>) -> Option<OffsetDateTime> {
        let text = text.filter(|text| !text.is_empty())?;
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(moment) => Some(moment.to_offset(time::UtcOffset::UTC)),
            Err(_) => {
                let shown: String = text.chars().take(60).collect();
                self.problem(place, format!("{shown:?} is not a time by RFC 3339"));
                None
            }
        }
    }

    /// A name that is not too long and has nothing in it that a screen would obey.
    pub(super) fn name(&mut self, place: &str, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if text.len() > self.limits.text_bytes || text.contains(char::is_control) {
            self.problem(place, "it is too long for a name, or has control characters".to_owned());
            return None;
        }
        Some(text.to_owned())
    }

    /// Free text, cut where it is long.
    pub(super) fn detail(&self, text: Option<&str>) -> Option<String> {
        let text = text.map(str::trim).filter(|text| !text.is_empty())?;
        let mut end = text.len().min(self.limits.detail_bytes);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        Some(text[..end].chars().map(plain).collect())
    }

    /// Names of one thing, each once.
    pub(super) fn identities(&mut self, place: &str, names: Vec<Identity>) -> Identities {
        let mut kept: Vec<Identity> = Vec::with_capacity(names.len().min(self.limits.names));
        for name in names {
            if kept.len() == self.limits.names {
                self.problem(place, "it has more names than are read".to_owned());
                break;
            }
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        Arc::from(kept)
    }

    /// Keeps a statement, if there is room for it.
    pub(super) fn keep(&mut self, into: &mut Vec<Statement>, statement: Statement) -> Result<(), Unreadable> {
        self.statements += 1;
        let parts: usize = statement.products.iter().map(|product| product.parts.len()).sum();
        self.products += statement.products.len() + parts;
        at_most(self.limits.statements, "statements", self.statements)?;
        at_most(self.limits.products, "products in statements", self.products)?;
        into.push(statement);
        Ok(())
    }
}

/// The error may quote what it found, at any length.
pub(super) fn short(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}
