//! rpm: the database of installed packages, in each of its three forms, and the manifests of images without one.
//!
//! `rpmdb.sqlite` (rpm 4.16 and later), `Packages.db` (SUSE's ndb), `Packages` (Berkeley DB, before) hold one header
//! for each package; `container-manifest-2` is what Azure Linux leaves in distroless images, one package a line.
//! A database is condensed at once to the few fields that matter, since layers are held in memory.

mod bdb;
mod header;
mod ndb;
mod sqlite;

use std::collections::HashMap;

use model::{Component, Distro, PackageKind, Problem, Purl, SourcePackage, ThirdParty};
use serde::{Deserialize, Serialize};

use super::found::Found;
use super::numbers::Order;
use super::of_distro::{field, purl};
use super::repositories::Strangers;
use super::{Ecosystem, File, PathBudget, want_by_language, word};
use crate::limits::Limits;
use crate::packed::{Content, Packed};
use crate::path;

const FOLDERS: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];
const MANIFEST: &[u8] = b"var/lib/rpmmanifest/container-manifest-2";
/// More packages than a distribution has.
const PACKAGES_MAX: usize = 200_000;

/// A header in a database. It may hold more than any that rpm itself took for 20 years.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Of all packages' words and files together.
const LISTED_BYTES: usize = 8 << 20;

/// Takes the next header blob, or refuses it.
type Take<'t> = &'t mut dyn FnMut(&[u8]) -> Result<(), String>;

/// Gives each header blob of a database to the second argument, until one is refused.
type Reader = fn(&Content<'_>, Take<'_>) -> Result<(), String>;

/// The files that hold packages, by name.
const FORMS: [(&[u8], Reader); 3] =
    [(b"rpmdb.sqlite", sqlite::blobs), (b"Packages.db", ndb::blobs), (b"Packages", bdb::blobs)];
/// What SQLite has not written into the database yet.
const JOURNAL: &[u8] = b"rpmdb.sqlite-wal";

/// How distributions call themselves as the vendor of their packages; all of theirs say so.
const VENDORS: [(&str, &[&str]); 14] = [
    ("almalinux", &["AlmaLinux"]),
    ("amzn", &["Amazon"]),
    ("azurelinux", &["Microsoft"]),
    ("centos", &["CentOS"]),
    ("fedora", &["Fedora Project"]),
    ("mariner", &["Microsoft"]),
    ("ol", &["Oracle"]),
    ("opensuse-leap", &["openSUSE", "SUSE"]),
    ("opensuse-tumbleweed", &["openSUSE", "SUSE"]),
    ("photon", &["VMware"]),
    ("rhel", &["Red Hat"]),
    ("rocky", &["Rocky"]),
    ("sle_hpc", &["SUSE"]),
    ("sles", &["SUSE"]),
];

pub(super) struct Rpm;

/// A database, condensed.
#[derive(Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Database {
    packages: Vec<Package>,
    problems: Vec<String>,
}

/// What is read of one package. No text has white space around it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) epoch: u32,
    pub(super) version: String,
    pub(super) release: String,
    pub(super) architecture: Option<String>,
    /// File name of the source package: `bash-5.1.8-4.el9.src.rpm`.
    pub(super) source: Option<String>,
    /// Who built it, by its own word.
    pub(super) vendor: Option<String>,
    /// The module that it is of: `nodejs:18:8090020240101:abc`.
    pub(super) module: Option<String>,
    /// Which of its files other ecosystems read, without a leading slash.
    pub(super) files: Vec<String>,
}

impl Ecosystem for Rpm {
    fn kind(&self) -> PackageKind {
        PackageKind::Rpm
    }

    fn wants(&self, path: &[u8]) -> bool {
        let (folder, name) = path::split(path);
        let known = name == JOURNAL || reader_of(name).is_some();
        path == MANIFEST || known && FOLDERS.iter().any(|known| known.as_bytes() == folder)
    }

