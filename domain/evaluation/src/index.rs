//! Advisories in the order in which matching asks for them: by ecosystem and release, then by package.
//!
//! One state of the advisories, never changed, shared by everyone who evaluates. The next state is made of
//! it by what has changed ([`Index::apply`]), and shares with it whatever has not. Only what matching needs
//! is kept, and versions are parsed here, once, and not at each evaluation.

mod edit;
mod entry;
mod excerpt;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use advisory::{Advisory, Ecosystem};
use model::FeedId;

pub(crate) use self::entry::{Entry, Place, Source, Standing, entry_of};
pub(crate) use self::excerpt::Excerpt;
use crate::chunks::Chunks;
use edit::Editor;

/// The advisories of all feeds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Index(Arc<Tables>);

/// What one feed says of one advisory now, when that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub id: String,
    /// What it says now; `None` when it is not listed any more.
    pub now: Option<Advisory>,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    feeds: Vec<FeedId>,
    /// By number. A number that became free is given away again.
    sources: Chunks<u32, Arc<Source>>,
    free: Vec<u32>,
    tables: BTreeMap<Arc<Ecosystem>, Arc<Table>>,
    /// Which advisories are called so, or call themselves the same: by the name's hash.
    names: Chunks<(u64, u32), ()>,
    advisories: usize,
}

/// What is said of an ecosystem's packages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// How many advisories speak of the ecosystem, withdrawn ones included.
    speakers: usize,
    /// By canonical name.
    packages: Chunks<Arc<str>, Entries>,
}

type Entries = Arc<Vec<Arc<Entry>>>;

impl Index {
    /// Indexes the current revision of every advisory, in any order.
    pub fn build(advisories: impl IntoIterator<Item = (FeedId, Advisory)>) -> Self {
        let mut editor = Editor::new(Tables::default());
        for (feed, advisory) in advisories {
            editor.add(&feed, advisory);
        }
        Self(Arc::new(editor.finish()))
    }

    /// The index of the next state: the same in every answer as one that is built from all of it. It costs
    /// what the changes touch; this one stays as it is.
    #[must_use]
    pub fn apply(&self, changes: impl IntoIterator<Item = Changed>) -> Self {
        let mut editor = Editor::new(Tables::clone(&self.0));
        for Changed { feed, id, now } in changes {
            editor.remove(&feed, &id);
            if let Some(advisory) = now {
                editor.add(&feed, advisory);
            }
        }
        Self(Arc::new(editor.finish()))
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
        self.0.tables.keys().map(|ecosystem| &**ecosystem)
    }

    /// Whether some advisory speaks of this ecosystem and release, or of all its releases.
    pub fn covers(&self, ecosystem: &Ecosystem) -> bool {
        self.tables_of(ecosystem).next().is_some()
    }

    /// What is said of this release's packages, and of all releases' packages.
    pub(crate) fn tables_of(&self, ecosystem: &Ecosystem) -> impl Iterator<Item = &Table> {
        let every_release = Ecosystem { name: ecosystem.name.clone(), release: None };
        let general = ecosystem.release.is_some().then(|| self.0.tables.get(&every_release)).flatten();
        self.0.tables.get(ecosystem).into_iter().chain(general).map(|table| &**table)
    }

    /// What the vulnerability of each advisory that speaks is called; where one of the two states was made of the other,
    /// of few beside those for which that differs.
    pub(crate) fn named_apart_from(&self, other: &Self) -> impl Iterator<Item = Named<'_>> {
        let apart = self.0.sources.apart_from(&other.0.sources).map(|(at, source)| (*at, &**source));
        let speaking = apart.filter(|(_, source)| source.is_heard() && !source.is_withdrawn());
        speaking.map(|(at, source)| Named {
            at,
            feed: self.feed(source),
            id: &source.id,
            vulnerability: &source.vulnerability,
        })
    }

    /// Every advisory, with its number.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (u32, &Source)> {
        self.0.sources.iter().map(|(number, source)| (*number, &**source))
    }

    /// The advisory with this number, which is there.
    pub(crate) fn numbered(&self, number: u32) -> &Source {
        self.0.sources.get(&number).expect("a number goes with its advisory")
    }

    /// What is said of each package of exactly this ecosystem and release.
    pub(crate) fn packages_of(&self, ecosystem: &Ecosystem) -> impl Iterator<Item = (&str, &[Arc<Entry>])> {
        let tables = self.0.tables.get(ecosystem).into_iter();
        tables.flat_map(|table| table.packages.iter()).map(|(name, entries)| (&**name, entries.as_slice()))
    }

    /// The advisories that speak of this vulnerability, by any of its names, withdrawn ones included.
    pub(crate) fn sources_called(&self, name: &str) -> impl Iterator<Item = Called<'_>> {
        let called = self.sources().filter(move |(_, source)| source.is_heard() && source.is_called(name));
        called.map(|(at, source)| Called { source, at: (!source.is_withdrawn()).then_some(at) })
    }

    /// What the advisories with these numbers say of packages.
    pub(crate) fn entries_of_any(
        &self,
        numbers: &BTreeSet<u32>,
    ) -> impl Iterator<Item = (&Ecosystem, &str, &Entry)> {
        numbers.iter().flat_map(|number| self.entries_of(*number))
    }

    /// What the advisory with this number says of packages.
    pub(crate) fn entries_of(&self, number: u32) -> impl Iterator<Item = (&Ecosystem, &str, &Entry)> {
        let source = self.0.sources.get(&number).filter(|source| !source.is_withdrawn());
        let places = source.into_iter().flat_map(|source| &source.places);
        places.flat_map(move |place| {
            let table = self.0.tables.get(&place.ecosystem).into_iter();
            let entries = table.flat_map(|table| table.called(&place.package));
            entries
                .filter(move |entry| entry.source == number)
                .map(|entry| (&*place.ecosystem, &*place.package, entry))
        })
    }

    pub(crate) fn source(&self, entry: &Entry) -> &Source {
        self.numbered(entry.source)
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

impl Table {
    /// What is said under this name.
    pub(crate) fn called(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.packages.get(name).into_iter().flat_map(|entries| entries.iter()).map(|entry| &**entry)
    }
}

/// Only ever compared within one process.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
