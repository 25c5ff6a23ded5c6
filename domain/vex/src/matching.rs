//! Which components of an image a product is, and by how little it is not.
//!
//! A statement speaks of what it names and of nothing more: type, namespace and name are the same; a version, where
//! one is given, is the same by the rules of its ecosystem; every qualifier that is given is the component's too.
//! What is left out is any. What fails by one of these is a near miss, and is told: most VEX that has no effect has
//! none for such a reason.

mod image;
mod package;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use inventory::purl::{Parts, take_apart};
use model::{Component, Digest, PackageKind, Purl, Sbom};

use crate::{Identities, Identity, Product};

pub use image::repository;

/// How precisely a product is named. Ordered: the last is the most precise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// A family of products, by a name that others may have too.
    Family,
    /// A product in any version.
    Product,
    /// A package in a version or a range of them.
    Version,
    /// A package in a version, in an image that is named by its digest.
    Exact,
}

/// What is not the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The name is written otherwise.
    Name(Sides),
    /// The namespace.
    Namespace(Sides),
    /// The version.
    Version(Sides),
    /// The value of a qualifier; empty where the component has none.
    Qualifier(String, Sides),
    /// The digest of the image.
    Digest(Sides),
    /// The image's repository.
    Repository(Sides),
}

/// What the statement says, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sides {
    /// In the statement.
    pub said: String,
    /// In the image.
    pub found: String,
}

/// Something in the image that a product nearly is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearMiss {
    /// What the statement names.
    pub said: String,
    /// What is there.
    pub found: String,
    /// What is not the same.
    pub differences: Vec<Difference>,
}

/// What statements are held against: the components of an image, and how the image is called.
#[derive(Debug)]
pub struct Subject<'a> {
    sbom: &'a Sbom,
    digest: Option<&'a Digest>,
    repositories: Vec<String>,
    parts: Vec<Option<Parts>>,
    /// Components by type and name, and by type and the name of their source package.
    by_name: HashMap<String, Vec<usize>>,
    by_purl: HashMap<&'a Purl, Vec<usize>>,
}

/// Where in an image a product is.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// It is the image: all components.
    pub(crate) all: Option<Precision>,
    /// It is these components.
    pub(crate) components: Vec<(usize, Precision)>,
    /// These are only in part what is meant: they are in other places of the image too.
    pub(crate) elsewhere: Vec<usize>,
    /// What it nearly is.
    pub(crate) near: BTreeSet<NearMiss>,
}

/// Whether a thing is what is named.
enum Compared {
    Same(Precision),
    Near(Vec<Difference>),
    Other,
}

impl<'a> Subject<'a> {
    /// An image by its digest, where that is known, and by what it is called: `debian:12`, `ghcr.io/a/b@sha256:…`.
    pub fn new(sbom: &'a Sbom, digest: Option<&'a Digest>, names: &[&str]) -> Self {
        let parts: Vec<_> = sbom.components.iter().map(|c| take_apart(c.purl.as_str()).ok()).collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_purl: HashMap<&Purl, Vec<usize>> = HashMap::new();
        for (at, (component, parts)) in sbom.components.iter().zip(&parts).enumerate() {
            let own = parts.iter().map(|parts| key(component.kind.as_str(), &parts.name));
            let source =
                component.source.iter().map(|source| source_key(component.kind.as_str(), &source.name));
            own.chain(source).for_each(|key| by_name.entry(key).or_default().push(at));
            by_purl.entry(&component.purl).or_default().push(at);
        }
        let repositories = names.iter().map(|name| image::repository(name)).collect();
        Self { sbom, digest, repositories, parts, by_name, by_purl }
    }

