//! Files that are too large to be held as they are, and that must be read here and there: held in blocks, each
//! compressed for itself.
//!
//! Databases of packages compress well, so one of 150 MiB takes some 25. What is asked for is unpacked again; the last
//! few blocks stay, since what belongs together mostly stands together.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

/// Bytes of a block.
const BLOCK: usize = 128 << 10;
/// As fast as it goes: what it gains by more effort is little.
const LEVEL: i32 = 1;
/// Blocks that stay unpacked.
const UNPACKED: usize = 16;
/// How often each block may be unpacked, on the whole: a file that leads to and fro more than that is no database that a
/// program wrote.
const TIMES: usize = 32;

/// A file that is packed as it comes.
pub(crate) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
    packed: Packed,
    room: usize,
}

/// A file in packed blocks.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    blocks: Vec<Box<[u8]>>,
    bytes: usize,
    length: usize,
}

/// It does not fit into the room that there is, or cannot be packed at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Packer {
    /// Holds so many bytes at most.
    pub(crate) fn new(room: usize) -> Result<Self, NoRoom> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(|_| NoRoom)?;
        Ok(Self { compressor, pending: Vec::with_capacity(BLOCK), packed: Packed::default(), room })
    }

    /// Takes the next bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> Result<(), NoRoom> {
        while !bytes.is_empty() {
            let (here, rest) = bytes.split_at(bytes.len().min(BLOCK - self.pending.len()));
            self.pending.extend_from_slice(here);
            bytes = rest;
            if self.pending.len() == BLOCK {
                self.block()?;
            }
        }
        Ok(())
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> Result<Packed, NoRoom> {
        if !self.pending.is_empty() {
            self.block()?;
        }
        Ok(self.packed)
    }

    fn block(&mut self) -> Result<(), NoRoom> {
        let block = self.compressor.compress(&self.pending).map_err(|_| NoRoom)?;
        self.packed.length += self.pending.len();
        self.packed.bytes += block.len();
        self.packed.blocks.push(block.into_boxed_slice());
        self.pending.clear();
        if self.packed.bytes > self.room { Err(NoRoom) } else { Ok(()) }
    }
}

/// The bytes of a file, by their places.
pub(crate) enum Content<'a> {
    /// As it is.
    Whole(&'a [u8]),
    /// Packed.
    Packed(&'a Packed, RefCell<Unpacked>),
}

/// The blocks that were read last.
pub(crate) struct Unpacked {
    recent: VecDeque<(usize, Rc<[u8]>)>,
    /// How many more may be unpacked.
    left: usize,
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Whole(bytes)
    }
}

impl<'a> From<&'a Packed> for Content<'a> {
    fn from(packed: &'a Packed) -> Self {
        let left = packed.blocks.len().saturating_mul(TIMES);
        Self::Packed(packed, RefCell::new(Unpacked { recent: VecDeque::new(), left }))
    }
}

impl Content<'_> {
    /// How many bytes there are.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Packed(packed, _) => packed.length,
        }
    }

    /// These bytes; `None` where the file has not all of them.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<Cow<'_, [u8]>> {
        let (packed, unpacked) = match self {
            Self::Whole(bytes) => return bytes.get(range).map(Cow::Borrowed),
            Self::Packed(packed, unpacked) => (packed, unpacked),
        };
        if range.start > range.end || range.end > packed.length {
            return None;
        }
        let mut bytes = Vec::with_capacity(range.len());
        let mut at = range.start;
        while at < range.end {
            let (block, start) = (unpacked.borrow_mut().block(packed, at / BLOCK)?, at % BLOCK);
            let end = block.len().min(start + (range.end - at));
            bytes.extend_from_slice(block.get(start..end)?);
            at += end - start;
        }
        Some(Cow::Owned(bytes))
    }
}

impl Unpacked {
    fn block(&mut self, packed: &Packed, number: usize) -> Option<Rc<[u8]>> {
        if let Some(at) = self.recent.iter().position(|(known, _)| *known == number) {
            let found = self.recent.remove(at)?;
            let block = found.1.clone();
            self.recent.push_front(found);
            return Some(block);
        }
        self.left = self.left.checked_sub(1)?;
        let block: Rc<[u8]> = zstd::bulk::decompress(packed.blocks.get(number)?, BLOCK).ok()?.into();
        self.recent.truncate(UNPACKED - 1);
        self.recent.push_front((number, block.clone()));
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8], room: usize) -> Result<Packed, NoRoom> {
        let mut packer = Packer::new(room)?;
        bytes.chunks(1000).try_for_each(|part| packer.add(part))?;
        packer.finish()
    }

    /// Bytes in which every place can be told.
    fn numbered(count: usize) -> Vec<u8> {
        (0_u32..).flat_map(u32::to_le_bytes).take(count).collect()
    }

    #[test]
    fn every_range_is_what_it_was() {
        let bytes = numbered(3 * BLOCK + 17);
        let packed = packed(&bytes, usize::MAX).unwrap();
        assert!(packed.bytes < bytes.len());
        let (whole, content) = (Content::from(bytes.as_slice()), Content::from(&packed));
        assert_eq!(whole.len(), content.len());
        let end = bytes.len();
        for range in [0..0, 0..5, BLOCK - 1..BLOCK + 1, 7..3 * BLOCK + 1, end - 1..end, end..end] {
            assert_eq!(content.get(range.clone()), whole.get(range.clone()), "{range:?}");
            assert!(content.get(range).is_some());
        }
        for range in [0..end + 1, end + 1..end + 2, end - 1..usize::MAX] {
            assert_eq!((content.get(range.clone()), whole.get(range.clone())), (None, None), "{range:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_held() {
        let bytes = numbered(4 * BLOCK);
        assert_eq!(packed(&bytes, 1000).err(), Some(NoRoom));
        assert_eq!(packed(&[], 0).map(|packed| packed.length), Ok(0));
    }

    #[test]
    fn a_file_that_leads_to_and_fro_without_end_is_given_up() {
        let packed = packed(&vec![0; (UNPACKED + 1) * BLOCK], usize::MAX).unwrap();
        let content = Content::from(&packed);
        let reads =
            (0..).map(|at| content.get((at % (UNPACKED + 1)) * BLOCK..1 + (at % (UNPACKED + 1)) * BLOCK));
        assert_eq!(reads.take_while(Option::is_some).count(), TIMES * (UNPACKED + 1));
    }
}
