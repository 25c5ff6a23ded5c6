//! Which advisories apply to which components.
//!
//! What holds for the components of one package URL depends on no others: it is a [`Part`] of the result. In each, every
//! pair that applies is collected, then all pairs are sorted and those of one vulnerability become one finding. So the
//! order in which they were found does not matter.

use std::collections::{BTreeMap, BTreeSet};

use advisory::{Ecosystem, canonical_name, scheme};
use model::{
    AdvisoryMatch, Component, FeedId, Finding, FixState, Gap, GapKind, NoFix, Notice, PackageKind, Purl,
    Sbom, Severity,
};
use version::{InvalidVersion, Version};

use crate::index::{Entry, Source, Table};
use crate::machine::Machine;
use crate::{Evaluation, Index, SetAside, coverage};

/// What holds for the image with these components, by the advisories of the index.
pub fn evaluate(sbom: &Sbom, index: &Index) -> Evaluation {
    let setting = Setting::of(sbom);
    let matcher = Matcher::new(index, &setting);
    let (mut findings, mut gaps, mut set_aside) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for components in by_purl(sbom).chunk_by(|a, b| a.purl == b.purl) {
        let part = matcher.part(components);
        findings.extend(part.findings);
        gaps.extend(part.gaps);
        set_aside.extend(part.set_aside);
    }
    findings.sort_by(|a, b| (&a.vulnerability, &a.purl).cmp(&(&b.vulnerability, &b.purl)));
    let coverage = coverage::assess(sbom, index, &mut gaps);
    Evaluation {
        findings,
        coverage,
        gaps: gaps.into_iter().collect(),
        set_aside: set_aside.into_iter().collect(),
    }
}

/// The components of an image, those of one package URL beside each other.
pub(crate) fn by_purl(sbom: &Sbom) -> Vec<&Component> {
    let mut components: Vec<&Component> = sbom.components.iter().collect();
    components.sort_by(|a, b| a.purl.cmp(&b.purl));
    components
}

/// What is looked for in an index: names of packages, in their ecosystems and in those of all releases.
pub(crate) fn asked(sbom: &Sbom) -> BTreeSet<(Ecosystem, String)> {
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    let mut asked = BTreeSet::new();
    for component in &sbom.components {
        let Some(ecosystem) = ecosystem_of(component.kind, distro.as_ref()) else { continue };
        let every_release = Ecosystem { name: ecosystem.name.clone(), release: None };
        for name in [Subject::of(component).0, built_from(component).to_owned()] {
            asked.insert((ecosystem.clone(), name.clone()));
            asked.insert((every_release.clone(), name));
        }
    }
    asked
}

/// Where advisories about packages of this kind are: with the distribution for its own.
pub(crate) fn ecosystem_of(kind: PackageKind, distro: Option<&Ecosystem>) -> Option<Ecosystem> {
    if kind.is_of_distro() {
        distro.filter(|distro| distro.kind() == Some(kind)).cloned()
    } else {
        Ecosystem::of_language(kind)
    }
}

/// Whether advisories name what a package was built from. Those of the RPM distributions name the packages themselves.
const fn speaks_of_sources(kind: PackageKind) -> bool {
    matches!(kind, PackageKind::Apk | PackageKind::Deb)
}

/// What is said under this name.
fn called<'a>(tables: &[&'a Table], name: &str) -> impl Iterator<Item = &'a Entry> {
    tables.iter().flat_map(move |table| table.called(name))
}

/// What a package was built from: by that name advisories may speak of it too.
pub(crate) fn built_from(component: &Component) -> &str {
    component.source.as_ref().map_or(&component.name, |source| &source.name)
}

/// Red Hat's advisories of modules are not read, and the others do not mean modules' packages.
pub(crate) fn is_of_unread_module(component: &Component, distro: Option<&Ecosystem>) -> bool {
    let has_label = || component.purl.as_str().contains("modularitylabel=");
    component.kind == PackageKind::Rpm
        && (component.version.contains(".module+") || has_label())
        && distro.is_some_and(|distro| distro.name == "Red Hat")
}

/// Why such a package is not compared.
pub(crate) const UNREAD_MODULE: &str = "it is of a module, and advisories of modules are not read";

/// What of an image, beside a component itself, decides what holds for the component.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Setting {
    distro: Option<Ecosystem>,
    machine: Machine,
}

impl Setting {
    pub(crate) fn of(sbom: &Sbom) -> Self {
        let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
        Self { distro, machine: Machine::of(sbom) }
    }
}

