//! Composer: `vendor/composer/installed.json`, a list of packages (version 1) or an object that holds it (version 2).

use model::{Component, Distro, PackageKind, Problem};
use serde::Deserialize;
use serde_json::Value;

use super::{Ecosystem, File, listing};
use crate::path;
use crate::purl::PurlBuilder;

pub(super) struct Composer;

impl Ecosystem for Composer {
    fn kind(&self) -> PackageKind {
        PackageKind::Composer
    }

    fn wants(&self, path: &[u8]) -> bool {
        let (folder, name) = path::split(path);
        name == b"installed.json" && path::split(folder).1 == b"composer"
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let Ok(Installed::First(packages) | Installed::Second { packages }) =
            serde_json::from_slice(&content)
        else {
            return listing::problem("is not a list of packages").into_bytes();
        };
        packages.iter().map(line).collect::<String>().into_bytes()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

/// Entries are read one by one, so that a wrong one costs itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Installed {
    First(Vec<Value>),
    Second { packages: Vec<Value> },
}

fn line(package: &Value) -> String {
    let text = |field: &str| package.get(field).and_then(Value::as_str);
    match (text("name"), text("version")) {
        // Tags are often called `v1.2.3`; Composer's versions are not.
        (Some(name), Some(version)) => {
            let digits = version
                .strip_prefix(['v', 'V'])
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            listing::package(name, digits.unwrap_or(version))
        }
        _ => listing::problem("has an entry without name or version"),
    }
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (vendor, package) = name.split_once('/').unwrap_or(("", name));
    let purl = PurlBuilder::new("composer", package).namespace(vendor);
    file.component(PackageKind::Composer, purl, name, version).ok_or("names a package as none is named")
}
