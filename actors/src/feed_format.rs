//! What a feed's records are written in: a format of advisories, or VEX, which says itself which of its formats it is.

use advisory::formats::{self, Format, Piece};
use advisory::{Limits, formats::Unreadable};
use store::feeds::Kind;

/// An id of a record is no longer than this.
const ID_CHARS: usize = 512;

/// How a feed's records are written.
#[derive(Debug, Clone, Copy)]
pub enum FeedFormat {
    /// As advisories of this format.
    Advisories(&'static Format),
    /// As VEX, each record in whichever format of it, in an envelope or without.
    Vex,
}

/// What is asked of a record before it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its own id; of a list of documents that of the first.
    pub(crate) id: String,
    /// Entries in it that were passed over.
    pub(crate) problems: usize,
}

impl From<&'static Format> for FeedFormat {
    fn from(format: &'static Format) -> Self {
        Self::Advisories(format)
    }
}

impl FeedFormat {
    /// The word for VEX.
    const VEX: &'static str = "vex";

    /// The format that is called so.
    pub fn by_word(word: &str) -> Option<Self> {
        match Kind::of_format(word) {
            // What is taken in beside advisories has no records.
            Kind::Advisories | Kind::Enrichment => formats::by_word(word).map(Self::Advisories),
            Kind::Vex => Some(Self::Vex),
        }
    }

    /// The words for all formats.
    pub fn words() -> impl Iterator<Item = &'static str> {
        formats::FORMATS.iter().map(|format| format.word).chain([Self::VEX])
    }

    /// Whether its documents may be YAML.
    pub(crate) fn reads_yaml(self) -> bool {
        matches!(self, Self::Advisories(format) if format.reads_yaml())
    }

    /// Bytes of one document at most.
    pub(crate) const fn document_bytes(self, limits: &Limits) -> usize {
        match self {
            Self::Advisories(format) => format.document_bytes(limits),
            Self::Vex => limits.record_bytes,
        }
    }

    /// Whether one document holds many records.
    pub(crate) const fn splits(self) -> bool {
        match self {
            Self::Advisories(format) => format.splits(),
            Self::Vex => false,
        }
    }

    /// Hands each record of a document to `take`, until that wants no more.
    pub(crate) fn split(
        self,
        document: Vec<u8>,
        limits: &Limits,
        take: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<(), Unreadable> {
        match self {
            Self::Advisories(format) => format.split(document, limits, take),
            Self::Vex => {
                take(Piece::Record(document));
                Ok(())
            }
        }
    }

    /// Reads a record. `Err` with the reason when nothing can be taken of it.
    pub(crate) fn read(self, record: &[u8], limits: &Limits) -> Result<Told, String> {
        match self {
            Self::Advisories(format) => match (format.parse)(record, limits) {
                Ok((advisory, problems)) => Ok(Told { id: advisory.id, problems: problems.len() }),
                Err(error) => Err(error.to_string()),
            },
            Self::Vex => vex(record),
        }
    }
}

/// The store reads it by the same limits once more.
fn vex(record: &[u8]) -> Result<Told, String> {
    let read = vex::Summary::read(record, false, &vex::Limits::default());
    let (summary, problems) = read.map_err(|error| error.to_string())?;
    if summary.id.chars().count() > ID_CHARS {
        return Err(format!("its id has more than {ID_CHARS} characters"));
    }
    Ok(Told { id: summary.id, problems: problems.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str) -> String {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"{id}","author":"Jo","version":1,
                "timestamp":"2026-01-02T00:00:00Z","statements":[{{"vulnerability":{{"name":"CVE-1"}},
                "products":[{{"@id":"pkg:npm/a@1"}}],"status":"fixed"}}]}}"#
        )
    }

    #[track_caller]
    fn check(record: &str, expected: Result<(&str, usize), &str>) {
        let told = FeedFormat::Vex.read(record.as_bytes(), &Limits::default());
        let told = told.as_ref().map(|told| (told.id.as_str(), told.problems)).map_err(String::as_str);
        assert_eq!(told, expected, "{record}");
    }

    #[test]
    fn vex_is_told_by_its_first_documents_id() {
        check(&document("https://e.example/1"), Ok(("https://e.example/1", 0)));
        check(&format!("[{},{},7]", document("a"), document("b")), Ok(("a", 1)));
    }

    #[test]
    fn what_is_no_vex_or_has_too_long_a_name_is_refused_with_the_reason() {
        check(
            r#"{"id":"GHSA-1","affected":[]}"#,
            Err("neither OpenVEX (@context) nor CSAF (document) nor CycloneDX (bomFormat)"),
        );
        check(&document(&"a".repeat(513)), Err("its id has more than 512 characters"));
    }

    #[test]
    fn every_word_is_a_format_and_no_other() {
        assert!(FeedFormat::words().all(|word| FeedFormat::by_word(word).is_some()));
        assert!(matches!(FeedFormat::by_word("vex"), Some(FeedFormat::Vex)));
        assert!(FeedFormat::by_word("openvex").is_none());
        assert!(FeedFormat::by_word("csaf-vex").is_some_and(|format| !matches!(format, FeedFormat::Vex)));
    }
}
