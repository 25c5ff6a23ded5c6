//! The security databases of Alpine and of those that follow it (Wolfi, Chainguard): which version of a package
//! fixes which vulnerabilities.
//!
//! Alpine wrote its databases as YAML until 2020, and others still do; they are read as the JSON that they mean.
//!
//! A document speaks of one repository of one release, by packages. A record speaks of one vulnerability there:
//! `{"distroversion":"v3.20","fixes":{"curl":"8.1.0-r0"},"id":"CVE-…","reponame":"main"}`. A package that names
//! several versions for one vulnerability had to be fixed again: the highest counts. `0` is below all of them
//! and means that the package was never affected.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::{Problem, Severity};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use version::{Event, Scheme, Version};

use super::{Parsed, Piece, Unreadable, at_most, short, walk, yaml};
use crate::{Advisory, Affected, AffectedRange, Ecosystem, Limits, RangeKind, Targets};

/// The format's word.
pub(super) const WORD: &str = "secdb";
/// The version of a package that was never affected.
const NEVER: &str = "0";

/// What is said of one vulnerability. Its members are in the order of their names.
#[derive(Debug, Deserialize, Serialize)]
struct RecordDoc {
    /// Alpine's release; the others have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    distroversion: String,
    /// By package, the version that fixes it.
    fixes: BTreeMap<String, String>,
    id: String,
    #[serde(default)]
    reponame: String,
    /// Whose packages they are, where no release says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    urlprefix: String,
}

#[derive(Debug, Deserialize)]
struct EntryDoc {
    pkg: PackageDoc,
}

#[derive(Debug, Deserialize)]
struct PackageDoc {
    name: String,
    #[serde(default)]
    secfixes: Option<BTreeMap<String, Option<Vec<String>>>>,
}

/// Takes a database apart into one record for each vulnerability.
pub fn split(
    document: &[u8],
    limits: &Limits,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Unreadable> {
    let as_json;
    let document = if yaml::is_yaml(document) {
        as_json = yaml::to_json(document)?;
        as_json.as_bytes()
    } else {
        document
    };
    let mut database = Database { limits, place: Place::default(), fixes: None, facts: 0, wrong: Vec::new() };
    database.read(document).map_err(|error| Unreadable::NotJson(short(&error)))?;
    let Database { place, fixes, wrong, .. } = database;
    let fixes = fixes.ok_or(Unreadable::Lacks("packages"))?;
    if !wrong.into_iter().all(|problem| take(Piece::Wrong(problem))) {
        return Ok(());
    }
    for (id, fixes) in fixes {
        let Place { distroversion, reponame, urlprefix } = place.clone();
        let urlprefix = if distroversion.is_empty() { urlprefix } else { String::new() };
        let record = RecordDoc { distroversion, fixes, id, reponame, urlprefix };
        if !take(Piece::Record(serde_json::to_vec(&record).expect("there are only texts in it"))) {
            break;
        }
    }
    Ok(())
}

/// A document as it is read, package by package: what is kept of it is no more than it says of vulnerabilities.
struct Database<'a> {
    limits: &'a Limits,
    place: Place,
    /// By vulnerability, then package. `None` until the packages were seen.
    fixes: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// How many packages were named for vulnerabilities, and how many entries were wrong.
    facts: u64,
    wrong: Vec<Problem>,
}

#[derive(Clone, Default)]
struct Place {
    distroversion: String,
    reponame: String,
    urlprefix: String,
}

