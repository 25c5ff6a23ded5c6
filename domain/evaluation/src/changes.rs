//! What differs between two results of an image, finding by finding.
//!
//! A finding is the same in both where it is of the same vulnerability and component. Vulnerabilities are renamed when
//! advisories learn of a CVE: two findings of one component whose names overlap are the same one under another name.
//! Nothing is left out: two results have no change between them exactly where their findings are equal.

use std::collections::{BTreeMap, BTreeSet};

use model::{AdvisoryMatch, Finding, FixState, VexWord};

/// How a finding differs. In this order they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is there now.
    Appeared,
    /// It is there no more.
    Resolved,
    /// It is there no more because whoever said so took it back.
    Withdrawn,
    /// It is called better or worse.
    SeverityChanged,
    /// There is a fix now.
    FixAvailable,
    /// It is fixed in other versions, or nowhere any more, or there is another reason why not.
    FixChanged,
    /// A supplier's word on it says now that it need not be looked at.
    Suppressed,
    /// It says so no more.
    Unsuppressed,
    /// It is told differently: another name, other evidence.
    Restated,
}

/// One difference of one finding. The places are those in the lists that were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// How it differs.
    pub kind: ChangeKind,
    /// The finding as it was; none where it appeared.
    pub before: Option<usize>,
    /// The finding as it is; none where it is there no more.
    pub after: Option<usize>,
}

/// In what two results differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apart {
    /// In what VEX says of a finding that both have.
    pub words: bool,
    /// In anything else.
    pub rest: bool,
}

impl Apart {
    /// By the changes between two lists of findings.
    pub fn of(changes: &[Change], before: &[Finding], after: &[Finding]) -> Self {
        let mut apart = Self::default();
        for change in changes {
            match (change.before, change.after) {
                (Some(old), Some(now)) => {
                    let (old, now) = (&before[old], &after[now]);
                    apart.words |= old.vex != now.vex;
                    apart.rest |= wordless(old) != wordless(now);
                }
                _ => apart.rest = true,
            }
        }
        apart
    }
}

/// All of a finding but what VEX says of it.
fn wordless(finding: &Finding) -> impl PartialEq + '_ {
    let Finding { vulnerability, aliases, purl, package, version, severity, fix, advisories, vex: _ } =
        finding;
    (vulnerability, aliases, purl, package, version, severity, fix, advisories)
}

impl ChangeKind {
    /// Every kind, in its order.
    pub const ALL: [Self; 9] = [
        Self::Appeared,
        Self::Resolved,
        Self::Withdrawn,
        Self::SeverityChanged,
        Self::FixAvailable,
        Self::FixChanged,
        Self::Suppressed,
        Self::Unsuppressed,
        Self::Restated,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Resolved => "resolved",
            Self::Withdrawn => "withdrawn",
            Self::SeverityChanged => "severity-changed",
            Self::FixAvailable => "fix-available",
            Self::FixChanged => "fix-changed",
            Self::Suppressed => "suppressed",
            Self::Unsuppressed => "unsuppressed",
            Self::Restated => "restated",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What differs, sorted by kind and then as the lists are. `is_gone` says of evidence whether its advisory was withdrawn
/// or is listed no more since. Findings that are equal in both may be left out of both.
pub fn changes(
    before: &[Finding],
    after: &[Finding],
    is_gone: impl Fn(&AdvisoryMatch) -> bool,
) -> Vec<Change> {
    let mut all = Vec::new();
    let Pairs { same, gone, new } = pairs(before, after);
    for (old, now) in same {
        let change = |kind| Change { kind, before: Some(old), after: Some(now) };
        all.extend(differences(&before[old], &after[now]).into_iter().map(change));
    }
    for old in gone {
        let withdrawn = before[old].advisories.iter().all(&is_gone);
        let kind = if withdrawn { ChangeKind::Withdrawn } else { ChangeKind::Resolved };
        all.push(Change { kind, before: Some(old), after: None });
    }
    all.extend(new.into_iter().map(|now| Change {
        kind: ChangeKind::Appeared,
        before: None,
        after: Some(now),
    }));
    all.sort_by_key(|change| (change.kind, change.after, change.before));
    all
}

/// How a finding differs from itself of before.
fn differences(before: &Finding, after: &Finding) -> Vec<ChangeKind> {
    let mut kinds = Vec::new();
    if before == after {
        return kinds;
    }
    if before.severity != after.severity {
        kinds.push(ChangeKind::SeverityChanged);
    }
    match (&before.fix, &after.fix) {
        (FixState::NotFixed(_), FixState::Fixed(_)) => kinds.push(ChangeKind::FixAvailable),
        (old, new) if old != new => kinds.push(ChangeKind::FixChanged),
        _ => {}
    }
    let is_suppressed = |finding: &Finding| finding.vex.as_ref().is_some_and(VexWord::suppresses);
    match (is_suppressed(before), is_suppressed(after)) {
        (false, true) => kinds.push(ChangeKind::Suppressed),
        (true, false) => kinds.push(ChangeKind::Unsuppressed),
        _ => {}
    }
    if kinds.is_empty() {
        kinds.push(ChangeKind::Restated);
    }
    kinds
}

/// Who is whom in two lists.
struct Pairs {
    same: Vec<(usize, usize)>,
    /// Only in the first.
    gone: Vec<usize>,
    /// Only in the second.
    new: Vec<usize>,
}

fn pairs(before: &[Finding], after: &[Finding]) -> Pairs {
    let mut now: BTreeMap<_, usize> = after.iter().enumerate().map(|(at, f)| (key(f), at)).collect();
    let mut same = Vec::new();
    let mut left: BTreeMap<_, usize> = BTreeMap::new();
    for (at, finding) in before.iter().enumerate() {
        match now.remove(&key(finding)) {
            Some(after) => same.push((at, after)),
            None => drop(left.insert(key(finding), at)),
        }
    }
    // Of those with other names, the first that shares one is the same; in the order of names, not of the lists.
    let mut by_name: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    let new: Vec<usize> = now.into_values().collect();
    for (rank, at) in new.iter().enumerate() {
        for name in names(&after[*at]) {
            by_name.entry((after[*at].purl.as_str(), name)).or_default().insert(rank);
        }
    }
    let mut renamed = BTreeSet::new();
    let mut gone = Vec::new();
    for at in left.into_values() {
        let purl = before[at].purl.as_str();
        let shared = names(&before[at]).filter_map(|name| by_name.get(&(purl, name)));
        match shared.flatten().filter(|rank| !renamed.contains(*rank)).min() {
            Some(rank) => {
                renamed.insert(*rank);
                same.push((at, new[*rank]));
            }
            None => gone.push(at),
        }
    }
    let new = new.into_iter().enumerate().filter(|(rank, _)| !renamed.contains(rank)).map(|(_, at)| at);
    Pairs { same, gone, new: new.collect() }
}

fn key(finding: &Finding) -> (&str, &str) {
    (&finding.vulnerability, finding.purl.as_str())
}

fn names(finding: &Finding) -> impl Iterator<Item = &str> {
    finding.aliases.iter().chain([&finding.vulnerability]).map(String::as_str)
}

#[cfg(test)]
mod tests;
