//! The index as a file: what it says of the packages of one image is read in place, and the rest is not.
//!
//! The same advisories give the same bytes on every machine and from any order. A file that comes from elsewhere is
//! hostile until read: every byte of it is named by a digest, digests are checked before what they name is read, and
//! what is read is bounded ([`limits`]).
//!
//! ```text
//! head        8 bytes "starling", version (u32)
//! blocks      of the four sections, one after the other; a block is records in the order of their keys
//! directory   what the file is about; for each section and block: first key, length, SHA-256
//! foot        length of the directory (u64), SHA-256 of it
//!
//! packages    ecosystem (u16) and name      → entries: the source's number, ranges, listed versions
//! sources     number (u32)                  → an advisory, without what it says of packages
//! places      number (u32)                  → the packages it speaks of
//! names       a name in lower case          → numbers of the advisories that are called so
//! ```
//! Numbers in keys are big-endian, so that they are in the order of their bytes; others are LEB128. A text is its length
//! and its UTF-8. Sources are numbered in the order of the first package that they speak of, so that those of one
//! package lie together.

mod bytes;
mod directory;
mod open;
mod records;
mod section;
mod write;

use std::io;

use advisory::Ecosystem;
use model::{Digest, FeedId};

pub use open::Packed;
pub use write::{Unpackable, pack};

const MAGIC: &[u8; 8] = b"starling";
const VERSION: u32 = 2;
const HEAD_BYTES: u64 = 12;
const FOOT_BYTES: u64 = 40;

/// What a file may ask of who reads it.
pub mod limits {
    /// Of a directory: that of a million advisories has a tenth of it.
    pub const DIRECTORY_BYTES: u64 = 64 << 20;
    /// Of a block: a package of which more is said cannot be packed.
    pub const BLOCK_BYTES: usize = 4 << 20;
    /// Of what is held in memory for one image.
    pub const EXCERPT_BYTES: usize = 192 << 20;
}

/// What a packed index is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Names this state of the advisories: the same records have the same digest, wherever they lie.
    pub state: Digest,
    /// Its feeds, by name.
    pub feeds: Vec<PackedFeed>,
}

/// A feed of a packed index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFeed {
    /// Its name.
    pub id: FeedId,
    /// How many advisories it has.
    pub advisories: u64,
    /// How many records of it could not be read.
    pub unreadable: u64,
    /// When its newest document was written, in seconds of Unix time.
    pub newest: u64,
}

/// Where a packed index lies.
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from this place on.
    ///
    /// # Errors
    /// When there are not as many bytes, or they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(from..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why a packed index is not read.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// It lies where nothing can be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// The first bytes are others.
    #[error("it is not a file of packed advisories")]
    Foreign,
    /// It was written by another version of this program.
    #[error("it is of version {0}, and this program reads version {VERSION}")]
    OtherVersion(u32),
    /// Bytes are not those that their digest names: it was damaged, or cut off.
    #[error("{what} is damaged: its digest is another")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// The digests are right, and what they name makes no sense.
    #[error("{what}: {why}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn malformed(what: &'static str, why: &'static str) -> PackedError {
    PackedError::Malformed { what, why }
}

/// An ecosystem's number and a package's name, as keys are written.
fn package_key(ecosystem: u16, package: &str) -> Vec<u8> {
    [&ecosystem.to_be_bytes()[..], package.as_bytes()].concat()
}

/// The number of an ecosystem in a sorted list.
fn number_of(ecosystems: &[Ecosystem], ecosystem: &Ecosystem) -> Option<u16> {
    u16::try_from(ecosystems.binary_search(ecosystem).ok()?).ok()
}

#[cfg(test)]
mod tests;
