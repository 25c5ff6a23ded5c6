//! `packages.lock.json`: for each framework, the packages that a project resolved to.

use serde::de::MapAccess;

use crate::ecosystems::entries::{self, Entries, Entry};
use crate::ecosystems::json::{Wanted, skip, value};
use crate::ecosystems::listing::{self, Lines};

/// A line for each framework and package.
pub(super) fn lines(text: &str) -> Lines {
    entries::of_json::<Entries<Locked>>(text, "dependencies")
}

#[derive(Default)]
struct Locked {
    kind: Option<String>,
    resolved: Option<String>,
}

impl Wanted for Locked {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut package = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => package.kind = value(&mut map)?,
                "resolved" => package.resolved = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(package))
    }
}

impl Entry for Locked {
    /// Other projects of the same solution are no packages.
    fn list(self, key: &str, lines: &mut Lines) {
        let is_project = self.kind.is_some_and(|kind| kind.eq_ignore_ascii_case("project"));
        if let Some(version) = self.resolved.filter(|_| !is_project) {
            lines.push(&listing::package(key, &version));
        }
    }
}
