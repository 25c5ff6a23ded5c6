//! Real images, real advisories, and what must be found: `../shared/data` beside the repository.
//! They are not part of the repository; where they are missing, the tests that need them say so.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::images::Image;
use crate::{FeedFolder, Replay};

/// The feeds that the expected findings were computed from.
pub const FEEDS: [&str; 10] = [
    "almalinux",
    "alpine-3.20-subset",
    "crates.io",
    "debian-ubuntu-changelog-derived",
    "go",
    "maven-ghsa-subset",
    "npm-ghsa-subset",
    "npm-nodejs-security-wg",
    "npm-retirejs",
    "pypi-pysec",
];

/// Both dates that the data has, earlier first.
pub const DATES: [&str; 2] = ["2026-05-31", "2026-07-31"];

/// They hold on Windows only, by their feed's `affects`, and all images are for Linux. The expected findings were made
/// without looking at that.
const WINDOWS_ONLY: [&str; 2] = ["RUSTSEC-2023-0001", "RUSTSEC-2024-0019"];

/// One line of what must be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Package.
    pub package: String,
    /// Its version; of a Debian package the source's, as advisories speak of it.
    pub version: String,
    /// The advisory's own id.
    pub advisory: String,
}

impl Expected {
    /// Of the columns ecosystem, package, version, advisory.
    fn of(row: &[&str]) -> Self {
        Self {
            package: row[1].to_owned(),
            // An epoch of 0 is written by some and not by others.
            version: row[2].trim_start_matches("0:").to_owned(),
            advisory: row[3].to_owned(),
        }
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub struct SharedData {
    root: PathBuf,
}

impl SharedData {
    /// The folder, where it is there.
    pub fn find() -> Option<Self> {
        let root = PathBuf::from("../../shared/data");
        root.join("expected").is_dir().then_some(Self { root })
    }

    /// An image.
    pub fn image(&self, name: &str) -> Image {
        Image::read_layout(&self.root.join(format!("images/{name}.oci")))
    }

    /// A source in its own format.
    pub fn native(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.root.join("native").join(name)).expect("the file is there")
    }

    /// Puts this feed's records of the date into the folder.
    pub fn fill(&self, folder: &FeedFolder, feed: &str, date: &str) {
        folder.take(&self.file(feed, date));
    }

    /// This feed from the earlier date on.
    pub fn replay(&self, feed: &str) -> Replay {
        Replay::new(feed, &self.records(feed, DATES[0]), &self.root.join(format!("deltas/{feed}.tar.zst")))
    }

    /// This feed's records of the date, one in each line.
    pub fn records(&self, feed: &str, date: &str) -> String {
        let file = fs::File::open(self.file(feed, date)).expect("the file is there");
        String::from_utf8(zstd::decode_all(file).expect("zstd")).expect("JSON is UTF-8")
    }

    /// A feed that did not change between the dates is there under the later one only.
    fn file(&self, feed: &str, date: &str) -> PathBuf {
        let of = |date: &str| self.root.join(format!("osv-{date}/{feed}.jsonl.zst"));
        Some(of(date)).filter(|path| path.is_file()).unwrap_or_else(|| of(DATES[1]))
    }

    /// What must be found in the image with the advisories of that date. Of a package that belongs to one of
    /// the distribution's the distributor's word counts alone, so lines about those are left out.
    pub fn expected(&self, image: &str, date: &str) -> BTreeSet<Expected> {
        let file = self.root.join(format!("expected/{image}/vulns-at-{date}.tsv"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|row| row.get(4) != Some(&"os-owned") && !WINDOWS_ONLY.contains(&row[3]))
            .map(|row| Expected::of(&row))
            .collect()
    }

    /// What appears in the image from the earlier date to the later, and what is resolved.
    pub fn expected_changes(&self, image: &str) -> (BTreeSet<Expected>, BTreeSet<Expected>) {
        let file = self.root.join(format!("expected/{image}/delta-0531-0731.tsv"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let of = |sign: &str| {
            let rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
            rows.filter(|row| row[0] == sign).map(|row| Expected::of(&row[1..])).collect()
        };
        (of("+"), of("-"))
    }
}
