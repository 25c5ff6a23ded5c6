//! What each package manager leaves behind in an image.
//!
//! A new ecosystem is one file here, one line in [`ECOSYSTEMS`], and one fixture in `fixtures/`, which the
//! harness in `tests.rs` finds by the ecosystem's purl type. Lock files, which count only where nothing is
//! installed, have one of their own (`lock.rs`).

mod apk;
mod cargo;
mod composer;
mod conda;
mod dpkg;
mod entries;
pub(crate) mod executable;
pub(crate) mod found;
mod gem;
mod golang;
mod hex;
mod json;
mod listing;
mod lock;
mod maven;
mod npm;
mod nuget;
mod numbers;
mod of_distro;
mod outline;
mod pubdev;
mod pypi;
mod repositories;
mod rpm;
mod swift;
#[cfg(test)]
mod tests;

use model::{Component, Distro, Location, PackageKind, Problem, Purl, ThirdParty};

use self::executable::Executable;
use crate::limits::Limits;
use crate::packed::Packed;
use crate::path;
use crate::purl::PurlBuilder;

/// Every package manager whose packages are found.
pub(crate) const ECOSYSTEMS: &[&dyn Ecosystem] = &[
    &apk::Apk,
    &cargo::Cargo,
    &composer::Composer,
    &conda::Conda,
    &dpkg::DPKG,
    &dpkg::OPKG,
    &gem::Gem,
    &golang::Golang,
    &hex::Hex,
    &maven::Maven,
    &npm::Npm,
    &nuget::NuGet,
    &pubdev::Pub,
    &pypi::PyPi,
    &rpm::Rpm,
    &swift::Swift,
];

/// One package manager's files, and what they say.
pub(crate) trait Ecosystem: Sync {
    /// Its purl type.
    fn kind(&self) -> PackageKind;

    /// Whether it reads the file at this path. Asked for every file of every layer: look at the end first.
    fn wants(&self, path: &[u8]) -> bool;

    /// Files and directories that it looks for at one place only, so that links on the way there matter.
    fn places(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a symbolic link at a wanted path is as good as a file.
    fn follows_links(&self) -> bool {
        true
    }

    /// What `condense` may hold besides a file of this size, in bytes. Where it is much, only one file is read at a time.
    fn condensing_bytes(&self, _path: &[u8], size: u64) -> u64 {
        size
    }

    /// What of a file's content is needed later. Layers are held in memory until all of them are read.
    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        content
    }

    /// Whether such a file may be larger than others: it is then handed over packed.
    fn packs(&self, _path: &[u8]) -> bool {
        false
    }

    /// Like [`condense`](Self::condense), of a file that [`packs`](Self::packs).
    fn condense_packed(&self, _path: &[u8], _content: Packed) -> Vec<u8> {
        Vec::new()
    }

    /// What an executable says about the packages in it, as `extract` reads it. Executables have no telling
    /// paths and are large, so they are looked into at once and not kept.
    fn look_into(&self, _executable: &Executable) -> Option<Vec<u8>> {
        None
    }

