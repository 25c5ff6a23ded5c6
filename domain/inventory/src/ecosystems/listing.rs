//! What is kept of a file that names many packages: a line `NAME TAB VERSION` each, or `! REASON`.

use model::{Component, Problem};

use super::{File, word};
use crate::limits::Limits;

/// A line for a package. Names and versions that are no words make a line that says so.
pub(super) fn package(name: &str, version: &str) -> String {
    match (word(name.as_bytes()), word(version.as_bytes())) {
        (Some(name), Some(version)) => format!("{name}\t{version}\n"),
        _ => problem("names a package as no package is named"),
    }
}

/// A line for something that could not be read.
pub(super) fn problem(why: &str) -> String {
    format!("!{why}\n")
}

/// Reads such lines back: `component` makes a package of a name and a version.
pub(super) fn read(
    files: &[File<'_>],
    component: impl Fn(&str, &str, &File<'_>) -> Result<Component, &'static str>,
) -> (Vec<Component>, Vec<Problem>) {
    let (mut components, mut problems) = (Vec::new(), Vec::new());
    let limit = Limits::DEFAULT.listed;
    for file in files {
        for line in String::from_utf8_lossy(file.content).lines() {
            if components.len() + problems.len() >= limit {
                problems
                    .push(file.problem(format!("is not read to its end: over {limit} packages are listed")));
                return (components, problems);
            }
            let outcome = match (line.strip_prefix('!'), line.split_once('\t')) {
                (Some(why), _) => Err(why),
                (None, Some((name, version))) => component(name, version, file),
                (None, None) => Err("holds a line that names no package"),
            };
            match outcome {
                Ok(found) => components.push(found),
                Err(why) => problems.push(file.problem(why)),
            }
        }
    }
    (components, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_where_they_become_absurd() {
        let content = package("a", "").repeat(Limits::DEFAULT.listed + 5);
        let file = File { path: b"x", layer: 0, content: content.as_bytes() };
        let (components, problems) = read(&[file, file], |_, _, _| Err("is no package"));
        assert_eq!((components.len(), problems.len()), (0, Limits::DEFAULT.listed + 1));
    }
}
