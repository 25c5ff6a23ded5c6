//! How far a result can be trusted: a silent feed and an unread layer are not a clean image.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use advisory::{Ecosystem, lifecycle};
use model::{Component, Coverage, Distro, Gap, GapKind, PackageKind, Sbom, ThirdParty};

use crate::Index;
use crate::matching::ecosystem_of;

/// Gaps of one state that are told and kept; whoever has more has trouble enough.
pub const GAPS_MAX: usize = 100;

/// Adds what is missing to `gaps`, and says what all of them come to.
pub(crate) fn assess(sbom: &Sbom, index: &Index, gaps: &mut BTreeSet<Gap>) -> Coverage {
    if index.is_empty() {
        gaps.insert(Gap::new(GapKind::NoFeeds, "feeds", "no advisory was read yet"));
        return Coverage::Provisional;
    }
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    gaps.extend(silent(sbom, distro.as_ref(), index));
    gaps.extend(of_image(sbom));
    if gaps.is_empty() && sbom.problems.is_empty() { Coverage::Complete } else { Coverage::Partial }
}

/// What the image lacks by itself, whatever advisories there are.
pub fn of_image(sbom: &Sbom) -> Vec<Gap> {
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    let mut gaps = of_distro(sbom, distro.as_ref());
    gaps.extend(nameless(sbom));
    gaps.extend(sbom.third_party.iter().map(third_party));
    gaps
}

/// What of the image could not be read when its SBOM was made.
pub fn unread(sbom: &Sbom) -> impl Iterator<Item = Gap> {
    sbom.problems.iter().map(|p| Gap::new(GapKind::PartialScan, p.place.as_str(), p.what.as_str()))
}

/// The first gaps of each state, each once and in their order.
pub fn told(gaps: impl IntoIterator<Item = Gap>) -> Vec<Gap> {
    let sorted: BTreeSet<Gap> = gaps.into_iter().collect();
    let mut told: BTreeMap<GapKind, usize> = BTreeMap::new();
    let is_told = |gap: &Gap| {
        let number = told.entry(gap.kind).or_default();
        *number += 1;
        *number <= GAPS_MAX
    };
    sorted.into_iter().filter(is_told).collect()
}

/// The distribution, when nobody cares for it any more on this day, written `2026-11-26`.
pub fn ended(distro: &Distro, today: &str) -> Option<Gap> {
    // Days that are written like this compare like the days.
    let day = lifecycle::end_of_life(distro).filter(|day| *day < today)?;
    let place = format!("{} {}", distro.id, distro.version);
    let what = format!("it is not cared for since {day}: no advisory may speak of it any more");
    Some(Gap::new(GapKind::EndOfLife, place, what))
}

/// A feed, when it was not read for longer than it may be; never read is too long.
pub fn late(feed: &str, age: Option<Duration>, limit: Duration) -> Option<Gap> {
    let what = match age {
        None => "it was never read".to_owned(),
        Some(age) if age > limit => {
            format!("it was not read for {} s, more than {}", age.as_secs(), limit.as_secs())
        }
        Some(_) => return None,
    };
    Some(Gap::new(GapKind::LateFeed, feed, what))
}

/// Ecosystems that no feed speaks of.
fn silent(sbom: &Sbom, distro: Option<&Ecosystem>, index: &Index) -> Vec<Gap> {
    let missing = |place: String, what: &str| Gap::new(GapKind::MissingFeed, place, what);
    let ecosystems = ecosystems(sbom, distro);
    let silent = ecosystems.iter().filter(|ecosystem| !index.covers(ecosystem));
    let mut gaps: Vec<Gap> = silent.map(|e| missing(e.to_string(), "no feed speaks of it")).collect();
    let of_no_ecosystem =
        |kind: &&PackageKind| !kind.is_of_distro() && Ecosystem::of_language(**kind).is_none();
    let unheard = |kind: &PackageKind| {
        missing(kind.as_str().to_owned(), "its packages are in no advisories that we read")
    };
    gaps.extend(own_kinds(sbom).iter().filter(of_no_ecosystem).map(unheard));
    gaps
}

