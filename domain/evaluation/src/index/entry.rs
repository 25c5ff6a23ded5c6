//! What is kept of an advisory, and of what it says of one package.

use std::collections::BTreeSet;
use std::sync::Arc;

use advisory::{Advisory, Affected, Ecosystem, Targets};
use model::{NoFix, Notice, Severity};
use version::{Range, Scheme, Version};

use crate::naming::names_several;

/// An advisory, without what it says of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) id: Box<str>,
    /// What the vulnerability is called in findings.
    pub(crate) vulnerability: Box<str>,
    /// Other names of the same vulnerability.
    pub(crate) aliases: Box<[Box<str>]>,
    /// The vulnerabilities that it carries into a distribution.
    pub(crate) upstream: Box<[Box<str>]>,
    pub(crate) feed: u32,
    pub(crate) standing: Standing,
    /// The packages that it speaks of, as far as we can compare their versions; each once.
    pub(crate) places: Box<[Place]>,
}

/// What an advisory is good for, beyond what it says of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its names are names of one vulnerability.
    Joining,
    /// It speaks of several vulnerabilities, and tells nothing about names.
    Apart,
    /// It says nothing any more, but shows that its feed speaks of these packages.
    Withdrawn,
}

/// A package, in its ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) ecosystem: Arc<Ecosystem>,
    pub(crate) package: Arc<str>,
}

/// What an advisory says of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The advisory's number.
    pub(crate) source: u32,
    /// Whether it names what a package was built from, where others name the package itself.
    pub(crate) is_source: bool,
    pub(crate) severity: Severity,
    pub(crate) no_fix: Option<NoFix>,
    pub(crate) notice: Option<Notice>,
    /// Most hold everywhere.
    pub(crate) targets: Option<Box<Targets>>,
    pub(crate) ranges: Box<[Range]>,
    /// Affected versions outside the ranges.
    pub(crate) listed: Box<[Version]>,
    /// Affected versions that cannot be compared, and match only themselves.
    pub(crate) listed_text: Box<[Box<str>]>,
    /// Why one of its ranges cannot be compared.
    pub(crate) unreadable: Option<Box<str>>,
}

impl Source {
    /// Of an advisory of this feed. What its vulnerability is called is told when all are there.
    pub(crate) fn of(advisory: &Advisory, feed: u32, places: Box<[Place]>) -> Self {
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let mut source = Self {
            id: advisory.id.as_str().into(),
            vulnerability: advisory.id.as_str().into(),
            aliases: boxed(&advisory.aliases),
            upstream: boxed(&advisory.upstream),
            feed,
            standing: Standing::Withdrawn,
            places,
        };
        if !advisory.withdrawn {
            let several = names_several(source.equal_names());
            source.standing = if several { Standing::Apart } else { Standing::Joining };
        }
        source
    }

    /// Its id and its aliases.
    pub(crate) fn equal_names(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().chain([&self.id]).map(|name| &**name)
    }

    /// All names it gives.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.equal_names().chain(self.upstream.iter().map(|name| &**name))
    }

    /// Everything that it is called, for a total order.
    pub(crate) fn names_in_order(&self) -> impl Ord {
        (&self.id, &self.vulnerability, &self.aliases, &self.upstream, self.is_withdrawn(), &self.places)
    }

    /// Whether this is one of its names, in any case.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.names().chain([&*self.vulnerability]).any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it says something of packages, or did.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_withdrawn() || !self.places.is_empty()
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.standing == Standing::Withdrawn
    }

    /// The ecosystems it speaks of, each once.
    pub(crate) fn ecosystems(&self) -> BTreeSet<&Arc<Ecosystem>> {
        self.places.iter().map(|place| &place.ecosystem).collect()
    }
}

/// Of what the advisory with this number says of a package whose versions compare by `scheme`.
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
        notice: affected.notice,
        targets: Some(&affected.targets)
            .filter(|targets| **targets != Targets::default())
            .map(|targets| Box::new(targets.clone())),
        ranges: ranges.into(),
        listed: listed.into_iter().collect(),
        listed_text: listed_text.into_iter().collect(),
        unreadable,
    }
}
