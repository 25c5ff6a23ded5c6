//! What has changed in meaning between two revisions of an advisory.
//!
//! Only what can change a finding counts: which packages it speaks of, which of their versions are affected, where
//! that is fixed and how bad it is, what the vulnerability is called, whether it was taken back. Prose, references
//! and dates do not, nor does the order in which a feed writes any of it. A feed's own `modified` is no guide:
//! some keep it constant, others raise it for a comma.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::{NoFix, Notice, Severity};
use version::Event;

use crate::{Advisory, Affected, Ecosystem, RangeKind, Targets};

/// How an advisory came to say something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It is new.
    Added,
    /// It says something else than before.
    Modified,
    /// It was taken back.
    Withdrawn,
    /// Its feed does not list it any more.
    Removed,
    /// It was taken back or not listed, and counts again.
    Restored,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Added, Self::Modified, Self::Withdrawn, Self::Removed, Self::Restored];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Withdrawn => "withdrawn",
            Self::Removed => "removed",
            Self::Restored => "restored",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What of an advisory has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Which packages it speaks of.
    Packages,
    /// Ranges of affected versions.
    Ranges,
    /// Affected versions that it lists.
    Versions,
    /// Versions in which it is fixed.
    Fix,
    /// How bad it is, for one of its packages or by itself.
    Severity,
    /// Why there is no fix, or that it is no vulnerability.
    Status,
    /// What else the vulnerability is called.
    Aliases,
    /// Whether it was taken back.
    Withdrawn,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 8] = [
        Self::Packages,
        Self::Ranges,
        Self::Versions,
        Self::Fix,
        Self::Severity,
        Self::Status,
        Self::Aliases,
        Self::Withdrawn,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Ranges => "ranges",
            Self::Versions => "versions",
            Self::Fix => "fix",
            Self::Severity => "severity",
            Self::Status => "status",
            Self::Aliases => "aliases",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The part with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == word)
    }
}

/// A change in meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// How.
    pub kind: Kind,
    /// What; none where there is nothing to compare with.
    pub parts: BTreeSet<Part>,
}

impl Delta {
    /// A change of which only the kind is known, so everything may be different.
    pub fn whole(kind: Kind) -> Self {
        Self { kind, parts: Part::ALL.into_iter().collect() }
    }
}

/// What has changed; `None` when both mean the same. `None` as an advisory: it is not listed.
pub fn compare(before: Option<&Advisory>, after: Option<&Advisory>) -> Option<Delta> {
    let bare = |kind| Some(Delta { kind, parts: BTreeSet::new() });
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => bare(Kind::Added),
        (Some(_), None) => bare(Kind::Removed),
        (Some(before), Some(after)) => {
            let mut parts = BTreeSet::new();
            compare_heads(before, after, &mut parts);
            compare_packages(before, after, &mut parts);
            let kind = match (before.withdrawn, after.withdrawn) {
                (false, true) => Kind::Withdrawn,
                (true, false) => Kind::Restored,
                (true, true) => {
                    // It says nothing, but that its feed speaks of these packages at all.
                    parts.retain(|part| *part == Part::Packages);
                    Kind::Modified
                }
                (false, false) => Kind::Modified,
            };
            (!parts.is_empty()).then_some(Delta { kind, parts })
        }
    }
}

fn compare_heads(before: &Advisory, after: &Advisory, parts: &mut BTreeSet<Part>) {
    if before.withdrawn != after.withdrawn {
        parts.insert(Part::Withdrawn);
    }
    if before.aliases != after.aliases || before.upstream != after.upstream {
        parts.insert(Part::Aliases);
    }
    // Where it speaks of packages its severity counts by them, below.
    if before.affected.is_empty() && after.affected.is_empty() && before.severity != after.severity {
        parts.insert(Part::Severity);
    }
}

fn compare_packages(before: &Advisory, after: &Advisory, parts: &mut BTreeSet<Part>) {
    let (before, after) = (packages(before), packages(after));
    if before.keys().ne(after.keys()) {
        parts.insert(Part::Packages);
    }
    for (package, old) in &before {
        if let Some(new) = after.get(package)
            && old != new
        {
            old.compare(new, parts);
        }
    }
}

