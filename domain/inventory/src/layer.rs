//! One layer, read once from front to back.

mod blob;
mod entries;
mod header;
mod kept;
pub(crate) mod nodes;
mod stored;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Condvar, Mutex, PoisonError};

use model::Digest;

use self::blob::Blob;
use self::entries::{Entries, Entry};
use self::header::Kind;
pub(crate) use self::kept::{Item, memory};
use self::kept::{Kept, Place};
use self::nodes::Nodes;
use self::stream::Stream;
use crate::ecosystems;
use crate::ecosystems::executable::{self, Executable, HEAD_BYTES, Held, MAGIC_BYTES};
use crate::error::{Fault, LayerError, Reason};
use crate::limits::Limits;
use crate::manifest::LayerDescriptor;
use crate::packed::{NoRoom, Packed, Packer};
use crate::path;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files of AUFS itself; whoever reads a layer passes over them.
const AUFS: &[u8] = b".wh..wh.";

/// What is known of a layer that was read to its end and is what manifest and config say.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(crate) nodes: Nodes,
    pub(crate) items: BTreeMap<Vec<u8>, Item>,
    /// Files that could not be taken in, with the reason. They may be hidden by a layer above.
    pub(crate) refused: BTreeMap<Vec<u8>, String>,
    pub(crate) kept_bytes: usize,
    /// What was kept besides the usual.
    pub(crate) also: Also,
    /// The least and the most room for an executable that did not fit into it; `None` when all did.
    rooms: Option<(u64, u64)>,
}

impl Layer {
    /// Whether a reading within these limits would give just this.
    pub(crate) fn fits(&self, limits: &Limits) -> bool {
        let room = |used| room(limits.executable_bytes.saturating_sub(used));
        let (first, last) = (room(0), room(memory(self.kept_bytes, self.paths())));
        self.paths() <= limits.paths
            && self.kept_bytes <= limits.kept_bytes
            && self.rooms.is_none_or(|(least, most)| [least, most, first] == [last; 3])
    }

    /// How many paths the layer has, whiteouts and implied directories included.
    pub fn paths(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes held until the image is composed.
    pub const fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Whether anything is at the path.
    pub(crate) fn holds(&self, path: &[u8]) -> bool {
        self.nodes.has_leaf(path) || self.nodes.has_dir(path)
    }

    /// Whether reading the layer again could bring something of `also` that it was not read for.
    pub(crate) fn may_hold(&self, also: &Also) -> bool {
        let is_new = |file: &Vec<u8>| also.files.contains(file) && !self.also.files.contains(file);
        also.files.difference(&self.also.files).any(|file| self.nodes.has_leaf(file))
            || self.items.values().any(|item| matches!(item, Item::HardLink(target) if is_new(target)))
            || also.aliases.difference(&self.also.aliases).any(|(real, _)| self.holds(real))
    }
}

/// Files to keep besides those that every reading keeps, because a link leads to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Also {
    /// Exactly these.
    pub(crate) files: BTreeSet<Vec<u8>>,
    /// The first of each pair stands, in this image, for the second: a file or a directory.
    pub(crate) aliases: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Also {
    /// The names that a path has through links, and that an ecosystem wants.
    pub(crate) fn names_of<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let alias = |(real, seen): &(Vec<u8>, Vec<u8>)| {
            path::below(path, real).map(|rest| [seen.as_slice(), rest].concat())
        };
        self.aliases.iter().filter_map(alias).filter(|name| ecosystems::want(name))
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.files.extend(other.files.iter().cloned());
        self.aliases.extend(other.aliases.iter().cloned());
    }
}

/// Reads one layer in one pass and checks that it is what manifest and config say.
///
/// Nothing is believed before the end: a layer that fails any check yields an error and no files.
/// An error of `reader` comes back as [`Reason::ReadFailed`] with the error as its source, which also serves
/// to stop: let the reader fail.
pub fn read_layer(
    reader: impl Read,
    descriptor: &LayerDescriptor,
    limits: &Limits,
) -> Result<Layer, LayerError> {
    read_layer_also(reader, descriptor, limits, &Large::default(), Also::default())
}

/// What several readers of one image may hold of files at a time, together.
#[derive(Debug, Default)]
pub(crate) struct Large {
    held: Mutex<u64>,
    less: Condvar,
}

/// What one reader holds; it gives it back when dropped.
struct Turn<'a> {
    of: &'a Large,
    bytes: u64,
}

impl Large {
    /// So many bytes; what is more than that is held when nothing else is.
    const BYTES: u64 = 80 << 20;
    /// A file of so few bytes does not matter.
    const SMALL: u64 = 8 << 20;

