//! How versions compare, by the rules of the ecosystem they belong to, and which of them a range holds.
//!
//! A version is parsed once into a *key*: bytes whose plain order is the order of the versions. So
//! comparing two versions is comparing two byte strings, whatever the scheme, and a new scheme is one
//! file that writes such keys.

mod apk;
mod cran;
mod debian;
mod go;
mod hackage;
mod key;
mod maven;
mod nuget;
mod packagist;
mod pep440;
mod pubdev;
mod range;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::key::Key;

pub use crate::range::{End, Event, Interval, InvalidRange, Range};

/// The longest version text that is read, in bytes. A longer one is an [`InvalidVersion`].
pub const VERSION_BYTES_MAX: usize = 255;

/// The rules by which versions compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// apk-tools'.
    Apk,
    /// R's `package_version`.
    Cran,
    /// dpkg's: epoch, upstream version, revision.
    Debian,
    /// Semantic versions as Go writes them: `v1.2.3`, `go1.21.4`, pseudo-versions, `+incompatible`.
    Go,
    /// Haskell's package versioning policy.
    Hackage,
    /// Hex's, which is Semantic Versioning's precedence.
    Hex,
    /// Maven's `ComparableVersion`.
    Maven,
    /// NuGet's: Semantic Versioning with a fourth number, case-insensitive.
    NuGet,
    /// Composer's, which is PHP's `version_compare` after normalisation.
    Packagist,
    /// PEP 440, and below all of it the older Python versions that it no longer allows.
    Pep440,
    /// Dart's: Semantic Versioning in which build metadata counts.
    Pub,
    /// rpm's: epoch, version, release.
    Rpm,
    /// `Gem::Version`.
    RubyGems,
    /// Semantic Versioning's precedence, as npm and Cargo use it.
    Semver,
}

impl Scheme {
    /// Every scheme, in the order of their words.
    pub const ALL: [Self; 14] = [
        Self::Apk,
        Self::Cran,
        Self::Debian,
        Self::Go,
        Self::Hackage,
        Self::Hex,
        Self::Maven,
        Self::NuGet,
        Self::Packagist,
        Self::Pep440,
        Self::Pub,
        Self::Rpm,
        Self::RubyGems,
        Self::Semver,
    ];

    /// The scheme that [`Self::as_str`] names by this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }

    /// The word for it in explanations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Cran => "cran",
            Self::Debian => "debian",
            Self::Go => "go",
            Self::Hackage => "hackage",
            Self::Hex => "hex",
            Self::Maven => "maven",
            Self::NuGet => "nuget",
            Self::Packagist => "packagist",
            Self::Pep440 => "pep440",
            Self::Pub => "pub",
            Self::Rpm => "rpm",
            Self::RubyGems => "rubygems",
            Self::Semver => "semver",
        }
    }

    fn key(self, text: &str) -> Result<Key, &'static str> {
        match self {
            Self::Apk => apk::key(text),
            Self::Cran => cran::key(text),
            Self::Debian => debian::key(text),
            Self::Go => go::key(text),
            Self::Hackage => hackage::key(text),
            Self::Maven => maven::key(text),
            Self::NuGet => nuget::key(text),
            Self::Packagist => packagist::key(text),
            Self::Pep440 => pep440::key(text),
            Self::Pub => pubdev::key(text),
            Self::Rpm => rpm::key(text),
            Self::RubyGems => rubygems::key(text),
            Self::Hex | Self::Semver => semver::key(text),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a version of its scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {scheme} version: {reason}")]
pub struct InvalidVersion {
    /// The scheme it was read by.
    pub scheme: Scheme,
    /// The text, cut after 100 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A parsed version. Cheap to clone and to compare; equal versions may have different texts (`1.0`, `1.0.0`).
#[derive(Clone)]
pub struct Version {
    /// The text, then the key: one allocation, shared by all clones.
    bytes: Arc<[u8]>,
    text_bytes: u8,
    scheme: Scheme,
}

impl Version {
    /// Reads a version by the rules of `scheme`.
    pub fn parse(scheme: Scheme, text: &str) -> Result<Self, InvalidVersion> {
        let refuse = |reason| InvalidVersion { scheme, text: text.chars().take(100).collect(), reason };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        let text_bytes = u8::try_from(text.len()).map_err(|_| refuse("it is longer than 255 bytes"))?;
        let key = scheme.key(text).map_err(refuse)?;
        let bytes = [text.as_bytes(), key.as_bytes()].concat().into();
        Ok(Self { bytes, text_bytes, scheme })
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.text_bytes)]).expect("it was cut from a str")
    }

    /// The rules it was read by.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn key(&self) -> &[u8] {
        &self.bytes[usize::from(self.text_bytes)..]
    }

    /// Whether an advisory that lists `listed` means this version.
    ///
    /// A local build of a Python version (`2.0+cpu`) counts as the version it was built from, unless a
    /// local label is asked for: PEP 440, "Version matching".
    pub fn is_meant_by(&self, listed: &Self) -> bool {
        self == listed || self.is_local_build_of(listed)
    }

    /// Whether it comes after `last`, the last version that is affected; local builds of `last` do not.
    pub fn is_after(&self, last: &Self) -> bool {
        self > last && !self.is_local_build_of(last)
    }

    fn is_local_build_of(&self, public: &Self) -> bool {
        self.scheme == Scheme::Pep440
            && public.scheme == Scheme::Pep440
            && pep440::is_local_build(self.key(), public.key())
    }
}

/// Compares two versions by the rules of `scheme`.
pub fn compare(scheme: Scheme, a: &str, b: &str) -> Result<Ordering, InvalidVersion> {
    Ok(Version::parse(scheme, a)?.cmp(&Version::parse(scheme, b)?))
}

impl Ord for Version {
    /// By the scheme's rules; versions of different schemes are in the order of the schemes.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.scheme, self.key()).cmp(&(other.scheme, other.key()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.scheme, self.key()).hash(state);
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({} {:?})", self.scheme, self.text())
    }
}

#[cfg(test)]
mod tests;
