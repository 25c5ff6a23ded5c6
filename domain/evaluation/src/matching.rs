//! Which advisories apply to which components.
//!
//! Everything that meets here is merged so that order does not matter: sets, the highest, the lowest.

use std::collections::{BTreeMap, BTreeSet};

use advisory::{Ecosystem, canonical_name, scheme};
use model::{
    AdvisoryMatch, Component, FeedId, Finding, FixState, PackageKind, Problem, Purl, Sbom, Severity,
};
use version::Version;

use crate::index::{Entry, Packages, Source};
use crate::{Evaluation, Index, SetAside, coverage};

/// What holds for the image with these components, by the advisories of the index.
pub fn evaluate(sbom: &Sbom, index: &Index) -> Evaluation {
    let mut matcher =
        Matcher { index, findings: BTreeMap::new(), set_aside: BTreeSet::new(), problems: BTreeSet::new() };
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    for component in &sbom.components {
        if let Some(ecosystem) = ecosystem_of(component, distro.as_ref()) {
            matcher.component(component, &ecosystem);
        }
    }
    let Matcher { findings, set_aside, mut problems, .. } = matcher;
    let coverage = coverage::assess(sbom, index, &mut problems);
    Evaluation {
        findings: findings
            .into_iter()
            .map(|((vulnerability, purl), draft)| draft.finish(vulnerability, purl))
            .collect(),
        coverage,
        problems: problems.into_iter().collect(),
        set_aside: set_aside.into_iter().collect(),
    }
}

/// Where advisories about this component are: with the distribution for its own packages.
pub(crate) fn ecosystem_of(component: &Component, distro: Option<&Ecosystem>) -> Option<Ecosystem> {
    match component.kind {
        PackageKind::Deb => distro.filter(|distro| distro.kind() == Some(component.kind)).cloned(),
        language => Ecosystem::of_language(language),
    }
}

struct Matcher<'a> {
    index: &'a Index,
    findings: BTreeMap<(&'a str, &'a Purl), Draft<'a>>,
    set_aside: BTreeSet<SetAside>,
    problems: BTreeSet<Problem>,
}

/// A component as advisories speak of it. Distributions name the source package and its version.
struct Subject<'a> {
    component: &'a Component,
    /// The source package's name, where it is what is looked for.
    source: Option<&'a str>,
    text: &'a str,
    /// `None` when it cannot be compared: then only the same text is the same version.
    version: Option<Version>,
}

impl<'a> Matcher<'a> {
    fn component(&mut self, component: &'a Component, ecosystem: &Ecosystem) {
        let (name, text) = match &component.source {
            Some(source) => (&source.name, &source.version),
            None => (&component.name, &component.version),
        };
        let name = canonical_name(component.kind, name);
        let tables: Vec<&'a Packages> = self.index.tables_of(ecosystem).collect();
        let mut entries = tables.iter().filter_map(|table| table.get(name.as_str())).flatten().peekable();
        if entries.peek().is_none() {
            return;
        }
        let version = Version::parse(scheme(component.kind), text);
        if let Err(error) = &version {
            self.problem(component.purl.as_str(), format!("its version cannot be compared: {error}"));
        }
        let source = component.source.as_ref().map(|source| source.name.as_str());
        let subject = Subject { component, source, text, version: version.ok() };
        for entry in entries {
            self.entry(&subject, entry);
        }
    }

    fn entry(&mut self, subject: &Subject<'a>, entry: &'a Entry) {
        let source = self.index.source(entry);
        match subject.reason(entry) {
            Some(reason) => match &subject.component.owner {
                Some(owner) => self.set_aside(subject.component, owner, source, reason),
                None => self.finding(subject, source, entry, reason),
            },
            None => {
                if let Some(error) = &entry.unreadable {
                    let what = format!("{} cannot be compared with it: {error}", source.id);
                    self.problem(subject.component.purl.as_str(), what);
                }
            }
        }
    }

