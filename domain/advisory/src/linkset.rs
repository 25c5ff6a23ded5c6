//! What all feeds say of one vulnerability, side by side. Nothing is merged: where they disagree, that is kept with
//! who says what.
//!
//! Names that an advisory calls aliases of each other mean the same vulnerability, also where it takes several
//! advisories to see that. An advisory that names several CVEs speaks of all of them and joins none; nor does one that
//! only carries a vulnerability into a distribution. Both are members all the same.

mod saying;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::{Digest, FeedId};

use crate::{Advisory, Ecosystem};
use saying::Sayings;

/// Names that are followed at most, and members that are kept.
const NAMES_MAX: usize = 200;
const MEMBERS_MAX: usize = 500;

/// One feed's advisory in a linkset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The feed.
    pub feed: FeedId,
    /// Which revision.
    pub revision: u32,
    /// What it says.
    pub advisory: Advisory,
}

/// Who says something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory: String,
}

/// What sources may disagree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// How bad it is.
    Severity,
    /// Which versions are affected.
    Range,
    /// Which versions are fixed, or why there are none.
    Fix,
}

impl Field {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Range => "range",
            Self::Fix => "fix",
        }
    }
}

/// One side of a disagreement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// What is said, for people; cut where it is long.
    pub says: String,
    /// Who says it, sorted.
    pub sources: Vec<Source>,
}

/// A disagreement. Who says nothing of it takes no side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The package it is about; none where it is about the vulnerability itself.
    pub package: Option<Package>,
    /// On what.
    pub field: Field,
    /// At least two, sorted.
    pub sides: Vec<Side>,
}

/// A package, as advisories name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Which packages' world, and which release of it.
    pub ecosystem: Ecosystem,
    /// Its name.
    pub name: String,
}

/// All that is said of one vulnerability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linkset {
    /// Made from its names alone, so that it is the same wherever one began to look.
    pub id: Digest,
    /// What the vulnerability is called, sorted.
    pub names: Vec<String>,
    /// By feed and id.
    pub members: Vec<Member>,
    /// Packages that are spoken of, each with who does.
    pub packages: Vec<(Package, Vec<Source>)>,
    /// Sorted.
    pub conflicts: Vec<Conflict>,
    /// Whether more was there than is followed.
    pub cut: bool,
}

/// A linkset that is being gathered: ask for the advisories of [`names_to_ask`](Self::names_to_ask), [`add`](Self::add)
/// them, until there are no more names.
#[derive(Debug, Clone)]
pub struct Gathering {
    names: BTreeSet<String>,
    asked: BTreeSet<String>,
    members: BTreeMap<(FeedId, String), Member>,
    cut: bool,
}

impl Gathering {
    /// Begins with a name.
    pub fn of(name: &str) -> Self {
        Self {
            names: BTreeSet::from([name.to_owned()]),
            asked: BTreeSet::new(),
            members: BTreeMap::new(),
            cut: false,
        }
    }

    /// Names not asked for yet; none when it is complete.
    pub fn names_to_ask(&mut self) -> Vec<String> {
        let new: Vec<String> = self.names.difference(&self.asked).cloned().collect();
        self.asked.extend(new.iter().cloned());
        new
    }

    /// Adds advisories that call their vulnerability so, or that carry it.
    pub fn add(&mut self, found: impl IntoIterator<Item = Member>) {
        for member in found {
            let key = (member.feed.clone(), member.advisory.id.clone());
            if self.members.contains_key(&key) || !self.concerns(&member.advisory) {
                continue;
            }
            if self.members.len() == MEMBERS_MAX {
                self.cut = true;
                break;
            }
            self.members.insert(key, member);
        }
        while self.join() {}
    }

    /// Adds the names of members that call the vulnerability so, and do not only carry it; says whether one was new.
    fn join(&mut self) -> bool {
        let mut new = BTreeSet::new();
        for member in self.members.values() {
            let names = joined(&member.advisory);
            if names.iter().any(|name| self.names.contains(*name)) {
                new.extend(names.into_iter().filter(|name| !self.names.contains(*name)).map(str::to_owned));
            }
        }
        let room = NAMES_MAX - self.names.len();
        self.cut |= new.len() > room;
        let before = self.names.len();
        self.names.extend(new.into_iter().take(room));
        self.names.len() > before
    }

    fn concerns(&self, advisory: &Advisory) -> bool {
        let names = [&advisory.id].into_iter().chain(&advisory.aliases).chain(&advisory.upstream);
        names.into_iter().any(|name| self.names.contains(name))
    }

    /// The linkset; `None` when nobody speaks of it.
    pub fn finish(self) -> Option<Linkset> {
        if self.members.is_empty() {
            return None;
        }
        let names: Vec<String> = self.names.into_iter().collect();
        let members: Vec<Member> = self.members.into_values().collect();
        let sayings = Sayings::of(&members);
        Some(Linkset {
            id: Digest::of(names.join("\n").as_bytes()),
            packages: sayings.packages(),
            conflicts: sayings.conflicts(),
            names,
            members,
            cut: self.cut,
        })
    }
}

/// The names of one vulnerability that an advisory joins.
fn joined(advisory: &Advisory) -> Vec<&str> {
    let names = || [&advisory.id].into_iter().chain(&advisory.aliases).map(String::as_str);
    let cves = names().filter(|name| name.starts_with("CVE-")).collect::<BTreeSet<_>>().len();
    // A withdrawn one may have been withdrawn because it joined what is not the same.
    if cves > 1 || advisory.withdrawn { Vec::new() } else { names().collect() }
}
