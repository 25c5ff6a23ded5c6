//! `composer.lock`: `packages`, and `packages-dev`, which only development needs.

use serde::de::MapAccess;

use super::number;
use crate::ecosystems::entries::{self, Entry};
use crate::ecosystems::json::{Wanted, skip, value};
use crate::ecosystems::listing::{self, Lines};

/// A line for each package that has a version. Branches (`dev-main`, `2.x-dev`) and folders have none.
pub(super) fn lines(text: &str) -> Lines {
    entries::of_json::<Locked>(text, "packages")
}

#[derive(Default)]
struct Locked {
    name: Option<String>,
    version: Option<String>,
    dist: Option<Dist>,
}

impl Wanted for Locked {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut package = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => package.name = value(&mut map)?,
                "version" => package.version = value(&mut map)?,
                "dist" => package.dist = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(package))
    }
}

impl Entry for Locked {
    fn list(self, _key: &str, lines: &mut Lines) {
        let (Some(name), Some(version)) = (&self.name, &self.version) else {
            return lines.push(&listing::problem("has an entry without name or version"));
        };
        let is_branch = version.starts_with("dev-") || version.ends_with("-dev");
        if !is_branch && self.dist.is_none_or(|dist| dist.kind.as_deref() != Some("path")) {
            lines.push(&listing::package(name, number(version)));
        }
    }
}

/// Where the files come from.
struct Dist {
    kind: Option<String>,
}

impl Wanted for Dist {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut kind = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => kind = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(Self { kind }))
    }
}
