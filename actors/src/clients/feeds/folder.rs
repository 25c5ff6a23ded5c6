//! A folder of files: `*.json` holds one record, `*.jsonl` one in each line, each of them also packed; of formats that are
//! YAML also `*.yaml` and `*.yml`.
//!
//! Files are read in the order of their names, one open at a time. Other files and sub-folders are
//! not looked at.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::vec;

use super::document::{self, Kind, Lines};
use super::packing::{self, Stream};
use super::{Error, Limits, Record};

/// Walks a folder.
pub struct Folder {
    limits: Limits,
    files: vec::IntoIter<PathBuf>,
    open: Option<Lines>,
    records: u64,
    bytes: u64,
    over: bool,
}

impl Folder {
    /// Lists the folder.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Self, Error> {
        let place = path.display().to_string();
        let mut files = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::unreadable(&place))? {
            let file = entry.map_err(Error::unreadable(&place))?.path();
            if document::kind(&name(&file), limits.yaml).is_none() || !file.is_file() {
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
                match open.next() {
                    Some(record) => return self.counted(record?).map(Some),
                    None => self.open = None,
                }
            }
            let Some(path) = self.files.next() else { return Ok(None) };
            if let Some(record) = self.file(&path)? {
                return self.counted(record).map(Some);
            }
        }
    }

    /// A file's record; `None` for one of many.
    fn file(&mut self, path: &Path) -> Result<Option<Record>, Error> {
        let name = name(path);
        let Some((kind, packing)) = document::kind(&name, self.limits.yaml) else { return Ok(None) };
        let file = File::open(path).map_err(Error::unreadable(&name))?;
        let packed = file.metadata().map_err(Error::unreadable(&name))?.len();
        let (stream, allowed): (Stream, _) = match packing {
            None => (Box::new(file), self.limits.unpacked_bytes),
            Some(packing) => {
                let allowed = packing::allowed(packed, &self.limits);
                (packing::unpack(file, packing, allowed).map_err(Error::unreadable(&name))?, allowed)
            }
        };
        if kind == Kind::Lines {
            self.open = Some(Lines::new(name, stream, allowed, &self.limits));
            return Ok(None);
        }
        let record = document::single(name.clone(), stream, &self.limits);
        record.map(Some).map_err(packing::ended(&name, allowed))
    }

    fn counted(&mut self, record: Record) -> Result<Record, Error> {
        self.records += 1;
        if let Record::Document { bytes, .. } = &record {
            self.bytes += bytes.len() as u64;
        }
        let (Record::Document { place, .. }
        | Record::Unreadable { place, .. }
        | Record::Ignored { place, .. }) = &record;
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

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
