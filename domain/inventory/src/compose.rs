//! From the layers of an image to the files that are visible in it, and from those to its SBOM.

mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Component, PackageKind, Problem, Purl, Sbom};

use self::table::{Seen, Table};
use crate::ecosystems::found::held;
use crate::ecosystems::{ECOSYSTEMS, Ecosystem, File};
use crate::layer::{Also, Layer};
use crate::limits::Limits;
use crate::{os_release, path};

/// Puts an image together from its layers, the lowest first, and lists what is in it.
///
/// A file to which only a link leads may not have been kept; then the SBOM says so among its problems.
/// [`scan`](crate::scan) reads the layers concerned again instead.
pub fn compose(layers: &[Layer]) -> Sbom {
    let table = Table::new(layers);
    let also = table.wanted_through_links();
    let seen = table.seen(&also);
    let release = os_release::PLACES.iter().find_map(|place| seen.get(place.as_bytes()));
    let distro = release.and_then(|file| os_release::parse(&file.content));
    let (mut components, mut problems) = (Vec::new(), table.problems(&also));
    let (mut claims, mut room, mut third_party) = (Vec::new(), Limits::DEFAULT.found_bytes, BTreeSet::new());
    for ecosystem in ECOSYSTEMS {
        let mut files = files_for(*ecosystem, &seen);
        files.extend(table.notes(ecosystem.kind()));
        let (mut found, trouble) = ecosystem.extract(&files, distro.as_ref());
        claims.extend(ecosystem.owned(&files, &found));
        third_party.extend(ecosystem.third_party(&files, &found, distro.as_ref()));
        problems.extend(trouble);
        problems.extend(cut(&mut found, ecosystem.kind(), &mut room));
        components.extend(found);
    }
    let mut of_languages = components.iter_mut().filter(|c| !c.kind.is_of_distro()).peekable();
    // Resolving thousands of paths takes longer than all the rest, so it is done only if somebody asks.
    let claims = if of_languages.peek().is_some() { claims } else { Vec::new() };
    let owners: HashMap<String, Purl> = owned(&table, claims).collect();
    for component in of_languages {
        component.owner = component.locations.first().and_then(|at| owners.get(&at.path)).cloned();
    }
    Sbom {
        distro,
        base_layers: None,
        third_party: third_party.into_iter().collect(),
        components: merge(components),
        problems: bound(problems),
    }
}

/// What a further reading of the layers must keep so that no link leads to a file that is not there.
pub(crate) fn missing(layers: &[Layer]) -> Also {
    Table::new(layers).wanted_through_links()
}

/// Leaves only those for which there is room, and says how many others there are.
fn cut(found: &mut Vec<Component>, kind: PackageKind, room: &mut usize) -> Option<Problem> {
    let fits = |component: &&Component| {
        let left = room.checked_sub(held(component));
        left.inspect(|left| *room = *left).is_some()
    };
    let others = found.split_off(found.iter().take_while(fits).count()).len();
    let what = format!("{others} packages of {} are not listed: the image has too many", kind.as_str());
    (others > 0).then(|| Problem { place: "image".to_owned(), what })
}

fn files_for<'s>(ecosystem: &dyn Ecosystem, seen: &'s BTreeMap<Vec<u8>, Seen<'_>>) -> Vec<File<'s>> {
    let wanted = |(path, file): &(&Vec<u8>, &Seen<'_>)| {
        ecosystem.wants(path) && (ecosystem.follows_links() || !file.through_link)
    };
    let file =
        |(path, seen): (&'s Vec<u8>, &'s Seen<'_>)| File { path, layer: seen.layer, content: &seen.content };
    seen.iter().filter(wanted).map(file).collect()
}

/// Lists of files were written before directories became links (`/lib`): the names they use, and the real ones.
fn owned(table: &Table<'_>, claims: Vec<(Vec<u8>, Purl)>) -> impl Iterator<Item = (String, Purl)> {
    claims.into_iter().flat_map(|(claimed, owner)| {
        let real = table.resolve(&claimed).unwrap_or_default();
        [(path::printable(&claimed), owner.clone()), (path::printable(&real), owner)]
    })
}

/// Sorted, with the locations of what is the same gathered into one.
fn merge(mut components: Vec<Component>) -> Vec<Component> {
    components.sort_unstable();
    components.dedup_by(|next, first| {
        let same = is_same(first, next);
        if same {
            first.locations.append(&mut next.locations);
        }
        same
    });
    for component in &mut components {
        component.locations.sort_unstable();
        component.locations.dedup();
    }
    components
}

/// All but the locations.
fn is_same(a: &Component, b: &Component) -> bool {
    let parts = |c: &Component| (c.purl.clone(), c.kind, c.name.clone(), c.version.clone());
    parts(a) == parts(b) && a.architecture == b.architecture && a.source == b.source && a.owner == b.owner
}

/// A hostile image must not fill the SBOM with complaints.
fn bound(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_unstable();
    problems.dedup();
    let limit = Limits::DEFAULT.problems;
    if problems.len() > limit {
        let more = problems.len() - limit;
        problems.truncate(limit);
        problems.push(Problem { place: "image".to_owned(), what: format!("{more} more problems") });
    }
    problems
}
