//! Who says what, and where that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use model::Severity;
use version::{Event, Range};

use super::{Conflict, Field, Member, Package, Side, Source};
use crate::{Advisory, Affected, scheme};

/// Characters of what is said that are shown.
const SHOWN: usize = 300;

type Said = BTreeMap<String, BTreeSet<Source>>;

/// All sayings, by what they are about. Withdrawn advisories say nothing.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    packages: BTreeMap<Package, BTreeSet<Source>>,
    said: BTreeMap<(Option<Package>, Field), Said>,
}

impl Sayings {
    pub(super) fn of(members: &[Member]) -> Self {
        let mut all = Self::default();
        for member in members.iter().filter(|member| !member.advisory.withdrawn) {
            let source = Source { feed: member.feed.clone(), advisory: member.advisory.id.clone() };
            all.add(&source, &member.advisory);
        }
        all
    }

    fn add(&mut self, source: &Source, advisory: &Advisory) {
        let worst = advisory.affected.iter().filter_map(|entry| entry.severity).chain([advisory.severity]);
        if let Some(worst) = worst.max().filter(|severity| *severity != Severity::Unknown) {
            self.say(None, Field::Severity, source, worst.as_str().to_owned());
        }
        let mut entries = BTreeMap::<Package, Vec<&Affected>>::new();
        for entry in &advisory.affected {
            let package = Package { ecosystem: entry.ecosystem.clone(), name: entry.package.clone() };
            entries.entry(package).or_default().push(entry);
        }
        for (package, entries) in entries {
            self.packages.entry(package.clone()).or_default().insert(source.clone());
            if let Some(range) = range(&entries) {
                self.say(Some(package.clone()), Field::Range, source, range);
            }
            self.say(Some(package), Field::Fix, source, fix(&entries));
        }
    }

    fn say(&mut self, package: Option<Package>, field: Field, source: &Source, says: String) {
        let said = self.said.entry((package, field)).or_default();
        said.entry(says).or_default().insert(source.clone());
    }

    pub(super) fn packages(&self) -> Vec<(Package, Vec<Source>)> {
        let sorted = self.packages.iter();
        sorted.map(|(package, sources)| (package.clone(), sources.iter().cloned().collect())).collect()
    }

    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        let disputed = self.said.iter().filter(|(_, said)| said.len() > 1);
        let conflicts = disputed.map(|((package, field), said)| Conflict {
            package: package.clone(),
            field: *field,
            sides: said
                .iter()
                .map(|(says, sources)| Side { says: shown(says), sources: sources.iter().cloned().collect() })
                .collect(),
        });
        conflicts.collect()
    }
}

/// The affected versions in one spelling: the intervals of all ranges or, where there is none, the listed versions.
/// Where the ecosystem's versions cannot be compared, the events as they are.
fn range(entries: &[&Affected]) -> Option<String> {
    let ranges = || entries.iter().flat_map(|entry| entry.ranges.iter().map(move |range| (entry, range)));
    let mut texts = BTreeSet::new();
    for (entry, range) in ranges() {
        let scheme = entry.ecosystem.kind().and_then(scheme);
        match scheme.and_then(|scheme| Range::parse(scheme, &range.events).ok()) {
            Some(range) => texts.extend(range.intervals().iter().map(ToString::to_string)),
            None => drop(texts.insert(spelled(&range.events))),
        }
    }
    if ranges().next().is_none() {
        texts = entries.iter().flat_map(|entry| entry.versions.iter().cloned()).collect();
    }
    (!texts.is_empty()).then(|| texts.into_iter().collect::<Vec<_>>().join(", "))
}

fn spelled(events: &[Event]) -> String {
    let events: BTreeSet<&Event> = events.iter().collect();
    let mut text = String::new();
    for event in events {
        let (word, version) = match event {
            Event::Introduced(version) => ("from", version),
            Event::Fixed(version) => ("before", version),
            Event::LastAffected(version) => ("through", version),
            Event::Limit(version) => ("below", version),
        };
        let gap = if text.is_empty() { "" } else { " " };
        write!(text, "{gap}{word} {version}").expect("a string takes everything");
    }
    text
}

fn fix(entries: &[&Affected]) -> String {
    let events = entries.iter().flat_map(|entry| entry.ranges.iter().flat_map(|range| &range.events));
    let fixed: BTreeSet<&str> = events
        .filter_map(|event| match event {
            Event::Fixed(version) => Some(version.as_str()),
            Event::Introduced(_) | Event::LastAffected(_) | Event::Limit(_) => None,
        })
        .collect();
    if !fixed.is_empty() {
        return format!("fixed in {}", fixed.into_iter().collect::<Vec<_>>().join(", "));
    }
    let reason = entries.iter().filter_map(|entry| entry.no_fix).max();
    reason.map_or("no fix", |reason| reason.as_str()).to_owned()
}

fn shown(says: &str) -> String {
    match says.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &says[..at]),
        None => says.to_owned(),
    }
}