/// Where something holds counts with the package: for another system it is another one.
type Package<'a> = (&'a Ecosystem, &'a str, bool, &'a Targets);

/// What is said beside a claim: how bad it is, why there is no fix, and what it is otherwise than a vulnerability.
type Beside = (Severity, (Option<NoFix>, Option<Notice>));

/// Something that is said of a package's versions.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    /// That it is affected at all: of an entry without versions.
    Named,
    Range(RangeKind, BTreeSet<&'a Event>),
    Version(&'a str),
}

/// All that is said of one package: each claim with what is said beside it. A feed may cut it into
/// entries as it likes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sayings<'a>(BTreeMap<Claim<'a>, BTreeSet<Beside>>);

fn packages(advisory: &Advisory) -> BTreeMap<Package<'_>, Sayings<'_>> {
    let mut all = BTreeMap::<_, Sayings<'_>>::new();
    for entry in &advisory.affected {
        let package = (&entry.ecosystem, entry.package.as_str(), entry.is_source, &entry.targets);
        all.entry(package).or_default().add(entry, advisory.severity);
    }
    all
}

impl<'a> Sayings<'a> {
    fn add(&mut self, entry: &'a Affected, usual: Severity) {
        let beside = (entry.severity.unwrap_or(usual), (entry.no_fix, entry.notice));
        let ranges = entry.ranges.iter().map(|range| Claim::Range(range.kind, range.events.iter().collect()));
        let versions = entry.versions.iter().map(|version| Claim::Version(version));
        let mut said = false;
        for claim in ranges.chain(versions) {
            self.0.entry(claim).or_default().insert(beside);
            said = true;
        }
        if !said {
            self.0.entry(Claim::Named).or_default().insert(beside);
        }
    }

    fn compare(&self, other: &Self, parts: &mut BTreeSet<Part>) {
        let mut differ = |part, differs: bool| {
            if differs {
                parts.insert(part);
            }
        };
        differ(Part::Ranges, self.claims(Part::Ranges).ne(other.claims(Part::Ranges)));
        differ(Part::Versions, self.claims(Part::Versions).ne(other.claims(Part::Versions)));
        differ(Part::Fix, self.fixes() != other.fixes());
        differ(Part::Severity, self.beside(other, |(severity, _)| *severity));
        differ(Part::Status, self.beside(other, |(_, status)| *status));
    }

    fn claims(&self, of: Part) -> impl Iterator<Item = &Claim<'a>> {
        self.0.keys().filter(move |claim| claim.part() == of)
    }

    fn fixes(&self) -> BTreeSet<&str> {
        let events = self.0.keys().flat_map(|claim| match claim {
            Claim::Range(_, events) => events.iter().copied().collect(),
            Claim::Named | Claim::Version(_) => Vec::new(),
        });
        let fixed = events.filter_map(|event| match event {
            Event::Fixed(version) => Some(version.as_str()),
            Event::Introduced(_) | Event::LastAffected(_) | Event::Limit(_) => None,
        });
        fixed.collect()
    }

    /// Whether what is said beside the claims differs: at a claim that both make, or else on the whole.
    fn beside<T: Ord>(&self, other: &Self, of: fn(&Beside) -> T) -> bool {
        let said = |all: &BTreeSet<_>| all.iter().map(of).collect::<BTreeSet<_>>();
        let mut common = 0_usize;
        for (claim, ours) in &self.0 {
            if let Some(theirs) = other.0.get(claim) {
                common += 1;
                if said(ours) != said(theirs) {
                    return true;
                }
            }
        }
        let whole = |sayings: &Self| sayings.0.values().flatten().map(of).collect::<BTreeSet<_>>();
        common == 0 && whole(self) != whole(other)
    }
}

impl Claim<'_> {
    const fn part(&self) -> Part {
        match self {
            Self::Named => Part::Packages,
            Self::Range(..) => Part::Ranges,
            Self::Version(_) => Part::Versions,
        }
    }
}
