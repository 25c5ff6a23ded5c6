//! One name for each vulnerability, whatever names the feeds give it, so that it counts once.
//!
//! Names that an advisory calls aliases of each other mean the same vulnerability (OSV schema, "aliases"),
//! also where it takes several advisories to see that: these are a group. Two exceptions keep different
//! vulnerabilities apart: an advisory that names several CVEs speaks of all of them and joins no group, and a
//! group into which several CVEs came all the same lets each advisory keep the one that it names.

use std::collections::BTreeSet;

use crate::index::Source;

/// The best of the names of a group.
#[derive(Default)]
pub(crate) struct Group<'a> {
    cve: Option<&'a str>,
    /// The first of the others: GHSA before the rest, then by letter.
    other: Option<(bool, &'a str)>,
}

impl<'a> Group<'a> {
    /// Of everything that its advisories call themselves and each other.
    pub(crate) fn of(members: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut group = Self::default();
        for name in members.into_iter().flat_map(Source::equal_names) {
            if is_cve(name) {
                group.cve = Some(group.cve.map_or(name, |first| first.min(name)));
            } else {
                let rank = (!name.starts_with("GHSA-"), name);
                group.other = Some(group.other.map_or(rank, |first| first.min(rank)));
            }
        }
        group
    }

    /// What a member's vulnerability is called: its CVE where there is one, else the group's first name.
    pub(crate) fn name_of(&self, member: &'a Source) -> &'a str {
        // What it carries into a distribution (`upstream`) names it too, where it is one CVE.
        let upstream = member.upstream.iter().map(|name| &**name);
        let named: BTreeSet<&str> =
            member.equal_names().chain(upstream).filter(|name| is_cve(name)).collect();
        match (named.first(), named.len()) {
            (Some(only), 1) => only,
            (Some(_), _) => &member.id,
            (None, _) => self.cve.or(self.other.map(|(_, name)| name)).unwrap_or(&member.id),
        }
    }
}

/// Whether what has these names speaks of several CVEs.
pub(crate) fn names_several<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    names.filter(|name| is_cve(name)).collect::<BTreeSet<_>>().len() > 1
}

/// `CVE-` year `-` number.
fn is_cve(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = name.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(year, number)| digits(year) && digits(number))
}

#[cfg(test)]
mod tests {
    use advisory::{Advisory, Affected, Ecosystem, Targets};
    use model::Severity;

    use crate::Index;

    /// `ID: ALIAS ALIAS > UPSTREAM`
    fn advisory(text: &str) -> Advisory {
        let (id, rest) = text.split_once(':').unwrap();
        let (aliases, upstream) = rest.split_once('>').unwrap_or((rest, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let affected = Affected {
            ecosystem: Ecosystem::parse("npm"),
            package: "a".to_owned(),
            is_source: false,
            ranges: vec![],
            versions: vec![],
            severity: None,
            no_fix: None,
            notice: None,
            targets: Targets::default(),
        };
        Advisory {
            id: id.to_owned(),
            aliases: words(aliases),
            upstream: words(upstream),
            published: None,
            modified: None,
            withdrawn: false,
            severity: Severity::Unknown,
            affected: vec![affected],
        }
    }

    #[track_caller]
    fn check(advisories: &[&str], expected: &[&str]) {
        let parsed: Vec<_> = advisories.iter().map(|text| advisory(text)).collect();
        let names = |parsed: &[Advisory]| -> Vec<String> {
            let index = Index::build(parsed.iter().map(|a| ("f".parse().unwrap(), a.clone())));
            let name = |a: &Advisory| {
                index.sources().find(|(_, s)| *s.id == *a.id).unwrap().1.vulnerability.to_string()
            };
            parsed.iter().map(name).collect()
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
