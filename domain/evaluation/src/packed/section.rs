//! Records in the order of their keys, cut into blocks that are read and checked each by itself.

use std::io;

use model::Digest;

use super::bytes::{Cursor, put_bytes};
use super::{PackedError, ReadAt, Unpackable, limits, malformed};

/// A block is full when it has so many bytes: little enough to read for one package, enough that there are few.
const FULL: usize = 8 << 10;

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Packages,
    Sources,
    Places,
    Names,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Packages, Self::Sources, Self::Places, Self::Names];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Packages => "a block of packages",
            Self::Sources => "a block of advisories",
            Self::Places => "a block of places",
            Self::Names => "a block of names",
        }
    }
}

/// Where a block lies, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: Vec<u8>,
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) sha256: [u8; 32],
}

/// The blocks of a section, by their first keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section(pub(super) Vec<Block>);

/// Writes the records of a section, which come in the order of their keys.
pub(super) struct Writer<'a, W> {
    out: &'a mut W,
    offset: &'a mut u64,
    section: Section,
    first: Vec<u8>,
    block: Vec<u8>,
}

impl<'a, W: io::Write> Writer<'a, W> {
    pub(super) fn new(out: &'a mut W, offset: &'a mut u64) -> Self {
        Self { out, offset, section: Section::default(), first: Vec::new(), block: Vec::new() }
    }

    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Unpackable> {
        if self.block.len() >= FULL {
            self.flush()?;
        }
        if self.block.is_empty() {
            self.first = key.to_vec();
        }
        put_bytes(&mut self.block, key);
        put_bytes(&mut self.block, value);
        if self.block.len() > limits::BLOCK_BYTES {
            return Err(Unpackable::TooLarge { key: String::from_utf8_lossy(key).into_owned() });
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Section, Unpackable> {
        self.flush()?;
        Ok(self.section)
    }

    fn flush(&mut self) -> Result<(), Unpackable> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.out.write_all(&self.block)?;
        let (offset, len) = (*self.offset, self.block.len());
        let sha256 = Digest::of(&self.block).to_sha256();
        self.section.0.push(Block { first: std::mem::take(&mut self.first), offset, len, sha256 });
        *self.offset += len as u64;
        self.block.clear();
        Ok(())
    }
}

/// Reads records of a section. Asked in the order of keys it reads each block once.
pub(super) struct Reader<'a, S> {
    source: &'a S,
    section: &'a Section,
    kind: Kind,
    /// The last block that was read: its number, and its bytes.
    held: Option<(usize, Vec<u8>)>,
}

impl<'a, S: ReadAt> Reader<'a, S> {
    pub(super) fn new(source: &'a S, section: &'a Section, kind: Kind) -> Self {
        Self { source, section, kind, held: None }
    }

    /// The value under a key.
    pub(super) fn find(&mut self, key: &[u8]) -> Result<Option<&[u8]>, PackedError> {
        let after = self.section.0.partition_point(|block| block.first.as_slice() <= key);
        let Some(at) = after.checked_sub(1) else { return Ok(None) };
        let mut records = self.block(at)?;
        while let Some((own, value)) = records.next()? {
            if own >= key {
                return Ok((own == key).then_some(value));
            }
        }
        Ok(None)
    }

    /// The records of the block with this number.
    pub(super) fn block(&mut self, at: usize) -> Result<Records<'_>, PackedError> {
        if self.held.as_ref().is_none_or(|(held, _)| *held != at) {
            let Block { offset, len, sha256, .. } = &self.section.0[at];
            let mut bytes = vec![0; *len];
            self.source.read_at(&mut bytes, *offset)?;
            if Digest::of(&bytes).to_sha256() != *sha256 {
                return Err(PackedError::Damaged { what: self.kind.as_str() });
            }
            self.held = Some((at, bytes));
        }
        let bytes = self.held.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        Ok(Records { cursor: Cursor::new(bytes, self.kind.as_str()), last: None })
    }
}

/// The records of one block.
pub(super) struct Records<'a> {
    cursor: Cursor<'a>,
    last: Option<&'a [u8]>,
}

impl<'a> Records<'a> {
    /// The next key and value. Keys ascend, or what is looked for might be missed.
    pub(super) fn next(&mut self) -> Result<Option<(&'a [u8], &'a [u8])>, PackedError> {
        if self.cursor.is_at_end() {
            return Ok(None);
        }
        let (key, value) = (self.cursor.bytes()?, self.cursor.bytes()?);
        if self.last.is_some_and(|last| last >= key) {
            return Err(self.cursor.wrong("its keys are not in order"));
        }
        self.last = Some(key);
        Ok(Some((key, value)))
    }
}

/// Whether the blocks follow each other, in the order of their keys.
pub(super) fn check(section: &Section, offset: &mut u64) -> Result<(), PackedError> {
    let wrong = |why| malformed("the directory", why);
    for block in &section.0 {
        if block.offset != *offset || block.len == 0 || block.len > limits::BLOCK_BYTES {
            return Err(wrong("a block does not follow the one before, or is too large"));
        }
        *offset += block.len as u64;
    }
    if !section.0.is_sorted_by(|a, b| a.first < b.first) {
        return Err(wrong("the blocks are not in the order of their keys"));
    }
    Ok(())
}
