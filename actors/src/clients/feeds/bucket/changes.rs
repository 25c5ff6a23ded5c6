//! `modified_id.csv`: a line for each record, `2026-05-31T12:00:00.123Z,ID`, the newest first as a rule. The rule is
//! not relied on: all of it is read.

use std::collections::BTreeSet;
use std::io::{BufRead, Read as _};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::cursor::Followed;
use super::super::{Error, Record};

/// A line has a time and an id.
const LINE_MAX: u64 = 1024;
/// Of records that cannot be read, so many are told.
const PROBLEMS_MAX: usize = 100;
/// The archive of everything is made before the list of changes, so what changed shortly before its end is fetched
/// once more.
const OVERLAP: Duration = Duration::from_secs(3600);
/// Of so many records that changed at the same moment it is kept that they were read; of more, that none was.
const THEN_MAX: usize = 2_000;

/// When each record changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Unix time in microseconds, and the id.
    entries: Vec<(i64, String)>,
    /// Lines that are none.
    pub(super) problems: Vec<Record>,
}

impl Changes {
    /// Reads a list of at most so many lines.
    pub(super) fn read(mut list: impl BufRead, place: &str, limit: u64) -> Result<Self, Error> {
        let mut changes = Self::default();
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut list).take(LINE_MAX);
            if bounded.read_until(b'\n', &mut line).map_err(Error::unreadable(place))? == 0 {
                return Ok(changes);
            }
            number += 1;
            if number > limit {
                return Err(Error::TooLarge { place: place.to_owned(), limit, unit: "lines" });
            }
            if line.len() as u64 == LINE_MAX && !line.ends_with(b"\n") {
                return Err(Error::Broken {
                    place: place.to_owned(),
                    why: format!("line {number} is too long"),
                });
            }
            match entry(line.trim_ascii()) {
                Ok(entry) => changes.entries.extend(entry),
                Err(what) if changes.problems.len() < PROBLEMS_MAX => {
                    changes.problems.push(Record::Ignored {
                        place: format!("modified_id.csv:{number}"),
                        what: what.to_owned(),
                    })
                }
                Err(_) => {}
            }
        }
    }

    /// As if only these were listed, and had not changed.
    pub(super) fn of_ids(ids: &BTreeSet<String>, followed: &Followed) -> Self {
        let entries = ids.iter().map(|id| (followed.until_us, id.clone())).collect();
        Self { entries, problems: Vec::new() }
    }

    /// What changed since, and what could not be had before and is listed still; and how far that goes.
    pub(super) fn since(&self, followed: &Followed) -> (Vec<String>, Followed) {
        let is_new = |(at, id): &(i64, String)| {
            *at > followed.until_us || *at == followed.until_us && !followed.then.contains(id)
        };
        let mut wanted: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| is_new(entry) || followed.again.contains(&entry.1))
            .map(|(_, id)| id.clone())
            .collect();
        // Those of one moment come in any order.
        wanted.sort();
        wanted.dedup();
        let until_us = self.newest().unwrap_or(followed.until_us).max(followed.until_us);
        let then = if until_us == followed.until_us { followed.then.clone() } else { BTreeSet::new() };
        (wanted, self.at(until_us, then))
    }

    /// How far one is who has read everything.
    pub(super) fn end(&self) -> Followed {
        let overlap = i64::try_from(OVERLAP.as_micros()).unwrap_or_default();
        let until_us = self.newest().unwrap_or(i64::MIN / 2) - overlap;
        self.at(until_us, BTreeSet::new())
    }

    fn at(&self, until_us: i64, mut then: BTreeSet<String>) -> Followed {
        then.extend(self.entries.iter().filter(|(at, _)| *at == until_us).map(|(_, id)| id.clone()));
        if then.len() > THEN_MAX {
            then.clear();
        }
        Followed { until_us, then, again: BTreeSet::new() }
    }

    fn newest(&self) -> Option<i64> {
        self.entries.iter().map(|(at, _)| *at).max()
    }
}

/// A line's time and id; `None` for a blank one.
fn entry(line: &[u8]) -> Result<Option<(i64, String)>, &'static str> {
    if line.is_empty() {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let (time, id) = line.split_once(',').ok_or("the line is no time and id")?;
    let at = OffsetDateTime::parse(time, &Rfc3339).map_err(|_| "the line begins with no time")?;
    if id.is_empty() || id.len() > 512 || id.contains(['/', '\\', ',']) || id.chars().any(char::is_control) {
        return Err("the line ends with no id");
    }
    let at_us = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000));
    Ok(Some((at_us.map_err(|_| "the line begins with no time")?, id.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Changes {
        Changes::read(text.as_bytes(), "modified_id.csv", 100).expect("it is a list")
    }

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    const LIST: &str = "2026-06-02T00:00:00.5Z,C\n2026-06-02T00:00:00Z,B\n2026-06-02T00:00:00Z,B2\n\
                        2026-06-01T00:00:00+00:00,A\n";

    #[test]
    fn only_what_changed_since_is_wanted() {
        let all = read(LIST);
        let at_b = all.at(all.entries[1].0, BTreeSet::new());
        assert_eq!(at_b.then, ids(&["B", "B2"]));
        let (wanted, next) = all.since(&at_b);
        assert_eq!((wanted, next.then.clone()), (vec!["C".to_owned()], ids(&["C"])));
        assert_eq!(all.since(&next), (vec![], next.clone()));
        // Another one of the same moment, and one of before, which only the next whole reading finds.
        let more = read(&format!("{LIST}2026-06-02T00:00:00.500Z,D\n2026-06-01T00:00:00Z,late\n"));
        let (wanted, after) = more.since(&next);
        assert_eq!((wanted, after.then), (vec!["D".to_owned()], ids(&["C", "D"])));
    }

    #[test]
    fn what_could_not_be_had_is_wanted_while_it_is_listed() {
        let all = read(LIST);
        let mut followed = all.at(all.entries[0].0, BTreeSet::new());
        followed.again = ids(&["A", "gone"]);
        assert_eq!(all.since(&followed).0, ["A"]);
    }

    #[test]
    fn after_everything_was_read_a_while_is_read_again() {
        let all = read(LIST);
        let (wanted, _) = all.since(&all.end());
        assert_eq!(wanted, ["B", "B2", "C"]);
        let nothing = Changes::default();
        assert_eq!(nothing.since(&nothing.end()).0, [""; 0]);
        assert_eq!(all.since(&nothing.end()).0.len(), 4, "an empty list ends before everything");
    }

    #[test]
    fn lines_that_are_none_are_told_and_long_ones_end_it() {
        let list = read("2026-06-02T00:00:00Z,A\nyesterday,B\n\n2026-06-02T00:00:00Z,../etc/passwd\nC\n");
        assert_eq!(list.entries.len(), 1);
        let places: Vec<_> = list
            .problems
            .iter()
            .map(|problem| match problem {
                Record::Ignored { place, .. } => place.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(places, ["modified_id.csv:2", "modified_id.csv:4", "modified_id.csv:5"]);
        let long = "x".repeat(2000);
        assert!(matches!(Changes::read(long.as_bytes(), "c", 9), Err(Error::Broken { .. })));
        assert!(matches!(Changes::read(LIST.as_bytes(), "c", 3), Err(Error::TooLarge { .. })));
    }
}
