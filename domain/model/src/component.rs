//! What is found in an image: components, and the list of them.

use std::fmt;

/// A package URL in its canonical form (purl-spec). Built by `inventory`, so that there is one writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purl(String);

impl Purl {
    /// Takes text that is already a canonical package URL.
    pub const fn from_canonical(text: String) -> Self {
        Self(text)
    }

    /// `pkg:…`
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which package manager's world a component lives in; it decides how its versions compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackageKind {
    /// Packages of Alpine and what derives from it.
    Apk,
    /// Rust crates.
    Cargo,
    /// PHP packages of Composer.
    Composer,
    /// Packages of Conda, in whichever language.
    Conda,
    /// dpkg packages of Debian and what derives from it.
    Deb,
    /// Ruby gems.
    Gem,
    /// Go modules, and Go's standard library.
    Golang,
    /// Packages of Elixir and Erlang.
    Hex,
    /// Java artifacts, as Maven names them.
    Maven,
    /// Node packages.
    Npm,
    /// .NET packages.
    NuGet,
    /// Packages of OpenWrt and other small systems.
    Opkg,
    /// Packages of Dart and Flutter.
    Pub,
    /// Python distributions.
    PyPi,
    /// RPM packages of Red Hat's family, SUSE and others.
    Rpm,
    /// Swift packages, which are called by the address of their sources.
    Swift,
}

impl PackageKind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 16] = [
        Self::Apk,
        Self::Cargo,
        Self::Composer,
        Self::Conda,
        Self::Deb,
        Self::Gem,
        Self::Golang,
        Self::Hex,
        Self::Maven,
        Self::Npm,
        Self::NuGet,
        Self::Opkg,
        Self::Pub,
        Self::PyPi,
        Self::Rpm,
        Self::Swift,
    ];

    /// The purl type: `deb`, `npm`, `pypi`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Conda => "conda",
            Self::Deb => "deb",
            Self::Gem => "gem",
            Self::Golang => "golang",
            Self::Hex => "hex",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::NuGet => "nuget",
            Self::Opkg => "opkg",
            Self::Pub => "pub",
            Self::PyPi => "pypi",
            Self::Rpm => "rpm",
            Self::Swift => "swift",
        }
    }

    /// Whether these are the packages of a distribution, which has the word on the files it brings.
    pub const fn is_of_distro(self) -> bool {
        matches!(self, Self::Apk | Self::Deb | Self::Opkg | Self::Rpm)
    }

    /// The kind whose purl type this is.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The source package a binary package was built from; advisories of distributions name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version, which may differ from the binary's.
    pub version: String,
}

/// Where a component was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Index of the layer that brought it, 0 for the lowest.
    pub layer: u32,
    /// The file that says so, without a leading slash.
    pub path: String,
}

/// One package found in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Its canonical package URL; the list is sorted by it.
    pub purl: Purl,
    /// Which world it lives in.
    pub kind: PackageKind,
    /// The name as its ecosystem writes it (`@babel/core`, `Django`, `libssl3`).
    pub name: String,
    /// The version as its package manager prints it.
    pub version: String,
    /// Architecture, where the package manager has one.
    pub architecture: Option<String>,
    /// The source package, where the distribution has one.
    pub source: Option<SourcePackage>,
    /// The OS package whose files these are: then the distributor's word on it counts.
    pub owner: Option<Purl>,
    /// Where it was seen, sorted.
    pub locations: Vec<Location>,
}

/// The distribution an image is built on, from its `os-release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distro {
    /// `ID`: `debian`, `alpine` …
    pub id: String,
    /// `VERSION_ID`: `12`; empty for rolling releases.
    pub version: String,
    /// `VERSION_CODENAME`, where given.
    pub codename: Option<String>,
}

/// Something in the image that could not be read; it costs itself, not the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where: a layer and path, a file and line, or a record's id.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

/// A source of an image's packages that is not its distribution, by what the image itself says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThirdParty {
    /// Where that is said: the file that sets a repository up, or the database of packages.
    pub place: String,
    /// The repository's address, or the vendor whom the packages name; empty where they name nobody.
    pub supplier: String,
    /// The packages that are known to come from there, sorted; none where nothing tells which they are.
    pub packages: Vec<Purl>,
}

/// The sorted list of an image's components.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sbom {
    /// What it is built on; `None` when no `os-release` says so.
    pub distro: Option<Distro>,
    /// How many of the lowest layers are those of the image that it was built from; `None` when nothing tells.
    pub base_layers: Option<u32>,
    /// Who else than the distribution brings its packages; sorted.
    pub third_party: Vec<ThirdParty>,
    /// Sorted, without duplicates.
    pub components: Vec<Component>,
    /// What could not be read. Not empty means that the list may be incomplete.
    pub problems: Vec<Problem>,
}

/// Who brought a component into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The image that this one was built from: who maintains that one can mend it.
    Base,
    /// The image's own layers.
    Own,
}

impl Origin {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Own => "own",
        }
    }
}

impl Sbom {
    /// Where a component was seen; a package that is there twice was seen at all its places.
    pub fn locations(&self, purl: &Purl) -> Vec<Location> {
        let from = self.components.partition_point(|component| component.purl < *purl);
        let same = self.components[from..].iter().take_while(|component| component.purl == *purl);
        same.flat_map(|component| &component.locations).cloned().collect()
    }

    /// Who brought what was seen at these places, where that is known. What was seen in own layers, too, is own.
    pub fn origin(&self, locations: &[Location]) -> Option<Origin> {
        let base = self.base_layers.filter(|_| !locations.is_empty())?;
        let is_own = locations.iter().any(|location| location.layer >= base);
        Some(if is_own { Origin::Own } else { Origin::Base })
    }
}
