//! Ecosystems and package names as everyone here writes them, so that two texts for one package meet.

use std::fmt;

use model::{Distro, PackageKind};
use version::Scheme;

/// The packages' world that an advisory speaks of: `npm`, or `Debian` of the release `12`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ecosystem {
    /// Its name in the OSV schema's list.
    pub name: String,
    /// The release of it; `None` means all of them, or that it has none.
    pub release: Option<String>,
}

/// The ecosystems whose versions we can compare. Others are kept, and match nothing.
struct Known {
    name: &'static str,
    kind: PackageKind,
    /// `ID` in the `os-release` of a distribution.
    os_id: Option<&'static str>,
    /// What stands after a release and does not tell releases apart.
    release_suffix: &'static str,
    /// How the distribution's `VERSION_ID` becomes the release that advisories name.
    release: Release,
}

#[derive(Clone, Copy)]
enum Release {
    /// It has none, or they make no difference: `Wolfi`, `npm`.
    None,
    /// As it stands: Debian's `12`, Ubuntu's `22.04`.
    Whole,
    /// What stands before the first dot: AlmaLinux 9.4 is `9`.
    Major,
    /// Two numbers behind a `v`: Alpine 3.20.3 is `v3.20`.
    VMinor,
}

const fn distro(name: &'static str, kind: PackageKind, os_id: &'static str, release: Release) -> Known {
    Known { name, kind, os_id: Some(os_id), release_suffix: "", release }
}

const fn language(name: &'static str, kind: PackageKind) -> Known {
    Known { name, kind, os_id: None, release_suffix: "", release: Release::None }
}

const KNOWN: [Known; 19] = [
    distro("AlmaLinux", PackageKind::Rpm, "almalinux", Release::Major),
    distro("Alpine", PackageKind::Apk, "alpine", Release::VMinor),
    distro("Chainguard", PackageKind::Apk, "chainguard", Release::None),
    distro("Debian", PackageKind::Deb, "debian", Release::Whole),
    distro("Red Hat", PackageKind::Rpm, "rhel", Release::Major),
    distro("Rocky Linux", PackageKind::Rpm, "rocky", Release::Major),
    Known { release_suffix: ":LTS", ..distro("Ubuntu", PackageKind::Deb, "ubuntu", Release::Whole) },
    distro("Wolfi", PackageKind::Apk, "wolfi", Release::None),
    language("Go", PackageKind::Golang),
    language("Hex", PackageKind::Hex),
    language("Maven", PackageKind::Maven),
    language("NuGet", PackageKind::NuGet),
    language("Packagist", PackageKind::Composer),
    language("Pub", PackageKind::Pub),
    language("PyPI", PackageKind::PyPi),
    language("RubyGems", PackageKind::Gem),
    language("SwiftURL", PackageKind::Swift),
    language("crates.io", PackageKind::Cargo),
    language("npm", PackageKind::Npm),
];

impl Release {
    fn of(self, version: &str) -> Option<String> {
        let release = match self {
            Self::None => return None,
            Self::Whole => version.to_owned(),
            Self::Major => version.split('.').next().unwrap_or_default().to_owned(),
            Self::VMinor => {
                let (major, rest) = version.split_once('.')?; // `edge` has no number
                format!("v{major}.{}", rest.split(['.', '_']).next().unwrap_or_default())
            }
        };
        Some(release).filter(|release| !release.is_empty())
    }
}

impl Ecosystem {
    /// Reads `name` or `name:release`.
    pub fn parse(text: &str) -> Self {
        let (name, release) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let suffix = known(name).map_or("", |known| known.release_suffix);
        let release = release.map(|release| release.strip_suffix(suffix).unwrap_or(release));
        Self { name: name.to_owned(), release: release.filter(|r| !r.is_empty()).map(str::to_owned) }
    }

    /// The ecosystem of a distribution's own packages, if we know it. Rolling releases have no number.
    pub fn of_distro(distro: &Distro) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.os_id == Some(distro.id.as_str()))?;
        Some(Self { name: known.name.to_owned(), release: known.release.of(&distro.version) })
    }

    /// The ecosystem of packages that do not belong to a distribution.
    pub fn of_language(kind: PackageKind) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.kind == kind && known.os_id.is_none())?;
        Some(Self { name: known.name.to_owned(), release: None })
    }

    /// Whether advisories tell its releases apart. A rolling distribution has none.
    pub fn has_releases(&self) -> bool {
        known(&self.name).is_some_and(|known| !matches!(known.release, Release::None))
    }

    /// The kind of its packages; `None` when we cannot compare their versions.
    pub fn kind(&self) -> Option<PackageKind> {
        known(&self.name).map(|known| known.kind)
    }
}

fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{}:{release}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The rules by which versions of this kind compare; `None` for those of which no advisories speak. Swift's package
/// manager takes Semantic Versioning only.
pub const fn scheme(kind: PackageKind) -> Option<Scheme> {
    Some(match kind {
        PackageKind::Conda => return None,
        PackageKind::Apk => Scheme::Apk,
        PackageKind::Composer => Scheme::Packagist,
        // opkg compares as dpkg does.
        PackageKind::Deb | PackageKind::Opkg => Scheme::Debian,
        PackageKind::Gem => Scheme::RubyGems,
        PackageKind::Golang => Scheme::Go,
        PackageKind::Hex => Scheme::Hex,
        PackageKind::Maven => Scheme::Maven,
        PackageKind::Cargo | PackageKind::Npm | PackageKind::Swift => Scheme::Semver,
        PackageKind::NuGet => Scheme::NuGet,
        PackageKind::Pub => Scheme::Pub,
        PackageKind::PyPi => Scheme::Pep440,
        PackageKind::Rpm => Scheme::Rpm,
    })
}

/// The one way to write a package's name: PEP 503 for Python, lower case where a registry makes no difference
/// between cases (Packagist, NuGet), an address without its beginning and end for Swift, as it is for the others.
pub fn canonical_name(kind: PackageKind, name: &str) -> String {
    match kind {
        PackageKind::Composer | PackageKind::NuGet => name.to_ascii_lowercase(),
        PackageKind::Swift => {
            let address = name.split_once("://").map_or(name, |(_, rest)| rest);
            let address = address.trim_end_matches('/');
            // Where sources are kept, cases make no difference.
            address.strip_suffix(".git").unwrap_or(address).to_ascii_lowercase()
        }
        PackageKind::PyPi => {
            let mut canonical = String::with_capacity(name.len());
            for c in name.chars() {
                match c {
                    '-' | '_' | '.' if canonical.ends_with('-') => {}
                    '-' | '_' | '.' => canonical.push('-'),
                    c => canonical.push(c.to_ascii_lowercase()),
                }
            }
            canonical
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecosystems_are_a_name_and_a_release() {
        for (text, shown, kind) in [
            ("npm", "npm", Some(PackageKind::Npm)),
            ("Debian:12", "Debian:12", Some(PackageKind::Deb)),
            ("Debian", "Debian", Some(PackageKind::Deb)),
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04", Some(PackageKind::Deb)),
            ("Ubuntu:Pro:22.04:LTS", "Ubuntu:Pro:22.04", Some(PackageKind::Deb)),
            (
                "Packagist:https://example.org/8",
                "Packagist:https://example.org/8",
                Some(PackageKind::Composer),
            ),
            ("debian:12", "debian:12", None),
        ] {
            let ecosystem = Ecosystem::parse(text);
            assert_eq!((ecosystem.to_string().as_str(), ecosystem.kind()), (shown, kind), "{text}");
        }
    }

    #[test]
    fn a_distribution_has_the_ecosystem_of_its_release() {
        let of = |id: &str, version: &str| {
            let distro = Distro { id: id.to_owned(), version: version.to_owned(), codename: None };
            Ecosystem::of_distro(&distro).map(|ecosystem| ecosystem.to_string())
        };
        assert_eq!(of("debian", "12"), Some("Debian:12".to_owned()));
        assert_eq!(of("debian", ""), Some("Debian".to_owned()));
        assert_eq!(of("ubuntu", "22.04"), Some("Ubuntu:22.04".to_owned()));
        assert_eq!(of("alpine", "3.20.3"), Some("Alpine:v3.20".to_owned()));
        assert_eq!(of("alpine", "edge"), Some("Alpine".to_owned()));
        assert_eq!(of("almalinux", "9.4"), Some("AlmaLinux:9".to_owned()));
        assert_eq!(of("rhel", "9.4"), Some("Red Hat:9".to_owned()));
        assert_eq!(of("wolfi", "20230201"), Some("Wolfi".to_owned()));
        assert_eq!(of("arch", ""), None);
    }

    #[test]
    fn python_names_are_written_as_pep_503_says() {
        for name in ["Foo.Bar-Baz", "foo--bar__baz", "FOO_-.BAR.baz"] {
            assert_eq!(canonical_name(PackageKind::PyPi, name), "foo-bar-baz");
        }
        assert_eq!(canonical_name(PackageKind::Npm, "@Scope/A_b"), "@Scope/A_b");
    }

    #[test]
    fn swift_packages_are_called_by_an_address_however_it_is_written() {
        for name in [
            "github.com/Apple/swift-nio",
            "https://github.com/apple/swift-nio.git",
            "https://github.com/apple/Swift-NIO/",
        ] {
            assert_eq!(canonical_name(PackageKind::Swift, name), "github.com/apple/swift-nio");
        }
    }

    #[test]
    fn what_advisories_speak_of_can_be_compared() {
        for known in &KNOWN {
            assert!(scheme(known.kind).is_some(), "{}", known.name);
        }
        assert_eq!((scheme(PackageKind::Conda), Ecosystem::of_language(PackageKind::Conda)), (None, None));
    }
}