/// Matches the components of an image.
pub(crate) struct Matcher<'a> {
    index: &'a Index,
    setting: &'a Setting,
    tables: BTreeMap<PackageKind, Vec<&'a Table>>,
}

/// What holds for the components of one package URL.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Sorted by vulnerability.
    pub(crate) findings: Vec<Finding>,
    pub(crate) gaps: BTreeSet<Gap>,
    pub(crate) set_aside: Vec<SetAside>,
}

/// What is being collected.
#[derive(Default)]
struct Matches<'a> {
    hits: Vec<Hit<'a>>,
    gaps: BTreeSet<Gap>,
}

/// An advisory's entry that applies to a component.
struct Hit<'a> {
    component: &'a Component,
    source: &'a Source,
    feed: &'a FeedId,
    severity: Severity,
    no_fix: Option<NoFix>,
    notice: Option<Notice>,
    reason: String,
    /// Fixed versions that are ahead.
    fixed: Vec<&'a Version>,
}

/// A component as advisories speak of it: some distributions name the source package and its version.
pub(crate) struct Subject<'a> {
    component: &'a Component,
    /// The source package's name, where it is what is looked for.
    source: Option<&'a str>,
    text: &'a str,
    /// `None` when it cannot be compared: then only the same text is the same version.
    version: Option<Version>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(index: &'a Index, setting: &'a Setting) -> Self {
        let tables = PackageKind::ALL.into_iter().map(|kind| {
            let ecosystem = ecosystem_of(kind, setting.distro.as_ref());
            (kind, ecosystem.iter().flat_map(|ecosystem| index.tables_of(ecosystem)).collect())
        });
        Self { index, setting, tables: tables.collect() }
    }

    /// What holds for components that have one package URL.
    pub(crate) fn part(&self, components: &[&'a Component]) -> Part {
        let mut matches = Matches::default();
        for component in components {
            self.component(component, &mut matches);
        }
        let (owned, own): (Vec<_>, Vec<_>) =
            matches.hits.into_iter().partition(|hit| hit.component.owner.is_some());
        Part {
            findings: findings(own),
            gaps: matches.gaps,
            set_aside: owned.into_iter().filter_map(set_aside).collect(),
        }
    }

    fn component(&self, component: &'a Component, matches: &mut Matches<'a>) {
        if is_of_unread_module(component, self.setting.distro.as_ref()) {
            return matches.gap(GapKind::MissingFeed, component, UNREAD_MODULE.to_owned());
        }
        let (name, subject, unreadable) = Subject::of(component);
        let tables = &self.tables[&component.kind];
        let own = called(tables, &name).filter(|entry| !entry.is_source);
        let from = called(tables, built_from(component)).filter(|entry| entry.is_source);
        let entries: Vec<&'a Entry> = own.chain(from).collect();
        if entries.is_empty() {
            return;
        }
        if let Some(error) = unreadable {
            let what = format!("its version cannot be compared: {error}");
            matches.gap(GapKind::PartialScan, component, what);
        }
        for entry in entries {
            self.entry(&subject, entry, matches);
        }
    }

    fn entry(&self, subject: &Subject<'a>, entry: &'a Entry, matches: &mut Matches<'a>) {
        let (component, source) = (subject.component, self.index.source(entry));
        if self.setting.machine.is_none_of(entry) {
            return;
        }
        if let Some(reason) = subject.reason(entry) {
            let (feed, severity, fixed) = (self.index.feed(source), entry.severity, subject.fixed(entry));
            let (no_fix, notice) = (entry.no_fix, entry.notice);
            matches.hits.push(Hit { component, source, feed, severity, no_fix, notice, reason, fixed });
        } else if let Some(error) = &entry.unreadable {
            let what = format!("{} cannot be compared with it: {error}", source.id);
            matches.gap(GapKind::PartialScan, component, what);
        }
    }
}

impl Matches<'_> {
    fn gap(&mut self, kind: GapKind, component: &Component, what: String) {
        self.gaps.insert(Gap::new(kind, component.purl.as_str(), what));
    }
}

