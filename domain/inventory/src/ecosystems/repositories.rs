//! Repositories of packages that an image is set up with, and whether they are its distribution's own.
//!
//! sources.list(5), in lines (`*.list`) and paragraphs (`*.sources`), and apk-repositories(5). No package of dpkg or apk
//! says where it came from, so a foreign repository is all that can be told: some packages may be from there.
//!
//! A repository is the distribution's own on one of its hosts, or where it is laid out as only a mirror of it is: the
//! archive's name at the end of the path, the distribution's suites, and none but its components.

use std::collections::{BTreeMap, BTreeSet};

use model::{Distro, Purl, ThirdParty};

use super::File;
use crate::limits::Limits;
use crate::path;

const APT_LIST: &[u8] = b"etc/apt/sources.list";
const APT_FOLDER: &[u8] = b"etc/apt/sources.list.d";
const APK_LIST: &[u8] = b"etc/apk/repositories";
/// More repositories than anybody sets up; and more bytes of files that do.
const REPOSITORIES_MAX: usize = 100;
/// Packages that are named with their vendors; of more nothing new is learned.
const PACKAGES_MAX: usize = 10_000;
const LIST_BYTES: usize = 256 << 10;

/// What is known of distributions whose images have such files.
struct Own {
    id: &'static str,
    /// Its hosts, and all below them.
    hosts: &'static [&'static str],
    /// What its archives are called on mirrors.
    archives: &'static [&'static str],
    components: &'static [&'static str],
}

const OWN: [Own; 5] = [
    Own { id: "alpine", hosts: &["alpinelinux.org"], archives: &["alpine"], components: &[] },
    Own { id: "chainguard", hosts: &["cgr.dev", "wolfi.dev"], archives: &[], components: &[] },
    Own {
        id: "debian",
        hosts: &["debian.org"],
        archives: &["debian", "debian-archive", "debian-backports", "debian-security"],
        components: &["main", "contrib", "non-free", "non-free-firmware"],
    },
    Own {
        id: "ubuntu",
        hosts: &["ubuntu.com"],
        archives: &["ubuntu", "ubuntu-ports", "ubuntu-security"],
        components: &["main", "multiverse", "restricted", "universe"],
    },
    Own { id: "wolfi", hosts: &["cgr.dev", "wolfi.dev"], archives: &[], components: &[] },
];

/// Names of suites that every release answers to at its time.
const SUITES: [&str; 6] = ["oldoldstable", "oldstable", "sid", "stable", "testing", "unstable"];
/// What a release's suites may end in.
const POCKETS: [&str; 9] = [
    "",
    "-backports",
    "-backports-sloppy",
    "-proposed",
    "-proposed-updates",
    "-security",
    "-updates",
    "/updates",
    "/",
];

/// Whether apt reads the file at this path.
pub(super) fn is_apt(path: &[u8]) -> bool {
    let (folder, name) = path::split(path);
    path == APT_LIST || folder == APT_FOLDER && (name.ends_with(b".list") || name.ends_with(b".sources"))
}

/// Whether apk reads it.
pub(super) fn is_apk(path: &[u8]) -> bool {
    path == APK_LIST
}

/// What is kept of such a file.
pub(super) fn condense(mut content: Vec<u8>) -> Vec<u8> {
    content.truncate(LIST_BYTES);
    content
}

