//! Go's order: modules by `golang.org/x/mod/semver` (pseudo-versions and `+incompatible` are plain
//! Semantic Versioning), toolchains (`go1.21.4`, `1.22rc1`) by the semantic version that the Go
//! vulnerability database writes for them (`1.22.0-rc.1`).

use crate::key::{Key, digits};
use crate::semver;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let text = match text.strip_prefix("go") {
        // Experiments and a vendor's name follow the version (package `go/version`).
        Some(toolchain) => toolchain.split([' ', '-', '+']).next().unwrap_or(toolchain),
        None => text,
    };
    match pre_release(text) {
        Some((numbers, word, number)) => semver::key(&format!("{numbers}-{word}.{number}")),
        None => semver::key(text),
    }
}

/// The parts of a toolchain before its release: `1.22`, `rc`, `1`.
fn pre_release(text: &str) -> Option<(&str, &str, &str)> {
    let (numbers, rest) = text.split_at(text.find(|c: char| c.is_ascii_lowercase())?);
    let number = ["alpha", "beta", "rc"].iter().find_map(|word| rest.strip_prefix(word))?;
    let word = rest.strip_suffix(number)?;
    let is_toolchain = numbers.ends_with(|c: char| c.is_ascii_digit())
        && numbers.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && !number.is_empty()
        && digits(number).1.is_empty();
    is_toolchain.then_some((numbers, word, number))
}
