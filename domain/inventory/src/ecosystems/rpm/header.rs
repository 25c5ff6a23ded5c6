//! One package's header (rpm's "Header Structure"): an index of tags, then what they point at. Numbers are big-endian.

use super::{Package, PathBudget, place, u32_at};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;

const INT32: u32 = 4;
const STRINGS: [u32; 3] = [6, 8, 9];

const ENTRY_BYTES: usize = 16;
/// More tags or files than a package has.
const COUNT_MAX: usize = 2_000_000;

/// The package; `None` for a key that signs packages, which rpm keeps among them.
pub(super) fn package(blob: &[u8], wanted: fn(&[u8]) -> bool) -> Result<Option<Package>, String> {
    let header = Header::new(blob).ok_or("a package's header is cut off")?;
    let text = |tag| header.strings(tag).next().unwrap_or_default();
    let name = text(NAME);
    if name.is_empty() {
        return Err("a package's header has no name".to_owned());
    }
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Some(Package {
        epoch: header.numbers(EPOCH).next().unwrap_or_default(),
        version: text(VERSION),
        release: text(RELEASE),
        architecture: known(text(ARCH)),
        source: known(text(SOURCE_RPM)),
        files: files(&header, wanted),
        name,
    }))
}

fn files(header: &Header<'_>, wanted: fn(&[u8]) -> bool) -> Vec<String> {
    let directories: Vec<String> = header.strings(DIR_NAMES).collect();
    let named = header.strings(BASE_NAMES).zip(header.numbers(DIR_INDEXES));
    let mut budget = PathBudget::new(header.data);
    let path = |(base, directory): (String, u32)| {
        let directory = directories.get(place(directory))?;
        if !budget.allows(directory.len() + base.len()) {
            return None;
        }
        let whole = format!("{directory}{base}");
        let path = whole.strip_prefix('/').unwrap_or(&whole);
        wanted(path.as_bytes()).then(|| path.to_owned())
    };
    named.filter_map(path).collect()
}

struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn new(blob: &'a [u8]) -> Option<Self> {
        let entries = place(u32_at(blob, 0, u32::from_be_bytes)?);
        let size = place(u32_at(blob, 4, u32::from_be_bytes)?);
        let index_end = entries.checked_mul(ENTRY_BYTES)?.checked_add(8)?;
        let index = blob.get(8..index_end)?;
        Some(Self { index, data: blob.get(index_end..index_end.checked_add(size)?)? })
    }

    /// Type, data from where the tag's begins, and count.
    fn tag(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let field = |entry: &[u8], at| u32_at(entry, at, u32::from_be_bytes);
        let entry = self.index.chunks_exact(ENTRY_BYTES).find(|entry| field(entry, 0) == Some(tag))?;
        let data = self.data.get(place(field(entry, 8)?)..)?;
        Some((field(entry, 4)?, data, place(field(entry, 12)?).min(COUNT_MAX)))
    }

    fn strings(&self, tag: u32) -> impl Iterator<Item = String> + use<'a> {
        let (data, count) = match self.tag(tag) {
            Some((kind, data, count)) if STRINGS.contains(&kind) => (data, count),
            _ => (&[][..], 0),
        };
        // What no zero ends is not a string.
        let mut rest = data;
        let next = move || {
            let end = rest.iter().position(|&b| b == 0)?;
            let text = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 1..];
            Some(text)
        };
        std::iter::from_fn(next).take(count)
    }

    fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'a> {
        let (data, count) = match self.tag(tag) {
            Some((INT32, data, count)) => (data, count),
            _ => (&[][..], 0),
        };
        data.chunks_exact(4).take(count).filter_map(|four| u32_at(four, 0, u32::from_be_bytes))
    }
}
