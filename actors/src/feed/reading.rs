//! From a source's documents to batches of records for the store. Synchronous: runs on a blocking thread.

use std::collections::HashSet;
use std::mem;

use advisory::formats::Piece;
use advisory::{Limits, contract};
use model::{Digest, Problem};
use store::feeds::{Observed, Unreadable};

use crate::clients::feeds::{Error, Record};
use crate::feed_format::{FeedFormat, Told};

/// A batch is full at so many records …
const BATCH_RECORDS: usize = 1_000;
/// … or so many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Unreadable records kept at once; they are rare.
const BATCH_UNREADABLE: usize = 100;

/// Records on their way to the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// Each is one advisory, or VEX.
    Observed(Vec<Observed>),
    /// Each has its reason.
    Unreadable(Vec<Unreadable>),
}

/// What a source listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Ids of what could be read, and of what is there but could not, as far as its place names it.
    pub(super) ids: Vec<String>,
    /// How many could be read.
    pub(super) readable: u64,
    /// How many could not.
    pub(super) unreadable: u64,
    /// Places and digests of those.
    pub(super) refused: Vec<(String, Digest)>,
    /// Entries inside of readable records that were passed over.
    pub(super) problems: u64,
}

/// Nobody takes the batches any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Abandoned;

/// Reads all documents and hands their records on in batches. `emit` says whether anybody takes them.
pub(super) fn read(
    records: impl Iterator<Item = Result<Record, Error>>,
    format: FeedFormat,
    limits: &Limits,
    emit: impl FnMut(Batch) -> bool,
) -> Result<Result<Listing, Abandoned>, Error> {
    let mut reader = Reader {
        emit,
        observed: Vec::new(),
        bytes: 0,
        unreadable: Vec::new(),
        seen: HashSet::new(),
        named: Vec::new(),
        listing: Listing::default(),
    };
    for record in records {
        let go_on = match record? {
            Record::Document { place, bytes } if format.splits() => {
                reader.document(place, bytes, format, limits)?
            }
            Record::Unreadable { place, what: why } if format.splits() => {
                return Err(Error::Broken { place, why });
            }
            Record::Document { place, bytes } => reader.record(place, bytes, format, limits),
            Record::Unreadable { place, what } => reader.refuse(place, what, Vec::new()),
            Record::Ignored { place, what } => reader.set_aside(place, what, Vec::new()),
        };
        if !go_on {
            return Ok(Err(Abandoned));
        }
    }
    Ok(reader.finish())
}

struct Reader<E> {
    emit: E,
    observed: Vec<Observed>,
    bytes: usize,
    unreadable: Vec<Unreadable>,
    seen: HashSet<String>,
    named: Vec<String>,
    listing: Listing,
}

impl<E: FnMut(Batch) -> bool> Reader<E> {
    /// Many records. Each is placed by its number in the document.
    fn document(
        &mut self,
        place: String,
        bytes: Vec<u8>,
        format: FeedFormat,
        limits: &Limits,
    ) -> Result<bool, Error> {
        let (mut number, mut go_on, mut too_many) = (0_u64, true, false);
        let end = format.split(bytes, limits, &mut |piece| {
            number += 1;
            too_many = self.listing.readable + self.listing.unreadable >= limits.records;
            go_on = match piece {
                _ if too_many => false,
                Piece::Record(bytes) => self.record(format!("{place}#{number}"), bytes, format, limits),
                Piece::Wrong(Problem { place: entry, what }) => {
                    self.refuse(format!("{place}#{number} {entry}"), what, Vec::new())
                }
            };
            go_on
        });
        if too_many {
            return Err(Error::TooLarge { place, limit: limits.records, unit: "records" });
        }
        match end {
            Err(error) if go_on => Err(Error::Broken { place, why: error.to_string() }),
            _ => Ok(go_on),
        }
    }

    fn record(&mut self, place: String, bytes: Vec<u8>, format: FeedFormat, limits: &Limits) -> bool {
        if let Some(field) = contract::derived_field(&bytes) {
            return self.refuse(
                place,
                format!("it carries {field}: a conclusion, and no source's fact"),
                bytes,
            );
        }
        let Told { id, problems } = match format.read(&bytes, limits) {
            Ok(told) => told,
            Err(reason) => return self.refuse(place, reason, bytes),
        };
        if !self.seen.insert(id.clone()) {
            // Two texts of one id would supersede each other at every refresh.
            return self.refuse(place, format!("{id} is listed more than once"), bytes);
        }
        self.listing.readable += 1;
        self.listing.problems += problems as u64;
        self.bytes += bytes.len();
        let digest = Digest::of(&bytes);
        self.observed.push(Observed { advisory_id: id, digest, document: bytes });
        if self.observed.len() < BATCH_RECORDS && self.bytes < BATCH_BYTES {
            return true;
        }
        self.bytes = 0;
        (self.emit)(Batch::Observed(mem::take(&mut self.observed)))
    }

