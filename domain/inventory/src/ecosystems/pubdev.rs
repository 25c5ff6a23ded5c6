//! Pub, for Dart and Flutter: `pubspec.lock`.
//!
//! Of what development needs it tells only the packages themselves (`direct dev`), not what those need in turn.
//! Packages from an SDK, from git or from a folder have no released version.

use model::{Component, Distro, PackageKind, Problem};

use super::listing::Lines;
use super::lock::{is_lock, lines};
use super::{Ecosystem, File, listing, outline};
use crate::purl::PurlBuilder;

pub(super) struct Pub;

impl Ecosystem for Pub {
    fn kind(&self) -> PackageKind {
        PackageKind::Pub
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_lock(path, &["pubspec.lock"])
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        lines(&content, read)
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

/// A package while its lines come in.
struct Package<'a> {
    name: &'a str,
    version: Option<&'a str>,
    is_hosted: bool,
    is_for_development: bool,
}

fn read(text: &str) -> Lines {
    let mut outline = outline::lines(text);
    if !outline.any(|line| line.indent == 0 && line.key == "packages") {
        return Lines::of_problem("is not a pubspec.lock");
    }
    let (mut lines, mut package) = (Lines::default(), None::<Package<'_>>);
    for line in outline.take_while(|line| line.indent > 0) {
        match (line.indent, &mut package) {
            (2, _) => {
                lines.add(package.take().and_then(|done| done.line()));
                package = Some(Package::new(line.key));
            }
            (4, Some(package)) => package.read(line.key, line.value),
            _ => {}
        }
    }
    lines.add(package.and_then(|done| done.line()));
    lines
}

impl<'a> Package<'a> {
    const fn new(name: &'a str) -> Self {
        Self { name, version: None, is_hosted: false, is_for_development: false }
    }

    fn read(&mut self, key: &str, value: &'a str) {
        match key {
            "version" => self.version = Some(value),
            "source" => self.is_hosted = value == "hosted",
            "dependency" => self.is_for_development = value == "direct dev",
            _ => {}
        }
    }

    fn line(&self) -> Option<String> {
        let counts = self.is_hosted && !self.is_for_development;
        self.version.filter(|_| counts).map(|version| listing::package(self.name, version))
    }
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = PurlBuilder::new("pub", name);
    file.component(PackageKind::Pub, purl, name, version).ok_or("names a package as none is named")
}
