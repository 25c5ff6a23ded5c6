//! NuGet: `*.deps.json` beside a .NET application, which lists the packages that it was published with
//! (github.com/dotnet/sdk, "runtime configuration files").

use std::collections::BTreeMap;

use model::{Component, Distro, PackageKind, Problem};
use serde::Deserialize;
use serde_json::Value;

use super::{Ecosystem, File, listing};
use crate::purl::PurlBuilder;

pub(super) struct NuGet;

impl Ecosystem for NuGet {
    fn kind(&self) -> PackageKind {
        PackageKind::NuGet
    }

    fn wants(&self, path: &[u8]) -> bool {
        path.ends_with(b".deps.json")
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let Ok(Document { libraries }) = serde_json::from_slice(&content) else {
            return listing::problem("is not a list of libraries").into_bytes();
        };
        let lines = libraries.iter().filter_map(|(name, library)| {
            // The application itself and what it was built with are no packages.
            let kind = library.get("type").and_then(Value::as_str)?;
            let line = || match name.split_once('/') {
                Some((name, version)) => listing::package(name, version),
                None => listing::problem("has a library without version"),
            };
            kind.eq_ignore_ascii_case("package").then(line)
        });
        lines.collect::<String>().into_bytes()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

#[derive(Deserialize)]
struct Document {
    libraries: BTreeMap<String, Value>,
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = PurlBuilder::new("nuget", name);
    file.component(PackageKind::NuGet, purl, name, version).ok_or("names a package as none is named")
}
