//! What is kept of a file that names many packages: a line `NAME TAB VERSION` each, or `! REASON`.

use model::{Component, Problem};

use super::found::Found;
use super::{File, word};
use crate::limits::Limits;

/// A line for a package. Names and versions that are no words make a line that says so.
pub(super) fn package(name: &str, version: &str) -> String {
    match (word(name.as_bytes()), word(version.as_bytes())) {
        (Some(name), Some(version)) => format!("{name}\t{version}\n"),
        _ => problem("names a package as no package is named"),
    }
}

/// The same with more that tells packages apart, where it is known: [`details`] finds it behind the version.
pub(super) fn detailed(name: &str, version: &str, details: &[&str]) -> String {
    let line = package(name, version);
    let known = |detail: &&str| word(detail.as_bytes()).unwrap_or_default();
    let tail: String = details.iter().flat_map(|detail| ["\t".to_owned(), known(detail)]).collect();
    if line.starts_with('!') { line } else { format!("{}{tail}\n", line.trim_end_matches('\n')) }
}

/// The version of a detailed line, and the details behind it. What is not known is empty.
pub(super) fn details<const N: usize>(version: &str) -> [&str; N] {
    let mut parts = version.split('\t');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// A line for something that could not be read.
pub(super) fn problem(why: &str) -> String {
    format!("!{why}\n")
}

/// The lines of a file that may name any number of packages. It costs no more than is read back.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    full: bool,
}

impl Lines {
    /// A list that says only why it is none.
    pub(super) fn of_problem(why: &str) -> Self {
        Self { text: problem(why), full: false }
    }

    /// Adds a line, if there is one.
    pub(super) fn add(&mut self, line: Option<String>) {
        line.iter().for_each(|line| self.push(line));
    }

    /// Adds a line; one that is too much becomes the last, and says so.
    pub(super) fn push(&mut self, line: &str) {
        if self.full {
            return;
        }
        self.full = self.text.len() + line.len() > Limits::DEFAULT.listing_bytes;
        self.text.push_str(if self.full {
            "!is not read to its end: it names too many packages\n"
        } else {
            line
        });
    }

    /// Adds all lines of another list.
    pub(super) fn append(&mut self, other: &Self) {
        other.text.split_inclusive('\n').for_each(|line| self.push(line));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// Reads such lines back: `component` makes a package of a name and a version.
pub(super) fn read(
    files: &[File<'_>],
    component: impl Fn(&str, &str, &File<'_>) -> Result<Component, &'static str>,
) -> (Vec<Component>, Vec<Problem>) {
    list(files, component).into_parts()
}

/// The same, to which more of the kind may be added.
pub(super) fn list(
    files: &[File<'_>],
    component: impl Fn(&str, &str, &File<'_>) -> Result<Component, &'static str>,
) -> Found {
    let mut found = Found::default();
    for file in files {
        for line in String::from_utf8_lossy(file.content).lines() {
            let outcome = match (line.strip_prefix('!'), line.split_once('\t')) {
                (Some(why), _) => Err(why),
                (None, Some((name, version))) => component(name, version, file),
                (None, None) => Err("holds a line that names no package"),
            };
            if !found.take(outcome.map(Some), file) {
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_what_is_read_are_one_problem() {
        let mut lines = Lines::default();
        let line = package(&"n".repeat(1000), "1");
        for _ in 0..2 * Limits::DEFAULT.listing_bytes / line.len() {
            lines.push(&line);
        }
        let bytes = lines.into_bytes();
        assert!(bytes.len() < Limits::DEFAULT.listing_bytes + 100);
        assert!(bytes.ends_with(b"\n!is not read to its end: it names too many packages\n"));
        assert_eq!(bytes.iter().filter(|byte| **byte == b'!').count(), 1);
    }

    #[test]
    fn details_follow_the_version() {
        assert_eq!(detailed("a", "1", &["x", "", "z"]), "a\t1\tx\t\tz\n");
        assert_eq!(detailed("a", "1", &["x\ty"]), "a\t1\t\n");
        assert_eq!(detailed("", "1", &["x"]), package("", "1"));
        assert_eq!(details("1\tx\t\tz"), ["1", "x", "", "z"]);
        assert_eq!(details("1"), ["1", ""]);
    }

    #[test]
    fn lists_end_where_they_become_absurd() {
        let content = package("a", "").repeat(Limits::DEFAULT.listed + 5);
        let file = File { path: b"x", layer: 0, content: content.as_bytes() };
        let (components, problems) = read(&[file, file], |_, _, _| Err("is no package"));
        assert_eq!((components.len(), problems.len()), (0, Limits::DEFAULT.listed + 1));
    }
}
