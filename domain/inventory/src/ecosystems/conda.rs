//! Conda: `conda-meta/NAME-VERSION-BUILD.json`, one for each package that is installed in an environment.
//!
//! A build is another package than the next of the same version, and so is that of another channel
//! (purl-spec, type `conda`).

use model::{Component, Distro, PackageKind, Problem};
use serde::de::MapAccess;

use super::json::{Wanted, document, skip, value};
use super::{Ecosystem, File, listing};
use crate::path;
use crate::purl::PurlBuilder;

pub(super) struct Conda;

impl Ecosystem for Conda {
    fn kind(&self) -> PackageKind {
        PackageKind::Conda
    }

    fn wants(&self, path: &[u8]) -> bool {
        path.ends_with(b".json") && path::split(path::split(path).0).1 == b"conda-meta"
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let record = std::str::from_utf8(&content).ok().and_then(document::<Record>);
        record.map_or_else(|| listing::problem("is not a JSON object"), |record| record.line()).into_bytes()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

/// What is said of an installed package.
#[derive(Default)]
struct Record {
    name: Option<String>,
    version: Option<String>,
    build: Option<String>,
    channel: Option<String>,
    subdir: Option<String>,
}

impl Wanted for Record {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut record = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => record.name = value(&mut map)?,
                "version" => record.version = value(&mut map)?,
                "build" => record.build = value(&mut map)?,
                "channel" => record.channel = value(&mut map)?,
                "subdir" => record.subdir = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(record))
    }
}

impl Record {
    fn line(&self) -> String {
        let (Some(name), Some(version)) = (&self.name, &self.version) else {
            return listing::problem("lacks name or version");
        };
        let subdir = self.subdir.as_deref().unwrap_or_default();
        let channel = channel(self.channel.as_deref().unwrap_or_default(), subdir);
        listing::detailed(name, version, &[self.build.as_deref().unwrap_or_default(), channel, subdir])
    }
}

/// `conda-forge` of `https://conda.anaconda.org/conda-forge/linux-64`.
fn channel<'a>(said: &'a str, subdir: &str) -> &'a str {
    let channel = said.trim_end_matches('/');
    let channel = channel.strip_suffix(subdir).unwrap_or(channel).trim_end_matches('/');
    channel.rsplit('/').next().unwrap_or(channel)
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let [version, build, channel, subdir] = listing::details(version);
    let purl = PurlBuilder::new("conda", name)
        .qualifier("build", build)
        .qualifier("channel", channel)
        .qualifier("subdir", subdir);
    file.component(PackageKind::Conda, purl, name, version).ok_or("names a package as none is named")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_environments_are_looked_at() {
        assert!(Conda.wants(b"opt/conda/conda-meta/zlib-1.2.13-h5eee18b_0.json"));
        assert!(!Conda.wants(b"opt/conda/conda-meta/history") && !Conda.wants(b"opt/conda-meta/x/a.json"));
    }

    #[test]
    fn a_channel_is_a_name() {
        for (said, subdir, expected) in [
            ("https://conda.anaconda.org/conda-forge/linux-64", "linux-64", "conda-forge"),
            ("https://repo.anaconda.com/pkgs/main/noarch/", "noarch", "main"),
            ("bioconda", "linux-64", "bioconda"),
            ("https://x.example/own", "", "own"),
            ("", "", ""),
        ] {
            assert_eq!(channel(said, subdir), expected, "{said}");
        }
    }
}
