//! A folder of OSV files: `*.json` holds one record, `*.jsonl` and `*.jsonl.zst` one in each line.
//!
//! Files are read in the order of their names, one open at a time. Other files and sub-folders are
//! not looked at.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::vec;

use super::{Error, Limits, Record, lines};

/// Frames that ask for more memory than this (2^27 bytes) are refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Walks a folder.
pub struct Folder {
    limits: Limits,
    files: vec::IntoIter<PathBuf>,
    open: Option<Open>,
    records: usize,
    bytes: u64,
    over: bool,
}

/// A file of many records.
struct Open {
    name: String,
    lines: Box<dyn BufRead + Send>,
    line: usize,
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
            let lines: Box<dyn BufRead + Send> = match kind(&path) {
                Some(Kind::Single) => {
                    let record = single(name, file, &self.limits)?;
                    return self.counted(record).map(Some);
                }
                Some(Kind::Lines) => Box::new(BufReader::new(file)),
                Some(Kind::PackedLines) => Box::new(BufReader::new(
                    unpack(file).map_err(Error::unreadable(&name))?,
                )),
                None => continue,
            };
            self.open = Some(Open { name, lines, line: 0 });
        }
    }

    fn counted(&mut self, record: Record) -> Result<Record, Error> {
        self.records += 1;
        if let Record::Document { bytes, .. } = &record {
            self.bytes += bytes.len() as u64;
        }
        let (Record::Document { place, .. } | Record::Unreadable { place, .. }) = &record;
        let place = place.clone();
        if self.records > self.limits.records {
            return Err(Error::TooLarge { place, limit: self.limits.records as u64, unit: "records" });
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
    /// The next line that is not blank.
    fn next(&mut self, limits: &Limits) -> Result<Option<Record>, Error> {
        while let Some(line) =
            lines::next(&mut self.lines, limits.record_bytes).map_err(Error::unreadable(&self.name))?
        {
            self.line += 1;
            let place = format!("{}:{}", self.name, self.line);
            match line {
                lines::Line::Whole(bytes) if bytes.trim_ascii().is_empty() => {}
                lines::Line::Whole(bytes) => return Ok(Some(Record::Document { place, bytes })),
                lines::Line::TooLong => return Ok(Some(too_long(place, limits))),
            }
        }
        Ok(None)
    }
}

fn single(place: String, file: File, limits: &Limits) -> Result<Record, Error> {
    let mut bytes = Vec::new();
    file.take(limits.record_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::unreadable(&place))?;
    if bytes.len() as u64 > limits.record_bytes {
        return Ok(too_long(place, limits));
    }
    Ok(Record::Document { place, bytes })
}

pub(super) fn too_long(place: String, limits: &Limits) -> Record {
    Record::Unreadable { place, what: format!("it is longer than {} bytes", limits.record_bytes) }
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
