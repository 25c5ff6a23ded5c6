//! What real sources published day by day between the dates of [`shared_data`](crate::shared_data), taken up from the
//! earlier one.
//!
//! Each day names the records that were added, modified, withdrawn and removed, and holds those that were written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// One feed on its way from one state to the next.
#[derive(Debug, Clone)]
pub struct Replay {
    feed: String,
    /// The records that it lists now, by their ids.
    records: BTreeMap<String, String>,
    days: BTreeMap<String, Day>,
}

/// What one day brought.
#[derive(Debug, Clone, Default)]
struct Day {
    written: Vec<String>,
    removed: BTreeSet<String>,
}

impl Replay {
    /// A feed that lists these records, one in each line, and the days after that, if this archive of them is there.
    pub(crate) fn new(feed: &str, lines: &str, days: &Path) -> Self {
        let records = lines.lines().map(|line| (id_of(line), line.to_owned())).collect();
        let days = if days.is_file() { days_of(days) } else { BTreeMap::new() };
        Self { feed: feed.to_owned(), records, days }
    }

    /// The feed's name.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// The days on which it changed, in their order.
    pub fn dates(&self) -> impl Iterator<Item = &str> {
        self.days.keys().map(String::as_str)
    }

    /// The same days, each with the records that were written, one in a line.
    pub fn days(&self) -> impl Iterator<Item = (&str, String)> {
        self.days.iter().map(|(date, day)| (date.as_str(), one_a_line(&day.written)))
    }

    /// Goes on to the state that this day left. False when nothing changed on it.
    pub fn go_on(&mut self, date: &str) -> bool {
        let Some(day) = self.days.get(date) else { return false };
        self.records.extend(day.written.iter().map(|line| (id_of(line), line.clone())));
        self.records.retain(|id, _| !day.removed.contains(id));
        true
    }

    /// The records that it lists now.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        self.records.values().map(String::as_str)
    }

    /// The same as one file, a record in each line.
    pub fn lines(&self) -> String {
        one_a_line(self.records.values())
    }
}

fn one_a_line<'a>(records: impl IntoIterator<Item = &'a String>) -> String {
    records.into_iter().flat_map(|record| [record, "\n"]).collect()
}

fn id_of(line: &str) -> String {
    let record: Value = serde_json::from_str(line).expect("a record is JSON");
    record["id"].as_str().expect("a record has an id").to_owned()
}

/// `DATE.delta.json` and `DATE.records.jsonl` of each day.
fn days_of(archive: &Path) -> BTreeMap<String, Day> {
    let bytes = zstd::decode_all(fs::File::open(archive).expect("it is there")).expect("zstd");
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").into_owned();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        if let Some(date) = name.strip_suffix(".delta.json") {
            let delta: Value = serde_json::from_str(&text).expect("JSON");
            let removed = delta["removed"].as_array().expect("a list of ids");
            let removed = removed.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
            days.entry(date.to_owned()).or_default().removed = removed;
        } else if let Some(date) = name.strip_suffix(".records.jsonl") {
            days.entry(date.to_owned()).or_default().written = text.lines().map(str::to_owned).collect();
        }
    }
    days
}