    /// Waits until there is room for so many bytes. A reader takes one turn at a time, so none waits for itself.
    fn turn(&self, bytes: u64) -> Turn<'_> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |held: &mut u64| *held > 0 && held.saturating_add(bytes) > Self::BYTES;
        let mut held = self.less.wait_while(held, is_full).unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_add(bytes);
        Turn { of: self, bytes }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(self.bytes);
        self.of.less.notify_all();
    }
}

/// Like [`read_layer`], keeping some more files.
pub(crate) fn read_layer_also(
    reader: impl Read,
    descriptor: &LayerDescriptor,
    limits: &Limits,
    large: &Large,
    also: Also,
) -> Result<Layer, LayerError> {
    read(reader, descriptor, limits, large, also).map_err(|fault| fault.of_layer(&descriptor.digest))
}

fn read(
    reader: impl Read,
    descriptor: &LayerDescriptor,
    limits: &Limits,
    large: &Large,
    also: Also,
) -> Result<Layer, Fault> {
    if descriptor.size > limits.blob_bytes {
        let what = format!("a blob of {} bytes, over {}", descriptor.size, limits.blob_bytes);
        return Err(Fault::limit(what));
    }
    let mut blob = Blob::new(reader, descriptor);
    let outcome = read_archive(&mut blob, descriptor, limits, large, also);
    // A blob that is not the promised one explains whatever else went wrong, so that is said first.
    match &outcome {
        Err(fault) if ends_reading(fault.reason) => {}
        _ => blob.finish()?,
    }
    let (layer, diff_id) = outcome?;
    if diff_id != descriptor.diff_id {
        let what = format!("the archive's digest is {diff_id}, the config says {}", descriptor.diff_id);
        return Err(Fault::new(Reason::DiffIdMismatch, what));
    }
    Ok(layer)
}

const fn ends_reading(reason: Reason) -> bool {
    matches!(reason, Reason::LimitExceeded | Reason::ReadFailed | Reason::SizeMismatch)
}

fn read_archive<R: Read>(
    blob: &mut Blob<'_, R>,
    descriptor: &LayerDescriptor,
    limits: &Limits,
    large: &Large,
    also: Also,
) -> Result<(Layer, Digest), Fault> {
    let mut stream = Stream::open(blob, &descriptor.media_type, limits)?;
    let layer = read_entries(&mut stream, limits, large, also)?;
    Ok((layer, stream.finish()?))
}

fn read_entries<R: Read>(
    stream: &mut Stream<'_, '_, R>,
    limits: &Limits,
    large: &Large,
    also: Also,
) -> Result<Layer, Fault> {
    let mut entries = Entries::new(stream, limits);
    let mut sieve =
        Sieve { kept: Kept::new(limits), refused: BTreeMap::new(), also, limits, large, rooms: None };
    let mut last = Vec::new();
    loop {
        let next = entries.next().map_err(|f| if f.reason == Reason::Truncated { f.at(&last) } else { f })?;
        let Some(entry) = next else { break };
        sieve.take(&entry, &mut entries).map_err(|fault| fault.at(&entry.name))?;
        last = entry.name;
    }
    let Sieve { kept, refused, also, rooms, .. } = sieve;
    Ok(Layer { nodes: kept.nodes, items: kept.items, refused, kept_bytes: kept.bytes, also, rooms })
}

/// What remains for an executable, in steps: so small differences in what else is held make none in what is found.
const fn room(left: u64) -> u64 {
    const STEP: u64 = 16 << 20;
    if left < STEP { left } else { left / STEP * STEP }
}

/// Besides a packed database: a header, the packages, and the blocks that are unpacked.
const READING_PACKED: u64 = 24 << 20;
/// So much of a file is packed at a time.
const PART_BYTES: u64 = 1 << 20;

/// The rest of the current entry, packed.
fn pack<R: Read>(room: usize, entries: &mut Entries<'_, '_, '_, R>) -> Result<Result<Packed, NoRoom>, Fault> {
    let Ok(mut packer) = Packer::new(room) else { return Ok(Err(NoRoom)) };
    loop {
        let part = entries.part(PART_BYTES)?;
        if part.is_empty() {
            return Ok(packer.finish());
        }
        if packer.add(&part).is_err() {
            return Ok(Err(NoRoom));
        }
    }
}

/// Why a sparse file is not read.
const HOLES: &str = "is stored with holes, which are not read";

/// Decides about each entry what of it is kept.
struct Sieve<'a> {
    kept: Kept<'a>,
    refused: BTreeMap<Vec<u8>, String>,
    also: Also,
    limits: &'a Limits,
    large: &'a Large,
    rooms: Option<(u64, u64)>,
}

