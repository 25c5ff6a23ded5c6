//! A wall clock of its own for a process, which can be set: by libfaketime, where that is installed.
//!
//! The monotonic clock is left alone, as it is by whoever sets a machine's time.

use std::fs;
use std::path::{Path, PathBuf};

/// The clock.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right, kept below this folder; and what a process that goes by it needs in its environment.
    /// `None` without libfaketime.
    pub(crate) fn below(home: &Path) -> Option<(Self, Vec<(String, String)>)> {
        let library = library()?;
        let clock = Self { file: home.join("clock") };
        clock.set(0);
        let environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Some((clock, environment.map(|(name, value)| (name.to_owned(), value)).into()))
    }

    /// So many seconds ahead of the right time from now on, or behind it.
    pub fn set(&self, seconds: i64) {
        // It is read at every look at the clock, so it must never be half written.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("the clock can be written");
        fs::rename(&new, &self.file).expect("the clock can be written");
    }
}

/// The library for programs with several threads.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime"));
    folders.map(|folder| folder.join("libfaketimeMT.so.1")).find(|library| library.is_file())
}