    /// The packages that these files name, each with one location. One bad file costs itself.
    fn extract(&self, files: &[File<'_>], distro: Option<&Distro>) -> (Vec<Component>, Vec<Problem>);

    /// Which paths belong to the packages just found, for an ecosystem that keeps such lists.
    fn owned(&self, _files: &[File<'_>], _components: &[Component]) -> Vec<(Vec<u8>, Purl)> {
        Vec::new()
    }

    /// Who else than the distribution brings the packages just found, as far as the files say it.
    fn third_party(
        &self,
        _files: &[File<'_>],
        _components: &[Component],
        _distro: Option<&Distro>,
    ) -> Vec<ThirdParty> {
        Vec::new()
    }
}

/// What one ecosystem found in an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// The ecosystem.
    pub(crate) kind: PackageKind,
    /// For its `extract`.
    pub(crate) content: Vec<u8>,
}

/// A wanted file that is visible in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File<'a> {
    /// Where it is seen.
    pub(crate) path: &'a [u8],
    /// The layer that brought it.
    pub(crate) layer: u32,
    /// Its content, condensed.
    pub(crate) content: &'a [u8],
}

impl File<'_> {
    fn location(&self) -> Location {
        Location { layer: self.layer, path: path::printable(self.path) }
    }

    /// A package of a language that this file names; `None` where its name makes no package URL.
    fn component(
        &self,
        kind: PackageKind,
        purl: PurlBuilder,
        name: &str,
        version: &str,
    ) -> Option<Component> {
        Some(Component {
            purl: purl.version(version).build().ok()?,
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            owner: None,
            locations: vec![self.location()],
        })
    }

    fn problem(&self, what: impl Into<String>) -> Problem {
        problem(self.layer, self.path, what)
    }
}

/// A problem at a path of a layer.
pub(crate) fn problem(layer: u32, path: &[u8], what: impl Into<String>) -> Problem {
    Problem { place: format!("layer {layer}: {}", path::printable(path)), what: what.into() }
}

/// Whether any ecosystem, or the reader of `os-release`, wants the file.
pub(crate) fn want(path: &[u8]) -> bool {
    crate::os_release::wants(path) || ECOSYSTEMS.iter().any(|e| e.wants(path))
}

/// Whether a language's package manager wants the file: then it matters which OS package owns it.
fn want_by_language(path: &[u8]) -> bool {
    executable::is_usual_place(path) || ECOSYSTEMS.iter().any(|e| !e.kind().is_of_distro() && e.wants(path))
}

/// What the ecosystems find in an executable.
pub(crate) fn look_into(executable: &Executable) -> Vec<Note> {
    let note = |e: &&dyn Ecosystem| Some(Note { kind: e.kind(), content: e.look_into(executable)? });
    ECOSYSTEMS.iter().filter_map(note).collect()
}

/// How many paths an OS package's list may spell out: each costs its whole length, while the list tells a directory
/// once. Paths beyond it have no owner, which makes their packages count for more, not for less.
struct PathBudget {
    left: usize,
}

impl PathBudget {
    /// Several times what a list is long, as real lists need.
    const fn new(list: &[u8]) -> Self {
        Self { left: list.len().saturating_mul(8) }
    }

    /// Whether a path of this length may be looked at.
    fn allows(&mut self, length: usize) -> bool {
        let fits = length <= Limits::DEFAULT.path_bytes && length <= self.left;
        self.left = self.left.saturating_sub(length);
        fits
    }
}

/// What condensing a wanted file of this size may take.
pub(crate) fn condensing_bytes(path: &[u8], size: u64) -> u64 {
    let reader = ECOSYSTEMS.iter().find(|ecosystem| ecosystem.wants(path));
    reader.map_or(size, |ecosystem| ecosystem.condensing_bytes(path, size))
}

/// What is kept of a wanted file.
pub(crate) fn condense(path: &[u8], content: Vec<u8>) -> Vec<u8> {
    match ECOSYSTEMS.iter().find(|e| e.wants(path)) {
        Some(ecosystem) => ecosystem.condense(path, content),
        None => content,
    }
}

/// Whether a wanted file may be larger than others.
pub(crate) fn packs(path: &[u8]) -> bool {
    ECOSYSTEMS.iter().find(|ecosystem| ecosystem.wants(path)).is_some_and(|ecosystem| ecosystem.packs(path))
}

/// What is kept of one.
pub(crate) fn condense_packed(path: &[u8], content: Packed) -> Vec<u8> {
    let reader = ECOSYSTEMS.iter().find(|ecosystem| ecosystem.wants(path));
    reader.map(|ecosystem| ecosystem.condense_packed(path, content)).unwrap_or_default()
}

/// A name or version as packages may have them: one line of text, not too long.
fn word(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let fits = !text.is_empty() && text.len() <= Limits::DEFAULT.word_bytes;
    (fits && !text.chars().any(path::misleads)).then(|| text.to_owned())
}
