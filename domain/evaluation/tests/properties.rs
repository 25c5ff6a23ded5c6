//! An evaluation is the same bytes whatever order advisories and components come in.

mod arbitrary;

use arbitrary::{any_advisory, any_component};
use evaluation::{Index, evaluate, findings_digest};
use model::{Distro, Sbom};
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

proptest! {
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
