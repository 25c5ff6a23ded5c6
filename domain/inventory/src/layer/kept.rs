//! What is kept of a layer: the files that name packages, the links, and every path as a number.
//!
//! Entries are put where a runtime unpacking the layer alone would put them: a link to a directory that the
//! same layer made earlier is followed, one of a lower layer is not (overlayfs: the upper directory hides it).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::nodes::{Mark, Node, Nodes};
use crate::ecosystems::Note;
use crate::error::{Fault, Reason};
use crate::limits::Limits;
use crate::links::{self, Budget};
use crate::path;

/// What takes memory for an entry of the table besides its bytes.
const OVERHEAD_BYTES: usize = 96;

/// What a file takes besides: its place in the tables of the whole image, from which its packages are read.
const FILE_BYTES: usize = 128;

/// What a path takes in the table of numbers.
const PATH_BYTES: usize = 16;

/// What kept bytes and paths take, roughly.
pub(crate) const fn memory(kept_bytes: usize, paths: usize) -> u64 {
    kept_bytes.saturating_add(paths.saturating_mul(PATH_BYTES)) as u64
}

/// Something kept at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A wanted file with what was kept of its content.
    File(Arc<[u8]>),
    /// A file that only links make wanted, with all of its content: under which name is not known yet.
    Whole(Arc<[u8]>),
    /// An executable, with what was found in it: never nothing.
    Executable(Arc<[Note]>),
    /// A symbolic link, with its target as written.
    Symlink(Vec<u8>),
    /// A hard link at a wanted path to a file of this layer that was not kept.
    HardLink(Vec<u8>),
    /// A hard link at a wanted path to what must then be in a lower layer.
    HardLinkBelow(Vec<u8>),
    /// The same at another path: it matters if that file is an executable in which something was found.
    PerhapsBelow(Vec<u8>),
}

/// A layer while its entries come in.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    limits: &'a Limits,
    links: Budget,
    pub(super) nodes: Nodes,
    pub(super) items: BTreeMap<Vec<u8>, Item>,
    pub(super) bytes: usize,
    /// The directory of the last entry: its name as written, where it really is, and its number.
    last: Option<(Vec<u8>, Vec<u8>, Node)>,
}

/// Where an entry goes: the directory, for real, and the name in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: Vec<u8>,
    dir: Node,
    name_at: usize,
}

impl Place {
    fn name(&self) -> &[u8] {
        &self.path[self.name_at..]
    }
}

