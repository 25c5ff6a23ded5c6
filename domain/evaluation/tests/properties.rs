//! An evaluation is the same bytes whatever order advisories and components come in, and however the
//! advisories came together.

mod arbitrary;

use std::collections::BTreeMap;

use advisory::Advisory;
use arbitrary::{any_advisory, any_component};
use evaluation::packed::{About, Packed, PackedFeed, pack};
use evaluation::{Changed, Index, evaluate, explain, findings_digest};
use model::{Digest, Distro, FeedId, Sbom};
use proptest::prelude::*;
use proptest::sample::Index as Pick;

fn shuffled<T: Clone>(items: &[T], picks: &[Pick]) -> Vec<T> {
    let mut left = items.to_vec();
    let mut order = Vec::new();
    for pick in picks.iter().cycle() {
        if left.is_empty() {
            break;
        }
        order.push(left.swap_remove(pick.index(left.len())));
    }
    order
}

/// By feed and id, what each feed says of each of its advisories.
type State = BTreeMap<(FeedId, String), Advisory>;

fn built(state: &State) -> Index {
    Index::build(state.iter().map(|((feed, _), advisory)| (feed.clone(), advisory.clone())))
}

fn packed(index: &Index) -> Vec<u8> {
    let feed =
        |id: &str| PackedFeed { id: id.parse().expect("a name"), advisories: 1, unreadable: 0, newest: 7 };
    let about = About { state: Digest::of(b"state"), feeds: ["g", "f"].map(feed).to_vec() };
    let mut bytes = Vec::new();
    pack(index, &about, &mut bytes).expect("it is small");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_has_changed_makes_the_same_index_as_everything_that_there_is(
        first in prop::collection::vec(any_advisory(), 0..12),
        steps in prop::collection::vec(prop::collection::vec((any_advisory(), any::<bool>()), 0..5), 1..6),
        components in prop::collection::vec(any_component(), 0..8),
    ) {
        let distro = Some(Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None });
        let sbom = Sbom { distro, components, ..Sbom::default() };
        let answers = |index: &Index| {
            let explained = ["X-1", "x-2", "GHSA-1", "CVE-2026-0001", "CVE-2026-0002", "Y-1", "Z"];
            let ecosystems: Vec<_> = index.ecosystems().cloned().collect();
            (explained.map(|name| explain(&sbom, index, name)), ecosystems, index.advisories())
        };
        let key = |(feed, advisory): &(FeedId, Advisory)| (feed.clone(), advisory.id.clone());
        let mut state: State = first.into_iter().map(|own| (key(&own), own.1)).collect();
        let mut index = built(&state);
        for step in steps {
            let (before, former) = (answers(&index), index.clone());
            let mut changes = Vec::new();
            for (own, stays) in step {
                let (feed, id) = key(&own);
                let now = stays.then_some(own.1);
                match &now {
                    Some(advisory) => drop(state.insert((feed.clone(), id.clone()), advisory.clone())),
                    None => drop(state.remove(&(feed.clone(), id.clone()))),
                }
                changes.push(Changed { feed, id, now });
            }
            index = index.apply(changes);
            prop_assert_eq!(answers(&index), answers(&built(&state)));
            prop_assert_eq!(answers(&former), before, "the former state has changed");
        }
    }

    #[test]
    fn a_packed_index_answers_as_the_index_does(
        advisories in prop::collection::vec(any_advisory(), 0..12),
        components in prop::collection::vec(any_component(), 0..8),
        picks in prop::collection::vec(any::<Pick>(), 8),
    ) {
        let distro = Some(Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None });
        let sbom = Sbom { distro, components, ..Sbom::default() };
        let index = Index::build(advisories.clone());
        let bytes = packed(&index);
        prop_assert!(bytes == packed(&Index::build(shuffled(&advisories, &picks))), "other bytes in another order");
        let packed = Packed::open(bytes).expect("it was just packed");
        packed.verify().expect("it was just packed");
        prop_assert_eq!(packed.evaluate(&sbom).expect("it is there"), evaluate(&sbom, &index));
        for name in ["X-1", "x-2", "GHSA-1", "CVE-2026-0001", "CVE-2026-0002", "Y-1", "Z"] {
            prop_assert_eq!(packed.explain(&sbom, name).expect("it is there"), explain(&sbom, &index, name));
        }
    }

    #[test]
    fn order_does_not_change_the_bytes(
        advisories in prop::collection::vec(any_advisory(), 0..12),
        components in prop::collection::vec(any_component(), 0..8),
        picks in prop::collection::vec(any::<Pick>(), 8),
    ) {
        let distro = Some(Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None });
        let sbom = |components| Sbom { distro: distro.clone(), components, ..Sbom::default() };
        let first = evaluate(&sbom(components.clone()), &Index::build(advisories.clone()));
        let second = evaluate(&sbom(shuffled(&components, &picks)), &Index::build(shuffled(&advisories, &picks)));
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(findings_digest(&first.findings), findings_digest(&second.findings));
        prop_assert!(first.findings.is_sorted_by_key(|f| (&f.vulnerability, &f.purl)));
    }
}
