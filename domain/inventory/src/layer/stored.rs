//! What was kept of a layer, as bytes that outlive the reading: for whoever reads the same layer next.

use std::collections::BTreeMap;
use std::io::Read as _;

use model::PackageKind;
use serde::{Deserialize, Serialize};

use super::kept::Item;
use super::nodes::Nodes;
use super::{Also, Layer};
use crate::ecosystems::Note;

/// A layer that takes more than this is not worth keeping, nor believed when it is given back.
const BYTES: u64 = 64 << 20;
const LEVEL: i32 = 3;
/// Raised when these bytes change their form: then nobody reads older ones for something that they are not.
const FORM: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    form: u32,
    marks: Vec<u64>,
    renewed: Vec<(u64, u64)>,
    items: Vec<(Vec<u8>, StoredItem)>,
    refused: Vec<(Vec<u8>, String)>,
    kept_bytes: u64,
    rooms: Option<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
enum StoredItem {
    File(Vec<u8>),
    Whole(Vec<u8>),
    Executable(Vec<(String, Vec<u8>)>),
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    HardLinkBelow(Vec<u8>),
    PerhapsBelow(Vec<u8>),
}

impl Layer {
    /// The layer as bytes, when it was read for the usual files only and is of a usual size. The same layer gives the
    /// same bytes, and only a reader with the same [`EXTRACTOR`](crate::EXTRACTOR) may take them back.
    pub fn store(&self) -> Option<Vec<u8>> {
        if self.also != Also::default() || (self.kept_bytes + 8 * self.paths()) as u64 > BYTES / 2 {
            return None;
        }
        let (marks, renewed) = self.nodes.to_numbers();
        let stored = Stored {
            form: FORM,
            marks,
            renewed,
            items: self.items.iter().map(|(path, item)| (path.clone(), item.into())).collect(),
            refused: self.refused.clone().into_iter().collect(),
            kept_bytes: self.kept_bytes as u64,
            rooms: self.rooms,
        };
        zstd::encode_all(postcard::to_stdvec(&stored).ok()?.as_slice(), LEVEL).ok()
    }

    /// The layer that was stored; `None` when these bytes are none.
    pub fn restore(bytes: &[u8]) -> Option<Self> {
        let mut plain = Vec::new();
        zstd::Decoder::new(bytes).ok()?.take(BYTES).read_to_end(&mut plain).ok()?;
        let stored = postcard::from_bytes(&plain).ok().filter(|stored: &Stored| stored.form == FORM)?;
        let Stored { marks, renewed, items, refused, kept_bytes, rooms, .. } = stored;
        let items = items.into_iter().map(|(path, item)| Some((path, item.restore()?)));
        Some(Self {
            nodes: Nodes::from_numbers(marks, renewed),
            items: items.collect::<Option<BTreeMap<_, _>>>()?,
            refused: refused.into_iter().collect(),
            kept_bytes: usize::try_from(kept_bytes).ok()?,
            also: Also::default(),
            rooms,
        })
    }
}

impl From<&Item> for StoredItem {
    fn from(item: &Item) -> Self {
        let note = |note: &Note| (note.kind.as_str().to_owned(), note.content.clone());
        match item {
            Item::File(content) => Self::File(content.to_vec()),
            Item::Whole(content) => Self::Whole(content.to_vec()),
            Item::Executable(notes) => Self::Executable(notes.iter().map(note).collect()),
            Item::Symlink(target) => Self::Symlink(target.clone()),
            Item::HardLink(target) => Self::HardLink(target.clone()),
            Item::HardLinkBelow(target) => Self::HardLinkBelow(target.clone()),
            Item::PerhapsBelow(target) => Self::PerhapsBelow(target.clone()),
        }
    }
}

impl StoredItem {
    fn restore(self) -> Option<Item> {
        let note =
            |(kind, content): (String, Vec<u8>)| Some(Note { kind: PackageKind::from_word(&kind)?, content });
        Some(match self {
            Self::File(content) => Item::File(content.into()),
            Self::Whole(content) => Item::Whole(content.into()),
            Self::Executable(notes) => {
                Item::Executable(notes.into_iter().map(note).collect::<Option<Vec<_>>>()?.into())
            }
            Self::Symlink(target) => Item::Symlink(target),
            Self::HardLink(target) => Item::HardLink(target),
            Self::HardLinkBelow(target) => Item::HardLinkBelow(target),
            Self::PerhapsBelow(target) => Item::PerhapsBelow(target),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::nodes::Mark;
    use super::*;

    fn layer() -> Layer {
        let mut nodes = Nodes::default();
        let dir = nodes.child(Nodes::ROOT, b"a");
        nodes.make_dir(dir);
        nodes.make_leaf(Nodes::ROOT, b"a");
        nodes.add(nodes.child(dir, b"b"), Mark::Whiteout);
        let note = Note { kind: PackageKind::Golang, content: b"mod".to_vec() };
        let items = [
            Item::File(b"1"[..].into()),
            Item::Whole(b"2"[..].into()),
            Item::Executable([note].into()),
            Item::Symlink(b"3".to_vec()),
            Item::HardLink(b"4".to_vec()),
            Item::HardLinkBelow(b"5".to_vec()),
            Item::PerhapsBelow(b"6".to_vec()),
        ];
        let items = (b'a'..).zip(items).map(|(name, item)| (vec![name], item)).collect();
        let refused = BTreeMap::from([(b"x\xff".to_vec(), "too large".to_owned())]);
        Layer { nodes, items, refused, kept_bytes: 7, also: Also::default(), rooms: Some((1, 2)) }
    }

    #[test]
    fn a_layer_comes_back_as_it_was() {
        let layer = layer();
        let bytes = layer.store().unwrap();
        let back = Layer::restore(&bytes).unwrap();
        assert_eq!(back.nodes.to_numbers(), layer.nodes.to_numbers());
        assert_eq!((&back.items, &back.refused), (&layer.items, &layer.refused));
        assert_eq!((back.kept_bytes, back.rooms), (7, Some((1, 2))));
        assert_eq!(back.store().unwrap(), bytes, "the same layer gives the same bytes");
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let bytes = layer().store().unwrap();
        assert!(Layer::restore(b"").is_none());
        for at in 0..bytes.len() {
            drop(Layer::restore(&bytes[..at]));
            let mut wrong = bytes.clone();
            wrong[at] ^= 0xff;
            drop(Layer::restore(&wrong));
        }
    }

    #[test]
    fn bytes_of_another_form_are_refused() {
        let mut plain = zstd::decode_all(layer().store().unwrap().as_slice()).unwrap();
        assert_eq!(plain[0], 1, "the form comes first");
        plain[0] = 2;
        assert!(Layer::restore(&zstd::encode_all(plain.as_slice(), LEVEL).unwrap()).is_none());
    }

    #[test]
    fn what_was_read_for_links_is_not_stored() {
        let mut layer = layer();
        layer.also.files.insert(b"a".to_vec());
        assert!(layer.store().is_none());
    }
}
