//! How far a result can be trusted: a silent feed and an unread layer are not a clean image.

use std::collections::BTreeSet;

use advisory::Ecosystem;
use model::{Component, Coverage, PackageKind, Problem, Sbom};

use crate::Index;
use crate::matching::ecosystem_of;

/// Adds what is missing to `problems`, and says what all of them come to.
pub(crate) fn assess(sbom: &Sbom, index: &Index, problems: &mut BTreeSet<Problem>) -> Coverage {
    let mut missing = |place: String, what: &str| {
        problems.insert(Problem { place, what: what.to_owned() });
    };
    if index.is_empty() {
        missing("feeds".to_owned(), "no advisory was read yet");
        return Coverage::Provisional;
    }
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro);
    let mut silent = |ecosystem: &Ecosystem| {
        if !index.covers(ecosystem) {
            missing(ecosystem.to_string(), "no feed speaks of it");
        }
    };
    ecosystems(sbom, distro.as_ref()).iter().for_each(&mut silent);
    let of_no_ecosystem =
        |kind: &&PackageKind| !kind.is_of_distro() && Ecosystem::of_language(**kind).is_none();
    for kind in own_kinds(sbom).iter().filter(of_no_ecosystem) {
        missing(kind.as_str().to_owned(), "its packages are in no advisories that we read");
    }
    let nameless = sbom.components.iter().filter(|component| is_jar_without_group(component)).count();
    if nameless > 0 {
        missing(
            "maven".to_owned(),
            &format!("no advisory can name its archives without a group: {nameless}"),
        );
    }
    match (&sbom.distro, &distro) {
        (None, _) => {
            missing("os-release".to_owned(), "nothing says which distribution the image is built on")
        }
        (Some(distro), None) => {
            missing(format!("{} {}", distro.id, distro.version), "we read no packages of this distribution");
        }
        (Some(distro), Some(ecosystem)) => {
            if ecosystem.release.is_none() && ecosystem.has_releases() {
                missing(distro.id.clone(), "it does not say which release it is");
            }
            // An image without them may have lost its database, by accident or to hide something.
            if !sbom.components.iter().any(|component| Some(component.kind) == ecosystem.kind()) {
                missing(ecosystem.to_string(), "none of its packages were found");
            }
        }
    }
    let at_home = distro.as_ref().and_then(Ecosystem::kind);
    let kinds: BTreeSet<_> = sbom.components.iter().map(|component| component.kind).collect();
    for kind in kinds.into_iter().filter(|kind| kind.is_of_distro() && Some(*kind) != at_home) {
        missing(kind.as_str().to_owned(), "it is not known which distribution its packages come from");
    }
    if problems.is_empty() && sbom.problems.is_empty() { Coverage::Complete } else { Coverage::Partial }
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
fn is_jar_without_group(component: &Component) -> bool {
    component.kind == PackageKind::Maven && component.owner.is_none() && !component.name.contains(':')
}
