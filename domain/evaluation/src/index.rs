//! Advisories in the order in which matching asks for them: by ecosystem and release, then by package.
//!
//! Built once for each state of the advisories, never changed, shared by everyone who evaluates.
//! Only what matching needs is kept, and versions are parsed here, once, and not at each evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use advisory::{Advisory, Affected, Ecosystem, scheme};
use model::{FeedId, NoFix, Severity};
use version::{Range, Scheme, Version};

use crate::naming::Naming;

/// The advisories of all feeds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index(Arc<Tables>);

#[derive(Debug, Default)]
struct Tables {
    feeds: Vec<FeedId>,
    sources: Vec<Source>,
    packages: BTreeMap<Ecosystem, Packages>,
    /// Those that say nothing any more: each with its names and its feed.
    withdrawn: Vec<Source>,
    advisories: usize,
}

/// By canonical name, what is said of a package.
pub(crate) type Packages = BTreeMap<Box<str>, Vec<Entry>>;

/// An advisory, without what it says of packages.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: Box<str>,
    /// What the vulnerability is called in findings.
    pub(crate) vulnerability: Box<str>,
    /// All other names it gives.
    pub(crate) names: Box<[Box<str>]>,
    feed: u32,
}

/// What an advisory says of one package.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    source: u32,
    /// Whether it names what a package was built from, where others name the package itself.
    pub(crate) is_source: bool,
    pub(crate) severity: Severity,
    pub(crate) no_fix: Option<NoFix>,
    pub(crate) ranges: Box<[Range]>,
    /// Affected versions outside the ranges.
    pub(crate) listed: Box<[Version]>,
    /// Affected versions that cannot be compared, and match only themselves.
    pub(crate) listed_text: Box<[Box<str>]>,
    /// Why one of its ranges cannot be compared.
    pub(crate) unreadable: Option<Box<str>>,
}

impl Index {
    /// Indexes the current revision of every advisory, in any order.
    pub fn build(advisories: impl IntoIterator<Item = (FeedId, Advisory)>) -> Self {
        let mut builder = Builder::default();
        for (feed, advisory) in advisories {
            builder.add(feed, advisory);
        }
        builder.finish()
    }

    /// The advisories that speak of this vulnerability, by any of its names; withdrawn ones after the others.
    pub(crate) fn sources_called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Called<'a>> {
        let current = (0..).zip(&self.0.sources).map(|(at, source)| Called { source, at: Some(at) });
        let withdrawn = self.0.withdrawn.iter().map(|source| Called { source, at: None });
        current.chain(withdrawn).filter(move |called| called.source.is_called(name))
    }

    /// What the advisory with this number says of packages.
    pub(crate) fn entries_of(&self, at: u32) -> impl Iterator<Item = (&Ecosystem, &str, &Entry)> {
        let packages = self.0.packages.iter();
        packages.flat_map(move |(ecosystem, packages)| {
            let entries =
                packages.iter().flat_map(|(name, all)| all.iter().map(move |entry| (&**name, entry)));
            entries.filter(move |(_, e)| e.source == at).map(move |(name, entry)| (ecosystem, name, entry))
        })
    }

    /// What the advisories with these numbers say of packages.
    pub(crate) fn entries_of_any(
        &self,
        numbers: &BTreeSet<u32>,
    ) -> impl Iterator<Item = (&Ecosystem, &str, &Entry)> {
        let nothing = numbers.is_empty();
        let packages = self.0.packages.iter().filter(move |_| !nothing);
        packages.flat_map(move |(ecosystem, packages)| {
            let entries =
                packages.iter().flat_map(|(name, all)| all.iter().map(move |entry| (&**name, entry)));
            entries
                .filter(|(_, e)| numbers.contains(&e.source))
                .map(move |(name, entry)| (ecosystem, name, entry))
        })
    }

    /// What the vulnerability of each advisory that speaks is called.
    pub(crate) fn named(&self) -> impl Iterator<Item = Named<'_>> {
        (0..).zip(&self.0.sources).map(|(at, source)| Named {
            at,
            feed: self.feed(source),
            id: &source.id,
            vulnerability: &source.vulnerability,
        })
    }

    /// Whether it was built from no advisory at all.
    pub fn is_empty(&self) -> bool {
        self.0.advisories == 0
    }

    /// How many advisories it was built from, withdrawn and incomparable ones included.
    pub fn advisories(&self) -> usize {
        self.0.advisories
    }

    /// The ecosystems and releases that some advisory speaks of and whose versions we can compare.
    pub fn ecosystems(&self) -> impl Iterator<Item = &Ecosystem> {
        self.0.packages.keys()
    }

    /// Whether some advisory speaks of this ecosystem and release, or of all its releases.
    pub fn covers(&self, ecosystem: &Ecosystem) -> bool {
        self.tables_of(ecosystem).next().is_some()
    }

    /// What is said of this release's packages, and of all releases' packages.
    pub(crate) fn tables_of(&self, ecosystem: &Ecosystem) -> impl Iterator<Item = &Packages> {
        let every_release = Ecosystem { name: ecosystem.name.clone(), release: None };
        let general = ecosystem.release.is_some().then(|| self.0.packages.get(&every_release)).flatten();
        self.0.packages.get(ecosystem).into_iter().chain(general)
    }

    pub(crate) fn source(&self, entry: &Entry) -> &Source {
        &self.0.sources[entry.source as usize]
    }

    pub(crate) fn feed(&self, source: &Source) -> &FeedId {
        &self.0.feeds[source.feed as usize]
    }
}

