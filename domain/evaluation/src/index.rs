//! Advisories in the order in which matching asks for them: by ecosystem and release, then by package.
//!
//! Built once for each state of the advisories, never changed, shared by everyone who evaluates.
//! Only what matching needs is kept, and versions are parsed here, once, and not at each evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use advisory::{Advisory, Affected, Ecosystem, scheme};
use model::{FeedId, Severity};
use version::{Range, Scheme, Version};

/// The advisories of all feeds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index(Arc<Tables>);

#[derive(Debug, Default)]
struct Tables {
    feeds: Vec<FeedId>,
    sources: Vec<Source>,
    packages: BTreeMap<Ecosystem, Packages>,
    advisories: usize,
}

/// By canonical name, what is said of a package.
pub(crate) type Packages = BTreeMap<Box<str>, Vec<Entry>>;

/// An advisory, without what it says of packages.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: Box<str>,
    /// The CVE where it names exactly one, else itself.
    pub(crate) vulnerability: Box<str>,
    /// All other names it gives.
    pub(crate) names: Box<[Box<str>]>,
    feed: u32,
}

/// What an advisory says of one package.
#[derive(Debug)]
pub(crate) struct Entry {
    source: u32,
    pub(crate) severity: Severity,
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

#[derive(Default)]
struct Builder {
    tables: Tables,
    feed_numbers: BTreeMap<FeedId, u32>,
}

impl Builder {
    fn add(&mut self, feed: FeedId, advisory: Advisory) {
        self.tables.advisories += 1;
        let comparable = || advisory.affected.iter().filter_map(|a| Some((a, scheme(a.ecosystem.kind()?))));
        // A withdrawn advisory shows that its feed speaks of these packages, and says nothing of them.
        for (affected, _) in comparable() {
            if !self.tables.packages.contains_key(&affected.ecosystem) {
                self.tables.packages.insert(affected.ecosystem.clone(), Packages::new());
            }
        }
        if advisory.withdrawn || comparable().next().is_none() {
            return;
        }
        let feed = self.number_of(feed);
        let source = number(self.tables.sources.len());
        self.tables.sources.push(source_of(&advisory, feed));
        for (affected, scheme) in comparable() {
            let entry = entry_of(affected, scheme, source, advisory.severity);
            let packages = self.tables.packages.get_mut(&affected.ecosystem).expect("it was put there above");
            packages.entry(affected.package.as_str().into()).or_default().push(entry);
        }
    }

    fn number_of(&mut self, feed: FeedId) -> u32 {
        let feeds = &mut self.tables.feeds;
        *self.feed_numbers.entry(feed).or_insert_with_key(|feed| {
            feeds.push(feed.clone());
            number(feeds.len() - 1)
        })
    }

    fn finish(mut self) -> Index {
        for entries in self.tables.packages.values_mut().flat_map(BTreeMap::values_mut) {
            entries.shrink_to_fit();
        }
        self.tables.sources.shrink_to_fit();
        Index(Arc::new(self.tables))
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer than four billion advisories")
}

fn source_of(advisory: &Advisory, feed: u32) -> Source {
    let mut names: BTreeSet<&str> =
        advisory.aliases.iter().chain(&advisory.upstream).map(String::as_str).collect();
    names.insert(&advisory.id);
    let mut cves = names.iter().filter(|name| is_cve(name));
    let vulnerability = match (cves.next(), cves.next()) {
        (Some(cve), None) => cve,
        _ => advisory.id.as_str(),
    };
    let others = names.iter().filter(|name| **name != vulnerability).map(|name| (*name).into());
    Source {
        id: advisory.id.as_str().into(),
        vulnerability: vulnerability.into(),
        names: others.collect(),
        feed,
    }
}

/// `CVE-` year `-` number.
fn is_cve(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = name.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(year, number)| digits(year) && digits(number))
}

fn entry_of(affected: &Affected, scheme: Scheme, source: u32, severity: Severity) -> Entry {
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
        severity: affected.severity.unwrap_or(severity),
        ranges: ranges.into(),
        listed: listed.into_iter().collect(),
        listed_text: listed_text.into_iter().collect(),
        unreadable,
    }
}
