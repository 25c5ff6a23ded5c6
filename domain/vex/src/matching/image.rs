//! Whether an image is what is named: by its digest, its repository, or the distribution it is built on.

use inventory::purl::Parts;
use model::{Digest, Distro};

use super::{Compared, Difference, Precision, sides};
use crate::{Identities, Identity};

/// The strongest name that is given decides: who names a digest does not mean what else is called so.
pub(super) fn compare(
    names: &Identities,
    digest: Option<&Digest>,
    repositories: &[String],
    distro: Option<&Distro>,
) -> Compared {
    if let Some(compared) = by_digest(names, digest) {
        return compared;
    }
    let addressed = names.iter().filter_map(|name| match name {
        Identity::Purl(package) if is_image(&package.parts) => Some(&package.parts),
        _ => None,
    });
    let mut compared: Vec<Compared> = addressed.map(|parts| by_purl(parts, repositories)).collect();
    if compared.is_empty() {
        compared.extend(names.iter().map(|name| match name {
            Identity::Name(text) => by_name(text, repositories),
            Identity::Cpe(text) => by_cpe(text, distro),
            Identity::Purl(_) | Identity::Digest(_) => Compared::Other,
        }));
    }
    let same = compared.iter().position(|one| matches!(one, Compared::Same(_)));
    let near = || compared.iter().position(|one| matches!(one, Compared::Near(_)));
    same.or_else(near).map_or(Compared::Other, |at| compared.swap_remove(at))
}

fn is_image(parts: &Parts) -> bool {
    matches!(parts.kind.as_str(), "oci" | "docker")
}

/// `None` where no digest is named.
fn by_digest(names: &Identities, digest: Option<&Digest>) -> Option<Compared> {
    let mut said = Vec::new();
    for name in names.iter() {
        match name {
            Identity::Digest(digest) => said.push(digest.clone()),
            Identity::Purl(package) if is_image(&package.parts) => {
                said.extend(package.parts.version.parse().ok())
            }
            Identity::Name(text) => said.extend(text.split_once('@').and_then(|(_, text)| text.parse().ok())),
            Identity::Purl(_) | Identity::Cpe(_) => {}
        }
    }
    let first = said.first()?;
    Some(match digest {
        Some(digest) if said.contains(digest) => Compared::Same(Precision::Exact),
        Some(digest) if names.iter().any(|n| matches!(n, Identity::Purl(p) if is_image(&p.parts))) => {
            Compared::Near(vec![Difference::Digest(sides(first.as_str(), digest.as_str()))])
        }
        _ => Compared::Other,
    })
}

/// By the repository, where one is given; else by the last word of the name, which others may have too.
fn by_purl(parts: &Parts, repositories: &[String]) -> Compared {
    let same_name = |found: &&String| last(found).eq_ignore_ascii_case(&parts.name);
    let Some(found) = repositories.iter().find(same_name) else { return Compared::Other };
    let url = parts.qualifiers.get("repository_url").map(String::as_str).unwrap_or_default();
    let place = match (parts.kind.as_str(), parts.namespace.is_empty()) {
        ("docker", false) if url.is_empty() => format!("{}/{}", parts.namespace, parts.name),
        ("docker", true) if url.is_empty() => format!("library/{}", parts.name),
        _ => url.to_owned(),
    };
    if place.is_empty() {
        return Compared::Same(Precision::Family);
    }
    let said = repository(&place);
    let is_it = |found: &String| *found == said || *found == format!("{said}/{}", parts.name);
    if repositories.iter().any(is_it) {
        return Compared::Same(Precision::Product);
    }
    Compared::Near(vec![Difference::Repository(sides(&said, found))])
}

fn by_name(text: &str, repositories: &[String]) -> Compared {
    let looks = !text.contains(char::is_whitespace) && !text.contains("://");
    if looks && repositories.contains(&repository(text)) {
        Compared::Same(Precision::Product)
    } else {
        Compared::Other
    }
}

/// The distribution that a CPE names, when the image is built on it.
fn by_cpe(cpe: &str, distro: Option<&Distro>) -> Compared {
    let (Some((ids, release)), Some(distro)) = (release_of(cpe), distro) else { return Compared::Other };
    if !ids.contains(&distro.id.as_str()) {
        return Compared::Other;
    }
    let rest = distro.version.strip_prefix(release.as_str());
    if rest.is_some_and(|rest| release.is_empty() || rest.is_empty() || rest.starts_with('.')) {
        return Compared::Same(Precision::Product);
    }
    Compared::Near(vec![Difference::Version(sides(&release, &distro.version))])
}

/// The `os-release` ids and the release that a CPE 2.2 or 2.3 of a distribution means.
fn release_of(cpe: &str) -> Option<(&'static [&'static str], String)> {
    let cpe = cpe.to_ascii_lowercase();
    let rest = cpe.strip_prefix("cpe:2.3:").or_else(|| cpe.strip_prefix("cpe:/"))?;
    let mut fields = rest.split(':').skip(1);
    let (vendor, product) = (fields.next()?, fields.next()?);
    let ids: &[&str] = match (vendor, product) {
        ("redhat", "enterprise_linux") => &["rhel"],
        ("debian", "debian_linux") => &["debian"],
        ("canonical", "ubuntu_linux") => &["ubuntu"],
        ("alpinelinux", "alpine_linux") => &["alpine"],
        (
            "suse",
            "sles" | "sles_sap" | "sled" | "suse_linux_enterprise_server" | "linux_enterprise_server",
        ) => &["sles", "sled", "sles_sap"],
        ("opensuse", "leap") => &["opensuse-leap"],
        ("rocky", _) => &["rocky"],
        ("almalinux", _) => &["almalinux"],
        ("oracle", "linux") => &["ol"],
        ("amazon", "linux") => &["amzn"],
        ("fedoraproject", "fedora") => &["fedora"],
        _ => return None,
    };
    let field =
        |text: Option<&str>| text.filter(|text| !matches!(*text, "*" | "-")).unwrap_or_default().to_owned();
    let (version, update) = (field(fields.next()), field(fields.next()));
    Some((
        ids,
        match update.strip_prefix("sp") {
            Some(pack) if !pack.is_empty() => format!("{version}.{pack}"),
            _ => version,
        },
    ))
}

/// The repository that an image's name means: `docker.io/library/debian` for `debian:12`,
/// `index.docker.io/library/debian` and `debian@sha256:…`. One that is given stays as it is.
pub fn repository(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let name = name.split('@').next().unwrap_or_default().trim_end_matches('/');
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let last = last.split(':').next().unwrap_or_default();
    let name = if path.is_empty() { last.to_owned() } else { format!("{path}/{last}") };
    let (host, rest) = name.split_once('/').unwrap_or(("", &name));
    match host {
        "" => format!("docker.io/library/{name}"),
        "docker.io" | "index.docker.io" | "registry-1.docker.io" if rest.contains('/') => {
            format!("docker.io/{rest}")
        }
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => format!("docker.io/library/{rest}"),
        _ if host.contains(['.', ':']) || host == "localhost" => name,
        _ => format!("docker.io/{name}"),
    }
}

fn last(repository: &str) -> &str {
    repository.rsplit('/').next().unwrap_or_default()
}
