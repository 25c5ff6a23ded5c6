//! One package's header (rpm's "Header Structure"): an index of tags, then what they point at. Numbers are big-endian.

use super::{Order, Package, PathBudget, place};

const NAME: u64 = 1000;
const VERSION: u64 = 1001;
const RELEASE: u64 = 1002;
const EPOCH: u64 = 1003;
const VENDOR: u64 = 1011;
const ARCH: u64 = 1022;
const SOURCE_RPM: u64 = 1044;
const DIR_INDEXES: u64 = 1116;
const BASE_NAMES: u64 = 1117;
const DIR_NAMES: u64 = 1118;
const MODULARITY_LABEL: u64 = 5096;

const INT32: u64 = 4;
const STRINGS: [u64; 3] = [6, 8, 9];

const BIG: Order = Order::BigEndian;
const ENTRY_BYTES: usize = 16;
/// More tags or files than a package has.
const COUNT_MAX: usize = 2_000_000;

/// The package; `None` for a key that signs packages, which rpm keeps among them.
pub(super) fn package(blob: &[u8], wanted: fn(&[u8]) -> bool) -> Result<Option<Package>, String> {
    let header = Header::new(blob).ok_or("a package's header is cut off")?;
    let text = |tag| header.strings(tag).next().unwrap_or_default().trim().to_owned();
    let name = text(NAME);
    if name.is_empty() {
        return Err("a package's header has no name".to_owned());
    }
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Some(Package {
        epoch: header.numbers(EPOCH).next().and_then(|epoch| u32::try_from(epoch).ok()).unwrap_or_default(),
        version: text(VERSION),
        release: text(RELEASE),
        architecture: known(text(ARCH)),
        source: known(text(SOURCE_RPM)),
        vendor: known(text(VENDOR)),
        module: known(text(MODULARITY_LABEL)),
        files: files(&header, wanted),
        name,
    }))
}

fn files(header: &Header<'_>, wanted: fn(&[u8]) -> bool) -> Vec<String> {
    let directories: Vec<String> = header.strings(DIR_NAMES).collect();
    let named = header.strings(BASE_NAMES).zip(header.numbers(DIR_INDEXES));
    let mut budget = PathBudget::new(header.data);
    let path = |(base, directory): (String, usize)| {
        let directory = directories.get(directory)?;
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
        let (entries, size) = (place(BIG, blob, 0, 4)?, place(BIG, blob, 4, 4)?);
        let index_end = entries.checked_mul(ENTRY_BYTES)?.checked_add(8)?;
        let index = blob.get(8..index_end)?;
        Some(Self { index, data: blob.get(index_end..index_end.checked_add(size)?)? })
    }

    /// Type, data from where the tag's begins, and count.
    fn tag(&self, tag: u64) -> Option<(u64, &'a [u8], usize)> {
        let entry =
            self.index.chunks_exact(ENTRY_BYTES).find(|entry| BIG.number(entry, 0, 4) == Some(tag))?;
        let data = self.data.get(place(BIG, entry, 8, 4)?..)?;
        Some((BIG.number(entry, 4, 4)?, data, place(BIG, entry, 12, 4)?.min(COUNT_MAX)))
    }

    fn strings(&self, tag: u64) -> impl Iterator<Item = String> + use<'a> {
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

    fn numbers(&self, tag: u64) -> impl Iterator<Item = usize> + use<'a> {
        let (data, count) = match self.tag(tag) {
            Some((INT32, data, count)) => (data, count),
            _ => (&[][..], 0),
        };
        data.chunks_exact(4).take(count).filter_map(|four| place(BIG, four, 0, 4))
    }
}
