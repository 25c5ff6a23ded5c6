//! CSAF 2.0 as Red Hat publishes it for each CVE (profile VEX): which packages of which products are fixed, in
//! which version, and which are affected without a fix.
//!
//! Read are RPM packages of Red Hat Enterprise Linux itself, by the CPE of the product: the releases that live on
//! beside it (EUS, AUS, E4S, TUS) have versions of their own, and so have layered products. A product of the
//! document is a package "as a component of" another; packages of modules name the module in between, or in
//! their purl. A document is walked piece by piece: the trees in it are much larger than what is said by them.

mod purl;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{NoFix, Problem, Severity};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use version::{Event, Scheme, Version};

use self::purl::Rpm;
use super::{Parsed, Unreadable, at_most, short, walk};
use crate::severity::{of_vector, of_word};
use crate::{Advisory, Affected, AffectedRange, Ecosystem, Limits, RangeKind, Targets};

/// Branches inside of branches: vendor, family, product, architecture; a few more are read.
const DEPTH_MAX: usize = 12;
/// Problems of one document that are told.
const PROBLEMS_MAX: usize = 1_000;
/// A package is part of a module, which is part of a repository.
const PARTS_MAX: usize = 3;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DocumentDoc {
    tracking: TrackingDoc,
    aggregate_severity: Option<TextDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TrackingDoc {
    id: String,
    status: String,
    initial_release_date: Option<String>,
    current_release_date: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TextDoc {
    text: String,
}

#[derive(Debug, Deserialize)]
struct ProductDoc {
    product_id: String,
    #[serde(default)]
    product_identification_helper: HelperDoc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HelperDoc {
    cpe: Option<String>,
    purl: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RelationshipDoc {
    full_product_name: NameDoc,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Debug, Deserialize)]
struct NameDoc {
    product_id: String,
}

#[derive(Debug, Deserialize)]
struct RemediationDoc {
    category: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScoreDoc {
    cvss_v2: Option<CvssDoc>,
    cvss_v3: Option<CvssDoc>,
    cvss_v4: Option<CvssDoc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CvssDoc {
    vector_string: String,
}

/// Reads one document.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    at_most(limits.record_bytes, "bytes", bytes.len())?;
    let mut reader = Reader::of(limits);
    reader.document(bytes).map_err(|error| Unreadable::NotJson(short(&error)))?;
    reader.advisory()
}

/// What is read of a document. Products and what is said of them meet at the end.
struct Reader<'a> {
    limits: &'a Limits,
    document: DocumentDoc,
    /// By id, what a product is.
    products: HashMap<String, HelperDoc>,
    /// By id of the whole: the part, and what it is part of.
    parts: HashMap<String, (String, String)>,
    cves: BTreeSet<String>,
    fixed: Vec<String>,
    affected: Vec<String>,
    /// By product, why there is no fix.
    no_fix: HashMap<String, NoFix>,
    vectors: Vec<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn of(limits: &'a Limits) -> Self {
        Self {
            limits,
            document: DocumentDoc::default(),
            products: HashMap::new(),
            parts: HashMap::new(),
            cves: BTreeSet::new(),
            fixed: Vec::new(),
            affected: Vec::new(),
            no_fix: HashMap::new(),
            vectors: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn document(&mut self, bytes: &[u8]) -> Result<(), serde_json::Error> {
        walk::members(walk::text(bytes)?, &mut |name, value| {
            match name.as_str() {
                "document" => self.document = self.typed("document", value).unwrap_or_default(),
                "product_tree" => self.product_tree(value),
                "vulnerabilities" => self.each("vulnerabilities", value, Self::vulnerability),
                _ => {}
            }
            true
        })
    }

    /// The first of them tell what is wrong with a document.
    fn problem(&mut self, place: &str, what: String) {
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        self.problems.push(Problem { place: place.to_owned(), what });
    }

    /// A piece as it should be, or a problem.
    fn typed<T: DeserializeOwned>(&mut self, place: &str, json: &str) -> Option<T> {
        serde_json::from_str(json).map_err(|error| self.problem(place, short(&error))).ok()
    }

    /// Each element of a list.
    fn each(&mut self, place: &str, json: &str, read: fn(&mut Self, &str, &str)) {
        let walked = walk::elements(json, &mut |at, value| {
            read(self, &format!("{place}[{at}]"), value);
            true
        });
        if let Err(error) = walked {
            self.problem(place, short(&error));
        }
    }

    /// Each member of an object.
    fn every(&mut self, place: &str, json: &str, mut read: impl FnMut(&mut Self, &str, &str)) {
        let walked = walk::members(json, &mut |name, value| {
            read(self, &name, value);
            true
        });
        if let Err(error) = walked {
            self.problem(place, short(&error));
        }
    }

    fn product_tree(&mut self, json: &str) {
        self.every("product_tree", json, |reader, name, value| match name {
            "branches" => reader.branches("branches", value, 0),
            "full_product_names" => reader.each("full_product_names", value, Self::product),
            "relationships" => reader.each("relationships", value, Self::relationship),
            _ => {}
        });
    }

    fn branches(&mut self, place: &str, json: &str, depth: usize) {
        if depth == DEPTH_MAX {
            return self.problem(place, "it is deeper than is read".to_owned());
        }
        let walked = walk::elements(json, &mut |at, branch| {
            let place = format!("{place}[{at}]");
            self.every(&place, branch, |reader, name, value| match name {
                "branches" => reader.branches(&place, value, depth + 1),
                "product" => reader.product(&place, value),
                _ => {}
            });
            true
        });
        if let Err(error) = walked {
            self.problem(place, short(&error));
        }
    }

    fn product(&mut self, place: &str, json: &str) {
        if let Some(product) = self.typed::<ProductDoc>(place, json) {
            self.products.insert(product.product_id, product.product_identification_helper);
        }
    }

    fn relationship(&mut self, place: &str, json: &str) {
        if let Some(doc) = self.typed::<RelationshipDoc>(place, json) {
            let part = (doc.product_reference, doc.relates_to_product_reference);
            self.parts.insert(doc.full_product_name.product_id, part);
        }
    }

    fn vulnerability(&mut self, place: &str, json: &str) {
        self.every(place, json, |reader, name, value| match name {
            "cve" => {
                let cve = reader.typed("cve", value);
                reader.cves.extend::<Option<String>>(cve);
            }
            "product_status" => reader.status(value),
            "remediations" => reader.each("remediations", value, Self::remediation),
            "scores" => reader.each("scores", value, Self::score),
            _ => {}
        });
    }

    fn status(&mut self, json: &str) {
        self.every("product_status", json, |reader, name, value| match name {
            "fixed" => reader.each("fixed", value, |reader, place, id| {
                let id = reader.typed(place, id);
                reader.fixed.extend::<Option<String>>(id);
            }),
            "known_affected" => reader.each("known_affected", value, |reader, place, id| {
                let id = reader.typed(place, id);
                reader.affected.extend::<Option<String>>(id);
            }),
            _ => {}
        });
    }

    fn remediation(&mut self, place: &str, json: &str) {
        let Some(doc) = self.typed::<RemediationDoc>(place, json) else { return };
        if doc.category != "no_fix_planned" {
            return;
        }
        let over = doc.details.to_ascii_lowercase().contains("support scope");
        let why = if over { NoFix::EndOfLife } else { NoFix::WillNotFix };
        self.no_fix.extend(doc.product_ids.into_iter().map(|id| (id, why)));
    }

    fn score(&mut self, place: &str, json: &str) {
        let Some(doc) = self.typed::<ScoreDoc>(place, json) else { return };
        let scores = [doc.cvss_v2, doc.cvss_v3, doc.cvss_v4];
        self.vectors.extend(scores.into_iter().flatten().map(|score| score.vector_string));
    }

    fn advisory(mut self) -> Parsed {
        let DocumentDoc { tracking, aggregate_severity } = std::mem::take(&mut self.document);
        let id = tracking.id.trim().to_owned();
        if id.is_empty() || id.len() > self.limits.text_bytes || id.contains(char::is_control) {
            return Err(Unreadable::NoId);
        }
        at_most(self.limits.names, "CVEs", self.cves.len())?;
        let affected = self.packages();
        at_most(self.limits.affected, "affected entries", affected.len())?;
        let severity = self.severity(aggregate_severity.as_ref().map(|doc| doc.text.as_str()));
        let date = |text: Option<String>| text.filter(|text| text.len() <= self.limits.text_bytes);
        let cves = std::mem::take(&mut self.cves).into_iter();
        let advisory = Advisory {
            aliases: Vec::new(),
            upstream: cves.filter(|cve| *cve != id && cve.len() <= self.limits.text_bytes).collect(),
            published: date(tracking.initial_release_date),
            modified: date(tracking.current_release_date),
            withdrawn: tracking.status == "deleted",
            severity,
            affected,
            id,
        };
        for problem in &mut self.problems {
            problem.place = format!("{} {}", advisory.id, problem.place);
        }
        Ok((advisory, self.problems))
    }

    /// The latest generation of CVSS has the word; without a vector the publisher's own.
    fn severity(&mut self, word: Option<&str>) -> Severity {
        let mut best = None;
        for vector in std::mem::take(&mut self.vectors).iter().collect::<BTreeSet<_>>() {
            match of_vector(vector) {
                Ok(found) => best = best.max(Some(found)),
                Err(reason) => self.problem("scores", format!("a vector is wrong: {reason}")),
            }
        }
        best.map(|(_, severity)| severity).or_else(|| word.and_then(of_word)).unwrap_or_default()
    }

    /// What is said of packages. One that is fixed in a release is not affected there without a fix.
    fn packages(&mut self) -> Vec<Affected> {
        let mut packages: BTreeMap<(String, String, bool), Said> = BTreeMap::new();
        let mut modular = BTreeSet::new();
        for (ids, is_fixed) in [(&self.fixed, true), (&self.affected, false)] {
            for id in ids {
                let Some(Component { release, rpm }) = self.component(id) else { continue };
                if rpm.is_modular {
                    modular.insert(rpm.name);
                    continue;
                }
                // All packages that a fixed source package became are named beside it, with their versions.
                if rpm.name.len() > self.limits.text_bytes
                    || is_fixed && (rpm.is_source || rpm.version.is_none())
                {
                    continue;
                }
                let said = packages.entry((release, rpm.name, rpm.is_source)).or_default();
                said.fixed.extend(rpm.version.filter(|_| is_fixed));
                said.no_fix = said.no_fix.max(self.no_fix.get(id).copied());
            }
        }
        if !modular.is_empty() {
            let what = format!("{} packages of modules are left out", modular.len());
            self.problem("product_status", what);
        }
        let entries = packages
            .into_iter()
            .filter_map(|((release, name, is_source), said)| self.entry(release, name, is_source, said));
        entries.collect()
    }

    /// The package that a product is, where it is one of a release that is read.
    fn component(&self, id: &str) -> Option<Component> {
        let (package, mut whole) = self.parts.get(id).map(|(part, whole)| (part, whole))?;
        let (mut release, mut is_modular) = (None, false);
        for _ in 0..PARTS_MAX {
            release = self.products.get(whole).and_then(|product| release_of(product.cpe.as_deref()?));
            let Some((module, outer)) = self.parts.get(whole) else { break };
            let module = self.products.get(module).and_then(|product| product.purl.as_deref());
            is_modular |= module.is_some_and(purl::is_module);
            whole = outer;
        }
        let mut rpm = match self.products.get(package)?.purl.as_deref() {
            Some(purl) => Rpm::parse(purl)?,
            None => unnamed(package)?,
        };
        rpm.is_modular |= is_modular;
        Some(Component { release: release?, rpm })
    }

    fn entry(&mut self, release: String, package: String, is_source: bool, said: Said) -> Option<Affected> {
        let Said { fixed, no_fix } = said;
        let ranges = match ranges(&fixed) {
            Ok(ranges) if ranges.len() <= self.limits.ranges => ranges,
            Ok(_) => {
                self.problem(&package, "it is fixed in more versions than are read".to_owned());
                return None;
            }
            Err(why) => {
                self.problem(&package, why);
                return None;
            }
        };
        Some(Affected {
            ecosystem: Ecosystem { name: "Red Hat".to_owned(), release: Some(release) },
            package,
            is_source,
            ranges,
            versions: Vec::new(),
            severity: None,
            no_fix: no_fix.filter(|_| fixed.is_empty()),
            notice: None,
            targets: Targets::default(),
        })
    }
}

/// A package of a release.
struct Component {
    release: String,
    rpm: Rpm,
}

/// What is said of a package of a release.
#[derive(Default)]
struct Said {
    fixed: BTreeSet<String>,
    no_fix: Option<NoFix>,
}

/// `9` of `cpe:/o:redhat:enterprise_linux:9::baseos`; `None` for every other product.
fn release_of(cpe: &str) -> Option<String> {
    let mut parts = cpe.split(':').skip_while(|part| *part != "redhat").skip(1);
    let version = parts.next().filter(|product| *product == "enterprise_linux").and_then(|_| parts.next())?;
    let major = version.split('.').next().unwrap_or_default();
    (!major.is_empty() && major.bytes().all(|b| b.is_ascii_digit())).then(|| major.to_owned())
}

/// Of old, what was not fixed was named without an address, by its source package.
fn unnamed(product: &str) -> Option<Rpm> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    let named = !product.is_empty() && product.chars().all(plain);
    named.then(|| Rpm { name: product.to_owned(), version: None, is_source: true, is_modular: false })
}

/// The affected versions, below fixed ones; all when there is none.
///
/// A minor release is cared for while the next is out: `1-23.el9_2.4` and `1-26.el9_3.2` fix the same in two
/// lines, and what is behind `1-23` is fixed only by the second. Of two fixes in one line the later counts.
fn ranges(fixed: &BTreeSet<String>) -> Result<Vec<AffectedRange>, String> {
    let parse = |text: &str| Version::parse(Scheme::Rpm, text).map_err(|error| error.to_string());
    let mut versions = fixed.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    versions.sort();
    let mut ranges: Vec<(String, Option<Version>)> = Vec::new();
    for version in versions {
        let before = ranges.last().and_then(|(_, fixed)| fixed.as_ref());
        let next_line = before.and_then(|fixed| behind_line(fixed.text()));
        match next_line {
            Some(from) if parse(&from)? < version => ranges.push((from, Some(version))),
            _ => match ranges.last_mut() {
                Some((_, last)) => *last = Some(version),
                None => ranges.push(("0".to_owned(), Some(version))),
            },
        }
    }
    if ranges.is_empty() {
        ranges.push(("0".to_owned(), None));
    }
    let range = |(from, fixed): (String, Option<Version>)| {
        let mut events = vec![Event::Introduced(from)];
        events.extend(fixed.map(|version| Event::Fixed(version.text().to_owned())));
        AffectedRange { kind: RangeKind::Ecosystem, events }
    };
    Ok(ranges.into_iter().map(range).collect())
}

/// `1-24` is behind all of the line of `1-23.el9_2.4`. `None` for a version that is in no minor release's line.
fn behind_line(version: &str) -> Option<String> {
    let (upstream, release) = version.rsplit_once('-')?;
    let (_, distribution) = release.split_once(".el")?;
    distribution.split('.').next().filter(|line| line.contains('_'))?;
    let number: u64 = release.split('.').next()?.parse().ok()?;
    Some(format!("{upstream}-{}", number.checked_add(1)?))
}
