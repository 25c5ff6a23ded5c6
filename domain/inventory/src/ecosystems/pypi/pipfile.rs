//! `Pipfile.lock`: `default`, and `develop`, which only development needs.

use serde::de::MapAccess;

use crate::ecosystems::entries::{self, Entry};
use crate::ecosystems::json::{Wanted, skip, value};
use crate::ecosystems::listing::{self, Lines};

/// A line for each package with an exact version.
pub(super) fn lines(text: &str) -> Lines {
    entries::of_json::<Locked>(text, "default")
}

#[derive(Default)]
struct Locked {
    version: Option<String>,
    is_elsewhere: bool,
}

impl Wanted for Locked {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut package = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "version" {
                package.version = value(&mut map)?;
            } else {
                let elsewhere = ["git", "hg", "svn", "bzr", "path", "file"];
                package.is_elsewhere |= elsewhere.contains(&key.as_str());
                skip(&mut map)?;
            }
        }
        Ok(Some(package))
    }
}

impl Entry for Locked {
    fn list(self, key: &str, lines: &mut Lines) {
        let exact = self.version.as_deref().and_then(|version| version.strip_prefix("=="));
        if let Some(version) = exact.filter(|_| !self.is_elsewhere) {
            lines.push(&listing::package(key, version));
        }
    }
}
