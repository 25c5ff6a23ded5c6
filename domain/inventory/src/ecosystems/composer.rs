//! Composer: `vendor/composer/installed.json`, a list of packages (version 1) or an object that holds it (version 2).
//!
//! `composer.lock` counts where none of these lies below it.

mod lock;

use std::fmt;

use model::{Component, Distro, PackageKind, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{Lenient, Package};
use super::listing::{self, Lines};
use super::lock::{Reach, is_lock, lines, that_count};
use super::{Ecosystem, File};
use crate::path;
use crate::purl::PurlBuilder;

const LOCKS: &[&str] = &["composer.lock"];

pub(super) struct Composer;

impl Ecosystem for Composer {
    fn kind(&self) -> PackageKind {
        PackageKind::Composer
    }

    fn wants(&self, path: &[u8]) -> bool {
        let (folder, name) = path::split(path);
        (name == b"installed.json" && path::split(folder).1 == b"composer") || is_lock(path, LOCKS)
    }

    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if is_lock(path, LOCKS) {
            return lines(&content, lock::lines);
        }
        match serde_json::from_slice::<Installed>(&content) {
            Ok(installed) => installed.0.into_bytes(),
            Err(_) => listing::problem("is not a list of packages").into_bytes(),
        }
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(&that_count(files, LOCKS, Reach::Above), component)
    }
}

/// The lines of a list, or of the list that an object holds as `packages`.
struct Installed(Lines);

impl<'de> Deserialize<'de> for Installed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListOrObject)
    }
}

struct ListOrObject;

impl<'de> Visitor<'de> for ListOrObject {
    type Value = Installed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of packages")
    }

    /// Entries are read one by one, so that a wrong one costs itself.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Installed, A::Error> {
        let mut lines = Lines::default();
        while let Some(Lenient(package)) = list.next_element::<Lenient<Package>>()? {
            lines.push(&line(&package.unwrap_or_default()));
        }
        Ok(Installed(lines))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Installed, A::Error> {
        let mut installed = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "packages" {
                installed = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        installed.ok_or_else(|| A::Error::missing_field("packages"))
    }
}

fn line(package: &Package) -> String {
    match (&package.name, &package.version) {
        (Some(name), Some(version)) => listing::package(name, number(version)),
        _ => listing::problem("has an entry without name or version"),
    }
}

/// Tags are often called `v1.2.3`; Composer's versions are not.
fn number(version: &str) -> &str {
    let is_number = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    version.strip_prefix(['v', 'V']).filter(is_number).unwrap_or(version)
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (vendor, package) = name.split_once('/').unwrap_or(("", name));
    let purl = PurlBuilder::new("composer", package).namespace(vendor);
    file.component(PackageKind::Composer, purl, name, version).ok_or("names a package as none is named")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_small_file_makes_no_large_list() {
        let content = format!("[{}{{}}]", "{},".repeat(500_000));
        let kept = Composer.condense(b"composer/installed.json", content.into_bytes());
        assert!(kept.len() < Limits::DEFAULT.listing_bytes + 100, "{}", kept.len());
        let file = File { path: b"composer/installed.json", layer: 0, content: &kept };
        assert!(!Composer.extract(&[file], None).1.is_empty());
    }
}
