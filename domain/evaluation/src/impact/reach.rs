//! What a set of changes reaches: packages by name, ecosystems whose coverage changes, or everything.

use std::collections::{BTreeMap, BTreeSet};

use advisory::{Advisory, Affected, Ecosystem, scheme};
use model::{Component, FeedId, Severity};

use super::{Change, Indexed, Key, Package};
use crate::Index;
use crate::index::{Entry, entry_of};
use crate::matching::{Subject, built_from};

/// What changes of the advisories reach.
#[derive(Debug, Default)]
pub struct Reach {
    /// By ecosystem's name and package's name, what was or is said of it in which release.
    packages: BTreeMap<(String, String), Vec<Said>>,
    /// Ecosystems that feeds begin or cease to speak of.
    ecosystems: BTreeSet<Ecosystem>,
    everything: bool,
}

#[derive(Debug)]
struct Said {
    release: Option<String>,
    entry: Entry,
}

/// An advisory's word on a package with all that reaches a finding from the advisory's head: its names and severity.
type Word<'a> = (&'a str, [&'a [String]; 2], Severity, &'a Affected);

impl Reach {
    /// What the changes say of packages. That other advisories' findings are called otherwise, and that an ecosystem
    /// comes to be covered, is seen with [`Self::across`] only.
    pub fn of(changes: &[Change]) -> Self {
        let mut reach = Self::default();
        for change in changes {
            reach.change(change);
        }
        reach
    }

    /// With what only the whole shows: all advisories before the changes and after them.
    #[must_use]
    pub fn across(mut self, before: &Index, after: &Index) -> Self {
        self.everything |= before.is_empty() != after.is_empty();
        let covered = |index: &Index| index.ecosystems().cloned().collect::<BTreeSet<_>>();
        self.ecosystems.extend(covered(before).symmetric_difference(&covered(after)).cloned());
        self.rename(before, after);
        self
    }

    /// What this index says of a vulnerability, called by any of its names: which packages it is in.
    pub fn of_vulnerability(index: &Index, name: &str) -> Self {
        let mut reach = Self::default();
        for at in index.sources_called(name).filter_map(|called| called.at) {
            for (ecosystem, package, entry) in index.entries_of(at) {
                reach.say(ecosystem, package, entry.clone());
            }
        }
        reach
    }

    /// What this index says of all vulnerabilities that `is_meant` knows a name of: which packages they are in.
    pub fn of_vulnerabilities(index: &Index, is_meant: impl Fn(&str) -> bool) -> Self {
        let mut reach = Self::default();
        for (at, source) in index.sources().filter(|(_, source)| !source.is_withdrawn()) {
            if source.names().chain([&*source.vulnerability]).any(&is_meant) {
                for (ecosystem, package, entry) in index.entries_of(at) {
                    reach.say(ecosystem, package, entry.clone());
                }
            }
        }
        reach
    }

