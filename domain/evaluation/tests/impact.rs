//! What a change of the advisories is said to touch, against what it does to results: an image whose result differs is
//! always among those touched, and one that has nothing of what the change speaks of is not.

mod arbitrary;

use std::collections::{BTreeMap, BTreeSet};

use advisory::Advisory;
use arbitrary::{any_advisory, any_component};
use evaluation::impact::{Change, Indexed, Key, Reach, indexed};
use evaluation::{Index, evaluate};
use model::{Distro, FeedId, Sbom};
use proptest::prelude::*;

type Advisories = BTreeMap<(FeedId, String), Advisory>;

fn any_advisories() -> impl Strategy<Value = Advisories> {
    let keyed = any_advisory().prop_map(|(feed, advisory)| ((feed, advisory.id.clone()), advisory));
    prop::collection::btree_map(any::<u8>(), keyed, 0..8).prop_map(|all| all.into_values().collect())
}

/// Some stay, some go, some come or say something else.
fn any_change() -> impl Strategy<Value = (Advisories, Advisories)> {
    (any_advisories(), any_advisories(), any_advisories()).prop_map(|(both, mut before, mut after)| {
        before.extend(both.clone());
        after.extend(both);
        (before, after)
    })
}

fn any_image() -> impl Strategy<Value = Sbom> {
    let releases = prop::sample::select(&["12", "11", ""][..]);
    let debian =
        |version: &str| Distro { id: "debian".to_owned(), version: version.to_owned(), codename: None };
    let distro = prop::option::weighted(0.8, releases.prop_map(debian));
    (distro, prop::collection::btree_set(any_component(), 0..5)).prop_map(|(distro, components)| Sbom {
        distro,
        components: components.into_iter().collect(),
        ..Sbom::default()
    })
}

fn index_of(advisories: &Advisories) -> Index {
    Index::build(advisories.iter().map(|((feed, _), advisory)| (feed.clone(), advisory.clone())))
}

fn changes(before: &Advisories, after: &Advisories) -> Vec<Change> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |key: &(FeedId, String)| Change {
        feed: key.0.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    };
    keys.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

/// As the planner does it: the dictionary is asked by number, what it answers is looked at.
fn is_selected(reach: &Reach, image: &Sbom) -> bool {
    let asked: BTreeSet<i64> = reach.keys().iter().map(Key::number).collect();
    let found = |entry: &Indexed| entry.keys().iter().any(|key| asked.contains(&key.number()));
    reach.is_everything() || indexed(image).iter().any(|entry| found(entry) && reach.touches(entry))
}

/// Whether the image has anything that is called as something that a change speaks of.
fn shares_a_name(changes: &[Change], image: &Sbom) -> bool {
    let spoken_of = changes.iter().flat_map(|change| [&change.before, &change.after]).flatten();
    let names: BTreeSet<_> = spoken_of.flat_map(|a| &a.affected).map(|a| a.package.as_str()).collect();
    let components = image.components.iter();
    let called = components.flat_map(|c| [Some(&c.name), c.source.as_ref().map(|source| &source.name)]);
    called.flatten().any(|name| names.contains(name.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_image_whose_result_differs_is_selected(
        (before, after) in any_change(), image in any_image(),
    ) {
        let changes = changes(&before, &after);
        let (then, now) = (index_of(&before), index_of(&after));
        let reach = Reach::of(&changes).across(&then, &now);
        if evaluate(&image, &then) != evaluate(&image, &now) {
            prop_assert!(is_selected(&reach, &image), "{changes:#?} misses {image:#?}");
        }
        // What is called otherwise, or covered otherwise, reaches further than the changes themselves.
        let alone = Reach::of(&changes);
        if !shares_a_name(&changes, &image) {
            prop_assert!(!is_selected(&alone, &image), "{changes:#?} selects {image:#?}");
        }
    }

    #[test]
    fn what_is_indexed_is_read_back(image in any_image()) {
        for entry in indexed(&image) {
            prop_assert_eq!(Indexed::parse(&entry.document()), Ok(entry));
        }
    }
}
