//! An index while it changes: advisories are taken out and put in, and then those whose names may mean
//! something else now are named anew.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use advisory::{Advisory, Affected, Ecosystem, scheme};
use model::FeedId;
use version::Scheme;

use super::{Entry, Place, Source, Standing, Table, Tables, entry_of, hash};
use crate::naming::Group;

/// Copies, of what is shared with an earlier state, only what is changed.
pub(super) struct Editor {
    tables: Tables,
    /// New ones, whose groups are to be named.
    added: Vec<u32>,
    /// Former names of joining ones, whose groups may have come apart.
    left: Vec<Box<str>>,
}

impl Editor {
    pub(super) fn new(tables: Tables) -> Self {
        Self { tables, added: Vec::new(), left: Vec::new() }
    }

    /// Puts an advisory in, beside what is there.
    pub(super) fn add(&mut self, feed: &FeedId, advisory: Advisory) {
        let comparable: Vec<(&Affected, Scheme)> = advisory
            .affected
            .iter()
            .filter_map(|affected| Some((affected, scheme(affected.ecosystem.kind()?)?)))
            .collect();
        let number = self.free_number();
        let feed = self.number_of(feed);
        let mut places = BTreeSet::new();
        for (affected, scheme) in comparable {
            let ecosystem = self.ecosystem(&affected.ecosystem);
            let package = if advisory.withdrawn {
                // It shows that its feed speaks of these packages, and says nothing of them.
                affected.package.as_str().into()
            } else {
                let entry = entry_of(affected, scheme, number, advisory.severity);
                self.table(&ecosystem).add(&affected.package, Arc::new(entry))
            };
            places.insert(Place { ecosystem, package });
        }
        let source = Source::of(&advisory, feed, places.into_iter().collect());
        for ecosystem in source.ecosystems() {
            self.table(ecosystem).speakers += 1;
        }
        for name in source.equal_names() {
            self.tables.names.insert((hash(name), number), ());
        }
        self.tables.sources.insert(number, Arc::new(source));
        self.tables.advisories += 1;
        self.added.push(number);
    }

    /// Takes out what a feed says under this id.
    pub(super) fn remove(&mut self, feed: &FeedId, id: &str) {
        let Some(feed) = self.tables.feeds.iter().position(|known| known == feed) else { return };
        let called = self.tables.called(id);
        let own = called.filter(|(_, source)| source.feed as usize == feed && *source.id == *id);
        for number in own.map(|(number, _)| number).collect::<Vec<_>>() {
            self.remove_number(number);
        }
    }

    fn remove_number(&mut self, number: u32) {
        let source = self.tables.sources.remove(&number).expect("it was found by its name");
        for name in source.equal_names() {
            self.tables.names.remove(&(hash(name), number));
        }
        if !source.is_withdrawn() {
            source
                .places
                .iter()
                .for_each(|place| self.table(&place.ecosystem).forget(&place.package, number));
        }
        for ecosystem in source.ecosystems() {
            let table = self.table(ecosystem);
            table.speakers -= 1;
            if table.speakers == 0 {
                self.tables.tables.remove(ecosystem);
            }
        }
        if source.standing == Standing::Joining {
            self.left.extend(source.equal_names().map(Into::into));
        }
        self.tables.advisories -= 1;
        self.tables.free.push(number);
    }

    /// The next state, when every advisory has its place.
    pub(super) fn finish(mut self) -> Tables {
        let mut seen = HashSet::new();
        let left = std::mem::take(&mut self.left);
        let orphans = left.iter().flat_map(|name| self.tables.joined_by(name).collect::<Vec<_>>());
        let of_changed: Vec<u32> = orphans.chain(std::mem::take(&mut self.added)).collect();
        for number in of_changed {
            let group = self.tables.group_of(number, &mut seen);
            self.tables.name(&group);
        }
        self.tables
    }

    fn free_number(&mut self) -> u32 {
        let next =
            || u32::try_from(self.tables.advisories).expect("there are fewer than four billion advisories");
        self.tables.free.pop().unwrap_or_else(next)
    }