impl<'a> Subject<'a> {
    /// The package's name as advisories write it, what is compared, and why its version cannot be.
    pub(crate) fn of(component: &'a Component) -> (String, Self, Option<InvalidVersion>) {
        let source = component.source.as_ref().filter(|_| speaks_of_sources(component.kind));
        let (name, text) = match source {
            Some(source) => (&source.name, &source.version),
            None => (&component.name, &component.version),
        };
        let (version, unreadable) = match scheme(component.kind).map(|scheme| Version::parse(scheme, text)) {
            Some(Ok(version)) => (Some(version), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let source = source.map(|source| source.name.as_str());
        (canonical_name(component.kind, name), Self { component, source, text, version }, unreadable)
    }

    /// What is compared, for people: the version, behind the source package's name where that is meant.
    pub(crate) fn shown(&self) -> String {
        let (source, space) = self.source.map_or(("", ""), |source| (source, " "));
        format!("{source}{space}{}", self.text)
    }

    /// Why the entry applies, if it does.
    pub(crate) fn reason(&self, entry: &Entry) -> Option<String> {
        let version = self.version.as_ref();
        let interval = version.and_then(|v| entry.ranges.iter().find_map(|range| range.contains(v)));
        if let (Some(version), Some(interval)) = (version, interval) {
            return Some(format!("{} in {interval} by {}", self.shown(), version.scheme()));
        }
        let listed = version.is_some_and(|v| entry.listed.iter().any(|listed| v.is_meant_by(listed)))
            || entry.listed_text.iter().any(|listed| **listed == *self.text);
        listed.then(|| format!("{} is listed as affected", self.shown()))
    }

    fn fixed<'e>(&self, entry: &'e Entry) -> Vec<&'e Version> {
        let ahead = |version| entry.ranges.iter().flat_map(move |range| range.fixed_after(version));
        self.version.as_ref().map(|version| ahead(version).collect()).unwrap_or_default()
    }
}

fn findings(mut hits: Vec<Hit<'_>>) -> Vec<Finding> {
    hits.sort_by(|a, b| a.finding().cmp(&b.finding()).then_with(|| a.evidence().cmp(&b.evidence())));
    hits.chunk_by(|a, b| a.finding() == b.finding()).map(finding).collect()
}

impl Hit<'_> {
    /// What makes hits one finding.
    fn finding(&self) -> (&str, &Purl) {
        (&self.source.vulnerability, &self.component.purl)
    }

    /// What makes hits of a finding one piece of evidence is all but the reason, of which the first is kept.
    fn evidence(&self) -> (&str, &FeedId, &str) {
        (&self.source.id, self.feed, &self.reason)
    }
}

/// The finding that sorted hits make together.
fn finding(hits: &[Hit<'_>]) -> Finding {
    let (vulnerability, purl) = hits[0].finding();
    let component = hits.iter().map(|hit| hit.component).min().expect("a chunk is not empty");
    let names: BTreeSet<&str> = hits.iter().flat_map(|hit| hit.source.names()).collect();
    let fixed = fixed_versions(hits);
    Finding {
        vulnerability: vulnerability.to_owned(),
        aliases: names.into_iter().filter(|name| *name != vulnerability).map(str::to_owned).collect(),
        purl: purl.clone(),
        package: component.name.clone(),
        version: component.version.clone(),
        severity: hits.iter().map(|hit| hit.severity).max().unwrap_or_default(),
        fix: FixState::of(fixed, hits.iter().map(|hit| hit.no_fix)),
        advisories: hits
            .chunk_by(|a, b| (&a.source.id, a.feed) == (&b.source.id, b.feed))
            .map(evidence)
            .collect(),
        vex: None,
    }
}

fn evidence(hits: &[Hit<'_>]) -> AdvisoryMatch {
    AdvisoryMatch {
        advisory: hits[0].source.id.to_string(),
        feed: hits[0].feed.clone(),
        reason: hits[0].reason.clone(),
        fixed_versions: fixed_versions(hits),
        no_fix: hits.iter().filter_map(|hit| hit.no_fix).max(),
        notice: Notice::of(hits.iter().map(|hit| hit.notice)),
    }
}

/// Lowest first, each version once, though feeds may write it differently.
fn fixed_versions(hits: &[Hit<'_>]) -> Vec<String> {
    let mut fixed: Vec<&Version> = hits.iter().flat_map(|hit| &hit.fixed).copied().collect();
    fixed.sort_by(|a, b| a.cmp(b).then_with(|| a.text().cmp(b.text())));
    fixed.dedup();
    fixed.into_iter().map(|version| version.text().to_owned()).collect()
}

fn set_aside(hit: Hit<'_>) -> Option<SetAside> {
    let owner = hit.component.owner.clone()?;
    let (purl, advisory) = (hit.component.purl.clone(), hit.source.id.to_string());
    Some(SetAside { purl, owner, advisory, feed: hit.feed.clone(), reason: hit.reason })
}
