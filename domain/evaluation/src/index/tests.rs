use advisory::{Affected, AffectedRange, RangeKind, Targets};
use model::Severity;
use version::Event;

use super::*;

fn feed() -> FeedId {
    "f".parse().unwrap()
}

fn advisory(number: usize, fixed: &str) -> Advisory {
    let events = vec![Event::Introduced("0".to_owned()), Event::Fixed(fixed.to_owned())];
    Advisory {
        id: format!("A-{number}"),
        aliases: vec![format!("CVE-2026-{number}")],
        upstream: vec![],
        published: None,
        modified: None,
        withdrawn: false,
        severity: Severity::High,
        affected: vec![Affected {
            ecosystem: Ecosystem::parse(if number.is_multiple_of(2) { "npm" } else { "PyPI" }),
            package: format!("p{}", number % 3_000),
            is_source: false,
            ranges: vec![AffectedRange { kind: RangeKind::Ecosystem, events }],
            versions: vec![],
            severity: None,
            no_fix: None,
            notice: None,
            targets: Targets::default(),
        }],
    }
}

#[test]
fn the_next_state_shares_what_has_not_changed() {
    let index = Index::build((0..20_000).map(|number| (feed(), advisory(number, "1.0.0"))));
    let changed = |number: usize| Changed {
        feed: feed(),
        id: format!("A-{number}"),
        now: Some(advisory(number, "2.0.0")),
    };
    let next = index.apply([changed(100), changed(7_300)]);
    let (old, new) = (&*index.0, &*next.0);
    let ecosystem = |name: &str| Ecosystem::parse(name);
    let tables = |tables: &Tables, name: &str| tables.tables[&ecosystem(name)].clone();
    assert!(Arc::ptr_eq(&tables(old, "PyPI"), &tables(new, "PyPI")), "nothing of it has changed");
    let apart = |(shared, all): (usize, usize)| all - shared;
    assert!(apart(new.sources.shared_with(&old.sources)) <= 2);
    let (old_npm, new_npm) = (tables(old, "npm"), tables(new, "npm"));
    assert!(apart(new_npm.packages.shared_with(&old_npm.packages)) <= 2);
}

#[test]
fn what_is_taken_out_leaves_nothing_behind() {
    let all: Vec<Advisory> = (0..600).map(|number| advisory(number, "1.0.0")).collect();
    let index = Index::build(all.iter().map(|advisory| (feed(), advisory.clone())));
    let gone = all.iter().map(|advisory| Changed { feed: feed(), id: advisory.id.clone(), now: None });
    let empty = index.apply(gone);
    assert!(empty.is_empty() && empty.ecosystems().next().is_none());
    let Tables { sources, free, tables, names, .. } = &*empty.0;
    assert!(sources.is_empty() && names.is_empty() && tables.is_empty());
    let again = empty.apply([Changed { feed: feed(), id: "A-1".to_owned(), now: Some(advisory(1, "1")) }]);
    assert_eq!((free.len(), again.0.free.len(), again.advisories()), (600, 599, 1));
}