impl Sieve<'_> {
    fn take<R: Read>(&mut self, entry: &Entry, entries: &mut Entries<'_, '_, '_, R>) -> Result<(), Fault> {
        let name = path::normalise(&entry.name);
        if name.is_empty() {
            return Ok(()); // The root itself.
        }
        let (parent, base) = path::split(&name);
        if contains(&name, AUFS) && base != OPAQUE {
            return Ok(());
        }
        if contains(parent, WHITEOUT) || base == WHITEOUT || [b".wh..", &b".wh..."[..]].contains(&base) {
            return Err(Fault::new(Reason::InvalidWhiteout, "a name that is reserved for whiteouts"));
        }
        let place = self.kept.place(&name)?;
        match base.strip_prefix(WHITEOUT) {
            Some(_) if base == OPAQUE => self.kept.opaque(&place),
            Some(hidden) => self.kept.whiteout(&place, hidden),
            None => self.put(entry, &place, entries),
        }
    }

    fn put<R: Read>(
        &mut self,
        entry: &Entry,
        place: &Place,
        entries: &mut Entries<'_, '_, '_, R>,
    ) -> Result<(), Fault> {
        self.refused.remove(&place.path);
        let item = match entry.kind {
            Kind::Dir => return self.kept.dir(place),
            Kind::Symlink => Some(Item::Symlink(entry.link_name.clone())),
            Kind::HardLink => self.hard_link(entry, &place.path),
            Kind::File => self.file(entry, &place.path, entries)?,
            Kind::Other if !self.wants(&place.path) => None,
            Kind::Other => self.refuse(&place.path, "is neither file nor link")?,
        };
        self.kept.leaf(place, item)
    }

    /// A link to a symbolic link or to an executable is one, too, and matters anywhere.
    fn hard_link(&self, entry: &Entry, path: &[u8]) -> Option<Item> {
        match self.kept.hard_link(path, &entry.link_name) {
            // A link to a link that did not matter by its own name.
            Item::PerhapsBelow(target) if self.wants(path) => Some(Item::HardLinkBelow(target)),
            item @ (Item::Symlink(_) | Item::Executable(_) | Item::PerhapsBelow(_)) => Some(item),
            item if self.wants(path) => Some(item),
            Item::HardLinkBelow(target) => Some(Item::PerhapsBelow(target)),
            Item::File(_) | Item::Whole(_) | Item::HardLink(_) => None,
        }
    }

    /// An executable is looked into unless its path makes it something else. That it is one comes before
    /// what links make of it: else a link could hide what is in it.
    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        entries: &mut Entries<'_, '_, '_, R>,
    ) -> Result<Option<Item>, Fault> {
        if ecosystems::want(path) {
            return self.read_file(entry, path, entries);
        }
        if executable::may_be(entry.mode, path) {
            if entry.sparse {
                return self.refuse(path, HOLES);
            }
            if executable::begins(entries.start(MAGIC_BYTES)?) {
                return self.look_into(entry, entries);
            }
        }
        if self.wants(path) { self.read_file(entry, path, entries) } else { Ok(None) }
    }

    fn look_into<R: Read>(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<'_, '_, '_, R>,
    ) -> Result<Option<Item>, Fault> {
        let left = room(self.limits.executable_bytes.saturating_sub(self.kept.memory()));
        let room = if entry.size > left { self.room() } else { left };
        let plan = executable::plan(entry.size, entries.start(HEAD_BYTES)?, room);
        let _turn = self.large.turn(plan.iter().map(|range| range.end - range.start).sum());
        let parts = entries.parts(&plan)?;
        let notes = ecosystems::look_into(&Executable::new(Held::new(entry.size, parts)));
        Ok((!notes.is_empty()).then(|| Item::Executable(notes.into())))
    }

    fn read_file<R: Read>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        entries: &mut Entries<'_, '_, '_, R>,
    ) -> Result<Option<Item>, Fault> {
        if entry.sparse {
            return self.refuse(path, HOLES);
        }
        let name = if ecosystems::want(path) { Some(path.to_vec()) } else { self.also.names_of(path).next() };
        let may_pack = name.as_deref().is_some_and(ecosystems::packs);
        let Limits { file_bytes, packed_file_bytes, .. } = *self.limits;
        let limit = if may_pack { packed_file_bytes } else { file_bytes };
        if entry.size > limit {
            return self.refuse(path, &format!("has {} bytes, over {limit}", entry.size));
        }
        if let Some(name) = name.as_ref().filter(|_| entry.size > file_bytes) {
            return self.read_packed(entry, path, name, entries);
        }
        let takes = name.as_ref().map_or(0, |name| ecosystems::condensing_bytes(name, entry.size));
        let takes = takes.max(entry.size);
        // A small file is not waited for in its turn: while its layer comes slowly, others may be read.
        let early = entry.size > Large::SMALL;
        let mut turn = early.then(|| self.large.turn(takes));
        let body = entries.body()?;
        if !early {
            turn = Some(self.large.turn(takes));
        }
        let _turn = turn;
        Ok(Some(match name {
            Some(name) => Item::File(ecosystems::condense(&name, body).into()),
            None => Item::Whole(body.into()),
        }))
    }

    /// A database that is too large to be held as it is.
    fn read_packed<R: Read>(
        &mut self,
        entry: &Entry,
        path: &[u8],
        name: &[u8],
        entries: &mut Entries<'_, '_, '_, R>,
    ) -> Result<Option<Item>, Fault> {
        let room = self.room();
        let _turn = self.large.turn(room);
        let held = usize::try_from(room.saturating_sub(READING_PACKED)).unwrap_or(usize::MAX);
        match pack(held, entries)? {
            Ok(packed) => Ok(Some(Item::File(ecosystems::condense_packed(name, packed).into()))),
            Err(NoRoom) => {
                self.refuse(path, &format!("has {} bytes, and packed still more than {held}", entry.size))
            }
        }
    }

    /// How much a large file may take now. What it was is noted: with more or less, another reading might find other
    /// things.
    fn room(&mut self) -> u64 {
        let room = room(self.limits.executable_bytes.saturating_sub(self.kept.memory()));
        let (least, most) = self.rooms.unwrap_or((room, room));
        self.rooms = Some((least.min(room), most.max(room)));
        room
    }

    /// Costs this file, not the layer.
    fn refuse(&mut self, path: &[u8], why: &str) -> Result<Option<Item>, Fault> {
        self.kept.charge(path.len() + why.len())?;
        self.refused.insert(path.to_vec(), why.to_owned());
        Ok(None)
    }

    fn wants(&self, path: &[u8]) -> bool {
        ecosystems::want(path) || self.also.files.contains(path) || self.also.names_of(path).next().is_some()
    }
}

