//! Who belongs together, and what they disagree on.

use crate::Limits;
use crate::formats::by_word;

use super::*;

fn member(feed: &str, text: &str) -> Member {
    let osv = by_word("osv").expect("it is in the table");
    let (advisory, _) = (osv.parse)(text.as_bytes(), &Limits::default()).expect("it is readable");
    Member { feed: feed.parse().unwrap(), revision: 1, advisory }
}

/// Gathers from these as a store would hand them over.
fn gather(name: &str, all: &[Member]) -> Option<Linkset> {
    let mut gathering = Gathering::of(name);
    loop {
        let names = gathering.names_to_ask();
        if names.is_empty() {
            return gathering.finish();
        }
        let speaks = |member: &&Member| {
            let Advisory { id, aliases, upstream, .. } = &member.advisory;
            names.iter().any(|name| name == id || aliases.contains(name) || upstream.contains(name))
        };
        gathering.add(all.iter().filter(speaks).cloned());
    }
}

fn three() -> Vec<Member> {
    vec![
        member(
            "ghsa",
            r#"{"id":"GHSA-1","aliases":["CVE-2024-1"],"database_specific":{"severity":"HIGH"},
                "affected":[{"package":{"ecosystem":"PyPI","name":"Some.Thing"},
                "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2"}]}]}]}"#,
        ),
        member(
            "pypa",
            r#"{"id":"PYSEC-1","aliases":["GHSA-1"],
                "affected":[{"package":{"ecosystem":"PyPI","name":"some-thing"},"versions":["1.0"],
                "ranges":[{"type":"ECOSYSTEM","events":[{"fixed":"1.3"},{"introduced":"0"}]}]}]}"#,
        ),
        member(
            "debian",
            r#"{"id":"DSA-1","upstream":["CVE-2024-1","CVE-2024-2"],
                "affected":[{"package":{"ecosystem":"Debian:12","name":"something"},
                "ecosystem_specific":{"urgency":"low"},
                "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2-1"}]}]}]}"#,
        ),
    ]
}

#[test]
fn whichever_name_one_begins_with_it_is_the_same_linkset() {
    let all = three();
    let by_cve = gather("CVE-2024-1", &all).unwrap();
    assert_eq!(by_cve.names, ["CVE-2024-1", "GHSA-1", "PYSEC-1"]);
    let ids: Vec<_> = by_cve.members.iter().map(|member| member.advisory.id.as_str()).collect();
    assert_eq!(ids, ["DSA-1", "GHSA-1", "PYSEC-1"]);
    assert_eq!(gather("PYSEC-1", &all).as_ref(), Some(&by_cve));
    let reversed: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(gather("GHSA-1", &reversed).as_ref(), Some(&by_cve));
    assert_eq!(gather("CVE-2024-9", &reversed), None);
}

#[test]
fn what_carries_a_vulnerability_joins_nothing() {
    let other = gather("CVE-2024-2", &three()).unwrap();
    assert_eq!(other.names, ["CVE-2024-2"]);
    let ids: Vec<_> = other.members.iter().map(|member| member.advisory.id.as_str()).collect();
    assert_eq!(ids, ["DSA-1"]);
    let of_two = member("x", r#"{"id":"X-1","aliases":["CVE-2024-1","CVE-2024-2"]}"#);
    let mut all = three();
    all.push(of_two);
    assert_eq!(gather("CVE-2024-1", &all).unwrap().names, ["CVE-2024-1", "GHSA-1", "PYSEC-1"]);
}

#[test]
fn disagreement_is_kept_with_who_disagrees() {
    let linkset = gather("CVE-2024-1", &three()).unwrap();
    let source =
        |feed: &str, advisory: &str| Source { feed: feed.parse().unwrap(), advisory: advisory.to_owned() };
    let side = |says: &str, source: Source| Side { says: says.to_owned(), sources: vec![source] };
    let package = Some(Package { ecosystem: Ecosystem::parse("PyPI"), name: "some-thing".to_owned() });
    let (ghsa, pypa, debian) =
        (source("ghsa", "GHSA-1"), source("pypa", "PYSEC-1"), source("debian", "DSA-1"));
    let expected = [
        Conflict {
            package: None,
            field: Field::Severity,
            sides: vec![side("high", ghsa.clone()), side("low", debian.clone())],
        },
        Conflict {
            package: package.clone(),
            field: Field::Range,
            sides: vec![side("[0, 1.2)", ghsa.clone()), side("[0, 1.3)", pypa.clone())],
        },
        Conflict {
            package,
            field: Field::Fix,
            sides: vec![side("fixed in 1.2", ghsa), side("fixed in 1.3", pypa)],
        },
    ];
    assert_eq!(linkset.conflicts, expected);
    assert_eq!(linkset.packages.len(), 2);
}

#[test]
fn who_says_nothing_takes_no_side_and_the_withdrawn_say_nothing() {
    let mut all = three();
    all[0] = member("ghsa", r#"{"id":"GHSA-1","aliases":["CVE-2024-1"]}"#);
    assert_eq!(gather("CVE-2024-1", &all).unwrap().conflicts, []);
    let mut all = three();
    all[1].advisory.withdrawn = true;
    let linkset = gather("CVE-2024-1", &all).unwrap();
    let fields: Vec<_> = linkset.conflicts.iter().map(|conflict| conflict.field).collect();
    assert_eq!((linkset.members.len(), fields), (3, vec![Field::Severity]));
}

#[test]
fn names_that_lead_on_for_ever_are_followed_a_while() {
    let chain: Vec<_> =
        (0..300).map(|at| member("x", &format!(r#"{{"id":"A-{at}","aliases":["A-{}"]}}"#, at + 1))).collect();
    let linkset = gather("A-0", &chain).unwrap();
    assert!(linkset.cut && linkset.names.len() <= NAMES_MAX && linkset.members.len() <= MEMBERS_MAX);
}
