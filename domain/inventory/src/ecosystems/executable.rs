//! Programs and libraries as files: which bytes of one are held, and where in it its sections lie.
//!
//! Compilers leave in an executable what it was made from, in a section of its own. Few bytes are needed, but
//! where they are is said at the file's beginning and at its end. So a file is held while it is looked into,
//! and of a very large one the parts where these things usually lie.

mod elf;
mod held;
mod macho;
mod pe;

use std::ops::Range;

pub(crate) use self::held::{Held, Unread};
pub(crate) use super::numbers::Order;
use crate::path;

/// Bytes at the beginning that tell whether a file is an executable …
pub(crate) const MAGIC_BYTES: u64 = 4;
/// … and those that tell where its writable data is.
pub(crate) const HEAD_BYTES: u64 = 4096;

/// Segments that are looked at: no linker makes as many.
const SEGMENTS_MAX: usize = 256;

/// An executable, as far as it is held.
pub(crate) struct Executable {
    held: Held,
    layout: Layout,
}

/// Where things lie in an executable.
#[derive(Debug, Default)]
struct Layout {
    /// Those of [`SECTIONS`] that it has.
    sections: Vec<(&'static [u8], Range<u64>)>,
    listed: Listed,
    segments: Vec<Segment>,
}

/// Whether the names of the sections are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Listed {
    /// They are, so a section that is not among them is not there.
    Known,
    /// There are none that say anything about Go.
    #[default]
    Absent,
    /// They are in a part that is not held.
    NotHeld,
}

/// Bytes of the file and where they are in memory when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    range: Range<u64>,
    address: u64,
    writable: bool,
}

/// Where `cargo auditable` puts its list.
pub(crate) const RUST_AUDIT: &[u8] = b".dep-v0";
/// Where Go's linker puts its build information, in ELF and in Mach-O.
pub(crate) const GO_BUILD_INFO: [&[u8]; 2] = [b".go.buildinfo", b"__go_buildinfo"];

const SECTIONS: [&[u8]; 3] = [RUST_AUDIT, GO_BUILD_INFO[0], GO_BUILD_INFO[1]];

/// Whether a file with these permissions and this name may be an executable: one that may be run, or a library.
pub(crate) fn may_be(mode: u64, path: &[u8]) -> bool {
    mode & 0o111 != 0 || is_library(path)
}

/// Whether executables are usually found at this path: what is kept of the lists of files that packages own.
/// Asked for every line of those lists.
pub(crate) fn is_usual_place(path: &[u8]) -> bool {
    path::split(path).0.ends_with(b"bin") || path.starts_with(b"usr/libexec/") || is_library(path)
}

/// `libc.so.6`, and what Node, Python, macOS and Windows call a library or program.
fn is_library(path: &[u8]) -> bool {
    let endings: [&[u8]; 6] = [b".so", b".node", b".pyd", b".dylib", b".dll", b".exe"];
    match path.last() {
        Some(b'0'..=b'9') => path::split(path).1.windows(4).any(|part| part == b".so."),
        Some(b'o' | b'e' | b'd' | b'b' | b'l') => endings.iter().any(|ending| path.ends_with(ending)),
        _ => false,
    }
}

/// Whether a file that begins like this is an executable: ELF, PE or Mach-O.
pub(crate) fn begins(start: &[u8]) -> bool {
    start.starts_with(elf::MAGIC) || start.starts_with(pe::MAGIC) || start.starts_with(macho::MAGIC)
}

/// Which ranges of a file of `size` bytes to hold, when there is room for `room`. The first range begins with
/// the file and has at least `head`; that is the file's beginning.
pub(crate) fn plan(size: u64, head: &[u8], room: u64) -> Vec<Range<u64>> {
    let room = room.max(4 * HEAD_BYTES);
    if size <= room {
        return vec![0..size; 1];
    }
    // Linkers write headers, code, data and the list of sections, in this order.
    let quarter = room / 4;
    let data = Layout::of(&Held::whole(head.to_vec())).segments.into_iter().find(|segment| segment.writable);
    let data = data.map_or(quarter..2 * quarter, |segment| {
        segment.range.start..segment.range.end.min(segment.range.start.saturating_add(quarter))
    });
    let mut plan = vec![0..quarter; 1];
    for next in [data, size - 2 * quarter..size] {
        let held_to = plan.last().map_or(0, |range| range.end);
        let next = next.start.max(held_to)..next.end.min(size);
        if next.start < next.end {
            plan.push(next);
        }
    }
    plan
}

impl Executable {
    /// Looks at what is held of an executable.
    pub(crate) fn new(held: Held) -> Self {
        Self { layout: Layout::of(&held), held }
    }

    /// Where the section of this name is, if there is one.
    pub(crate) fn section(&self, name: &[u8]) -> Option<Range<u64>> {
        self.layout.sections.iter().find(|(known, _)| *known == name).map(|(_, range)| range.clone())
    }

    /// Whether it has sections that are not known because the file is too large.
    pub(crate) fn hides_sections(&self) -> bool {
        self.layout.listed == Listed::NotHeld
    }

    /// Whether it may hold data that is no section and that cannot be searched because the file is too large.
    pub(crate) fn hides_data(&self) -> bool {
        let is_cut = |range: Range<u64>| self.get(range) == Err(Unread::NotHeld);
        self.layout.listed == Listed::Absent && self.data().any(is_cut)
    }

    /// These bytes of the file.
    pub(crate) fn get(&self, range: Range<u64>) -> Result<&[u8], Unread> {
        self.held.get(range)
    }

    /// What is held from here to the end of the range, or of what is held there.
    pub(crate) fn stretch(&self, range: Range<u64>) -> &[u8] {
        self.held.stretch(range)
    }

    /// The parts of the file that are writable in memory.
    pub(crate) fn data(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.layout.segments.iter().filter(|segment| segment.writable).map(|segment| segment.range.clone())
    }

    /// The bytes that are at this address when it runs.
    pub(crate) fn at_address(&self, address: u64, count: u64) -> Result<&[u8], Unread> {
        let offset = |segment: &Segment| {
            let offset = address.checked_sub(segment.address)?;
            let start = segment.range.start.checked_add(offset)?;
            let end = start.checked_add(count)?;
            (end <= segment.range.end).then_some(start..end)
        };
        let range = self.layout.segments.iter().find_map(offset).ok_or(Unread::Absent)?;
        self.get(range)
    }
}

impl Layout {
    /// Nothing, where the headers make no sense.
    fn of(held: &Held) -> Self {
        let start = held.stretch(0..MAGIC_BYTES);
        if start.starts_with(elf::MAGIC) {
            elf::layout(held).unwrap_or_default()
        } else if start.starts_with(pe::MAGIC) {
            pe::layout(held).unwrap_or_default()
        } else {
            macho::layout(held).unwrap_or_default()
        }
    }

    /// Takes note of a section if its name, which a NUL ends where there is room, is one that matters.
    fn add_section(&mut self, name: &[u8], range: Range<u64>) {
        let is_name = |known: &&[u8]| {
            name.strip_prefix(*known).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == 0))
        };
        if let Some(known) = SECTIONS.into_iter().find(is_name)
            && !self.sections.iter().any(|(name, _)| *name == known)
        {
            self.sections.push((known, range));
        }
    }
}

/// A range by its start and length; one that is longer than numbers are is none.
fn range(start: u64, count: u64) -> Option<Range<u64>> {
    Some(start..start.checked_add(count)?)
}

#[cfg(test)]
pub(crate) mod tests;
