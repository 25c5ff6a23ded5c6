//! What the SBOM of a verdict adds to it: where components are, who brought them, what it is built on, and what of all
//! that keeps the result from being trusted.

use advisory::lifecycle;
use evaluation::coverage::{ended, late, of_image, told, unread};
use model::{Coverage, Finding, Gap, GapKind, Location, Sbom};
use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1 as wire;
use store::feeds::{Feed, Kind};
use store::verdicts::Verdict;
use time::OffsetDateTime;

use super::super::convert;
use super::super::errors::{Refusal, refuse};
use super::super::feeds::age;

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
    message.locations = locations.into_iter().map(location).collect();
}

pub(super) fn location(Location { layer, path }: Location) -> wire::Location {
    wire::Location { layer: i32::try_from(layer).unwrap_or(i32::MAX), path }
}

/// What the verdict lacks: what was kept with it, what of the image could not be read, and what time has done since.
pub(super) fn gaps(kept: Vec<Gap>, sbom: &Sbom, feeds: &[Feed], now: OffsetDateTime) -> Vec<wire::Gap> {
    let today = now.date().to_string();
    let over = sbom.distro.iter().filter_map(|distro| ended(distro, &today));
    let late = feeds.iter().filter(|feed| feed.late && feed.enabled && feed.kind == Kind::Advisories);
    let late = late.filter_map(|feed| late_feed(feed, now));
    let message =
        |Gap { kind, place, what }: Gap| wire::Gap { state: convert::gap_kind(kind).into(), place, what };
    told(kept.into_iter().chain(unread(sbom)).chain(over).chain(late)).into_iter().map(message).collect()
}

/// What was kept with the verdict; of one that was made before they were kept, as much as can be told: that there were no feeds, and what the image
/// lacks by itself. Of ecosystems that no feed spoke of its coverage says only that there were some.
pub(super) fn kept(verdict: &Verdict, sbom: &Sbom) -> Vec<Gap> {
    if let Some(kept) = &verdict.gaps {
        return kept.clone();
    }
    let none = Gap::new(GapKind::NoFeeds, "feeds", "no advisory was read when it was evaluated");
    let none = (verdict.coverage == Coverage::Provisional).then_some(none);
    of_image(sbom).into_iter().chain(none).collect()
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
