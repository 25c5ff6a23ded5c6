//! NuGet: `*.deps.json` beside a .NET application, which lists the packages that it was published with
//! (github.com/dotnet/sdk, "runtime configuration files").
//!
//! `packages.lock.json` counts where no such file lies beside or below it.

mod lock;

use std::fmt;

use model::{Component, Distro, PackageKind, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{Lenient, Wanted};
use super::listing::{self, Lines};
use super::lock::{Reach, is_lock, lines, that_count};
use super::{Ecosystem, File};
use crate::purl::PurlBuilder;

const LOCKS: &[&str] = &["packages.lock.json"];

pub(super) struct NuGet;

impl Ecosystem for NuGet {
    fn kind(&self) -> PackageKind {
        PackageKind::NuGet
    }

    fn wants(&self, path: &[u8]) -> bool {
        path.ends_with(b".deps.json") || is_lock(path, LOCKS)
    }

    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if is_lock(path, LOCKS) {
            return lines(&content, lock::lines);
        }
        match serde_json::from_slice::<Document>(&content) {
            Ok(document) => document.libraries.0.into_bytes(),
            Err(_) => listing::problem("is not a list of libraries").into_bytes(),
        }
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(&that_count(files, LOCKS, Reach::Above), component)
    }
}

#[derive(Deserialize)]
struct Document {
    libraries: Libraries,
}

/// The lines of an object whose keys are `NAME/VERSION`.
struct Libraries(Lines);

impl<'de> Deserialize<'de> for Libraries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByName)
    }
}

struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = Libraries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("libraries by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Libraries, A::Error> {
        let mut lines = Lines::default();
        while let Some((name, Lenient(library))) = map.next_entry::<String, Lenient<Library>>()? {
            // The application itself and what it was built with are no packages.
            if library.and_then(|library| library.0).is_some_and(|kind| kind.eq_ignore_ascii_case("package"))
            {
                lines.push(&match name.split_once('/') {
                    Some((name, version)) => listing::package(name, version),
                    None => listing::problem("has a library without version"),
                });
            }
        }
        Ok(Libraries(lines))
    }
}

/// Its type.
struct Library(Option<String>);

impl Wanted for Library {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut library = Self(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "type" {
                library.0 = map.next_value::<Lenient<String>>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(library))
    }
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = PurlBuilder::new("nuget", name);
    file.component(PackageKind::NuGet, purl, name, version).ok_or("names a package as none is named")
}
