//! What other tools mean by what they write: Syft, Trivy and their like.
//!
//! A package URL says most of it. Source packages stand in a qualifier (`upstream`, Syft) or in properties (Trivy).

use inventory::purl::Parts;
use model::{Component, Distro, Location, PackageKind, SourcePackage};

use super::TEXT_BYTES;

/// Distributions that tools call otherwise than their `os-release`.
const NAMES: [(&str, &str); 7] = [
    ("alma", "almalinux"),
    ("amazon", "amzn"),
    ("oracle", "ol"),
    ("redhat", "rhel"),
    ("rocky linux", "rocky"),
    ("suse linux enterprise server", "sles"),
    ("opensuse leap", "opensuse-leap"),
];

/// The distribution under its own name: Debian's release has no point release in it.
pub(super) fn distro(distro: Distro) -> Distro {
    let id = distro.id.to_lowercase();
    let id = NAMES.iter().find(|(name, _)| *name == id).map_or(id.as_str(), |(_, own)| own).to_owned();
    let version = match distro.version.split_once('.') {
        Some((major, _)) if id == "debian" => major.to_owned(),
        _ => distro.version,
    };
    Distro { id, version, ..distro }
}

/// The distribution that the package URLs agree on: `distro=debian-12`.
pub(super) fn distro_of_packages(components: &[Component]) -> Option<Distro> {
    let of = |component: &Component| {
        let mut parts = inventory::purl::take_apart(component.purl.as_str()).ok()?;
        let qualifier = parts.qualifiers.remove("distro")?;
        let (id, version) = qualifier.split_once('-').unwrap_or((&qualifier, ""));
        Some((id.to_owned(), version.to_owned()))
    };
    let mut named = components.iter().filter(|c| c.kind.is_of_distro()).filter_map(of);
    let first = named.next()?;
    let (id, version) =
        named.all(|other| other == first).then_some(first).filter(|(id, _)| !id.is_empty())?;
    Some(distro(Distro { id, version, codename: None }))
}

/// Puts into the component what its package URL and properties say.
pub(super) fn fill(
    component: &mut Component,
    parts: &Parts,
    marks: &[(String, String)],
    paths: &[String],
) -> Result<(), String> {
    component.name = name(component, parts);
    component.version = version(component, parts)?;
    component.architecture = parts.qualifiers.get("arch").cloned();
    component.source = source(component, parts, marks);
    let marked = marks.iter().filter(|(name, _)| is_path(name)).map(|(_, value)| value);
    let paths = paths.iter().chain(marked).filter(|path| !path.is_empty() && path.len() <= TEXT_BYTES);
    let location = |path: &String| Location { layer: 0, path: path.trim_start_matches('/').to_owned() };
    component.locations = paths.take(1_000).map(location).collect();
    Ok(())
}

fn is_path(name: &str) -> bool {
    name == "aquasecurity:trivy:FilePath" || (name.starts_with("syft:location:") && name.ends_with(":path"))
}

/// The name in the letters that the document has, where only these differ: package URLs of Go modules have none
/// in upper case.
fn name(component: &Component, parts: &Parts) -> String {
    let separator = if component.kind == PackageKind::Maven { ':' } else { '/' };
    let own = match component.kind {
        kind if kind.is_of_distro() => parts.name.clone(),
        _ if parts.namespace.is_empty() => parts.name.clone(),
        _ => format!("{}{separator}{}", parts.namespace, parts.name),
    };
    if own.eq_ignore_ascii_case(&component.name) { component.name.clone() } else { own }
}

fn version(component: &Component, parts: &Parts) -> Result<String, String> {
    let text = if parts.version.is_empty() { component.version.as_str() } else { &parts.version };
    if text.is_empty() {
        return Err("it has no version".to_owned());
    }
    let epoch = parts.qualifiers.get("epoch").filter(|epoch| *epoch != "0" && !text.contains(':'));
    Ok(epoch.map_or_else(|| text.to_owned(), |epoch| format!("{epoch}:{text}")))
}

fn source(component: &Component, parts: &Parts, marks: &[(String, String)]) -> Option<SourcePackage> {
    let own = SourcePackage { name: component.name.clone(), version: component.version.clone() };
    match component.kind {
        PackageKind::Deb | PackageKind::Apk => {
            Some(upstream(&own, parts).or_else(|| of_trivy(&own, marks)).unwrap_or(own))
        }
        _ => None,
    }
}

/// `upstream=glibc` or `upstream=glibc@2.36-9`.
fn upstream(own: &SourcePackage, parts: &Parts) -> Option<SourcePackage> {
    let text = parts.qualifiers.get("upstream")?;
    let (name, version) = text.split_once('@').unwrap_or((text, &own.version));
    Some(SourcePackage { name: name.to_owned(), version: version.to_owned() })
}

fn of_trivy(own: &SourcePackage, marks: &[(String, String)]) -> Option<SourcePackage> {
    let said = |what: &str| {
        let name = format!("aquasecurity:trivy:{what}");
        marks.iter().find(|(n, value)| *n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    let name = said("SrcName")?;
    let version = said("SrcVersion").map_or_else(
        || own.version.clone(),
        |version| {
            let epoch = said("SrcEpoch").filter(|e| *e != "0").map(|e| format!("{e}:")).unwrap_or_default();
            let release = said("SrcRelease").map(|release| format!("-{release}")).unwrap_or_default();
            format!("{epoch}{version}{release}")
        },
    );
    Some(SourcePackage { name: name.to_owned(), version })
}