impl Database<'_> {
    fn read(&mut self, document: &[u8]) -> Result<(), serde_json::Error> {
        let mut failed = Ok(());
        walk::members(walk::text(document)?, &mut |name, value| {
            failed = self.member(&name, value);
            failed.is_ok()
        })?;
        failed
    }

    fn member(&mut self, name: &str, value: &str) -> Result<(), serde_json::Error> {
        match name {
            "packages" => self.packages(value)?,
            "distroversion" => self.place.distroversion = self.text(value)?,
            "reponame" => self.place.reponame = self.text(value)?,
            "urlprefix" => self.place.urlprefix = self.text(value)?,
            _ => {}
        }
        Ok(())
    }

    /// Each record names it, so it must be short.
    fn text(&self, value: &str) -> Result<String, serde_json::Error> {
        let text: String = serde_json::from_str(value)?;
        if text.len() > self.limits.text_bytes {
            return Err(serde_json::Error::custom("the name of the release or repository is too long"));
        }
        Ok(text)
    }

    fn packages(&mut self, list: &str) -> Result<(), serde_json::Error> {
        self.fixes.get_or_insert_default();
        if list.trim() == "null" {
            return Ok(()); // As YAML writes a list that has nothing in it.
        }
        walk::elements(list, &mut |at, entry| {
            self.entry(at, entry);
            self.facts <= self.limits.records
        })?;
        if self.facts > self.limits.records {
            return Err(serde_json::Error::custom("it says more than is read"));
        }
        Ok(())
    }

    fn entry(&mut self, at: usize, entry: &str) {
        if entry.len() > self.limits.record_bytes {
            return self.wrong(format!("packages[{at}]"), "the entry is larger than is read".to_owned());
        }
        match serde_json::from_str::<EntryDoc>(entry) {
            Ok(EntryDoc { pkg }) if pkg.name.is_empty() || pkg.name.len() > self.limits.text_bytes => {
                self.wrong(format!("packages[{at}]"), "its name is none".to_owned());
            }
            Ok(EntryDoc { pkg }) => self.package(&pkg),
            Err(error) => self.wrong(format!("packages[{at}]"), short(&error)),
        }
    }

    fn package(&mut self, package: &PackageDoc) {
        for (version, texts) in package.secfixes.iter().flatten() {
            let version = version.trim();
            if let Err(error) = Version::parse(Scheme::Apk, version) {
                self.wrong(package.name.clone(), error.to_string());
                continue;
            }
            for id in texts.iter().flatten().flat_map(|text| ids(text)) {
                if id.len() > self.limits.text_bytes || id.contains(char::is_control) {
                    self.wrong(package.name.clone(), "an id is none".to_owned());
                    continue;
                }
                self.facts += 1;
                let fixes = self.fixes.get_or_insert_default().entry(id.to_owned()).or_default();
                let fixed = fixes.entry(package.name.clone()).or_insert_with(|| NEVER.to_owned());
                if is_above(version, fixed) {
                    version.clone_into(fixed);
                }
            }
        }
    }

    fn wrong(&mut self, place: String, what: String) {
        self.facts += 1;
        self.wrong.push(Problem { place, what });
    }
}

/// A text names one vulnerability, some of them beside the id that a project has for it. CVEs name it best.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let has_cve = text.contains("CVE-");
    let words = text.split([' ', '\t', ',', '(', ')', '+']).filter(|word| word.contains('-'));
    words.filter(move |word| !has_cve || word.starts_with("CVE-"))
}

fn is_above(version: &str, other: &str) -> bool {
    let parse = |text| Version::parse(Scheme::Apk, text).ok();
    parse(version) > parse(other)
}

/// Reads one record.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    at_most(limits.record_bytes, "bytes", bytes.len())?;
    let record: RecordDoc =
        serde_json::from_slice(bytes).map_err(|error| Unreadable::NotJson(short(&error)))?;
    at_most(limits.affected, "packages", record.fixes.len())?;
    let ecosystem = record.ecosystem().ok_or(Unreadable::Lacks("distribution that is known"))?;
    let mut names = vec![ecosystem.name.to_uppercase()];
    names.extend([ecosystem.release.clone().unwrap_or_default(), record.reponame, record.id.clone()]);
    names.retain(|name| !name.is_empty());
    let id = names.join("-");
    if record.id.is_empty() || id.len() > limits.text_bytes || id.contains(char::is_control) {
        return Err(Unreadable::NoId);
    }
    let affected = record.fixes.into_iter().map(|(package, fixed)| affected(&ecosystem, package, fixed));
    let advisory = Advisory {
        id,
        aliases: vec![record.id],
        upstream: Vec::new(),
        published: None,
        modified: None,
        withdrawn: false,
        severity: Severity::Unknown,
        affected: affected.collect(),
    };
    Ok((advisory, Vec::new()))
}

impl RecordDoc {
    fn ecosystem(&self) -> Option<Ecosystem> {
        let of = |name: &str, release: Option<&str>| Ecosystem {
            name: name.to_owned(),
            release: release.map(str::to_owned),
        };
        match self.distroversion.as_str() {
            "" if self.urlprefix.contains("wolfi") => Some(of("Wolfi", None)),
            "" if self.urlprefix.contains("cgr.dev") || self.urlprefix.contains("chainguard") => {
                Some(of("Chainguard", None))
            }
            "" => None,
            release => Some(of("Alpine", Some(release))),
        }
    }
}

/// Packages that were never affected are named with no range: whoever asks why is told so.
fn affected(ecosystem: &Ecosystem, package: String, fixed: String) -> Affected {
    let events = vec![Event::Introduced("0".to_owned()), Event::Fixed(fixed.clone())];
    let ranges = match fixed.as_str() {
        NEVER => Vec::new(),
        _ => vec![AffectedRange { kind: RangeKind::Ecosystem, events }],
    };
    let (ecosystem, is_source) = (ecosystem.clone(), false);
    Affected {
        ecosystem,
        package,
        is_source,
        ranges,
        versions: Vec::new(),
        severity: None,
        no_fix: None,
        notice: None,
        targets: Targets::default(),
    }
}
