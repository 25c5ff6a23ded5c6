//! What is kept of all layers, laid over each other: the upper layer's word counts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::{PackageKind, Problem};

use crate::ecosystems::{ECOSYSTEMS, File, Note, condense, problem, want};
use crate::layer::{Also, Item, Layer};
use crate::limits::Limits;
use crate::links::{self, Budget, TooManyLinks};
use crate::os_release;

/// The kept paths of an image that no layer hides.
pub(super) struct Table<'a> {
    layers: &'a [Layer],
    links: Budget,
    slots: BTreeMap<&'a [u8], Slot<'a>>,
}

/// What is at a path, and the layer that put it there.
#[derive(Clone, Copy)]
struct Slot<'a> {
    layer: u32,
    item: &'a Item,
}

impl<'a> Slot<'a> {
    fn notes(&self) -> Option<&'a [Note]> {
        match self.item {
            Item::Executable(notes) => Some(notes),
            _ => None,
        }
    }

    /// A link to a link: what the first leads to has to be kept, also where this layer hides the first.
    const fn is_link_below(&self) -> bool {
        matches!(self.item, Item::HardLinkBelow(_))
    }

    const fn is_file(&self) -> bool {
        matches!(self.item, Item::File(_) | Item::Whole(_))
    }
}

/// A visible file under a name that an ecosystem knows.
pub(super) struct Seen<'a> {
    pub(super) layer: u32,
    pub(super) content: Cow<'a, [u8]>,
    /// Found by following a symbolic link at that name.
    pub(super) through_link: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(layers: &'a [Layer]) -> Self {
        let mut slots: BTreeMap<&[u8], Slot<'_>> = BTreeMap::new();
        for (layer, number) in layers.iter().zip(0..) {
            let mut upper: Vec<(&[u8], Slot<'_>)> = Vec::with_capacity(layer.items.len());
            for (path, item) in &layer.items {
                // A hard link to what only lower layers have: a runtime makes it before anything is hidden.
                let below = match item {
                    Item::HardLinkBelow(target) => {
                        slots.get(target.as_slice()).filter(|s| s.is_file() || s.is_link_below())
                    }
                    Item::PerhapsBelow(target) => {
                        slots.get(target.as_slice()).filter(|s| s.notes().is_some())
                    }
                    _ => None,
                };
                upper.push((path, Slot { layer: number, item: below.map_or(item, |slot| slot.item) }));
            }
            let mut hiding = layer.nodes.hiding();
            slots.retain(|path, _| !hiding.hides(path));
            slots.extend(upper);
        }
        Self { layers, links: Budget::new(&Limits::DEFAULT), slots }
    }

    /// Where a path really is, every link on the way followed.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, TooManyLinks> {
        let target_of = |at: &[u8]| match self.slots.get(at)?.item {
            Item::Symlink(target) => Some(target.as_slice()),
            _ => None,
        };
        links::resolve(path, &self.links, target_of)
    }

    /// The files that are wanted but were not kept, because only links lead to them.
    pub(super) fn wanted_through_links(&self) -> Also {
        let mut also = Also::default();
        for place in places() {
            // A file that is wanted where it really is was kept already (`/etc/os-release` of most images).
            if let Ok(real) = self.resolve(place)
                && real != place
                && !want(&real)
            {
                also.aliases.insert((real, place.to_vec()));
            }
        }
        for (path, slot) in &self.slots {
            match slot.item {
                Item::HardLink(target) | Item::HardLinkBelow(target) => {
                    also.files.insert(target.clone());
                }
                Item::Symlink(_) if is_wanted_link(path, &also) => {
                    also.files.extend(self.resolve(path).ok().filter(|real| self.content(real).is_none()));
                }
                _ => {}
            }
        }
        also
    }

    /// The visible files, by the names under which ecosystems want them.
    pub(super) fn seen(&self, also: &Also) -> BTreeMap<Vec<u8>, Seen<'a>> {
        let mut seen = BTreeMap::new();
        for (path, slot) in &self.slots {
            let names: Vec<_> = also.names_of(path).chain(want(path).then(|| path.to_vec())).collect();
            if names.is_empty() {
                continue;
            }
            let through_link = matches!(slot.item, Item::Symlink(_));
            let real = if through_link { self.resolve(path).ok() } else { Some(path.to_vec()) };
            let Some((layer, content)) = real.and_then(|real| self.content(&real)) else { continue };
            for name in names {
                let content = content.under(&name);
                seen.entry(name).or_insert(Seen { layer, content, through_link });
            }
        }
        seen
    }

    /// What an ecosystem found in the visible executables.
    pub(super) fn notes(&self, kind: PackageKind) -> impl Iterator<Item = File<'a>> + '_ {
        self.slots.iter().flat_map(move |(path, slot)| {
            let notes = slot.notes().unwrap_or_default().iter().filter(move |note| note.kind == kind);
            notes.map(|note| File { path, layer: slot.layer, content: &note.content })
        })
    }

    /// Wanted files that are visible but could not be taken in, and links that lead nowhere.
    pub(super) fn problems(&self, also: &Also) -> Vec<Problem> {
        let mut problems = self.refused();
        for place in places().filter(|place| self.resolve(place).is_err()) {
            problems.push(problem(
                0,
                place,
                "is reached through links that lead in a circle, or are too many",
            ));
        }
        for (path, slot) in &self.slots {
            let trouble = match slot.item {
                Item::HardLinkBelow(target) if !self.layers.iter().any(|l| l.nodes.has_leaf(target)) => {
                    "is a hard link to a file that is in no layer"
                }
                Item::HardLink(_) | Item::HardLinkBelow(_) => "is a hard link to a file that was not kept",
                Item::Symlink(_) if want(path) && self.resolve(path).is_err() => {
                    "is a link that leads in a circle, or over too many links"
                }
                _ => continue,
            };
            problems.push(problem(slot.layer, path, trouble));
        }
        problems.extend(self.unread(also));
        problems
    }

    fn refused(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let mut above: Vec<_> = self.layers[at + 1..].iter().map(|layer| layer.nodes.hiding()).collect();
            for (path, why) in &layer.refused {
                if layer.nodes.has_leaf(path) && !above.iter_mut().any(|upper| upper.hides(path)) {
                    problems.push(problem(u32::try_from(at).unwrap_or(u32::MAX), path, why));
                }
            }
        }
        problems
    }

    fn unread(&self, also: &Also) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (layer, number) in self.layers.iter().zip(0..) {
            for (real, place) in &also.aliases {
                if !layer.also.aliases.contains(&(real.clone(), place.clone())) && layer.holds(real) {
                    problems.push(problem(number, real, "stands for another place, and was not read for it"));
                }
            }
            for file in also.files.difference(&layer.also.files) {
                if layer.nodes.has_leaf(file) {
                    problems.push(problem(number, file, "is wanted through a link, and was not kept"));
                }
            }
        }
        problems
    }

    fn content(&self, path: &[u8]) -> Option<(u32, Content<'a>)> {
        let slot = self.slots.get(path)?;
        match slot.item {
            Item::File(content) => Some((slot.layer, Content::Condensed(content))),
            Item::Whole(content) => Some((slot.layer, Content::Whole(content))),
            Item::Executable(_)
            | Item::Symlink(_)
            | Item::HardLink(_)
            | Item::HardLinkBelow(_)
            | Item::PerhapsBelow(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Content<'a> {
    Condensed(&'a [u8]),
    Whole(&'a [u8]),
}

impl<'a> Content<'a> {
    fn under(self, name: &[u8]) -> Cow<'a, [u8]> {
        match self {
            Self::Condensed(content) => Cow::Borrowed(content),
            Self::Whole(content) => Cow::Owned(condense(name, content.to_vec())),
        }
    }
}

fn places() -> impl Iterator<Item = &'static [u8]> {
    let fixed = ECOSYSTEMS.iter().flat_map(|e| e.places().iter());
    fixed.chain(&os_release::PLACES).map(|place| place.as_bytes())
}

/// A symbolic link that is as good as a wanted file. The places themselves have their aliases.
fn is_wanted_link(path: &[u8], also: &Also) -> bool {
    let follows = |name: &[u8]| ECOSYSTEMS.iter().any(|e| e.follows_links() && e.wants(name));
    !places().any(|place| place == path) && (follows(path) || also.names_of(path).any(|name| follows(&name)))
}
