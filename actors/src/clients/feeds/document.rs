//! One file of records: a document, or one record a line; told by its name, also when it is packed.

use std::io::{self, BufRead, BufReader, Read};

use advisory::jsonl::{self, Content};

use super::packing::{self, Packing, Stream};
use super::{Error, Limits, Record};

/// How a file holds records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file is a record, or a document of many.
    Single,
    /// Each line is a record.
    Lines,
}

/// What a file of this name holds, and how it is packed; `None` for one that is none of ours. `yaml`: whether it may be one
/// in YAML.
pub(super) fn kind(name: &str, yaml: bool) -> Option<(Kind, Option<Packing>)> {
    let (name, packing) = if let Some(name) = name.strip_suffix(".gz") {
        (name, Some(Packing::Gzip))
    } else if let Some(name) = name.strip_suffix(".zst") {
        (name, Some(Packing::Zstd))
    } else {
        (name, None)
    };
    if name.ends_with(".json") || yaml && (name.ends_with(".yaml") || name.ends_with(".yml")) {
        Some((Kind::Single, packing))
    } else if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
        Some((Kind::Lines, packing))
    } else {
        None
    }
}

/// Whether a member of this name is itself an archive.
pub(super) fn is_archive(name: &str) -> bool {
    [".zip", ".tar", ".tgz", ".tar.gz", ".tar.zst", ".tzst"].iter().any(|end| name.ends_with(end))
}

/// The whole stream as one record.
pub(super) fn single(place: String, stream: impl Read, limits: &Limits) -> io::Result<Record> {
    let mut bytes = Vec::new();
    stream.take(limits.record_bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits.record_bytes() {
        return Ok(too_long(place, limits));
    }
    Ok(Record::Document { place, bytes })
}

pub(super) fn too_long(place: String, limits: &Limits) -> Record {
    Record::Unreadable { place, what: format!("it is longer than {} bytes", limits.record_bytes()) }
}

/// A file of many records.
pub(super) struct Lines {
    name: String,
    allowed: u64,
    limits: Limits,
    lines: jsonl::Lines<Box<dyn BufRead + Send>>,
}

impl Lines {
    /// `allowed` is what bounds the stream, for the words of an error.
    pub(super) fn new(name: String, stream: Stream, allowed: u64, limits: &Limits) -> Self {
        let reader: Box<dyn BufRead + Send> = Box::new(BufReader::new(stream));
        let lines = jsonl::lines(reader, &limits.records);
        Self { name, allowed, limits: limits.clone(), lines }
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        let line = match self.lines.next() {
            None => return Ok(None),
            Some(Ok(line)) => line,
            Some(Err(jsonl::Error::Source(source))) => {
                return Err(packing::ended(&self.name, self.allowed)(source));
            }
            Some(Err(jsonl::Error::TooManyRecords(limit))) => {
                return Err(Error::TooLarge { place: self.name.clone(), limit, unit: "records" });
            }
        };
        let place = format!("{}:{}", self.name, line.number);
        Ok(Some(match line.content {
            Content::Record(bytes) => Record::Document { place, bytes },
            Content::TooLong => too_long(place, &self.limits),
        }))
    }
}

/// After an error the lines themselves give none.
impl Iterator for Lines {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_how_files_hold_records() {
        let gzip = Some(Packing::Gzip);
        for (name, expected) in [
            ("a.json", Some((Kind::Single, None))),
            ("a.json.gz", Some((Kind::Single, gzip))),
            ("a.jsonl.zst", Some((Kind::Lines, Some(Packing::Zstd)))),
            ("a.ndjson", Some((Kind::Lines, None))),
            ("a.json.asc", None),
            ("a.tar.gz", None),
        ] {
            assert_eq!(kind(name, true), expected, "{name}");
        }
        assert_eq!((kind("a.yaml.gz", true), kind("a.yml", false)), (Some((Kind::Single, gzip)), None));
        assert!(is_archive("a.tar.gz") && !is_archive("a.json.gz"));
    }
}
