//! Which images a change of the advisories can touch, without looking at any image.
//!
//! The BOM-index keeps, for all images, which of a dictionary's [`Indexed`] entries each one has. A change asks the
//! dictionary by its [`Reach::keys`], [`Reach::touches`] says of each entry whether the change reaches it, and the
//! images that have one of those are evaluated again. The matcher's own code decides ([`crate::matching`]), once for
//! each distinct package version and not for each image.
//!
//! What is promised: an image whose result differs between the advisories before and after has a touched entry. The
//! other way round it may say yes where nothing differs in the end.

mod document;
mod reach;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use advisory::{Advisory, Ecosystem};
use model::{Component, Digest, FeedId, Purl, Sbom};

use crate::coverage;
use crate::matching::{Subject, built_from, ecosystem_of, is_of_unread_module};

pub use document::InvalidIndexed;
pub use reach::{Reach, advisories_called};
pub use sample::{Difference, Kept, compare, sampled};

/// Raised when [`indexed`] answers otherwise than before for an SBOM: then every image is indexed anew.
pub const FORM: i16 = 1;

/// What the BOM-index knows of an image: one package version of it, or that its coverage asks for an ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Indexed {
    /// Whether any feed speaks of this ecosystem is part of the image's result.
    Ecosystem(Ecosystem),
    /// A package that advisories may speak of.
    Package(Package),
}

/// A package version, as far as matching asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Where advisories about it are, with the image's release where that counts.
    pub ecosystem: Ecosystem,
    /// The package, without what differs from image to image: owner, locations.
    pub component: Component,
}

/// An advisory before and after; `None` where its feed does not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose advisory it is.
    pub feed: FeedId,
    /// What was said.
    pub before: Option<Advisory>,
    /// What is said now.
    pub after: Option<Advisory>,
}

/// What the dictionary is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Everything that asks for an ecosystem of this name, whatever the release.
    Ecosystem(String),
    /// The packages of this name in an ecosystem of this name, whatever the release.
    Package {
        /// The ecosystem's name: `Debian`.
        ecosystem: String,
        /// The package's name, as [`advisory::canonical_name`] writes it.
        name: String,
        /// Whether what a package was built from is called so, and not the package.
        is_source: bool,
    },
    /// The packages of this purl, without version, qualifiers and subpath.
    Purl(String),
}

/// What an image is kept under, sorted, each once.
pub fn indexed(sbom: &Sbom) -> Vec<Indexed> {
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    let asked_for = coverage::ecosystems(sbom, distro.as_ref()).into_iter().map(Indexed::Ecosystem);
    let compared = sbom.components.iter().filter(|c| !is_of_unread_module(c, distro.as_ref()));
    let packages = compared.filter_map(|component| {
        let ecosystem = ecosystem_of(component.kind, distro.as_ref())?;
        Some(Indexed::Package(Package { ecosystem, component: lean(component) }))
    });
    asked_for.chain(packages).collect::<BTreeSet<_>>().into_iter().collect()
}

fn lean(component: &Component) -> Component {
    let Component { purl, kind, name, version, source, .. } = component.clone();
    Component { purl, kind, name, version, source, architecture: None, owner: None, locations: vec![] }
}

impl Indexed {
    /// The keys that find it.
    pub fn keys(&self) -> Vec<Key> {
        let package = match self {
            Self::Ecosystem(ecosystem) => return vec![Key::Ecosystem(ecosystem.name.clone())],
            Self::Package(package) => package,
        };
        let component = &package.component;
        let key =
            |name, is_source| Key::Package { ecosystem: package.ecosystem.name.clone(), name, is_source };
        vec![
            key(Subject::of(component).0, false),
            key(built_from(component).to_owned(), true),
            Key::purl(&component.purl),
        ]
    }
}

impl Key {
    /// The key of a package URL, whatever its version, qualifiers and subpath.
    pub fn purl(purl: &Purl) -> Self {
        let text = purl.as_str();
        // In canonical form these three stand for themselves nowhere else.
        Self::Purl(text[..text.find(['@', '?', '#']).unwrap_or(text.len())].to_owned())
    }

    /// A number for an index over many: two keys have seldom the same, and what is found is looked at again.
    pub fn number(&self) -> i64 {
        let parts: [&str; 3] = match self {
            Self::Ecosystem(name) => ["e", name, ""],
            Self::Package { ecosystem, name, is_source: false } => ["n", ecosystem, name],
            Self::Package { ecosystem, name, is_source: true } => ["s", ecosystem, name],
            Self::Purl(purl) => ["p", purl, ""],
        };
        let digest = Digest::of(parts.join("\0").as_bytes());
        let first = u64::from_str_radix(&digest.hex()[..16], 16).expect("a digest is hexadecimal");
        first.cast_signed()
    }
}
