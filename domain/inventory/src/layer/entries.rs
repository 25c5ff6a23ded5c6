//! The entries of a tar stream, one after the other.
//!
//! The walk is our own rather than the `tar` crate's for two reasons: extension records are bounded before
//! they are read, and sizes, names and ends are taken as Go's `archive/tar` takes them (see `header`).

use std::io::Read;
use std::ops::Range;

use super::header::{Header, Kind, Pax, Sparse, malformed, text};
use super::stream::{Stream, cut_off};
use crate::error::{Fault, Reason};
use crate::limits::Limits;

/// An entry, before its body is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// As it is written.
    pub(super) name: Vec<u8>,
    /// As it is written; empty for what is no link.
    pub(super) link_name: Vec<u8>,
    /// Bytes in the archive.
    pub(super) size: u64,
    /// Stored with holes: the bytes in the archive are not the file's.
    pub(super) sparse: bool,
    /// Permissions.
    pub(super) mode: u64,
}

/// Walks a stream. Between two entries the body of the first is read or passed over.
pub(super) struct Entries<'s, 'b, 'a, R: Read> {
    stream: &'s mut Stream<'b, 'a, R>,
    limits: &'s Limits,
    /// Bytes of the current body that nobody has read, and the padding after it.
    unread: u64,
    /// Bytes of it that were read to see what it is.
    start: Vec<u8>,
    padding: u64,
    logical: u64,
    first: bool,
}

impl<'s, 'b, 'a, R: Read> Entries<'s, 'b, 'a, R> {
    pub(super) const fn new(stream: &'s mut Stream<'b, 'a, R>, limits: &'s Limits) -> Self {
        Self { stream, limits, unread: 0, start: Vec::new(), padding: 0, logical: 0, first: true }
    }