    fn number_of(&mut self, feed: &FeedId) -> u32 {
        let feeds = &mut self.tables.feeds;
        let number = feeds.iter().position(|known| known == feed).unwrap_or_else(|| {
            feeds.push(feed.clone());
            feeds.len() - 1
        });
        u32::try_from(number).expect("there are fewer than four billion feeds")
    }

    /// The one copy of an ecosystem's name, whose table is there from now on.
    fn ecosystem(&mut self, ecosystem: &Ecosystem) -> Arc<Ecosystem> {
        if let Some((known, _)) = self.tables.tables.get_key_value(ecosystem) {
            return known.clone();
        }
        let new = Arc::new(ecosystem.clone());
        self.tables.tables.insert(new.clone(), Arc::default());
        new
    }

    fn table(&mut self, ecosystem: &Ecosystem) -> &mut Table {
        Arc::make_mut(self.tables.tables.get_mut(ecosystem).expect("it goes when nobody speaks of it"))
    }
}

impl Tables {
    /// The advisories that this is the id or an alias of.
    fn called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u32, &'a Arc<Source>)> {
        let hash = hash(name);
        let same = self.names.from(&(hash, 0)).take_while(move |((at, _), ())| *at == hash);
        let sources = same.filter_map(|((_, number), ())| Some((*number, self.sources.get(number)?)));
        sources.filter(move |(_, source)| source.equal_names().any(|own| own == name))
    }

    /// Those of them that speak of this name's vulnerability only.
    fn joined_by<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u32> {
        let joining = self.called(name).filter(|(_, source)| source.standing == Standing::Joining);
        joining.map(|(number, _)| number)
    }

    /// All that speak of the same vulnerability as this one, as far as they were not seen before.
    fn group_of(&self, number: u32, seen: &mut HashSet<u32>) -> Vec<u32> {
        let joins = |number| self.sources.get(&number).is_some_and(|s| s.standing == Standing::Joining);
        if !joins(number) || !seen.insert(number) {
            return Vec::new();
        }
        let (mut group, mut followed) = (vec![number], HashSet::new());
        let mut next = 0;
        while let Some(source) = group.get(next).and_then(|number| self.sources.get(number)) {
            next += 1;
            for name in source.equal_names().filter(|name| followed.insert(*name)) {
                group.extend(self.joined_by(name).filter(|other| seen.insert(*other)));
            }
        }
        group
    }

    /// Tells the members of a group what their vulnerability is called.
    fn name(&mut self, group: &[u32]) {
        let members: Vec<(u32, Arc<Source>)> =
            group.iter().filter_map(|number| Some((*number, self.sources.get(number)?.clone()))).collect();
        let best = Group::of(members.iter().map(|(_, source)| &**source));
        for (number, source) in &members {
            let name = best.name_of(source);
            if *source.vulnerability != *name {
                let renamed = Source { vulnerability: name.into(), ..Source::clone(source) };
                self.sources.insert(*number, Arc::new(renamed));
            }
        }
    }
}

impl Table {
    /// Keeps what is said of a package. Answers the one copy of its name.
    fn add(&mut self, package: &str, entry: Arc<Entry>) -> Arc<str> {
        if let Some(entries) = self.packages.get_mut(package) {
            Arc::make_mut(entries).push(entry);
            return self.packages.entry(package).map_or_else(|| package.into(), |(name, _)| name.clone());
        }
        let name: Arc<str> = package.into();
        self.packages.insert(name.clone(), Arc::new(vec![entry]));
        name
    }

    /// Drops what an advisory says of a package.
    fn forget(&mut self, package: &str, source: u32) {
        let Some(entries) = self.packages.get_mut(package) else { return };
        let entries = Arc::make_mut(entries);
        entries.retain(|entry| entry.source != source);
        if entries.is_empty() {
            self.packages.remove(package);
        }
    }
}
