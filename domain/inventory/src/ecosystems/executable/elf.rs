//! ELF (System V ABI, gabi 4.2, "Object Files" and "Program Loading"): what Linux runs.

use super::Order;
use super::held::{Held, Unread};
use super::{Layout, Listed, SEGMENTS_MAX, Segment, range};

pub(super) const MAGIC: &[u8] = b"\x7fELF";

const PT_LOAD: u64 = 1;
const PF_W: u64 = 2;
const SHT_NOBITS: u64 = 8;

/// How wide an address is and where the fields are: offsets into file header, program header and section header.
struct Class {
    word: usize,
    header: u64,
    phoff: usize,
    shoff: usize,
    /// `e_phentsize`, with the number of entries after it; then the same for sections, then `e_shstrndx`.
    counts: usize,
    p_flags: usize,
    p_offset: usize,
    p_vaddr: usize,
    p_filesz: usize,
    sh_offset: usize,
    sh_size: usize,
    phdr: u64,
    shdr: u64,
}

const CLASS_32: Class = Class {
    word: 4,
    header: 52,
    phoff: 28,
    shoff: 32,
    counts: 42,
    p_flags: 24,
    p_offset: 4,
    p_vaddr: 8,
    p_filesz: 16,
    sh_offset: 16,
    sh_size: 20,
    phdr: 32,
    shdr: 40,
};
const CLASS_64: Class = Class {
    word: 8,
    header: 64,
    phoff: 32,
    shoff: 40,
    counts: 54,
    p_flags: 4,
    p_offset: 8,
    p_vaddr: 16,
    p_filesz: 32,
    sh_offset: 24,
    sh_size: 32,
    phdr: 56,
    shdr: 64,
};

pub(super) fn layout(held: &Held) -> Option<Layout> {
    let ident = held.get(0..16).ok()?;
    let class = match ident.get(4)? {
        1 => CLASS_32,
        2 => CLASS_64,
        _ => return None,
    };
    let order = match ident.get(5)? {
        1 => Order::LittleEndian,
        2 => Order::BigEndian,
        _ => return None,
    };
    let file = File { held, class, order };
    let mut layout = Layout { segments: file.segments().unwrap_or_default(), ..Layout::default() };
    layout.listed = match file.sections(&mut layout) {
        Ok(()) => Listed::Known,
        Err(Unread::Absent) => Listed::Absent,
        Err(Unread::NotHeld) => Listed::NotHeld,
    };
    Some(layout)
}

struct File<'a> {
    held: &'a Held,
    class: Class,
    order: Order,
}

/// One of the two tables of headers.
struct Table<'a> {
    bytes: &'a [u8],
    entry_bytes: usize,
}

impl<'a> File<'a> {
    fn segments(&self) -> Result<Vec<Segment>, Unread> {
        let table = self.table(self.class.phoff, self.class.counts, self.class.phdr)?;
        Ok(table.entries().filter_map(|entry| self.segment(entry)).take(SEGMENTS_MAX).collect())
    }

    fn segment(&self, entry: &[u8]) -> Option<Segment> {
        let Class { word, p_flags, p_offset, p_vaddr, p_filesz, .. } = self.class;
        let number = |at, width| self.order.number(entry, at, width);
        if number(0, 4)? != PT_LOAD {
            return None;
        }
        Some(Segment {
            range: range(number(p_offset, word)?, number(p_filesz, word)?)?,
            address: number(p_vaddr, word)?,
            writable: number(p_flags, 4)? & PF_W != 0,
        })
    }

    /// Nothing is wrong with a file that has no sections: they are not needed to run.
    fn sections(&self, layout: &mut Layout) -> Result<(), Unread> {
        let table = self.table(self.class.shoff, self.class.counts + 4, self.class.shdr)?;
        let header = self.held.get(0..self.class.header)?;
        let index = self.order.number(header, self.class.counts + 8, 2).ok_or(Unread::Absent)?;
        let index = usize::try_from(index).map_err(|_| Unread::Absent)?;
        let strings = table.entries().nth(index).and_then(|e| self.section(e)).ok_or(Unread::Absent)?;
        let strings = self.held.get(strings.1)?;
        for (name, range) in table.entries().filter_map(|entry| self.section(entry)) {
            layout.add_section(strings.get(name..).unwrap_or_default(), range);
        }
        Ok(())
    }

    /// Where its name is in the table of strings, and where it is itself.
    fn section(&self, entry: &[u8]) -> Option<(usize, std::ops::Range<u64>)> {
        let Class { word, sh_offset, sh_size, .. } = self.class;
        let number = |at, width| self.order.number(entry, at, width);
        if number(4, 4)? == SHT_NOBITS {
            return None;
        }
        let range = range(number(sh_offset, word)?, number(sh_size, word)?)?;
        Some((usize::try_from(number(0, 4)?).ok()?, range))
    }

    fn table(&self, offset: usize, counts: usize, least: u64) -> Result<Table<'a>, Unread> {
        let header = self.held.get(0..self.class.header)?;
        let number = |at, width| self.order.number(header, at, width).ok_or(Unread::Absent);
        let (entry_bytes, count) = (number(counts, 2)?, number(counts + 2, 2)?);
        let at = number(offset, self.class.word)?;
        if entry_bytes < least || count == 0 || at == 0 {
            return Err(Unread::Absent);
        }
        let bytes = self.held.get(range(at, entry_bytes * count).ok_or(Unread::Absent)?)?;
        Ok(Table { bytes, entry_bytes: usize::try_from(entry_bytes).map_err(|_| Unread::Absent)? })
    }
}

impl<'a> Table<'a> {
    fn entries(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks_exact(self.entry_bytes)
    }
}