/// The repositories of these files that are not the distribution's. Of a distribution that is not known here nothing is
/// said, as nothing can be.
pub(super) fn foreign(files: &[File<'_>], distro: Option<&Distro>) -> Vec<ThirdParty> {
    let Some((own, distro)) = distro.and_then(|d| Some((OWN.iter().find(|own| own.id == d.id)?, d))) else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    for file in files {
        let text = String::from_utf8_lossy(file.content);
        let repositories = match file.path {
            path if is_apk(path) => apk(&text),
            path if path.ends_with(b".sources") => paragraphs(&text),
            path if is_apt(path) => lines(&text),
            _ => continue,
        };
        let foreign = repositories.into_iter().filter(|repository| !own.has(repository, distro));
        let third_party = foreign.map(|repository| ThirdParty {
            place: path::printable(file.path),
            supplier: shown(&repository.address),
            packages: Vec::new(),
        });
        found.extend(third_party.take(REPOSITORIES_MAX));
    }
    found.into_iter().take(REPOSITORIES_MAX).collect()
}

/// Packages that name somebody else than the distribution as their vendor.
#[derive(Default)]
pub(super) struct Strangers {
    by_vendor: BTreeMap<(String, String), BTreeSet<Purl>>,
    named: usize,
}

impl Strangers {
    /// Adds a package that the file lists; nobody is who names nothing or, as what packs for nobody writes, `none`.
    pub(super) fn add(&mut self, file: &File<'_>, vendor: Option<String>, purl: &Purl) {
        let vendor = vendor.filter(|vendor| vendor != "none").unwrap_or_default();
        let known = (path::printable(file.path), vendor);
        let has_room = self.by_vendor.len() < REPOSITORIES_MAX || self.by_vendor.contains_key(&known);
        if has_room && self.named < PACKAGES_MAX {
            self.named += usize::from(self.by_vendor.entry(known).or_default().insert(purl.clone()));
        }
    }

    /// One for each vendor and file.
    pub(super) fn finish(self) -> impl Iterator<Item = ThirdParty> {
        self.by_vendor.into_iter().map(|((place, supplier), packages)| ThirdParty {
            place,
            supplier,
            packages: packages.into_iter().collect(),
        })
    }
}

/// A repository as a file tells it.
struct Repository {
    address: String,
    /// apt's; none of apk's.
    suites: Vec<String>,
    components: Vec<String>,
}

impl Own {
    fn has(&self, repository: &Repository, distro: &Distro) -> bool {
        let address = repository.address.as_str();
        if address.starts_with("cdrom:") {
            return true; // Where it was installed from.
        }
        let (host, path) = host_and_path(address);
        let is_host =
            |own: &&str| host.strip_suffix(*own).is_some_and(|left| left.is_empty() || left.ends_with('.'));
        if self.hosts.iter().any(is_host) {
            return true;
        }
        let mut segments = path.trim_matches('/').rsplit('/');
        if self.components.is_empty() {
            // `…/alpine/v3.20/main`
            let (repository, branch) =
                (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
            let is_branch = branch.starts_with('v') || ["edge", "latest-stable"].contains(&branch);
            let is_known = ["main", "community", "testing", "releases"].contains(&repository);
            return is_branch
                && is_known
                && segments.next().is_some_and(|name| self.archives.contains(&name));
        }
        segments.next().is_some_and(|name| self.archives.contains(&name))
            && repository.suites.iter().all(|suite| is_suite(suite, distro))
            && repository.components.iter().all(|component| self.components.contains(&component.as_str()))
    }
}

/// Whether the distribution has a suite of this name. Where its code name is not known, a plain word may be it.
fn is_suite(suite: &str, distro: &Distro) -> bool {
    POCKETS.iter().filter_map(|pocket| suite.strip_suffix(pocket)).any(|release| {
        let is_word = || !release.is_empty() && release.bytes().all(|b| b.is_ascii_lowercase());
        SUITES.contains(&release) || distro.codename.as_deref().map_or_else(is_word, |name| name == release)
    })
}

/// `https://user:password@host:port/path?query` gives host and path.
fn host_and_path(address: &str) -> (&str, &str) {
    let Some((_, rest)) = address.split_once("://") else { return ("", address) };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    (host.split(':').next().unwrap_or_default(), path)
}

/// The address as an SBOM may tell it: without who may read it there.
fn shown(address: &str) -> String {
    let plain: String = address
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !path::misleads(*c))
        .collect();
    let plain = match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => plain,
    };
    plain.chars().take(Limits::DEFAULT.word_bytes / 4).collect()
}

/// `deb [OPTIONS] ADDRESS SUITE [COMPONENT…]`
fn lines(text: &str) -> Vec<Repository> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest =
            line.strip_prefix("deb").filter(|rest| rest.starts_with(char::is_whitespace))?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (address, suite) = (words.next()?, words.next()?);
        Some(Repository { address, suites: vec![suite], components: words.collect() })
    };
    text.lines().filter_map(line).take(REPOSITORIES_MAX).collect()
}

/// `Types`, `URIs`, `Suites`, `Components` and `Enabled`, each with words behind it, also on lines that begin with a space.
fn paragraphs(text: &str) -> Vec<Repository> {
    let mut found = Vec::new();
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if line.trim().is_empty() {
            found.extend(repositories(&std::mem::take(&mut fields)));
        } else if line.starts_with(char::is_whitespace) {
            if let Some((_, values)) = fields.last_mut() {
                values.extend(words(line));
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), words(value)));
        }
        if found.len() >= REPOSITORIES_MAX {
            break;
        }
    }
    found
}

