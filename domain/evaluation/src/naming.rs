//! One name for each vulnerability, whatever names the feeds give it, so that it counts once.
//!
//! Names that an advisory calls aliases of each other mean the same vulnerability (OSV schema, "aliases"),
//! also where it takes several advisories to see that. Two exceptions keep different vulnerabilities
//! apart: an advisory that names several CVEs speaks of all of them and joins none, and a group into
//! which several CVEs came all the same lets each advisory keep the one that it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use advisory::Advisory;

/// What is known of the names in all advisories.
#[derive(Debug, Default)]
pub(crate) struct Naming {
    numbers: HashMap<Box<str>, usize>,
    /// A number's parent; its own where it stands for its group.
    parents: Vec<usize>,
}

/// The names to choose from, by group.
pub(crate) struct Groups {
    numbers: HashMap<Box<str>, usize>,
    /// The group of each number.
    roots: Vec<usize>,
    best: BTreeMap<usize, Best>,
}

#[derive(Default)]
struct Best {
    cves: BTreeSet<Box<str>>,
    /// The first of the others: GHSA before the rest, then by letter.
    other: Option<(bool, Box<str>)>,
}

impl Naming {
    /// Takes note of an advisory's names.
    pub(crate) fn add(&mut self, advisory: &Advisory) {
        let names = equal_names(advisory);
        if names.iter().filter(|name| is_cve(name)).count() > 1 {
            self.number(&advisory.id);
            return;
        }
        let mut names = names.into_iter();
        let Some(first) = names.next().map(|name| self.number(name)) else { return };
        for name in names {
            let other = self.number(name);
            let (a, b) = (self.root(first), self.root(other));
            self.parents[a.max(b)] = a.min(b);
        }
    }

    /// When all advisories were added.
    pub(crate) fn groups(mut self) -> Groups {
        let roots: Vec<usize> = (0..self.parents.len()).map(|at| self.root(at)).collect();
        let mut best: BTreeMap<usize, Best> = BTreeMap::new();
        for (name, at) in &self.numbers {
            let group = best.entry(roots[*at]).or_default();
            if is_cve(name) {
                group.cves.insert(name.clone());
                continue;
            }
            let rank = (!name.starts_with("GHSA-"), name);
            if group.other.as_ref().is_none_or(|(later, other)| rank < (*later, other)) {
                group.other = Some((rank.0, name.clone()));
            }
        }
        Groups { numbers: self.numbers, roots, best }
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.parents.len();
        self.numbers.insert(name.into(), number);
        self.parents.push(number);
        number
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }
}

impl Groups {
    /// What the advisory's vulnerability is called: its CVE where there is one, else the group's first name.
    pub(crate) fn name_of(&self, advisory: &Advisory) -> Box<str> {
        // What it carries into a distribution (`upstream`) names it too, where it is one CVE.
        let named: BTreeSet<&str> = equal_names(advisory)
            .into_iter()
            .chain(advisory.upstream.iter().map(String::as_str))
            .filter(|name| is_cve(name))
            .collect();
        match named.len() {
            0 => {}
            1 => return named.into_iter().next().unwrap_or_default().into(),
            _ => return advisory.id.as_str().into(),
        }
        let number = self.numbers.get(advisory.id.as_str());
        let best = number.and_then(|number| self.best.get(&self.roots[*number]));
        let cve = best.and_then(|best| best.cves.first());
        let other = best.and_then(|best| best.other.as_ref()).map(|(_, name)| name);
        cve.or(other).cloned().unwrap_or_else(|| advisory.id.as_str().into())
    }
}

/// The advisory's id and its aliases.
fn equal_names(advisory: &Advisory) -> BTreeSet<&str> {
    advisory.aliases.iter().chain([&advisory.id]).map(String::as_str).collect()
}

/// `CVE-` year `-` number.
fn is_cve(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = name.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(year, number)| digits(year) && digits(number))
}

#[cfg(test)]
mod tests {
    use model::Severity;

    use super::*;

    /// `ID: ALIAS ALIAS > UPSTREAM`
    fn advisory(text: &str) -> Advisory {
        let (id, rest) = text.split_once(':').unwrap();
        let (aliases, upstream) = rest.split_once('>').unwrap_or((rest, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Advisory {
            id: id.to_owned(),
            aliases: words(aliases),
            upstream: words(upstream),
            published: None,
            modified: None,
            withdrawn: false,
            severity: Severity::Unknown,
            affected: vec![],
        }
    }

    #[track_caller]
    fn check(advisories: &[&str], expected: &[&str]) {
        let parsed: Vec<_> = advisories.iter().map(|text| advisory(text)).collect();
        let names = |parsed: &[Advisory]| -> Vec<String> {
            let mut naming = Naming::default();
            parsed.iter().for_each(|advisory| naming.add(advisory));
            let groups = naming.groups();
            parsed.iter().map(|advisory| groups.name_of(advisory).into()).collect()
        };
        assert_eq!(names(&parsed), expected, "{advisories:?}");
        let backwards: Vec<_> = parsed.into_iter().rev().collect();
        let mut again = names(&backwards);
        again.reverse();
        assert_eq!(again, expected, "{advisories:?} in another order");
    }

    #[test]
    fn a_name_is_found_over_any_number_of_advisories() {
        check(&["GHSA-1: CVE-2026-1", "PYSEC-1: GHSA-1", "X: PYSEC-1"], &["CVE-2026-1"; 3]);
    }

    #[test]
    fn without_a_cve_all_take_the_same_of_their_names() {
        check(&["R-1: GHSA-2 GHSA-1", "P-1: GHSA-2", "A-1:"], &["GHSA-1", "GHSA-1", "A-1"]);
    }

    #[test]
    fn an_advisory_of_several_cves_joins_nothing_and_is_called_by_its_id() {
        check(
            &["R-1: CVE-2026-1 CVE-2026-2", "GHSA-1: CVE-2026-1", "GHSA-2: CVE-2026-2"],
            &["R-1", "CVE-2026-1", "CVE-2026-2"],
        );
    }

    #[test]
    fn each_keeps_its_own_cve_where_feeds_disagree() {
        check(
            &["GHSA-1: CVE-2026-1", "P-1: GHSA-1 CVE-2026-2", "Q-1: GHSA-1"],
            &["CVE-2026-1", "CVE-2026-2", "CVE-2026-1"],
        );
    }

    #[test]
    fn what_a_distribution_mends_names_its_advisory_and_joins_nothing() {
        check(
            &["DSA-1: > CVE-2026-1", "DSA-2: > CVE-2026-1 CVE-2026-2", "G: CVE-2026-2"],
            &["CVE-2026-1", "DSA-2", "CVE-2026-2"],
        );
    }
}