/// Whether a component of the path begins like this.
fn contains(path: &[u8], start: &[u8]) -> bool {
    path::components(path).any(|name| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A layer of one path and three kept bytes, some of whose executables had only so much room.
    fn layer(rooms: Option<(u64, u64)>) -> Layer {
        let mut nodes = Nodes::default();
        nodes.make_leaf(Nodes::ROOT, b"a");
        let (items, refused, also) = (BTreeMap::new(), BTreeMap::new(), Also::default());
        Layer { nodes, items, refused, kept_bytes: 3, also, rooms }
    }

    #[test]
    fn a_layer_is_taken_where_reading_it_again_would_make_no_difference() {
        let left = |executable_bytes| Limits { executable_bytes, ..Limits::DEFAULT };
        assert!(layer(None).fits(&left(0)), "no executable was cut");
        let cut = (64 * MIB, 64 * MIB);
        assert!(layer(Some(cut)).fits(&left(72 * MIB)));
        assert!(layer(Some(cut)).fits(&left(65 * MIB)), "the room goes in steps");
        assert!(!layer(Some(cut)).fits(&left(60 * MIB)), "there is less room now");
        assert!(!layer(Some(cut)).fits(&left(96 * MIB)), "there is more room now");
        assert!(!layer(Some(cut)).fits(&left(64 * MIB)), "the room would shrink while it is read");
        assert!(
            !layer(Some((48 * MIB, 64 * MIB))).fits(&left(72 * MIB)),
            "the room shrank while it was read"
        );
        assert!(!layer(None).fits(&Limits { paths: 0, ..Limits::DEFAULT }));
        assert!(!layer(None).fits(&Limits { kept_bytes: 2, ..Limits::DEFAULT }));
    }

    #[test]
    fn readers_hold_a_budget_together_and_one_alone_whatever_it_needs() {
        let large = Large::default();
        let first = large.turn(Large::BYTES * 3);
        drop(first);
        let (half, other) = (large.turn(Large::BYTES / 2), large.turn(Large::BYTES / 2));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(large.turn(1)));
            assert!(!waiting.is_finished());
            drop(half);
            waiting.join().unwrap();
        });
        drop(other);
        assert_eq!(*large.held.lock().unwrap(), 0, "all of it was given back");
    }
}