fn repositories(fields: &[(String, Vec<String>)]) -> Vec<Repository> {
    let values = |name: &str| {
        let field = fields.iter().find(|(known, _)| known == name);
        field.map(|(_, values)| values.as_slice()).unwrap_or_default()
    };
    let is_off =
        values("enabled").first().is_some_and(|word| ["no", "false", "0", "off"].contains(&word.as_str()));
    if is_off || !values("types").iter().any(|word| word == "deb") {
        return Vec::new();
    }
    let repository = |address: &String| Repository {
        address: address.clone(),
        suites: values("suites").to_vec(),
        components: values("components").to_vec(),
    };
    values("uris").iter().take(REPOSITORIES_MAX).map(repository).collect()
}

/// `[@TAG ]ADDRESS`
fn apk(text: &str) -> Vec<Repository> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let address =
            if line.starts_with('@') { line.split_once(char::is_whitespace)?.1.trim() } else { line };
        let bare = || Repository { address: address.to_owned(), suites: Vec::new(), components: Vec::new() };
        (!address.is_empty()).then(bare)
    };
    text.lines().filter_map(line).take(REPOSITORIES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, (id, codename): (&str, &str), content: &str, expected: &[&str]) {
        let codename = Some(codename.to_owned()).filter(|name| !name.is_empty());
        let distro = Distro { id: id.to_owned(), version: String::new(), codename };
        let file = File { path: path.as_bytes(), layer: 0, content: content.as_bytes() };
        let found = foreign(&[file], Some(&distro));
        let found: Vec<&str> = found.iter().map(|third_party| third_party.supplier.as_str()).collect();
        assert_eq!(found, expected, "{path}: {content}");
    }

    #[test]
    fn the_distributions_own_and_its_mirrors_are_no_strangers() {
        let check = |line| check("etc/apt/sources.list", ("debian", "bookworm"), line, &[]);
        check("deb http://deb.debian.org/debian bookworm main\n# deb http://other.example/ a b");
        check(
            "deb [arch=amd64 signed-by=/a] https://mirror.example:8080/pub/debian/ bookworm-updates main contrib",
        );
        check("deb cdrom:[Debian GNU/Linux 12] bookworm main\ndeb-src http://x.example/y a");
        check("deb http://mirror.example/debian-security bookworm-security main non-free-firmware");
    }

    #[test]
    fn strangers_are_named_without_their_secrets() {
        let check = |line, expected: &str| {
            check("etc/apt/sources.list.d/a.list", ("debian", "bookworm"), line, &[expected])
        };
        check(
            "deb [arch=amd64] https://download.docker.example/linux/debian bookworm stable",
            "https://download.docker.example/linux/debian",
        );
        check(
            "deb https://me:secret@repo.example/apt/debian bookworm/product/7.0 main",
            "https://repo.example/apt/debian",
        );
        check(
            "deb http://apt.postgresql.example/pub/repos/apt bookworm-pgdg main",
            "http://apt.postgresql.example/pub/repos/apt",
        );
        check("deb https://notdebian.org/debian trixie main", "https://notdebian.org/debian");
        check("deb file:/srv/packages ./", "file:/srv/packages");
    }

    #[test]
    fn paragraphs_count_when_they_are_enabled() {
        let text = "# c\nTypes: deb deb-src\nURIs: http://archive.ubuntu.com/ubuntu/\n http://ppa.example/a/ubuntu\n\
            Suites: noble noble-updates\nComponents: main private\n\nTypes: deb\nEnabled: no\nURIs: http://off.example/\n\
            Suites: a\n\nTypes: deb-src\nURIs: http://source.example\nSuites: a\n";
        check(
            "etc/apt/sources.list.d/ubuntu.sources",
            ("ubuntu", "noble"),
            text,
            &["http://ppa.example/a/ubuntu"],
        );
    }

    #[test]
    fn apk_has_addresses_with_tags() {
        let text = "https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n@edge https://mirror.example/alpine/edge/testing\n\
            #http://off.example/\n@own https://user@apk.example/v3.20/main\n/srv/apk\n";
        check("etc/apk/repositories", ("alpine", ""), text, &["/srv/apk", "https://apk.example/v3.20/main"]);
        check("etc/apk/repositories", ("wolfi", ""), "https://packages.wolfi.dev/os\n", &[]);
        check("etc/apk/repositories", ("postmarketos", ""), "https://a.example/\n", &[]);
    }
}
