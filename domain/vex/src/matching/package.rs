//! Whether a component is the package that is named, and whether it is inside of another.

use inventory::purl::Parts;
use model::{Component, Distro, PackageKind};

use super::{Compared, Difference, Precision, kind_of, sides};
use crate::versions::is_same;
use crate::{Package, Versions};

/// Qualifiers that say where a package can be had, or what it came from, and not which one it is.
const ASIDE: [&str; 8] =
    ["checksum", "download_url", "epoch", "file_name", "repository_url", "upstream", "vcs_url", "rpmmod"];

/// Whether a source package is named: then what was built from it is meant.
pub(super) fn is_source(package: &Package) -> bool {
    package.parts.qualifiers.get("arch").is_some_and(|arch| matches!(arch.as_str(), "src" | "source"))
}

pub(super) fn compare(
    package: &Package,
    versions: Option<&Versions>,
    component: &Component,
    found: &Parts,
    distro: Option<&Distro>,
) -> Compared {
    let said = &package.parts;
    let Some(kind) = kind_of(said).filter(|kind| *kind == component.kind) else { return Compared::Other };
    let source = component.source.as_ref().filter(|_| is_source(package));
    let name = source.map_or(&found.name, |source| &source.name);
    let mut differences = Vec::new();
    if said.name != *name {
        differences.push(Difference::Name(sides(&said.name, name)));
    }
    let (here, there) = (namespace(kind, &found.namespace), namespace(kind, &said.namespace));
    if here != there {
        // Another's package of the same name is another package; only a distribution's is the same by another.
        if !kind.is_of_distro() && !here.eq_ignore_ascii_case(there) {
            return Compared::Other;
        }
        differences.push(Difference::Namespace(sides(&said.namespace, &found.namespace)));
    }
    let version = source.map_or(&component.version, |source| &source.version);
    let is_named = differs_in_version(kind, said, versions, version, &mut differences);
    differs_in_qualifiers(package, found, distro, &mut differences);
    match differences.is_empty() {
        true if is_named => Compared::Same(Precision::Version),
        true => Compared::Same(Precision::Product),
        false => Compared::Near(differences),
    }
}

/// Distributions have several names; those of SUSE's enterprise family share one in package URLs.
fn namespace(kind: PackageKind, text: &str) -> &str {
    match text {
        _ if !kind.is_of_distro() => text,
        "rhel" => "redhat",
        "ol" => "oracle",
        "amzn" => "amazon",
        _ if text.starts_with("opensuse") => "opensuse",
        _ if text.starts_with("sle") || text == "suse" => "suse",
        _ => text,
    }
}

/// Adds what differs; answers whether a version is named at all.
fn differs_in_version(
    kind: PackageKind,
    said: &Parts,
    versions: Option<&Versions>,
    version: &str,
    differences: &mut Vec<Difference>,
) -> bool {
    let named = with_epoch(kind, said);
    if !named.is_empty() && !is_same(kind, &named, version) {
        differences.push(Difference::Version(sides(&named, version)));
    }
    if let Some(versions) = versions
        && versions.hold(kind, version) != Some(true)
    {
        differences.push(Difference::Version(sides(&versions.to_string(), version)));
    }
    !named.is_empty() || versions.is_some()
}

/// A package URL has RPM's epoch beside the version (purl-spec, type `rpm`).
fn with_epoch(kind: PackageKind, said: &Parts) -> String {
    match said.qualifiers.get("epoch") {
        Some(epoch) if kind == PackageKind::Rpm && !said.version.is_empty() && epoch != "0" => {
            format!("{epoch}:{}", said.version)
        }
        _ => said.version.clone(),
    }
}

fn differs_in_qualifiers(
    package: &Package,
    found: &Parts,
    distro: Option<&Distro>,
    differences: &mut Vec<Difference>,
) {
    for (key, said) in &package.parts.qualifiers {
        let here = found.qualifiers.get(key).map(String::as_str).unwrap_or_default();
        let same = match key.as_str() {
            _ if ASIDE.contains(&key.as_str()) || said == here => true,
            "arch" => is_source(package) || matches!(said.as_str(), "any" | "all" | "*"),
            "type" => here.is_empty() && said == "jar",
            "distro" => is_release_of(said, here, distro),
            _ => false,
        };
        if !same {
            differences.push(Difference::Qualifier(key.clone(), sides(said, here)));
        }
    }
}

/// `debian-12` is said of 12.13 too, and `bookworm` is the same; `debian-12.13` is not said of 12.
fn is_release_of(said: &str, here: &str, distro: Option<&Distro>) -> bool {
    let rest = here.strip_prefix(said);
    if rest.is_some_and(|rest| rest.starts_with('.') && !here.is_empty()) {
        return true;
    }
    let codename = distro.and_then(|distro| Some((distro, distro.codename.as_deref()?)));
    codename.is_some_and(|(distro, name)| said == name || said == format!("{}-{name}", distro.id))
}

/// Whether a component is in the image only as a part of the others. Where an SBOM does not say where things are,
/// what it lists is taken to be in one place.
pub(super) fn is_within(part: &Component, wholes: &[&Component]) -> bool {
    if part.owner.as_ref().is_some_and(|owner| wholes.iter().any(|whole| whole.purl == *owner)) {
        return true;
    }
    let unknown = part.locations.is_empty() || wholes.iter().all(|whole| whole.locations.is_empty());
    unknown
        || part.locations.iter().all(|location| {
            wholes.iter().any(|whole| whole.locations.iter().any(|of| holds(whole, &of.path, &location.path)))
        })
}

/// An executable or an archive holds what is listed in it; a package of Node what is below its folder.
fn holds(whole: &Component, path: &str, part: &str) -> bool {
    let inside = |folder: &str| part.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    path == part
        || match whole.kind {
            PackageKind::Npm => {
                path.strip_suffix("/package.json").is_some_and(|folder| !folder.is_empty() && inside(folder))
            }
            PackageKind::Maven => part.strip_prefix(path).is_some_and(|rest| rest.starts_with(['/', '!'])),
            _ => false,
        }
}
