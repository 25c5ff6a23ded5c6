//! What is kept of a file of documents beside its bytes, so that it is found without being read.

use std::collections::BTreeSet;

use model::Problem;
use time::OffsetDateTime;

use crate::{Document, Format, Limits, Unreadable, parse, signature};

/// Bytes of a name by which documents are found.
const NAME_BYTES: usize = 255;

/// What a file of documents says of itself. Where it is a list, the first document speaks for it; the sets hold what
/// all of them say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The format it came in.
    pub format: Format,
    /// The document's id.
    pub id: String,
    /// Its version, as it writes it.
    pub version: String,
    /// Who made it, by its own word.
    pub author: String,
    /// When it was last changed, by its own word.
    pub stated_at: Option<OffsetDateTime>,
    /// Whether it came with a signature, by whomever and good or not.
    pub is_signed: bool,
    /// How many statements all documents make.
    pub statements: u32,
    /// The vulnerabilities of which they speak: [`vulnerability`] of each name.
    pub names: BTreeSet<String>,
    /// The ids of all documents: [`name`] of each.
    pub documents: BTreeSet<String>,
    /// Who made them: [`name`] of each author.
    pub authors: BTreeSet<String>,
}

/// How a vulnerability's name is kept and asked for: in upper case, and not longer than an index takes.
pub fn vulnerability(of: &str) -> String {
    name(&of.to_ascii_uppercase())
}

/// How an id or an author is kept and asked for. Two long ones may become the same: what is found is read anyway.
pub fn name(of: &str) -> String {
    let mut end = of.len().min(NAME_BYTES);
    while !of.is_char_boundary(end) {
        end -= 1;
    }
    // No column of text holds NUL.
    of[..end].replace('\0', "?")
}

impl Summary {
    /// Reads a file, out of its envelope where it is in one.
    ///
    /// # Errors
    /// When no document can be read in it, or it is beyond the limits.
    pub fn read(
        bytes: &[u8],
        is_signed_beside: bool,
        limits: &Limits,
    ) -> Result<(Self, Vec<Problem>), Unreadable> {
        let opened = signature::open(bytes, limits)?;
        let (documents, problems) = parse(&opened.document, limits)?;
        let Some(first) = documents.first() else {
            return Err(Unreadable::UnknownFormat);
        };
        let is_signed = is_signed_beside || !opened.marks.is_empty();
        Ok((Self::of(first, &documents, is_signed), problems))
    }

    fn of(first: &Document, all: &[Document], is_signed: bool) -> Self {
        let statements = || all.iter().flat_map(|document| &document.statements);
        let names = statements().flat_map(|statement| &statement.vulnerability);
        let authors = all.iter().map(|document| document.author.as_str());
        Self {
            format: first.format,
            id: first.id.clone(),
            version: first.version.clone(),
            author: first.author.clone(),
            stated_at: first.timestamp,
            is_signed,
            statements: u32::try_from(statements().count()).unwrap_or(u32::MAX),
            names: names.map(|name| vulnerability(name)).filter(|name| !name.is_empty()).collect(),
            documents: all.iter().map(|document| name(&document.id)).collect(),
            authors: authors.filter(|author| !author.is_empty()).map(name).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const ONE: &str = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://e.example/1", "author": "Jo",
        "version": 3, "timestamp": "2023-01-08T18:02:03Z", "statements": [
        {"vulnerability": {"name": "cve-2023-1", "aliases": ["GHSA-abcd"]}, "products": [{"@id": "pkg:npm/a@1"}],
         "status": "fixed"},
        {"vulnerability": {"name": "CVE-2023-1"}, "products": [{"@id": "pkg:npm/b@1"}], "status": "affected",
         "action_statement": "upgrade"}]}"#;

    fn read(file: &str) -> Summary {
        Summary::read(file.as_bytes(), false, &Limits::default()).expect("it can be read").0
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_document_is_found_by_all_names_of_its_vulnerabilities_in_upper_case() {
        let summary = read(ONE);
        assert_eq!(summary.names, set(&["CVE-2023-1", "GHSA-ABCD"]));
        assert_eq!((summary.id.as_str(), summary.version.as_str()), ("https://e.example/1", "3"));
        assert_eq!((summary.author.as_str(), summary.statements), ("Jo", 2));
        assert_eq!(summary.stated_at.map(OffsetDateTime::unix_timestamp), Some(1_673_200_923));
        assert_eq!((summary.documents, summary.authors), (set(&["https://e.example/1"]), set(&["Jo"])));
        assert!(!summary.is_signed);
    }

    #[test]
    fn of_a_list_all_documents_are_found_and_the_first_speaks() {
        let other =
            ONE.replace("e.example/1", "e.example/2").replace("Jo", "Al").replace("2023-1\"", "2024-9\"");
        let summary = read(&format!("[{ONE},{other}]"));
        assert_eq!(
            (summary.id.as_str(), summary.author.as_str(), summary.statements),
            ("https://e.example/1", "Jo", 4)
        );
        assert_eq!(summary.documents, set(&["https://e.example/1", "https://e.example/2"]));
        assert_eq!(summary.authors, set(&["Al", "Jo"]));
        assert_eq!(summary.names, set(&["CVE-2023-1", "CVE-2024-9", "GHSA-ABCD"]));
    }

    #[test]
    fn what_is_signed_says_so_in_its_envelope_or_beside() {
        let payload = STANDARD.encode(ONE);
        let envelope = format!(
            r#"{{"payload":"{payload}","payloadType":"application/json","signatures":[{{"keyid":"k","sig":"AAAA"}}]}}"#
        );
        let inside = read(&envelope);
        assert_eq!((inside.id.as_str(), inside.is_signed), ("https://e.example/1", true));
        let (beside, _) = Summary::read(ONE.as_bytes(), true, &Limits::default()).expect("it can be read");
        assert!(beside.is_signed);
    }

    #[test]
    fn a_name_is_kept_as_it_is_asked_for() {
        assert_eq!(vulnerability("cve-2024-1"), "CVE-2024-1");
        assert_eq!(vulnerability("straße"), "STRAßE");
        assert_eq!(name("a\0b"), "a?b");
        assert_eq!(name(&"ü".repeat(200)), "ü".repeat(127));
        assert_eq!(name(&"a".repeat(255)).len(), 255);
    }

    #[test]
    fn what_is_no_document_is_refused_and_problems_are_told() {
        let refused = Summary::read(b"{}", false, &Limits::default());
        assert_eq!(refused, Err(Unreadable::UnknownFormat));
        assert!(Summary::read(b"[]", false, &Limits::default()).is_err());
        let (_, problems) = Summary::read(format!("[{ONE},7]").as_bytes(), false, &Limits::default())
            .expect("one can be read");
        assert_eq!(problems.len(), 1);
    }
}
