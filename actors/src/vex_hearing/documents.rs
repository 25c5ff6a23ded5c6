//! What was read of documents, held by digest within a bound of bytes: what was used last stays.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Digest;
use store::vex::Source;
use time::OffsetDateTime;
use vex::signature::{Mark, Signature, open};
use vex::trust::Directory;
use vex::{Document, Limits, parse};

use crate::metrics::VEX_DOCUMENTS;

/// A document takes about so many times the bytes of its file in memory.
const TIMES: usize = 4;
/// And so many at least.
const LEAST: usize = 1 << 10;

/// What a file of documents says, out of its envelope.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) documents: Vec<Document>,
    /// The images that its envelope says it is about.
    pub(super) subjects: Vec<Digest>,
    /// The signatures in its envelope.
    marks: Vec<Mark>,
    /// The bytes that are signed; nothing where nobody signed any.
    message: Vec<u8>,
    /// What it counts for in the bound.
    bytes: usize,
}

/// With a signature beside it, a file's own bytes are kept to hold it against.
type Key = (Digest, bool);

/// The documents that are held.
#[derive(Debug)]
pub(super) struct Documents {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: HashMap<Key, (u64, Arc<Read>)>,
    /// By when it was used last.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

impl Read {
    /// Of a file. What cannot be read was, when it was taken in, and says nothing to a stricter build.
    fn of(bytes: &[u8], is_signed_beside: bool) -> Self {
        let limits = Limits::default();
        let mut read = Self {
            documents: Vec::new(),
            subjects: Vec::new(),
            marks: Vec::new(),
            message: Vec::new(),
            bytes: LEAST,
        };
        let opened = match open(bytes, &limits) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(error = %error, "a document of VEX cannot be read");
                return read;
            }
        };
        match parse(&opened.document, &limits) {
            Ok((documents, _)) => read.documents = documents,
            Err(error) => tracing::warn!(error = %error, "a document of VEX cannot be read"),
        }
        if is_signed_beside || !opened.marks.is_empty() {
            read.message = opened.message.into_owned();
        }
        read.bytes += TIMES * opened.document.len() + read.message.len();
        read.marks = opened.marks;
        read.subjects = opened.subjects;
        read
    }

    /// Whether there is anything to be checked.
    pub(super) const fn is_signed(&self, beside: Option<&[u8]>) -> bool {
        beside.is_some() || !self.marks.is_empty()
    }

    /// Holds its signatures against the directory's keys, as these were when it was taken in.
    pub(super) fn check(
        &self,
        beside: Option<&[u8]>,
        directory: &Directory,
        taken_in: OffsetDateTime,
    ) -> Signature {
        let marks: Vec<Mark> = self.marks.iter().cloned().chain(beside.map(Mark::beside)).collect();
        let keys = directory.issuers.iter().flat_map(|issuer| &issuer.keys);
        Signature::check(&self.message, &marks, keys, taken_in)
    }
}

impl Documents {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// What is held of a file.
    pub(super) fn held(&self, source: &Source) -> Option<Arc<Read>> {
        let found = self.lock().get(&key(source));
        if found.is_some() {
            metrics::counter!(VEX_DOCUMENTS, "result" => "held").increment(1);
        }
        found
    }

    /// Reads a file, and holds what it says.
    pub(super) fn take_in(&self, source: &Source, bytes: &[u8]) -> Arc<Read> {
        let read = Arc::new(Read::of(bytes, source.signature.is_some()));
        let result = if read.documents.is_empty() { "unreadable" } else { "read" };
        metrics::counter!(VEX_DOCUMENTS, "result" => result).increment(1);
        self.lock().put(key(source), Arc::clone(&read), self.bytes_max);
        read
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(source: &Source) -> Key {
    (source.digest.clone(), source.signature.is_some())
}

impl Held {
    fn get(&mut self, key: &Key) -> Option<Arc<Read>> {
        let (used, read) = self.all.get_mut(key)?;
        self.clock += 1;
        self.order.remove(used);
        self.order.insert(self.clock, key.clone());
        *used = self.clock;
        Some(Arc::clone(read))
    }

    fn put(&mut self, key: Key, read: Arc<Read>, bytes_max: usize) {
        if self.get(&key).is_some() {
            return;
        }
        self.clock += 1;
        self.bytes += read.bytes;
        self.order.insert(self.clock, key.clone());
        self.all.insert(key, (self.clock, read));
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some((_, gone)) = self.all.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use store::vex::SourceOrigin;

    use super::*;

    fn document(id: &str) -> String {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"{id}","author":"Jo","version":1,
                "timestamp":"2026-01-02T00:00:00Z","statements":[{{"vulnerability":{{"name":"CVE-1"}},
                "products":[{{"@id":"pkg:npm/a@1"}}],"status":"fixed"}}]}}"#
        )
    }

    fn source(text: &str) -> Source {
        let (feed, advisory_id) = ("f".parse().unwrap(), "a".to_owned());
        Source {
            origin: SourceOrigin::Feed { feed, advisory_id, revision: 1 },
            digest: Digest::of(text.as_bytes()),
            signature: None,
            images: Vec::new(),
            taken_in: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_used_last_stays_within_the_bound() {
        let texts: Vec<String> = ["a", "b", "c"].map(document).into();
        let sources: Vec<Source> = texts.iter().map(|text| source(text)).collect();
        let one = LEAST + TIMES * texts[0].len();
        let documents = Documents::new(2 * one);
        for at in [0, 1] {
            documents.take_in(&sources[at], texts[at].as_bytes());
        }
        assert!(documents.held(&sources[0]).is_some());
        documents.take_in(&sources[2], texts[2].as_bytes());
        let held: Vec<bool> = sources.iter().map(|source| documents.held(source).is_some()).collect();
        assert_eq!(held, [true, false, true]);
        assert_eq!(documents.lock().bytes, 2 * one);
    }

    #[test]
    fn one_that_is_larger_than_the_bound_is_read_and_not_held() {
        let documents = Documents::new(10);
        let text = document("a");
        assert_eq!(documents.take_in(&source(&text), text.as_bytes()).documents.len(), 1);
        assert!(documents.held(&source(&text)).is_none());
        let held = documents.lock();
        assert_eq!((held.bytes, held.order.len()), (0, 0));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let documents = Documents::new(1 << 20);
        assert_eq!(documents.take_in(&source("{}"), b"{}").documents, []);
        assert!(documents.held(&source("{}")).is_some(), "and is not read again");
    }

    #[test]
    fn bytes_are_kept_where_a_signature_lies_beside_them() {
        let text = document("a");
        assert_eq!(Read::of(text.as_bytes(), false).message, b"");
        let signed = Read::of(text.as_bytes(), true);
        assert_eq!(signed.message, text.as_bytes());
        let at = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(signed.check(None, &Directory::default(), at), Signature::Absent);
        assert_eq!(signed.check(Some(b"sig"), &Directory::default(), at), Signature::UnknownKey);
    }
}
