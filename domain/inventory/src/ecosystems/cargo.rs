//! Rust crates: the list that `cargo auditable` puts into an executable, and `Cargo.lock`.
//!
//! Of an executable every crate counts that is part of it. Crates of the kind `build` (build scripts,
//! procedural macros and what those need) ran on the machine that built it and are left out. A `Cargo.lock`
//! does not tell these apart, nor what is only for tests, so all of its crates from a registry count.

mod audit;
mod lock;

use model::{Component, Distro, PackageKind, Problem};

use super::entries::toml_bytes;
use super::executable::Executable;
use super::lock::is_lock;
use super::{Ecosystem, File, listing};
use crate::purl::PurlBuilder;

pub(super) struct Cargo;

impl Ecosystem for Cargo {
    fn kind(&self) -> PackageKind {
        PackageKind::Cargo
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_lock(path, &["Cargo.lock"])
    }

    fn condensing_bytes(&self, _path: &[u8], size: u64) -> u64 {
        toml_bytes(size)
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        lock::lines(&content).into_bytes()
    }

    fn look_into(&self, executable: &Executable) -> Option<Vec<u8>> {
        audit::lines(executable).map(String::into_bytes)
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = PurlBuilder::new("cargo", name);
    file.component(PackageKind::Cargo, purl, name, version).ok_or("names a crate as no crate is named")
}

#[cfg(test)]
mod tests;