    fn finding(&mut self, subject: &Subject<'a>, source: &'a Source, entry: &'a Entry, reason: String) {
        let component = subject.component;
        let key = (&*source.vulnerability, &component.purl);
        let draft = self.findings.entry(key).or_insert_with(|| Draft::new(component));
        draft.component = draft.component.min(component);
        draft.names.extend(source.names.iter().map(|name| &**name));
        draft.severity = draft.severity.max(entry.severity);
        let evidence = (&*source.id, self.index.feed(source));
        let (least_reason, fixed) =
            draft.advisories.entry(evidence).or_insert_with(|| (reason.clone(), Fixes::new()));
        if reason < *least_reason {
            *least_reason = reason;
        }
        fixed.extend(subject.fixes(entry));
    }

    fn set_aside(&mut self, component: &Component, owner: &Purl, source: &Source, reason: String) {
        self.set_aside.insert(SetAside {
            purl: component.purl.clone(),
            owner: owner.clone(),
            advisory: source.id.to_string(),
            feed: self.index.feed(source).clone(),
            reason,
        });
    }

    fn problem(&mut self, place: &str, what: String) {
        self.problems.insert(Problem { place: place.to_owned(), what });
    }
}

/// Fixed versions, lowest first. With their texts, as equal versions may be written differently.
type Fixes<'a> = BTreeSet<(&'a Version, &'a str)>;

impl Subject<'_> {
    /// Why the entry applies, if it does.
    fn reason(&self, entry: &Entry) -> Option<String> {
        let what = self
            .source
            .map_or_else(|| self.text.to_owned(), |source| format!("source {source} {}", self.text));
        if let Some(version) = &self.version {
            if let Some(interval) = entry.ranges.iter().find_map(|range| range.contains(version)) {
                return Some(format!("{what} in {interval} by {}", version.scheme()));
            }
            if entry.listed.iter().any(|listed| version.is_meant_by(listed)) {
                return Some(format!("{what} is listed as affected"));
            }
        }
        let same = entry.listed_text.iter().any(|listed| **listed == *self.text);
        same.then(|| format!("{what} is listed as affected"))
    }

    fn fixes<'e>(&self, entry: &'e Entry) -> impl Iterator<Item = (&'e Version, &'e str)> {
        let fixed = self.version.as_ref().map(|version| {
            entry
                .ranges
                .iter()
                .flat_map(move |range| range.fixed_after(version))
                .map(|fixed| (fixed, fixed.text()))
        });
        fixed.into_iter().flatten()
    }
}

/// A finding while advisories still add to it.
struct Draft<'a> {
    component: &'a Component,
    names: BTreeSet<&'a str>,
    severity: Severity,
    advisories: BTreeMap<(&'a str, &'a FeedId), (String, Fixes<'a>)>,
}

impl<'a> Draft<'a> {
    fn new(component: &'a Component) -> Self {
        Self { component, names: BTreeSet::new(), severity: Severity::Unknown, advisories: BTreeMap::new() }
    }

    fn finish(mut self, vulnerability: &str, purl: &Purl) -> Finding {
        self.names.remove(vulnerability);
        let fixed: Fixes<'_> = self.advisories.values().flat_map(|(_, fixed)| fixed).copied().collect();
        let fix = if fixed.is_empty() { FixState::NotFixed } else { FixState::Fixed(texts(&fixed)) };
        let evidence =
            |((id, feed), (reason, fixed)): ((&str, &FeedId), (String, Fixes<'_>))| AdvisoryMatch {
                advisory: id.to_owned(),
                feed: feed.clone(),
                reason,
                fixed_versions: texts(&fixed),
            };
        Finding {
            vulnerability: vulnerability.to_owned(),
            aliases: self.names.into_iter().map(str::to_owned).collect(),
            purl: purl.clone(),
            package: self.component.name.clone(),
            version: self.component.version.clone(),
            severity: self.severity,
            fix,
            advisories: self.advisories.into_iter().map(evidence).collect(),
        }
    }
}

/// Each version once, though feeds may write it differently.
fn texts(fixed: &Fixes<'_>) -> Vec<String> {
    let mut different: Vec<_> = fixed.iter().collect();
    different.dedup_by_key(|(version, _)| *version);
    different.into_iter().map(|(_, text)| (*text).to_owned()).collect()
}
