//! Go's build information, as its package `debug/buildinfo` reads it.
//!
//! A header of 32 bytes, aligned to 16: `\xff Go buildinf:`, the size of a pointer, flags. Since Go 1.18 two
//! strings follow, each with its length as a varint; before, the header holds two pointers to strings.

use std::ops::Range;

use crate::ecosystems::executable::{Executable, GO_BUILD_INFO, Order, Unread};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
const HEADER_BYTES: usize = 32;
const FLAG_BIG_ENDIAN: u8 = 1;
const FLAG_INLINE: u8 = 2;
/// Marks before and after the list of modules, by which a running program finds it.
const SENTINEL_BYTES: usize = 16;
/// Bytes of a version of Go …
const VERSION_BYTES_MAX: u64 = 1024;
/// … and of a list of modules: Kubernetes has less than a tenth of this.
const MODULES_BYTES_MAX: u64 = 1 << 20;
/// Places with the magic, and parts of the file that are searched for it: real files have one of each.
const PLACES_MAX: usize = 16;
const PARTS_MAX: usize = 8;

/// What it was built by and from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BuildInfo {
    pub(super) go_version: String,
    /// The main module first.
    pub(super) modules: Vec<Module>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) path: String,
    /// Empty where there is none.
    pub(super) version: String,
}

/// Why there is no build information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is no Go executable.
    Absent,
    /// It is one, and what it says makes no sense.
    Broken,
    /// It is, or may be one, and the part that tells is not held because the file is too large.
    NotHeld,
}

impl BuildInfo {
    /// In the section that is called so, else, as in stripped files and on Windows, anywhere in writable data.
    pub(super) fn of(executable: &Executable) -> Result<Self, Unfit> {
        let section = GO_BUILD_INFO.iter().find_map(|name| executable.section(name));
        if let Some(section) = section {
            let bytes = executable.stretch(section.clone());
            if bytes.is_empty() {
                return Err(unread(executable.get(section).err()));
            }
            return find(executable, bytes, section.start).unwrap_or(Err(Unfit::Broken));
        }
        let nothing = if executable.hides_data() { Unfit::NotHeld } else { Unfit::Absent };
        let in_data = |range: Range<u64>| find(executable, executable.stretch(range.clone()), range.start);
        executable.data().take(PARTS_MAX).find_map(in_data).unwrap_or(Err(nothing))
    }

    fn read(executable: &Executable, blob: &[u8]) -> Result<Self, Unfit> {
        let flags = *blob.get(15).ok_or(Unfit::Broken)?;
        let (go_version, modules) = if flags & FLAG_INLINE != 0 {
            let strings = blob.get(HEADER_BYTES..).unwrap_or_default();
            let (go_version, rest) = inline(strings, VERSION_BYTES_MAX)?;
            (go_version, inline(rest, MODULES_BYTES_MAX)?.0)
        } else {
            let big = flags & FLAG_BIG_ENDIAN != 0;
            let order = if big { Order::BigEndian } else { Order::LittleEndian };
            let pointers = Pointers::new(executable, blob, order)?;
            (pointers.string(0, VERSION_BYTES_MAX)?, pointers.string(1, MODULES_BYTES_MAX)?)
        };
        let go_version = String::from_utf8(go_version.to_vec()).map_err(|_| Unfit::Broken)?;
        if go_version.is_empty() {
            return Err(Unfit::Broken);
        }
        Ok(Self { go_version, modules: modules_of(&String::from_utf8_lossy(between_sentinels(modules))) })
    }
}

/// The first place with the magic that can be read; a failure when there are only others.
fn find(executable: &Executable, bytes: &[u8], at: u64) -> Option<Result<BuildInfo, Unfit>> {
    // Alignment is that of the file, whose pages are memory's pages.
    let skip = usize::try_from(at.wrapping_neg() % ALIGNMENT as u64).unwrap_or(0);
    let aligned = bytes.get(skip..)?;
    let from = |start| aligned.get(start..).filter(|blob| blob.starts_with(MAGIC));
    let places = (0..aligned.len()).step_by(ALIGNMENT).filter_map(from).take(PLACES_MAX);
    let mut failure = None;
    for blob in places {
        match BuildInfo::read(executable, blob) {
            Ok(info) => return Some(Ok(info)),
            Err(unfit) => failure = Some(Err(unfit)),
        }
    }
    failure
}

const fn unread(why: Option<Unread>) -> Unfit {
    match why {
        Some(Unread::NotHeld) => Unfit::NotHeld,
        Some(Unread::Absent) | None => Unfit::Broken,
    }
}

/// A string after its length, and what follows.
fn inline(bytes: &[u8], limit: u64) -> Result<(&[u8], &[u8]), Unfit> {
    let (length, rest) = varint(bytes).filter(|(length, _)| *length <= limit).ok_or(Unfit::Broken)?;
    let length = usize::try_from(length).map_err(|_| Unfit::Broken)?;
    rest.split_at_checked(length).ok_or(Unfit::Broken)
}

/// Go's `encoding/binary`: seven bits a byte, the lowest first, as long as the highest bit is set.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// The older form: the header holds the addresses of two Go strings, each an address and a length.
struct Pointers<'a> {
    executable: &'a Executable,
    blob: &'a [u8],
    width: usize,
    order: Order,
}

impl<'a> Pointers<'a> {
    fn new(executable: &'a Executable, blob: &'a [u8], order: Order) -> Result<Self, Unfit> {
        let width = match blob.get(14) {
            Some(4) => 4,
            Some(8) => 8,
            _ => return Err(Unfit::Broken),
        };
        Ok(Self { executable, blob, width, order })
    }

    fn string(&self, index: usize, limit: u64) -> Result<&'a [u8], Unfit> {
        let address = self.number(self.blob, 16 + index * self.width)?;
        if address == 0 {
            return Ok(&[]); // Built without modules.
        }
        let header = self.at(address, 2 * self.width as u64)?;
        let (start, length) = (self.number(header, 0)?, self.number(header, self.width)?);
        match length {
            0 => Ok(&[]),
            _ if length > limit => Err(Unfit::Broken),
            _ => self.at(start, length),
        }
    }

    fn at(&self, address: u64, count: u64) -> Result<&'a [u8], Unfit> {
        self.executable.at_address(address, count).map_err(|why| unread(Some(why)))
    }

    fn number(&self, bytes: &[u8], at: usize) -> Result<u64, Unfit> {
        self.order.number(bytes, at, self.width).ok_or(Unfit::Broken)
    }
}

/// Nothing where the marks are not: then Go itself sees no modules either.
fn between_sentinels(text: &[u8]) -> &[u8] {
    let end = text.len().saturating_sub(SENTINEL_BYTES);
    text.get(SENTINEL_BYTES..end).filter(|inside| inside.ends_with(b"\n")).unwrap_or_default()
}

/// Lines of `runtime/debug.BuildInfo`: `mod` and `dep` name a module, `=>` what stands in for the one before.
fn modules_of(text: &str) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let word = fields.next();
        let mut field = || fields.next().unwrap_or_default().to_owned();
        let module = Module { path: field(), version: field() };
        match word {
            Some("mod" | "dep") => modules.push(module),
            Some("=>") => {
                modules.pop();
                modules.push(module);
            }
            _ => {} // `path` of the main package, `build` with settings.
        }
    }
    modules
}
