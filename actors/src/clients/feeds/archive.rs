//! A zip archive, such as an OSV bucket's `all.zip`: one member at a time, from a file on disk.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use zip::ZipArchive;

use super::document::{self, Kind, Lines};
use super::packing::{self, Stream};
use super::{Error, Limits, Record, members};

/// Walks an archive.
pub struct Archive {
    place: String,
    limits: Limits,
    zip: ZipArchive<File>,
    next: usize,
    lines: Option<Lines>,
    unpacked: u64,
    allowed: u64,
    over: bool,
}

impl Archive {
    /// Reads the archive's list of members.
    pub fn open(place: String, mut file: File, limits: Limits) -> Result<Self, Error> {
        let packed = file.metadata().map_err(Error::unreadable(&place))?.len();
        let limit = limits.records.records;
        // Asked before the list is read, which would be held in memory whole.
        if announced(&mut file, packed).map_err(Error::unreadable(&place))? > limit {
            return Err(Error::TooLarge { place, limit, unit: "records" });
        }
        let zip = ZipArchive::new(file).map_err(|error| broken(&place, error))?;
        if zip.len() as u64 > limit {
            return Err(Error::TooLarge { place, limit, unit: "records" });
        }
        let allowed = packing::allowed(packed, &limits);
        Ok(Self { place, limits, zip, next: 0, lines: None, unpacked: 0, allowed, over: false })
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if let Some(lines) = &mut self.lines {
                match lines.next() {
                    Some(record) => return record.map(Some),
                    None => self.lines = None,
                }
            }
            if self.next == self.zip.len() {
                return Ok(None);
            }
            let at = self.next;
            self.next += 1;
            if let Some(record) = self.member(at)? {
                return Ok(Some(record));
            }
        }
    }

    /// The record at this place of the list; `None` for what is none, or many.
    fn member(&mut self, at: usize) -> Result<Option<Record>, Error> {
        let mut entry = match self.zip.by_index(at) {
            Ok(entry) => entry,
            Err(zip::result::ZipError::Io(source)) => {
                return Err(Error::Unreadable { place: self.place.clone(), source });
            }
            Err(error) => {
                return Ok(Some(Record::Unreadable {
                    place: format!("entry {at}"),
                    what: error.to_string(),
                }));
            }
        };
        let place = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.is_dir() {
            return Ok(None);
        }
        let (kind, packing) = match members::verdict(&place, entry.is_symlink(), self.limits.yaml) {
            members::Verdict::Read(kind, packing) => (kind, packing),
            members::Verdict::Ignored(what) => return Ok(Some(Record::Ignored { place, what })),
            members::Verdict::NoRecord => return Ok(None),
        };
        // Of what is read as one record no more is unpacked than one may have.
        let most = match (kind, packing) {
            (Kind::Single, None) => self.limits.record_bytes() + 1,
            _ => self.allowed,
        };
        let size = entry.size();
        let spooled = members::spool(entry.by_ref().take(most), size.min(most));
        drop(entry);
        let (read, inside) = match spooled {
            Ok(spooled) => spooled,
            // A wrong checksum or a broken stream costs the member only; the list names the next one.
            Err(error) => return Ok(Some(Record::Unreadable { place, what: error.to_string() })),
        };
        self.unpacked += read;
        if self.unpacked > self.allowed {
            let place = self.place.clone();
            return Err(Error::TooLarge { place, limit: self.allowed, unit: "unpacked bytes" });
        }
        let stream: Stream = match packing {
            None => Box::new(inside),
            Some(packing) => packing::unpack(inside, packing, packing::allowed(read, &self.limits))
                .map_err(Error::unreadable(&place))?,
        };
        Ok(match kind {
            Kind::Lines => {
                self.lines = Some(Lines::new(place, stream, self.allowed, &self.limits));
                None
            }
            Kind::Single => Some(match document::single(place.clone(), stream, &self.limits) {
                Ok(record) => record,
                Err(error) => Record::Unreadable { place, what: error.to_string() },
            }),
        })
    }
}

/// How many members the end of the archive says there are; 0 where it says nothing.
fn announced(file: &mut File, length: u64) -> io::Result<u64> {
    /// The end record, and a comment behind it.
    const END_MAX: u64 = 22 + 65_535;
    /// The end record that has more digits, and what says where it is.
    const WIDE: u64 = 56;
    /// See `WIDE`.
    const LOCATOR: u64 = 20;
    let from = length.saturating_sub(END_MAX + WIDE + LOCATOR);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(END_MAX + WIDE + LOCATOR).read_to_end(&mut tail)?;
    file.rewind()?;
    let last = |magic: &[u8]| tail.windows(4).rposition(|window| window == magic);
    let number = |at: usize, bytes: usize| {
        let field = tail.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let short = last(b"PK\x05\x06").and_then(|at| number(at + 10, 2)).unwrap_or(0);
    let wide = last(b"PK\x06\x06").and_then(|at| number(at + 32, 8)).unwrap_or(0);
    Ok(if short == 0xffff { short.max(wide) } else { short })
}

fn broken(place: &str, error: zip::result::ZipError) -> Error {
    Error::Unreadable { place: place.to_owned(), source: io::Error::other(error) }
}

impl Iterator for Archive {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.step().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