    pub(crate) fn component(&self, at: usize) -> &'a Component {
        &self.sbom.components[at]
    }

    pub(crate) fn of_purl(&self, purl: &Purl) -> &[usize] {
        self.by_purl.get(purl).map(Vec::as_slice).unwrap_or_default()
    }

    /// Where a product is. `attached`: the image is what the document is about, whatever it calls it.
    pub(crate) fn find(&self, product: &Product, attached: bool) -> Place {
        let mut place = Place::default();
        let image = match self.image(&product.whole) {
            Compared::Same(precision) => Some(precision),
            Compared::Near(differences) => {
                place.near.insert(self.near_image(&product.whole, differences));
                None
            }
            Compared::Other => None,
        };
        let unknown =
            || product.whole.iter().all(|name| matches!(name, Identity::Name(_) | Identity::Cpe(_)));
        let image = image.or_else(|| (attached && unknown()).then_some(Precision::Product));
        match (image, product.parts.is_empty()) {
            (Some(precision), true) => place.all = Some(precision.of_image()),
            (Some(precision), false) => {
                for part in product.parts.iter() {
                    self.named(part, product, &mut place);
                }
                place.components.iter_mut().for_each(|(_, of)| *of = of.in_image(precision));
            }
            (None, true) => self.named(&product.whole, product, &mut place),
            (None, false) => self.inside(product, &mut place),
        }
        place
    }

    /// The parts of a component, where both are known to be in the same place.
    fn inside(&self, product: &Product, place: &mut Place) {
        let mut wholes = Place::default();
        let of_whole = Product { versions: None, ..Product::of(product.whole.clone()) };
        self.named(&product.whole, &of_whole, &mut wholes);
        place.near.append(&mut wholes.near);
        if wholes.components.is_empty() {
            // An image is named by its digest alone too: of a part in it nothing else is known.
            return;
        }
        let mut parts = Place::default();
        for part in product.parts.iter() {
            self.named(part, product, &mut parts);
        }
        place.near.append(&mut parts.near);
        let wholes: Vec<&Component> = wholes.components.iter().map(|(at, _)| self.component(*at)).collect();
        for (at, precision) in parts.components {
            let part = self.component(at);
            match package::is_within(part, &wholes) {
                true => place.components.push((at, precision)),
                false => place.elsewhere.push(at),
            }
        }
    }

    /// The components that have these names.
    fn named(&self, names: &Identities, product: &Product, place: &mut Place) {
        for name in names.iter() {
            let Identity::Purl(package) = name else { continue };
            let Parts { kind, name, .. } = &package.parts;
            let key = if package::is_source(package) { source_key(kind, name) } else { key(kind, name) };
            for at in self.by_name.get(&key).into_iter().flatten().copied() {
                let (component, Some(parts)) = (self.component(at), &self.parts[at]) else { continue };
                let versions = product.versions.as_deref();
                match package::compare(package, versions, component, parts, self.sbom.distro.as_ref()) {
                    Compared::Same(precision) => {
                        if !place.components.iter().any(|(known, _)| *known == at) {
                            place.components.push((at, precision));
                        }
                    }
                    Compared::Near(differences) => {
                        let found = component.purl.as_str().to_owned();
                        place.near.insert(NearMiss { said: package.text.clone(), found, differences });
                    }
                    Compared::Other => {}
                }
            }
        }
    }

    fn near_image(&self, names: &Identities, differences: Vec<Difference>) -> NearMiss {
        let digest = self.digest.map(|digest| digest.as_str().to_owned());
        let found = self.repositories.first().cloned().or(digest).unwrap_or_default();
        let said = names.first().map(ToString::to_string).unwrap_or_default();
        NearMiss { said, found, differences }
    }

    /// Whether the image is called so.
    fn image(&self, names: &Identities) -> Compared {
        image::compare(names, self.digest, &self.repositories, self.sbom.distro.as_ref())
    }
}

impl Precision {
    /// Of what is in an image that is named with this precision.
    const fn in_image(self, image: Self) -> Self {
        match (image, self) {
            (Self::Exact | Self::Version, Self::Version | Self::Exact) => Self::Exact,
            (Self::Exact | Self::Version, _) => Self::Version,
            (Self::Product, part) => part,
            (Self::Family, Self::Version | Self::Exact) => Self::Product,
            (Self::Family, _) => Self::Family,
        }
    }

    /// Of all that is in an image: its packages are not named.
    const fn of_image(self) -> Self {
        match self {
            Self::Exact => Self::Version,
            other => other,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Family => "family",
            Self::Product => "product",
            Self::Version => "version",
            Self::Exact => "exact",
        }
    }
}

/// Names that differ in case or in their separators are held against each other.
fn key(kind: &str, name: &str) -> String {
    format!("{kind}/{}", name.to_lowercase().replace(['_', '.'], "-"))
}

fn source_key(kind: &str, name: &str) -> String {
    key(kind, &format!("source/{name}"))
}

/// The kind of packages that a package URL of this type is of.
fn kind_of(parts: &Parts) -> Option<PackageKind> {
    PackageKind::from_word(&parts.kind)
}

fn sides(said: &str, found: &str) -> Sides {
    Sides { said: said.to_owned(), found: found.to_owned() }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, Sides { said, found }) = match self {
            Self::Name(sides) => ("name", sides),
            Self::Namespace(sides) => ("namespace", sides),
            Self::Version(sides) => ("version", sides),
            Self::Qualifier(key, sides) => (key.as_str(), sides),
            Self::Digest(sides) => ("digest", sides),
            Self::Repository(sides) => ("repository", sides),
        };
        let found = if found.is_empty() { "none" } else { found };
        write!(f, "{what} {said} is {found} here")
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        write!(f, "{} is nearly {}: {}", self.found, self.said, differences.join("; "))
    }
}

#[cfg(test)]
pub(crate) mod tests;