    /// What to ask the dictionary for.
    pub fn keys(&self) -> Vec<Key> {
        let ecosystems = self.ecosystems.iter().map(|ecosystem| Key::Ecosystem(ecosystem.name.clone()));
        let packages = self.packages.iter().flat_map(|((ecosystem, name), said)| {
            let ways: BTreeSet<bool> = said.iter().map(|said| said.entry.is_source).collect();
            let key =
                |is_source| Key::Package { ecosystem: ecosystem.clone(), name: name.clone(), is_source };
            ways.into_iter().map(key)
        });
        ecosystems.chain(packages).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether every image is touched, those of which the index knows nothing too.
    pub const fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether nothing is touched, whatever the images have.
    pub fn is_nothing(&self) -> bool {
        !self.everything && self.packages.is_empty() && self.ecosystems.is_empty()
    }

    /// Whether an image with this can have another result.
    pub fn touches(&self, indexed: &Indexed) -> bool {
        self.everything
            || match indexed {
                Indexed::Ecosystem(asked) => self.ecosystems.iter().any(|changed| speaks_of(changed, asked)),
                Indexed::Package(package) => self.touches_package(&package.ecosystem, &package.component),
            }
    }

    /// Whether this is a package version that one of the words reached says is affected.
    pub fn affects(&self, indexed: &Indexed) -> bool {
        let Indexed::Package(Package { ecosystem, component }) = indexed else { return false };
        let (name, subject, _) = Subject::of(component);
        self.said_of(ecosystem, component, &name).any(|said| subject.reason(&said.entry).is_some())
    }

    fn touches_package(&self, ecosystem: &Ecosystem, component: &Component) -> bool {
        let (name, subject, unreadable) = Subject::of(component);
        self.said_of(ecosystem, component, &name).any(|said| {
            // What cannot be compared is a problem, and problems are part of a result.
            let apart = unreadable.is_some() || said.entry.unreadable.is_some();
            apart || subject.reason(&said.entry).is_some()
        })
    }

    /// What is said of a package, which advisories call so, in its release.
    fn said_of<'a>(
        &'a self,
        ecosystem: &'a Ecosystem,
        component: &Component,
        name: &str,
    ) -> impl Iterator<Item = &'a Said> {
        let called = |name: &str, is_source| {
            let said = self.packages.get(&(ecosystem.name.clone(), name.to_owned()));
            said.into_iter().flatten().filter(move |said| said.entry.is_source == is_source)
        };
        let all = called(name, false).chain(called(built_from(component), true));
        all.filter(|said| said.release.is_none() || said.release == ecosystem.release)
    }

    fn change(&mut self, change: &Change) {
        let (before, after) = (words(change.before.as_ref()), words(change.after.as_ref()));
        for (.., severity, affected) in before.symmetric_difference(&after) {
            let Some(scheme) = affected.ecosystem.kind().and_then(scheme) else { continue };
            let entry = entry_of(affected, scheme, 0, *severity);
            self.say(&affected.ecosystem, &affected.package, entry);
        }
    }

    /// Advisories whose vulnerability is called otherwise, though they may not have changed themselves.
    fn rename(&mut self, before: &Index, after: &Index) {
        let renamed = renamed(before, after);
        for (index, other) in [(before, after), (after, before)] {
            let numbers: BTreeSet<u32> = index
                .named_apart_from(other)
                .filter(|named| renamed.contains(&(named.feed.as_str(), named.id)))
                .map(|n| n.at)
                .collect();
            for (ecosystem, package, entry) in index.entries_of_any(&numbers) {
                self.say(ecosystem, package, entry.clone());
            }
        }
    }

    fn say(&mut self, ecosystem: &Ecosystem, package: &str, entry: Entry) {
        let key = (ecosystem.name.clone(), package.to_owned());
        self.packages.entry(key).or_default().push(Said { release: ecosystem.release.clone(), entry });
    }
}

/// By feed and id. Those that are there on one side only have changed themselves.
fn renamed<'a>(before: &'a Index, after: &'a Index) -> BTreeSet<(&'a str, &'a str)> {
    let then: BTreeMap<_, _> = before
        .named_apart_from(after)
        .map(|named| ((named.feed.as_str(), named.id), named.vulnerability))
        .collect();
    let now =
        after.named_apart_from(before).map(|named| ((named.feed.as_str(), named.id), named.vulnerability));
    now.filter(|(advisory, name)| then.get(advisory).is_some_and(|then| then != name))
        .map(|(advisory, _)| advisory)
        .collect()
}

/// Whether what is said of the one counts for the other.
fn speaks_of(said: &Ecosystem, asked: &Ecosystem) -> bool {
    said.name == asked.name && (said.release.is_none() || said.release == asked.release)
}

fn words(advisory: Option<&Advisory>) -> BTreeSet<Word<'_>> {
    let Some(advisory) = advisory.filter(|advisory| !advisory.withdrawn) else { return BTreeSet::new() };
    let Advisory { id, aliases, upstream, severity, affected, .. } = advisory;
    affected.iter().map(|one| (id.as_str(), [&aliases[..], &upstream[..]], *severity, one)).collect()
}

/// The advisories that speak of a vulnerability, called by any of its names in any case; withdrawn ones too. Sorted.
pub fn advisories_called(index: &Index, name: &str) -> Vec<(FeedId, String)> {
    let called = index.sources_called(name);
    let all = called.map(|called| (index.feed(called.source).clone(), called.source.id.to_string()));
    all.collect::<BTreeSet<_>>().into_iter().collect()
}
