//! NuGet's order ("Package versioning"): Semantic Versioning with a fourth number, in any case of letters.

use crate::key::Key;
use crate::semver;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    semver::key(&text.to_ascii_lowercase())
}
