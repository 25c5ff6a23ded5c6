//! Why a vulnerability holds for an image, or why it does not: the question of whoever expected otherwise.
//!
//! Every advisory that speaks of the vulnerability, under any of its names, answers for itself.

use std::collections::BTreeSet;

use advisory::Ecosystem;
use model::{Component, FeedId, Location, Purl, Sbom};

use crate::index::{Called, Entry};
use crate::machine::Machine;
use crate::matching::{Subject, UNREAD_MODULE, built_from, ecosystem_of, is_of_unread_module};
use crate::{Evaluation, Index, evaluate};

/// How many packages or ecosystems are named where an advisory speaks of many.
const NAMED: usize = 5;

/// What is known of one vulnerability in one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked for.
    pub vulnerability: String,
    /// One for each advisory and component; those that affect the image first. Never empty.
    pub reasons: Vec<Reason>,
    /// What makes an absent finding mean less than it seems: the gaps of the evaluation.
    pub evaluation: Evaluation,
}

/// What one advisory says, of one component where it speaks of one that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// How it ends.
    pub answer: Answer,
    /// The advisory's id and feed; `None` when no advisory speaks of it.
    pub advisory: Option<(String, FeedId)>,
    /// The component, and where it was seen.
    pub component: Option<(Purl, Vec<Location>)>,
    /// The comparison, or what else decides, for people.
    pub what: String,
}

/// How an advisory's word ends for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// The component is affected.
    Affected,
    /// It would be, but it is part of an OS package, of which the distributor has the word.
    OwnedByOs,
    /// It would be, but the advisory holds on other systems or processors only.
    OtherMachine,
    /// The component's version cannot be compared with what the advisory says.
    Incomparable,
    /// The component's version is not among the affected ones.
    Outside,
    /// None of the packages is in the image.
    Absent,
    /// The advisory speaks of other ecosystems or releases than the image has.
    Elsewhere,
    /// The advisory was taken back.
    Withdrawn,
    /// No advisory that was read speaks of it.
    Unknown,
}

impl Answer {
    /// Every answer, in its order.
    pub const ALL: [Self; 9] = [
        Self::Affected,
        Self::OwnedByOs,
        Self::OtherMachine,
        Self::Incomparable,
        Self::Outside,
        Self::Absent,
        Self::Elsewhere,
        Self::Withdrawn,
        Self::Unknown,
    ];

    /// The answer with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == word)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::OwnedByOs => "owned-by-os",
            Self::OtherMachine => "other-machine",
            Self::Incomparable => "incomparable",
            Self::Outside => "version-outside",
            Self::Absent => "absent",
            Self::Elsewhere => "elsewhere",
            Self::Withdrawn => "withdrawn",
            Self::Unknown => "unknown",
        }
    }
}

/// Explains what holds for this vulnerability, called by any of its names in any case.
pub fn explain(sbom: &Sbom, index: &Index, vulnerability: &str) -> Explanation {
    let (machine, distro) = (Machine::of(sbom), sbom.distro.as_ref().and_then(Ecosystem::of_distro));
    let explainer = Explainer { sbom, index, distro, machine };
    let called = index.sources_called(vulnerability);
    let mut reasons: BTreeSet<Reason> = called.flat_map(|called| explainer.advisory(&called)).collect();
    if reasons.is_empty() {
        let what = format!("none of the {} advisories that were read speaks of it", index.advisories());
        reasons.insert(Reason { answer: Answer::Unknown, advisory: None, component: None, what });
    }
    Explanation {
        vulnerability: vulnerability.to_owned(),
        reasons: reasons.into_iter().collect(),
        evaluation: evaluate(sbom, index),
    }
}

struct Explainer<'a> {
    sbom: &'a Sbom,
    index: &'a Index,
    distro: Option<Ecosystem>,
    machine: Machine,
}