impl<'a> Kept<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            links: Budget::new(limits),
            nodes: Nodes::default(),
            items: BTreeMap::new(),
            bytes: 0,
            last: None,
        }
    }

    /// Where an entry of this clean name goes. The directories above it are there from now on.
    pub(super) fn place(&mut self, name: &[u8]) -> Result<Place, Fault> {
        let (parent, base) = path::split(name);
        if self.last.as_ref().is_none_or(|(as_written, ..)| as_written != parent) {
            let (real, node) = self.enter(parent)?;
            self.last = Some((parent.to_vec(), real, node));
        }
        let (_, real, dir) = self.last.as_ref().expect("it was just set");
        let mut path = Vec::with_capacity(real.len() + 1 + base.len());
        path.extend_from_slice(real);
        path::push(&mut path, base);
        Ok(Place { name_at: path.len() - base.len(), path, dir: *dir })
    }

    /// A directory. It merges with one below; a leaf gives way to it.
    pub(super) fn dir(&mut self, place: &Place) -> Result<(), Fault> {
        let node = self.nodes.child(place.dir, place.name());
        if self.nodes.make_dir(node) {
            self.forget(&place.path);
        }
        self.check_count()
    }

    /// Anything that is no directory, with the item to keep for it, if any.
    pub(super) fn leaf(&mut self, place: &Place, item: Option<Item>) -> Result<(), Fault> {
        if self.nodes.make_leaf(place.dir, place.name()) {
            self.forget_below(&place.path);
        }
        self.forget(&place.path);
        if let Some(item) = item {
            self.keep(place.path.clone(), item)?;
        }
        self.check_count()
    }

    /// A whiteout of this name in the directory of `place`.
    pub(super) fn whiteout(&mut self, place: &Place, hidden: &[u8]) -> Result<(), Fault> {
        let node = self.nodes.child(place.dir, hidden);
        self.nodes.add(node, Mark::Whiteout);
        self.check_count()
    }

    /// The directory of `place` hides what the layers below have in it.
    pub(super) fn opaque(&mut self, place: &Place) -> Result<(), Fault> {
        self.nodes.add(place.dir, Mark::Opaque);
        self.check_count()
    }

    /// What to keep for a hard link: the same as its target if this layer kept that, else the question.
    pub(super) fn hard_link(&self, at: &[u8], target: &[u8]) -> Item {
        let clean = path::normalise(target);
        let (parent, base) = path::split(&clean);
        let mut real = self.resolve(parent).unwrap_or_else(|_| parent.to_vec());
        path::push(&mut real, base);
        if path::below(&real, at).is_some() {
            return Item::HardLink(real); // It takes the place of its own target: no runtime can do that.
        }
        if let Some(item) = self.items.get(&real) {
            return item.clone();
        }
        let here = self.nodes.has_leaf(&real) || self.nodes.has_dir(&real);
        if here { Item::HardLink(real) } else { Item::HardLinkBelow(real) }
    }

    /// Counts bytes that stay until the image is composed; what is forgotten again stays counted.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes += bytes + OVERHEAD_BYTES;
        let limit = self.limits.kept_bytes;
        if self.bytes > limit {
            return Err(Fault::limit(format!("package files and links of more than {limit} bytes")));
        }
        Ok(())
    }

    /// What is in memory for this layer, roughly.
    pub(super) fn memory(&self) -> u64 {
        memory(self.bytes, self.nodes.len())
    }

    fn keep(&mut self, path: Vec<u8>, item: Item) -> Result<(), Fault> {
        let content = match &item {
            Item::File(content) | Item::Whole(content) => content.len() + FILE_BYTES,
            Item::Executable(notes) => notes.iter().map(|note| note.content.len() + OVERHEAD_BYTES).sum(),
            Item::Symlink(to) | Item::HardLink(to) | Item::HardLinkBelow(to) | Item::PerhapsBelow(to) => {
                to.len()
            }
        };
        self.charge(path.len() + content)?;
        self.items.insert(path, item);
        Ok(())
    }

    /// Walks to a directory, making what is not there, and following links if one is in the way.
    fn enter(&mut self, dir: &[u8]) -> Result<(Vec<u8>, Node), Fault> {
        if let Some(node) = self.descend(dir)? {
            return Ok((dir.to_vec(), node));
        }
        let real = self
            .resolve(dir)
            .map_err(|links::TooManyLinks| impossible("its links lead in a circle, or are too many"))?;
        let node =
            self.descend(&real)?.ok_or_else(|| impossible("it lies below something that is no directory"))?;
        Ok((real, node))
    }

    /// `None` when something that is no directory is on the way.
    fn descend(&mut self, dir: &[u8]) -> Result<Option<Node>, Fault> {
        let mut node = Nodes::ROOT;
        for name in path::components(dir) {
            node = self.nodes.child(node, name);
            if self.nodes.has(node, Mark::Leaf) {
                return Ok(None);
            }
            self.nodes.add(node, Mark::Dir);
        }
        self.check_count()?;
        Ok(Some(node))
    }

    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, links::TooManyLinks> {
        links::resolve(path, &self.links, |at| match self.items.get(at) {
            Some(Item::Symlink(target)) => Some(target.as_slice()),
            _ => None,
        })
    }

    fn forget(&mut self, path: &[u8]) {
        if let Some(Item::Symlink(_)) = self.items.remove(path) {
            self.last = None; // The directory of the last entry may have been reached through it.
        }
    }

    fn forget_below(&mut self, dir: &[u8]) {
        self.last = None;
        let (from, to) = ([dir, b"/"].concat(), [dir, b"0"].concat()); // '0' is the byte after '/'.
        let range = (Bound::Excluded(from), Bound::Excluded(to));
        let below: Vec<_> = self.items.range::<Vec<u8>, _>(range).map(|(path, _)| path.clone()).collect();
        below.iter().for_each(|path| drop(self.items.remove(path)));
    }

    fn check_count(&self) -> Result<(), Fault> {
        let limit = self.limits.paths;
        if self.nodes.len() > limit {
            return Err(Fault::limit(format!("more than {limit} paths")));
        }
        Ok(())
    }
}

fn impossible(what: &str) -> Fault {
    Fault::new(Reason::ImpossiblePath, what)
}
