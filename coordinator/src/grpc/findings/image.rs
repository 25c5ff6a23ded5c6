//! What the SBOM of a verdict adds to it: where components are, who brought them, what it is built on, and what of all
//! that keeps the result from being trusted.

use std::collections::BTreeMap;

use advisory::lifecycle;
use evaluation::coverage::{ended, late, of_image, unread};
use model::{Coverage, Finding, Gap, GapKind, Location, Sbom};
use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1 as wire;
use store::feeds::Feed;
use time::OffsetDateTime;

use super::super::convert;
use super::super::errors::{Refusal, refuse};
use super::super::feeds::age;

/// Gaps of one state that are told; whoever has more has trouble enough.
const GAPS_MAX: usize = 100;

/// A stored SBOM.
pub(super) fn read(document: &[u8]) -> Result<Sbom, Refusal> {
    inventory::sbom::parse(document).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "stored SBOM is refused");
        refuse(ErrorReason::DataCorrupt)
    })
}

/// Adds where the finding's component was seen, and who brought it.
pub(super) fn place(message: &mut wire::Finding, finding: &Finding, sbom: &Sbom) {
    let locations = sbom.locations(&finding.purl);
    message.origin = convert::origin(sbom.origin(&locations)).into();
    let location = |Location { layer, path }: Location| wire::Location {
        layer: i32::try_from(layer).unwrap_or(i32::MAX),
        path,
    };
    message.locations = locations.into_iter().map(location).collect();
}

/// What the verdict lacks: that there were no feeds when it was made, what the image lacks by itself, and what time has
/// done since. Ecosystems that no feed spoke of are not kept with a verdict; its coverage says that there were some.
pub(super) fn gaps(coverage: Coverage, sbom: &Sbom, feeds: &[Feed], now: OffsetDateTime) -> Vec<wire::Gap> {
    let today = now.date().to_string();
    let none = Gap::new(GapKind::NoFeeds, "feeds", "no advisory was read when it was evaluated");
    let none = (coverage == Coverage::Provisional).then_some(none);
    let over = sbom.distro.iter().filter_map(|distro| ended(distro, &today));
    let late = feeds.iter().filter(|feed| feed.late && feed.enabled);
    let late = late.filter_map(|feed| late_feed(feed, now));
    let mut gaps = of_image(sbom);
    gaps.extend(none.into_iter().chain(unread(sbom)).chain(over).chain(late));
    gaps.sort();
    gaps.dedup();
    let mut told: BTreeMap<GapKind, usize> = BTreeMap::new();
    gaps.retain(|gap| {
        let number = told.entry(gap.kind).or_default();
        *number += 1;
        *number <= GAPS_MAX
    });
    let message =
        |Gap { kind, place, what }: Gap| wire::Gap { state: convert::gap_kind(kind).into(), place, what };
    gaps.into_iter().map(message).collect()
}

fn late_feed(feed: &Feed, now: OffsetDateTime) -> Option<Gap> {
    late(feed.id.as_str(), age(feed, now), feed.promise)
}

/// What the image is built on, and whether anybody cares for it today.
pub(super) fn distro(sbom: &Sbom, now: OffsetDateTime) -> Option<wire::Distro> {
    let distro = sbom.distro.as_ref()?;
    Some(wire::Distro {
        id: distro.id.clone(),
        version: distro.version.clone(),
        end_of_life: lifecycle::end_of_life(distro).unwrap_or_default().to_owned(),
        ended: ended(distro, &now.date().to_string()).is_some(),
    })
}