    fn places(&self) -> &'static [&'static str] {
        &FOLDERS
    }

    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let name = path::split(path).1;
        let database = if path == MANIFEST {
            manifest(&content)
        } else if let Some(reader) = reader_of(name) {
            read(reader, &Content::from(content.as_slice()))
        } else {
            let problem = "the database has changes that are not written into it yet";
            Database {
                problems: (!content.is_empty()).then(|| problem.to_owned()).into_iter().collect(),
                ..Database::default()
            }
        };
        serde_json::to_vec(&database).unwrap_or_default()
    }

    fn packs(&self, path: &[u8]) -> bool {
        reader_of(path::split(path).1).is_some()
    }

    fn condense_packed(&self, path: &[u8], content: Packed) -> Vec<u8> {
        let reader = reader_of(path::split(path).1);
        let database = reader.map(|reader| read(reader, &Content::from(&content))).unwrap_or_default();
        drop(content);
        serde_json::to_vec(&database).unwrap_or_default()
    }

    fn extract(&self, files: &[File<'_>], distro: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        let mut found = Found::default();
        for file in files {
            let Database { packages, problems } = database(file);
            let problems = problems.into_iter().map(Err);
            let packages = packages.into_iter().map(|package| {
                let outcome = component(&package, file, distro).map(Some);
                outcome.map_err(|why| format!("package {}: {why}", package.name))
            });
            if !problems.chain(packages).all(|outcome| found.take(outcome, file)) {
                break;
            }
        }
        found.into_parts()
    }

    fn owned(&self, files: &[File<'_>], components: &[Component]) -> Vec<(Vec<u8>, Purl)> {
        let purls = purls(components);
        let mut owned = Vec::new();
        for package in files.iter().flat_map(|file| database(file).packages) {
            if let Some(owner) = purls.get(&(package.name.as_str(), package.evr().as_str())) {
                let room = Limits::DEFAULT.claims.saturating_sub(owned.len());
                let claims = package.files.into_iter().map(|path| (path.into_bytes(), (*owner).clone()));
                owned.extend(claims.take(room));
            }
        }
        owned
    }

    fn third_party(
        &self,
        files: &[File<'_>],
        components: &[Component],
        distro: Option<&Distro>,
    ) -> Vec<ThirdParty> {
        let known = distro.and_then(|distro| VENDORS.iter().find(|(id, _)| *id == distro.id));
        known.map(|(_, own)| vendors(files, components, own)).unwrap_or_default()
    }
}

/// Packages by their vendor, where it is none of the distribution's.
fn vendors(files: &[File<'_>], components: &[Component], own: &[&str]) -> Vec<ThirdParty> {
    let purls = purls(components);
    let mut strangers = Strangers::default();
    for file in files {
        for package in database(file).packages {
            let vendor = package.vendor.as_deref().and_then(|text| word(text.as_bytes()));
            let is_own = vendor.as_ref().is_some_and(|vendor| own.iter().any(|own| vendor.starts_with(own)));
            let evr = package.evr();
            if let Some(purl) = purls.get(&(package.name.as_str(), evr.as_str())).filter(|_| !is_own) {
                strangers.add(file, vendor, purl);
            }
        }
    }
    strangers.finish().collect()
}

/// Components by name and version.
fn purls(components: &[Component]) -> HashMap<(&str, &str), &Purl> {
    components.iter().map(|c| ((c.name.as_str(), c.version.as_str()), &c.purl)).collect()
}

fn reader_of(name: &[u8]) -> Option<Reader> {
    FORMS.iter().find(|(known, _)| *known == name).map(|(_, reader)| *reader)
}

fn database(file: &File<'_>) -> Database {
    serde_json::from_slice(file.content).unwrap_or_default()
}

fn read(reader: Reader, content: &Content<'_>) -> Database {
    let mut database = Database::default();
    if content.len() == 0 {
        return database; // As rpm leaves it where it uses another of its forms.
    }
    let (mut blobs, mut listed) = (0, 0);
    let mut take = |blob: &[u8]| {
        blobs += 1;
        if blobs > PACKAGES_MAX {
            return Err(format!("it has more than {PACKAGES_MAX} packages"));
        }
        match header::package(blob, want_by_language) {
            Ok(package) => {
                listed += package.as_ref().map_or(0, Package::bytes);
                if listed > LISTED_BYTES {
                    return Err(format!("it says more than {LISTED_BYTES} bytes of its packages"));
                }
                database.packages.extend(package);
            }
            Err(why) => database.problem(why),
        }
        Ok(())
    };
    if let Err(why) = reader(content, &mut take) {
        database.problem(why);
    }
    database
}

/// Name, version-release, two times, vendor, epoch, size, architecture, epoch number and source, with tabs between.
fn manifest(content: &[u8]) -> Database {
    let mut database = Database::default();
    for (number, line) in (1..).zip(content.split(|&b| b == b'\n')).filter(|(_, line)| !line.is_empty()) {
        match std::str::from_utf8(line).ok().and_then(manifest_line) {
            Some(package) if database.packages.len() < PACKAGES_MAX => database.packages.push(package),
            _ => database.problem(format!("line {number} is not a package")),
        }
    }
    database
}

fn manifest_line(line: &str) -> Option<Package> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [name, evr, _, _, vendor, _, _, architecture, epoch, source, ..] = cells[..] else { return None };
    let (version, release) = evr.rsplit_once('-')?;
    let known = |text: &str| (text != "(none)" && !text.is_empty()).then(|| text.to_owned());
    Some(Package {
        name: name.trim().to_owned(),
        epoch: epoch.parse().unwrap_or_default(),
        version: version.trim().to_owned(),
        release: release.trim().to_owned(),
        architecture: known(architecture),
        source: known(source),
        vendor: known(vendor),
        module: None,
        files: Vec::new(),
    })
}

impl Database {
    /// More of them say no more.
    fn problem(&mut self, what: String) {
        if self.problems.len() < Limits::DEFAULT.problems {
            self.problems.push(what);
        }
    }
}

impl Package {
    /// What is held of it, roughly.
    fn bytes(&self) -> usize {
        let Self { name, version, release, architecture, source, vendor, module, files, .. } = self;
        let perhaps = [architecture, source, vendor, module].into_iter().flatten();
        let texts = [name, version, release].into_iter().chain(perhaps).chain(files);
        texts.map(|text| text.len() + size_of::<String>()).sum()
    }

    /// `[EPOCH:]VERSION-RELEASE`, as rpm prints it.
    fn evr(&self) -> String {
        let Self { epoch, version, release, .. } = self;
        if *epoch == 0 { format!("{version}-{release}") } else { format!("{epoch}:{version}-{release}") }
    }
}

fn component(package: &Package, file: &File<'_>, distro: Option<&Distro>) -> Result<Component, String> {
    let readable = |text: &str, what: &str| field(Some(text.as_bytes()), what);
    let name = readable(&package.name, "name")?;
    readable(&package.version, "version")?;
    readable(&package.release, "release")?;
    let architecture = package.architecture.as_deref().and_then(|text| word(text.as_bytes()));
    let source = package.source.as_deref().and_then(source);
    // In the purl the epoch is a qualifier.
    let without_epoch = format!("{}-{}", package.version, package.release);
    let mut purl = purl(PackageKind::Rpm, "", (&name, &without_epoch), architecture.as_deref(), distro);
    if package.epoch != 0 {
        purl = purl.qualifier("epoch", &package.epoch.to_string());
    }
    if let Some(module) = package.module.as_deref().and_then(|text| word(text.as_bytes())) {
        purl = purl.qualifier("modularitylabel", &module);
    }
    Ok(Component {
        purl: purl.build().map_err(|error| error.to_string())?,
        kind: PackageKind::Rpm,
        name,
        version: package.evr(),
        architecture,
        source,
        owner: None,
        locations: vec![file.location()],
    })
}

/// Name and version out of `NAME-VERSION-RELEASE.src.rpm`.
fn source(file: &str) -> Option<SourcePackage> {
    let whole = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = whole.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let name = word(name.as_bytes())?;
    Some(SourcePackage { name, version: word(format!("{version}-{release}").as_bytes())? })
}

/// A number that is an offset or a count.
fn place(order: Order, bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    usize::try_from(order.number(bytes, at, width)?).ok()
}

/// How much may be copied out of a database in all: hostile ones point at the same pages again and again.
struct Allowance(usize);

impl Allowance {
    fn of(database_bytes: usize) -> Self {
        Self(database_bytes.saturating_mul(2))
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        if bytes > HEADER_BYTES_MAX {
            return Err(format!("a package's header has {bytes} bytes, over {HEADER_BYTES_MAX}"));
        }
        self.0 = self.0.checked_sub(bytes).ok_or("the database's packages are larger than the database")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
