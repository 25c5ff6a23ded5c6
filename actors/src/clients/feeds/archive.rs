//! An OSV bucket's `all.zip`: one JSON file for each record, read one at a time from a file on disk.

use std::fs::File;
use std::io::{self, Read as _};

use zip::ZipArchive;

use super::{Error, Limits, Record, folder::too_long};

/// Small archives may grow by any ratio up to this size.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Walks an archive.
pub struct Archive {
    place: String,
    limits: Limits,
    zip: ZipArchive<File>,
    next: usize,
    unpacked: u64,
    unpacked_max: u64,
    over: bool,
}

impl Archive {
    /// Reads the archive's list of entries.
    pub fn open(place: String, file: File, limits: Limits) -> Result<Self, Error> {
        let packed = file.metadata().map_err(Error::unreadable(&place))?.len();
        let zip = ZipArchive::new(file).map_err(|error| broken(&place, error))?;
        let limit = limits.records.records;
        if zip.len() as u64 > limit {
            return Err(Error::TooLarge { place, limit, unit: "records" });
        }
        let by_ratio = packed.saturating_mul(limits.ratio).max(RATIO_FREE_BYTES);
        let unpacked_max = by_ratio.min(limits.unpacked_bytes);
        Ok(Self { place, limits, zip, next: 0, unpacked: 0, unpacked_max, over: false })
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        while self.next < self.zip.len() {
            let at = self.next;
            self.next += 1;
            if let Some(record) = self.entry(at)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The record at this place of the list; `None` for what is no record.
    fn entry(&mut self, at: usize) -> Result<Option<Record>, Error> {
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
        if !entry.is_file() || !place.ends_with(".json") {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = entry.by_ref().take(self.limits.record_bytes() + 1).read_to_end(&mut bytes);
        drop(entry);
        self.unpacked += bytes.len() as u64;
        if self.unpacked > self.unpacked_max {
            let place = self.place.clone();
            return Err(Error::TooLarge { place, limit: self.unpacked_max, unit: "unpacked bytes" });
        }
        Ok(Some(match read {
            Ok(_) if bytes.len() as u64 > self.limits.record_bytes() => too_long(place, &self.limits),
            Ok(_) => Record::Document { place, bytes },
            // A wrong checksum or a broken stream costs the entry only; the list names the next one.
            Err(error) => Record::Unreadable { place, what: error.to_string() },
        }))
    }
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