impl Explainer<'_> {
    fn advisory(&self, called: &Called<'_>) -> Vec<Reason> {
        let advisory = (called.source.id.to_string(), self.index.feed(called.source).clone());
        let alone =
            |answer, what: String| Reason { answer, advisory: Some(advisory.clone()), component: None, what };
        let Some(at) = called.at else {
            return vec![alone(Answer::Withdrawn, "its publisher took it back".to_owned())];
        };
        let (mut reasons, mut absent, mut elsewhere) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (ecosystem, package, entry) in self.index.entries_of(at) {
            let Some(components) = self.components(ecosystem, package, entry) else {
                elsewhere.insert(ecosystem.to_string());
                continue;
            };
            if components.is_empty() {
                absent.insert(package);
            }
            for component in components {
                let (answer, what) = self.compare(component, entry);
                let seen = Some((component.purl.clone(), component.locations.clone()));
                reasons.push(Reason { answer, advisory: Some(advisory.clone()), component: seen, what });
            }
        }
        if reasons.is_empty() && !absent.is_empty() {
            let what = format!("the image has no {}", list(absent.into_iter(), "package"));
            reasons.push(alone(Answer::Absent, what));
        } else if reasons.is_empty() {
            let names = elsewhere.iter().map(String::as_str);
            reasons.push(alone(Answer::Elsewhere, format!("it speaks of {} only", list(names, "ecosystem"))));
        }
        reasons
    }

    /// The image's components that the advisory means; `None` when it means other ecosystems or releases.
    fn components(&self, ecosystem: &Ecosystem, package: &str, entry: &Entry) -> Option<Vec<&Component>> {
        let own = ecosystem_of(ecosystem.kind()?, self.distro.as_ref())?;
        if own.name != ecosystem.name || (ecosystem.release.is_some() && own.release != ecosystem.release) {
            return None;
        }
        let is_called = |c: &Component| match entry.is_source {
            true => built_from(c) == package,
            false => Subject::of(c).0 == package,
        };
        let means = |c: &&Component| Some(c.kind) == ecosystem.kind() && is_called(c);
        Some(self.sbom.components.iter().filter(means).collect())
    }

    fn compare(&self, component: &Component, entry: &Entry) -> (Answer, String) {
        if is_of_unread_module(component, self.distro.as_ref()) {
            return (Answer::Incomparable, UNREAD_MODULE.to_owned());
        }
        let (answer, what) = compare(component, entry);
        match self.machine.why_not(entry) {
            Some(why) if matches!(answer, Answer::Affected | Answer::OwnedByOs) => {
                (Answer::OtherMachine, format!("{what}; but {why}"))
            }
            _ => (answer, what),
        }
    }
}

fn compare(component: &Component, entry: &Entry) -> (Answer, String) {
    let (_, subject, unreadable) = Subject::of(component);
    if let Some(reason) = subject.reason(entry) {
        return match &component.owner {
            Some(owner) => (Answer::OwnedByOs, format!("{reason}; but its files belong to {owner}")),
            None => (Answer::Affected, reason),
        };
    }
    if let Some(why) =
        unreadable.map(|e| e.to_string()).or_else(|| entry.unreadable.as_deref().map(Into::into))
    {
        return (Answer::Incomparable, why);
    }
    let ranges = entry.ranges.iter().flat_map(|range| range.intervals()).map(ToString::to_string);
    let ranges: Vec<String> = ranges.collect();
    let listed = match entry.listed.len() + entry.listed_text.len() {
        0 => String::new(),
        1 => " and is not the version listed".to_owned(),
        more => format!(" and is none of the {more} versions listed"),
    };
    let ranges = list(ranges.iter().map(String::as_str), "range");
    let ranges = if ranges.is_empty() { "no range is given".to_owned() } else { format!("not in {ranges}") };
    (Answer::Outside, format!("{} {ranges}{listed}", subject.shown()))
}

/// The first few, and how many more there are.
fn list<'a>(names: impl Iterator<Item = &'a str>, one: &str) -> String {
    let all: Vec<&str> = names.collect();
    let shown = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        1 => format!("{shown} and 1 more {one}"),
        more => format!("{shown} and {more} more {one}s"),
    }
}
