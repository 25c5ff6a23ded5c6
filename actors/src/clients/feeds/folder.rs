//! A folder of OSV files: `*.json` holds one record, `*.jsonl` and `*.jsonl.zst` one in each line.
//!
//! Files are read in the order of their names, one open at a time. Other files and sub-folders are
//! not looked at.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::vec;

use advisory::jsonl::{self, Content, Lines};

use super::{Error, Limits, Record};

/// Frames that ask for more memory than this (2^27 bytes) are refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Walks a folder.
pub struct Folder {
    limits: Limits,
    files: vec::IntoIter<PathBuf>,
    open: Option<Open>,
    records: u64,
    bytes: u64,
    over: bool,
}

/// A file of many records.
struct Open {
    name: String,
    lines: Lines<Box<dyn BufRead + Send>>,
}

impl Folder {
    /// Lists the folder.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Self, Error> {
        let place = path.display().to_string();
        let mut files = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::unreadable(&place))? {
            let file = entry.map_err(Error::unreadable(&place))?.path();
            if kind(&file).is_none() || !file.is_file() {
                continue;
            }
            files.push(file);
            if files.len() > limits.files {
                return Err(Error::TooLarge { place, limit: limits.files as u64, unit: "files" });
            }
        }
        files.sort();
        let files = files.into_iter();
        Ok(Self { limits, files, open: None, records: 0, bytes: 0, over: false })
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next(&self.limits)? {
                    Some(record) => return self.counted(record).map(Some),
                    None => self.open = None,
                }
            }
            let Some(path) = self.files.next() else { return Ok(None) };
            let name = name(&path);
            let file = File::open(&path).map_err(Error::unreadable(&name))?;
            let reader: Box<dyn BufRead + Send> = match kind(&path) {
                Some(Kind::Single) => {
                    let record = single(name, file, &self.limits)?;
                    return self.counted(record).map(Some);
                }
                Some(Kind::Lines) => Box::new(BufReader::new(file)),
                Some(Kind::PackedLines) => {
                    Box::new(BufReader::new(unpack(file).map_err(Error::unreadable(&name))?))
                }
                None => continue,
            };
            self.open = Some(Open { name, lines: jsonl::lines(reader, &self.limits.records) });
        }
    }

    fn counted(&mut self, record: Record) -> Result<Record, Error> {
        self.records += 1;
        if let Record::Document { bytes, .. } = &record {
            self.bytes += bytes.len() as u64;
        }
        let (Record::Document { place, .. } | Record::Unreadable { place, .. }) = &record;
        let place = place.clone();
        let limit = self.limits.records.records;
        if self.records > limit {
            return Err(Error::TooLarge { place, limit, unit: "records" });
        }
        if self.bytes > self.limits.unpacked_bytes {
            return Err(Error::TooLarge { place, limit: self.limits.unpacked_bytes, unit: "bytes" });
        }
        Ok(record)
    }
}

impl Iterator for Folder {
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

impl Open {
    fn next(&mut self, limits: &Limits) -> Result<Option<Record>, Error> {
        let line = match self.lines.next() {
            None => return Ok(None),
            Some(Ok(line)) => line,
            Some(Err(jsonl::Error::Source(source))) => {
                return Err(Error::Unreadable { place: self.name.clone(), source });
            }
            Some(Err(jsonl::Error::TooManyRecords(limit))) => {
                return Err(Error::TooLarge { place: self.name.clone(), limit, unit: "records" });
            }
        };
        let place = format!("{}:{}", self.name, line.number);
        Ok(Some(match line.content {
            Content::Record(bytes) => Record::Document { place, bytes },
            Content::TooLong => too_long(place, limits),
        }))
    }
}

pub(super) fn single(place: String, file: File, limits: &Limits) -> Result<Record, Error> {
    let mut bytes = Vec::new();
    file.take(limits.record_bytes() + 1).read_to_end(&mut bytes).map_err(Error::unreadable(&place))?;
    if bytes.len() as u64 > limits.record_bytes() {
        return Ok(too_long(place, limits));
    }
    Ok(Record::Document { place, bytes })
}

pub(super) fn too_long(place: String, limits: &Limits) -> Record {
    Record::Unreadable { place, what: format!("it is longer than {} bytes", limits.record_bytes()) }
}

fn unpack(file: File) -> std::io::Result<impl Read + Send> {
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Lines,
    PackedLines,
}

fn kind(path: &Path) -> Option<Kind> {
    let name = name(path);
    if name.ends_with(".json") {
        Some(Kind::Single)
    } else if name.ends_with(".jsonl") {
        Some(Kind::Lines)
    } else if name.ends_with(".jsonl.zst") {
        Some(Kind::PackedLines)
    } else {
        None
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
