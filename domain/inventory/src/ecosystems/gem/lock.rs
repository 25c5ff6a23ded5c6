//! `Gemfile.lock`: the gems below `GEM` and `specs:`. Those below `GIT` and `PATH` have no released version.
//!
//! It does not tell what only development or tests need, so all gems count. A gem that it names once for each platform
//! would be installed for one of them, which it does not say.

use crate::ecosystems::listing::{self, Lines};

/// A line for each gem from a server: `    nokogiri (1.13.0-x86_64-linux)`.
pub(super) fn lines(text: &str) -> Lines {
    if !text.lines().any(|line| line == "DEPENDENCIES") {
        return Lines::of_problem("is not a Gemfile.lock");
    }
    let (mut lines, mut from_server) = (Lines::default(), false);
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(spec) if from_server && !spec.starts_with(' ') => lines.add(gem(spec)),
            Some(_) => {}
            None if line.is_empty() || line.starts_with(' ') => {}
            None => from_server = line == "GEM",
        }
    }
    lines
}

fn gem(spec: &str) -> Option<String> {
    let (name, rest) = spec.split_once(" (")?;
    let version = rest.strip_suffix(')')?.split('-').next()?;
    Some(listing::package(name, version))
}