/// The ecosystems that advisories have to speak of for an image to be covered.
pub(crate) fn ecosystems(sbom: &Sbom, distro: Option<&Ecosystem>) -> BTreeSet<Ecosystem> {
    let own = own_kinds(sbom).into_iter().filter_map(|kind| ecosystem_of(kind, distro));
    own.chain(distro.cloned()).collect()
}

/// A component that an OS package owns is spoken of by the distribution, which is asked for anyway.
fn own_kinds(sbom: &Sbom) -> BTreeSet<PackageKind> {
    sbom.components.iter().filter(|c| c.owner.is_none()).map(|component| component.kind).collect()
}

/// Advisories name what Maven builds by group and artifact; a file's name tells the artifact alone.
fn nameless(sbom: &Sbom) -> Option<Gap> {
    let is_nameless =
        |c: &&Component| c.kind == PackageKind::Maven && c.owner.is_none() && !c.name.contains(':');
    let number = sbom.components.iter().filter(is_nameless).count();
    let what = format!("no advisory can name its archives without a group: {number}");
    (number > 0).then(|| Gap::new(GapKind::PartialScan, "maven", what))
}

/// What is not known of the distribution.
fn of_distro(sbom: &Sbom, ecosystem: Option<&Ecosystem>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut unknown = |place: String, what: &str| gaps.push(Gap::new(GapKind::UnknownDistro, place, what));
    match (&sbom.distro, ecosystem) {
        (None, _) => {
            unknown("os-release".to_owned(), "nothing says which distribution the image is built on");
        }
        (Some(Distro { id, version, .. }), None) => {
            unknown(format!("{id} {version}"), "we read no packages of this distribution");
        }
        (Some(distro), Some(ecosystem)) if ecosystem.release.is_none() && ecosystem.has_releases() => {
            unknown(distro.id.clone(), "it does not say which release it is");
        }
        (Some(_), Some(_)) => {}
    }
    let at_home = ecosystem.and_then(Ecosystem::kind);
    let kinds: BTreeSet<_> = sbom.components.iter().map(|component| component.kind).collect();
    for kind in kinds.iter().filter(|kind| kind.is_of_distro() && Some(**kind) != at_home) {
        unknown(kind.as_str().to_owned(), "it is not known which distribution its packages come from");
    }
    // An image without them may have lost its database, by accident or to hide something.
    let lost = ecosystem.filter(|_| at_home.is_none_or(|kind| !kinds.contains(&kind)));
    gaps.extend(
        lost.map(|e| Gap::new(GapKind::PartialScan, e.to_string(), "none of its packages were found")),
    );
    gaps
}

/// How many packages are named where many come from elsewhere.
const NAMED: usize = 3;

fn third_party(ThirdParty { place, supplier, packages }: &ThirdParty) -> Gap {
    let what = match packages.as_slice() {
        [] => format!(
            "packages from {supplier} cannot be told from the distribution's, whose advisories do not mean them"
        ),
        packages => {
            let named: Vec<&str> = packages.iter().take(NAMED).map(|purl| purl.as_str()).collect();
            let more = if packages.len() > NAMED { ", …" } else { "" };
            let by =
                if supplier.is_empty() { "name no vendor".to_owned() } else { format!("are by {supplier}") };
            let number = packages.len();
            format!("{number} packages {by}, not by the distribution: {}{more}", named.join(", "))
        }
    };
    Gap::new(GapKind::ThirdParty, place.as_str(), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_state_the_first_are_told_and_no_state_is_lost() {
        let gap = |kind, number: usize| Gap::new(kind, format!("{number:04}"), "what");
        let many = (0..GAPS_MAX + 7).rev().map(|number| gap(GapKind::PartialScan, number));
        let told = told(many.chain([gap(GapKind::MissingFeed, 1), gap(GapKind::MissingFeed, 1)]));
        assert_eq!(told.len(), GAPS_MAX + 1);
        assert_eq!(told[0], gap(GapKind::MissingFeed, 1));
        assert_eq!(told[GAPS_MAX], gap(GapKind::PartialScan, GAPS_MAX - 1));
    }
}
