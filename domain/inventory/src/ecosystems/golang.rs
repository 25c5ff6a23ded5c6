//! Go: the modules that an executable was built from, and the standard library.
//!
//! Every executable of Go's own linker holds them (`go version -m` prints them). A replaced module counts as
//! what replaced it. A module without a version says nothing that could be compared and is left out: the
//! main module where it was built from a working directory (`(devel)`), and replacements on the disk.

mod build_info;

use model::{Component, Distro, PackageKind, Problem};

use self::build_info::{BuildInfo, Unfit};
use super::executable::Executable;
use super::{Ecosystem, File, listing};
use crate::purl::PurlBuilder;

pub(super) struct Golang;

impl Ecosystem for Golang {
    fn kind(&self) -> PackageKind {
        PackageKind::Golang
    }

    /// Executables alone: a `go.mod` says what somebody may build, not what is there.
    fn wants(&self, _path: &[u8]) -> bool {
        false
    }

    fn look_into(&self, executable: &Executable) -> Option<Vec<u8>> {
        let lines = match BuildInfo::of(executable) {
            Ok(info) => lines(&info),
            Err(Unfit::Absent) => return None,
            Err(Unfit::Broken) => listing::problem("holds Go build information that cannot be read"),
            Err(Unfit::NotHeld) => listing::problem(
                "is an executable so large that not all of it was searched for what Go built it from",
            ),
        };
        Some(lines.into_bytes())
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

fn lines(info: &BuildInfo) -> String {
    let stdlib = match release(&info.go_version) {
        Some(version) => listing::package("stdlib", version),
        None => {
            listing::problem("was built by a Go that is no release, so its standard library has no version")
        }
    };
    let modules = info.modules.iter().filter(|module| !["", "(devel)"].contains(&module.version.as_str()));
    let mut lines: Vec<String> = modules.map(|m| listing::package(&m.path, &m.version)).collect();
    lines.push(stdlib);
    lines.concat()
}

/// `1.21.4` of `go1.21.4`; experiments (`X:…`) and what distributors append (`-fips`) make no other version.
fn release(go_version: &str) -> Option<&str> {
    let version = go_version.strip_prefix("go")?;
    let end = version.find([' ', '-', '+']).unwrap_or(version.len());
    version.get(..end).filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// purl-spec, type `golang`: all but the last part of a module's path is the namespace.
fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (namespace, base) = name.rsplit_once('/').unwrap_or(("", name));
    let purl = PurlBuilder::new("golang", base).namespace(namespace);
    file.component(PackageKind::Golang, purl, name, version).ok_or("names a module as no module is named")
}

#[cfg(test)]
mod tests;
