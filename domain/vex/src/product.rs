//! What a statement speaks of.

use std::fmt;
use std::sync::Arc;

use inventory::purl::{Parts, take_apart};
use model::Digest;

use crate::{Identities, Versions};

/// A product: a package, an image, or some parts of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// What it is.
    pub whole: Identities,
    /// What is meant of it; the whole where there are none.
    pub parts: Arc<[Identities]>,
    /// Which versions are meant, where that is said beside the name; of the part where there is one.
    pub versions: Option<Arc<Versions>>,
}

/// One way to name a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A package URL.
    Purl(Box<Package>),
    /// The sha256 of its bytes; for an image that of its manifest.
    Digest(Digest),
    /// A CPE, as it is written.
    Cpe(String),
    /// A name or address of any other kind.
    Name(String),
}

/// A package URL with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// As it is written.
    pub text: String,
    /// What it says.
    pub parts: Parts,
}

impl Identity {
    /// Reads any text that names something.
    pub fn of(text: &str) -> Self {
        let lower = text.get(..4).map(str::to_ascii_lowercase);
        match lower.as_deref() {
            Some("cpe:") => Self::Cpe(text.to_owned()),
            Some("pkg:") => Self::purl(text).unwrap_or_else(|| Self::Name(text.to_owned())),
            _ => text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Digest),
        }
    }

    /// Reads a package URL.
    pub fn purl(text: &str) -> Option<Self> {
        let parts = take_apart(text).ok()?;
        Some(Self::Purl(Box::new(Package { text: text.to_owned(), parts })))
    }

    /// The digest with these hexadecimal digits, when it is a sha256.
    pub(crate) fn sha256(algorithm: &str, hex: &str) -> Option<Self> {
        let named = matches!(algorithm.to_ascii_lowercase().as_str(), "sha-256" | "sha256");
        let hex = hex.strip_prefix("sha256:").unwrap_or(hex).to_ascii_lowercase();
        if named { format!("sha256:{hex}").parse().ok().map(Self::Digest) } else { None }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Purl(package) => f.write_str(&package.text),
            Self::Digest(digest) => digest.fmt(f),
            Self::Cpe(text) | Self::Name(text) => f.write_str(text),
        }
    }
}

impl Product {
    /// A product that is one thing.
    pub(crate) fn of(whole: Identities) -> Self {
        Self { whole, parts: Arc::default(), versions: None }
    }

    /// The same in these versions only.
    pub(crate) fn with(mut self, versions: &str) -> Self {
        self.versions = Some(Arc::new(Versions::of(versions)));
        self
    }
}

impl fmt::Display for Product {
    /// The first name of the whole, and of the parts: `pkg:oci/a > pkg:apk/alpine/b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |names: &Identities| names.first().map(ToString::to_string).unwrap_or_default();
        f.write_str(&name(&self.whole))?;
        let parts: Vec<String> = self.parts.iter().map(name).collect();
        if !parts.is_empty() {
            write!(f, " > {}", parts.join(", "))?;
        }
        match &self.versions {
            Some(versions) => write!(f, " {versions}"),
            None => Ok(()),
        }
    }
}
