//! Swift: `Package.resolved` in its forms 1 to 3, which list what is pinned and where its sources are.
//!
//! A package is called by that address (purl-spec, type `swift`): `github.com/apple/swift-nio`. What is pinned to a
//! branch or a commit has no version, and what is from a registry of packages has no address; both are left out.

use model::{Component, Distro, PackageKind, Problem};
use serde::de::MapAccess;

use super::entries::{Entries, Entry};
use super::json::{Wanted, document, skip, value};
use super::listing::Lines;
use super::lock::{is_lock, lines};
use super::{Ecosystem, File, listing};
use crate::purl::PurlBuilder;

pub(super) struct Swift;

impl Ecosystem for Swift {
    fn kind(&self) -> PackageKind {
        PackageKind::Swift
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_lock(path, &["Package.resolved"])
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        lines(&content, read)
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

fn read(text: &str) -> Lines {
    match document::<Document>(text) {
        Some(document) => document.pins.map(Entries::into_lines).unwrap_or_default(),
        None => Lines::of_problem("is not a JSON object"),
    }
}

/// The pins, which form 1 has one level below.
struct Document {
    pins: Option<Entries<Pin>>,
}

impl Wanted for Document {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut pins = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "pins" => pins = value(&mut map)?,
                "object" => pins = value::<Self, A>(&mut map)?.and_then(|object| object.pins),
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(Self { pins }))
    }
}

#[derive(Default)]
struct Pin {
    address: Option<String>,
    state: Option<State>,
}

impl Wanted for Pin {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut pin = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "location" | "repositoryURL" => pin.address = value(&mut map)?,
                "state" => pin.state = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(pin))
    }
}

impl Entry for Pin {
    fn list(self, _key: &str, lines: &mut Lines) {
        let name = self.address.as_deref().and_then(name);
        if let (Some(name), Some(version)) = (name, self.state.and_then(|state| state.version)) {
            lines.push(&listing::package(&name, &version));
        }
    }
}

struct State {
    version: Option<String>,
}

impl Wanted for State {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut version = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => version = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(Self { version }))
    }
}

/// Host and path of `https://HOST/PATH.git`, `ssh://git@HOST/PATH` or `git@HOST:PATH`; none of a folder.
fn name(address: &str) -> Option<String> {
    let (host, path) = match address.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?,
        None => address.split_once(':')?,
    };
    let host = host.rsplit('@').next().unwrap_or(host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!host.is_empty() && !path.is_empty()).then(|| format!("{host}/{path}"))
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (namespace, base) = name.rsplit_once('/').unwrap_or(("", name));
    let purl = PurlBuilder::new("swift", base).namespace(namespace);
    file.component(PackageKind::Swift, purl, name, version).ok_or("names a package as none is named")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_name_however_it_is_written() {
        for address in [
            "https://github.com/apple/swift-nio.git",
            "https://github.com/apple/swift-nio",
            "https://someone:token@github.com/apple/swift-nio/",
            "ssh://git@github.com/apple/swift-nio.git",
            "git@github.com:apple/swift-nio.git",
        ] {
            assert_eq!(name(address).as_deref(), Some("github.com/apple/swift-nio"), "{address}");
        }
        for none in ["", "/srv/swift-nio", "file:///srv/swift-nio", "https://github.com", "https:///a/b"] {
            assert_eq!(name(none), None, "{none}");
        }
    }

    #[test]
    fn what_has_no_version_or_no_address_is_left_out() {
        for pin in [
            r#""location":"https://h.example/o/a","state":{"branch":"main","revision":"0123"}"#,
            r#""location":"https://h.example/o/a","state":{"version":null}"#,
            r#""identity":"o.a","kind":"registry","location":"","state":{"version":"1.0.0"}"#,
            r#""kind":"localSourceControl","location":"/srv/a","state":{"version":"1.0.0"}"#,
        ] {
            assert_eq!(read(&format!(r#"{{"pins":[{{{pin}}}],"version":3}}"#)).into_bytes(), b"", "{pin}");
        }
    }
}