    /// The next entry; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let (mut pax, mut long_name, mut long_link) = (Pax::default(), None, None);
        loop {
            let Some((mut header, block)) = self.header()? else { return Ok(None) };
            match header.type_flag {
                b'x' => pax = Pax::parse(&self.extension()?)?,
                b'g' => drop(self.extension()?), // Go does not let it speak for later entries either.
                b'L' => long_name = Some(text(&self.extension()?).to_vec()),
                b'K' => long_link = Some(text(&self.extension()?).to_vec()),
                _ => {
                    header.size = pax.size.unwrap_or(header.size);
                    set(&mut header.name, [pax.path, long_name]);
                    set(&mut header.link_name, [pax.link_path, long_link]);
                    return self.entry(header, pax.sparse, &block).map(Some);
                }
            }
        }
    }

    /// The whole body of the current entry.
    pub(super) fn body(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = std::mem::take(&mut self.start);
        body.reserve(usize::try_from(self.unread.min(64 << 10)).unwrap_or(0));
        self.stream.append(self.unread, &mut body)?;
        self.unread = 0;
        Ok(body)
    }

    /// The next bytes of the current entry's body, so many at most; none at its end.
    pub(super) fn part(&mut self, most: u64) -> Result<Vec<u8>, Fault> {
        let mut part = std::mem::take(&mut self.start);
        let more = most.saturating_sub(part.len() as u64).min(self.unread);
        self.stream.append(more, &mut part)?;
        self.unread -= more;
        Ok(part)
    }

    /// The first bytes of the current entry's body, or all of a shorter one. They remain part of the body.
    pub(super) fn start(&mut self, count: u64) -> Result<&[u8], Fault> {
        let more = count.saturating_sub(self.start.len() as u64).min(self.unread);
        self.stream.append(more, &mut self.start)?;
        self.unread -= more;
        Ok(&self.start)
    }

    /// Parts of the current entry's body, each with where it begins. The first begins with the body and has
    /// what [`start`](Self::start) gave.
    pub(super) fn parts(&mut self, ranges: &[Range<u64>]) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let mut bytes = std::mem::take(&mut self.start);
        let mut at = bytes.len() as u64;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let gap = range.start.saturating_sub(at).min(self.unread);
            self.stream.skip(gap)?;
            self.unread -= gap;
            at += gap;
            let count = range.end.saturating_sub(at).min(self.unread);
            // Asked for at once, or a large part would be copied again and again while it grows.
            bytes.reserve_exact(usize::try_from(count).unwrap_or(0));
            self.stream.append(count, &mut bytes)?;
            self.unread -= count;
            at += count;
            parts.push((range.start, std::mem::take(&mut bytes)));
        }
        Ok(parts)
    }

    fn header(&mut self) -> Result<Option<(Header, [u8; 512])>, Fault> {
        self.stream.skip(self.unread)?;
        self.stream.skip_padding(self.padding)?;
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; 512] {
            return match self.block()? {
                Some(second) if second != [0; 512] => Err(malformed("an entry follows a block of zeros")),
                _ => Ok(None),
            };
        }
        Header::check_sum(&block).map_err(|fault| if self.first { not_a_tar() } else { fault })?;
        self.first = false;
        let header = Header::parse(&block)?;
        self.expect(if header.has_body() { header.size } else { 0 });
        Ok(Some((header, block)))
    }

    /// `None` where the stream ends: an archive may lack the blocks of zeros.
    fn block(&mut self) -> Result<Option<[u8; 512]>, Fault> {
        let mut block = [0; 512];
        match self.stream.block(&mut block)? {
            0 => Ok(None),
            512 => Ok(Some(block)),
            _ if self.first => Err(not_a_tar()),
            _ => Err(cut_off()),
        }
    }

    fn expect(&mut self, size: u64) {
        self.unread = size;
        self.start.clear();
        self.padding = size.wrapping_neg() % 512;
    }

    /// The body of a header that only describes the next one.
    fn extension(&mut self) -> Result<Vec<u8>, Fault> {
        let limit = self.limits.header_bytes;
        if self.unread > limit {
            return Err(Fault::limit(format!("an extended header of {} bytes, over {limit}", self.unread)));
        }
        self.body()
    }

    fn entry(
        &mut self,
        mut header: Header,
        pax_sparse: Option<Sparse>,
        block: &[u8; 512],
    ) -> Result<Entry, Fault> {
        header.settle_type();
        self.expect(if header.has_body() { header.size } else { 0 });
        let mut logical = self.unread;
        let mut sparse = false;
        if let Some(Sparse { name, logical_size }) = pax_sparse {
            set(&mut header.name, [name]);
            logical = logical_size.unwrap_or(logical);
            sparse = true;
        } else if let Some((size, more)) = header.old_sparse(block)? {
            self.pass_sparse_map(more).map_err(|fault| fault.at(&header.name))?;
            logical = size;
            sparse = true;
        }
        self.count(logical).map_err(|fault| fault.at(&header.name))?;
        let Header { name, link_name, .. } = &header;
        if name.len().max(link_name.len()) > self.limits.path_bytes {
            let limit = self.limits.path_bytes;
            return Err(
                Fault::limit(format!("a name of more than {limit} bytes")).at(&name[..200.min(name.len())])
            );
        }
        Ok(Entry {
            kind: header.kind(),
            mode: header.mode,
            size: self.unread,
            sparse,
            name: header.name,
            link_name: header.link_name,
        })
    }

    /// GNU puts further blocks of the map between header and body, outside the size.
    fn pass_sparse_map(&mut self, mut more: bool) -> Result<(), Fault> {
        let mut passed = 0;
        while more {
            passed += 512;
            if passed > self.limits.header_bytes {
                return Err(Fault::limit("a sparse map without end"));
            }
            more = self.block()?.ok_or_else(cut_off)?[504] != 0;
        }
        Ok(())
    }

    fn count(&mut self, logical: u64) -> Result<(), Fault> {
        self.logical = self.logical.saturating_add(logical);
        let limit = self.limits.layer_bytes;
        if self.logical > limit {
            return Err(Fault::limit(format!("the layer's files have more than {limit} bytes")));
        }
        Ok(())
    }
}

/// The last of the candidates that is there and says something.
fn set<const N: usize>(field: &mut Vec<u8>, candidates: [Option<Vec<u8>>; N]) {
    for candidate in candidates.into_iter().flatten().filter(|c| !c.is_empty()) {
        *field = candidate;
    }
}

fn not_a_tar() -> Fault {
    Fault::new(Reason::NotATar, "it does not begin with the header of a tar archive")
}
