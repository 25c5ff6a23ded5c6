//! Dart's order ("Package dependencies", "Version constraints"; package `pub_semver`): Semantic
//! Versioning, but build metadata counts, by the rules of pre-releases and above no metadata.

use crate::key::Key;
use crate::semver;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let mut key = semver::key(text)?;
    if let Some((_, build)) = text.split_once('+') {
        // A key of Semantic Versioning never begins another one, so more can follow it.
        semver::identifiers(&mut key, build)
            .map_err(|_| "its build metadata is not letters, digits and '-'")?;
    }
    Ok(key)
}