    fn refuse(&mut self, place: String, reason: String, document: Vec<u8>) -> bool {
        // Such a file is named after its advisory: what was readable in it last time still stands.
        if let Some(id) = place.rsplit('/').next().and_then(|name| name.strip_suffix(".json")) {
            self.named.push(id.to_owned());
        }
        self.set_aside(place, reason, document)
    }

    fn set_aside(&mut self, place: String, reason: String, document: Vec<u8>) -> bool {
        self.listing.unreadable += 1;
        self.listing.refused.push((place.clone(), Digest::of(&document)));
        self.unreadable.push(Unreadable { entry: place, reason, document });
        self.unreadable.len() < BATCH_UNREADABLE
            || (self.emit)(Batch::Unreadable(mem::take(&mut self.unreadable)))
    }

    fn finish(mut self) -> Result<Listing, Abandoned> {
        let observed = self.observed.is_empty() || (self.emit)(Batch::Observed(self.observed));
        let unreadable = self.unreadable.is_empty() || (self.emit)(Batch::Unreadable(self.unreadable));
        if !observed || !unreadable {
            return Err(Abandoned);
        }
        self.seen.extend(self.named);
        self.listing.ids = self.seen.into_iter().collect();
        self.listing.ids.sort();
        Ok(self.listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_word(word: &str) -> Option<FeedFormat> {
        FeedFormat::by_word(word)
    }

    fn document(place: &str, text: &str) -> Result<Record, Error> {
        Ok(Record::Document { place: place.to_owned(), bytes: text.as_bytes().to_vec() })
    }

    fn observed(id: &str, text: &str) -> Observed {
        let document = text.as_bytes().to_vec();
        Observed { advisory_id: id.to_owned(), digest: Digest::of(&document), document }
    }

    fn run(records: Vec<Result<Record, Error>>) -> (Result<Listing, Abandoned>, Vec<Batch>) {
        let mut batches = Vec::new();
        let format = by_word("osv").expect("it is in the table");
        let listing = read(records.into_iter(), format, &Limits::default(), |batch| {
            batches.push(batch);
            true
        });
        (listing.expect("the source goes on to its end"), batches)
    }

    #[test]
    fn readable_and_unreadable_records_go_their_ways() {
        let (listing, batches) = run(vec![
            document("a.jsonl:1", r#"{"id":"A-1"}"#),
            document("a.jsonl:2", "{"),
            document("a.jsonl:3", r#"{"id":"A-2"}"#),
        ]);
        let ids = vec!["A-1".to_owned(), "A-2".to_owned()];
        let refused = vec![("a.jsonl:2".to_owned(), Digest::of(b"{"))];
        assert_eq!(listing, Ok(Listing { ids, readable: 2, unreadable: 1, refused, problems: 0 }));
        let [Batch::Observed(good), Batch::Unreadable(bad)] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!(good, &[observed("A-1", r#"{"id":"A-1"}"#), observed("A-2", r#"{"id":"A-2"}"#)]);
        assert_eq!((bad[0].entry.as_str(), &bad[0].document[..]), ("a.jsonl:2", &b"{"[..]));
    }

    #[test]
    fn a_document_with_conclusions_is_set_aside_and_the_others_go_on() {
        let bad = r#"{"id":"A-1","effective_status":"fixed"}"#;
        let (listing, batches) = run(vec![document("a", bad), document("b", r#"{"id":"A-2"}"#)]);
        assert_eq!(listing.map(|listing| (listing.readable, listing.unreadable)), Ok((1, 1)));
        let [Batch::Observed(good), Batch::Unreadable(aside)] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!(good, &[observed("A-2", r#"{"id":"A-2"}"#)]);
        assert!(aside[0].reason.contains("effective_status"), "{}", aside[0].reason);
    }

    #[test]
    fn an_id_counts_once_and_the_second_is_kept_aside() {
        let (listing, batches) =
            run(vec![document("a", r#"{"id":"A-1"}"#), document("b", r#"{"id":"A-1","details":"x"}"#)]);
        assert_eq!(listing.map(|listing| (listing.readable, listing.unreadable)), Ok((1, 1)));
        let [_, Batch::Unreadable(bad)] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!(bad[0].reason, "A-1 is listed more than once");
    }

    #[test]
    fn a_file_that_became_unreadable_still_lists_its_advisory() {
        let (listing, _) = run(vec![document("npm/GHSA-1.json", "broken"), document("b.jsonl:1", "broken")]);
        assert_eq!(listing.map(|listing| listing.ids), Ok(vec!["GHSA-1".to_owned()]));
    }

    #[test]
    fn batches_are_bounded_and_lose_nothing() {
        let records = (0..2_500).map(|n| document("a", &format!(r#"{{"id":"A-{n}"}}"#))).collect();
        let (listing, batches) = run(records);
        let sizes: Vec<_> = batches
            .iter()
            .map(|batch| match batch {
                Batch::Observed(records) => records.len(),
                Batch::Unreadable(records) => panic!("{records:?}"),
            })
            .collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert_eq!(listing.map(|listing| listing.ids.len()), Ok(2_500));
    }

    #[test]
    fn reading_ends_when_nobody_takes_the_batches() {
        let records = (0..5_000).map(|n| document("a", &format!(r#"{{"id":"A-{n}"}}"#)));
        let format = by_word("osv").expect("it is in the table");
        let mut batches = 0;
        let ended = read(records, format, &Limits::default(), |_| {
            batches += 1;
            false
        });
        assert_eq!((ended.expect("the source is fine"), batches), (Err(Abandoned), 1));
    }

    #[test]
    fn a_source_that_breaks_off_is_an_error() {
        let broken = Error::TooLarge { place: "a".to_owned(), limit: 1, unit: "records" };
        let format = by_word("osv").expect("it is in the table");
        let ended = read([Err(broken)].into_iter(), format, &Limits::default(), |_| true);
        assert_eq!(ended.map_err(|error| error.to_string()), Err("a has more than 1 records".to_owned()));
    }

    /// A document of many records.
    fn database(packages: &str) -> Result<Record, Error> {
        document("main.json", &format!(r#"{{"distroversion":"v3.20","packages":[{packages}]}}"#))
    }

    fn run_secdb(
        documents: Vec<Result<Record, Error>>,
        limits: &Limits,
    ) -> (Result<Listing, String>, Vec<Batch>) {
        let mut batches = Vec::new();
        let format = by_word("secdb").expect("it is in the table");
        let listing = read(documents.into_iter(), format, limits, |batch| {
            batches.push(batch);
            true
        });
        (listing.map(|listing| listing.expect("all is taken")).map_err(|error| error.to_string()), batches)
    }

    #[test]
    fn a_document_of_many_records_gives_each_of_them() {
        let packages = r#"{"pkg":{"name":"a","secfixes":{"1":["CVE-1-1","CVE-1-2"]}}},7"#;
        let (listing, batches) = run_secdb(vec![database(packages)], &Limits::default());
        let ids = ["ALPINE-v3.20-CVE-1-1", "ALPINE-v3.20-CVE-1-2"].map(str::to_owned).to_vec();
        let refused = vec![("main.json#1 packages[1]".to_owned(), Digest::of(b""))];
        assert_eq!(listing, Ok(Listing { ids, readable: 2, unreadable: 1, refused, problems: 0 }));
        let [Batch::Observed(good), Batch::Unreadable(bad)] = &batches[..] else { panic!("{batches:?}") };
        let text = r#"{"distroversion":"v3.20","fixes":{"a":"1"},"id":"CVE-1-1","reponame":""}"#;
        assert_eq!(good[0], observed("ALPINE-v3.20-CVE-1-1", text));
        assert_eq!(bad[0].entry, "main.json#1 packages[1]");
    }

    #[test]
    fn a_document_of_many_records_that_breaks_off_ends_the_reading() {
        let broken = document("main.json", r#"{"packages":[]"#);
        let (listing, _) = run_secdb(vec![database(""), broken], &Limits::default());
        assert!(listing.unwrap_err().starts_with("cannot read main.json to its end"));
        let lost = Record::Unreadable { place: "main.json".to_owned(), what: "it is too long".to_owned() };
        let (listing, _) = run_secdb(vec![Ok(lost)], &Limits::default());
        assert_eq!(listing, Err("cannot read main.json to its end: it is too long".to_owned()));
    }

    #[test]
    fn records_of_all_documents_are_bounded_together() {
        let one = |id: &str| database(&format!(r#"{{"pkg":{{"name":"a","secfixes":{{"1":["{id}"]}}}}}}"#));
        let limits = Limits { records: 2, ..Limits::default() };
        let (listing, _) = run_secdb(vec![one("CVE-1-1"), one("CVE-1-2"), one("CVE-1-3")], &limits);
        assert_eq!(listing, Err("main.json has more than 2 records".to_owned()));
    }

    #[test]
    fn of_a_feed_of_vex_each_document_is_a_record_and_what_is_none_is_set_aside() {
        let vex = |id: &str| {
            format!(
                r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"{id}","author":"Jo","version":1,
                    "timestamp":"2026-01-02T00:00:00Z","statements":[{{"vulnerability":{{"name":"CVE-1"}},
                    "products":[{{"@id":"pkg:npm/a@1"}}],"status":"fixed"}}]}}"#
            )
        };
        let documents = [
            document("a.json", &vex("a")),
            document("index.json", r#"{"packages":[]}"#),
            document("b.json", &vex("a")),
            document("c.json", &vex("c")),
        ];
        let (mut observed, mut aside) = (Vec::new(), Vec::new());
        let listing = read(documents.into_iter(), FeedFormat::Vex, &Limits::default(), |batch| {
            match batch {
                Batch::Observed(records) => {
                    observed.extend(records.into_iter().map(|record| record.advisory_id))
                }
                Batch::Unreadable(records) => aside.extend(records.into_iter().map(|record| record.reason)),
            }
            true
        });
        let listing = listing.expect("the source is fine").expect("all is taken");
        assert_eq!((listing.readable, listing.unreadable), (2, 2));
        assert_eq!(observed, ["a", "c"]);
        assert!(aside[0].starts_with("neither OpenVEX"), "{aside:?}");
        assert_eq!(aside[1], "a is listed more than once");
    }
}