/// An advisory found by name.
pub(crate) struct Called<'a> {
    pub(crate) source: &'a Source,
    /// Its number; `None` when it was withdrawn.
    pub(crate) at: Option<u32>,
}

/// An advisory, by its number, and what its vulnerability is called.
pub(crate) struct Named<'a> {
    pub(crate) at: u32,
    pub(crate) feed: &'a FeedId,
    pub(crate) id: &'a str,
    pub(crate) vulnerability: &'a str,
}

impl Source {
    fn is_called(&self, name: &str) -> bool {
        [&self.id, &self.vulnerability].into_iter().chain(&self.names).any(|n| n.eq_ignore_ascii_case(name))
    }
}

/// Names are chosen last, as any advisory may tell what another one's vulnerability is called.
#[derive(Default)]
struct Builder {
    tables: Tables,
    naming: Naming,
    feed_numbers: BTreeMap<FeedId, u32>,
    /// What becomes the sources: each advisory's feed, and the advisory without its packages.
    heads: Vec<(u32, Advisory)>,
}

impl Builder {
    fn add(&mut self, feed: FeedId, mut advisory: Advisory) {
        self.tables.advisories += 1;
        let affected = std::mem::take(&mut advisory.affected);
        let comparable = || affected.iter().filter_map(|a| Some((a, scheme(a.ecosystem.kind()?)?)));
        // A withdrawn advisory shows that its feed speaks of these packages, and says nothing of them.
        for (affected, _) in comparable() {
            if !self.tables.packages.contains_key(&affected.ecosystem) {
                self.tables.packages.insert(affected.ecosystem.clone(), Packages::new());
            }
        }
        let feed = self.number_of(feed);
        if advisory.withdrawn {
            self.tables.withdrawn.push(source_of(&advisory, feed, advisory.id.as_str().into()));
            return;
        }
        self.naming.add(&advisory);
        if comparable().next().is_none() {
            return;
        }
        let source = number(self.heads.len());
        for (affected, scheme) in comparable() {
            let entry = entry_of(affected, scheme, source, advisory.severity);
            let packages = self.tables.packages.get_mut(&affected.ecosystem).expect("it was put there above");
            packages.entry(affected.package.as_str().into()).or_default().push(entry);
        }
        self.heads.push((feed, advisory));
    }

    fn number_of(&mut self, feed: FeedId) -> u32 {
        let feeds = &mut self.tables.feeds;
        *self.feed_numbers.entry(feed).or_insert_with_key(|feed| {
            feeds.push(feed.clone());
            number(feeds.len() - 1)
        })
    }

    fn finish(mut self) -> Index {
        let groups = self.naming.groups();
        let sources = self.heads.iter().map(|(feed, head)| source_of(head, *feed, groups.name_of(head)));
        self.tables.sources = sources.collect();
        for entries in self.tables.packages.values_mut().flat_map(BTreeMap::values_mut) {
            entries.shrink_to_fit();
        }
        Index(Arc::new(self.tables))
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer than four billion advisories")
}

fn source_of(advisory: &Advisory, feed: u32, vulnerability: Box<str>) -> Source {
    let names = advisory.aliases.iter().chain(&advisory.upstream).chain([&advisory.id]);
    let others: BTreeSet<&str> = names.map(String::as_str).filter(|name| **name != *vulnerability).collect();
    Source {
        id: advisory.id.as_str().into(),
        names: others.into_iter().map(Into::into).collect(),
        vulnerability,
        feed,
    }
}

pub(crate) fn entry_of(affected: &Affected, scheme: Scheme, source: u32, severity: Severity) -> Entry {
    let (mut ranges, mut unreadable) = (Vec::new(), None);
    for range in &affected.ranges {
        match Range::parse(scheme, &range.events) {
            Ok(range) => ranges.push(range),
            Err(error) => unreadable = unreadable.max(Some(error.to_string().into_boxed_str())),
        }
    }
    let (mut listed, mut listed_text) = (BTreeSet::new(), BTreeSet::new());
    for text in &affected.versions {
        match Version::parse(scheme, text) {
            // Many feeds list what the range says already: no need to keep it twice.
            Ok(version) if ranges.iter().any(|range| range.contains(&version).is_some()) => {}
            Ok(version) => drop(listed.insert(version)),
            Err(_) => drop(listed_text.insert(text.as_str().into())),
        }
    }
    Entry {
        source,
        is_source: affected.is_source,
        severity: affected.severity.unwrap_or(severity),
        no_fix: affected.no_fix,
        ranges: ranges.into(),
        listed: listed.into_iter().collect(),
        listed_text: listed_text.into_iter().collect(),
        unreadable,
    }
}
