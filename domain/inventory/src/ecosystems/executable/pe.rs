//! PE (Microsoft's "PE Format"): programs for Windows, which packages for Python and Node carry along.

use super::Order;
use super::held::Held;
use super::{Layout, Segment, range};

pub(super) const MAGIC: &[u8] = b"MZ";

const SECTION_BYTES: u64 = 40;
const PE32_PLUS: u64 = 0x20b;
const MEM_WRITE: u64 = 0x8000_0000;

pub(super) fn layout(held: &Held) -> Option<Layout> {
    let number = |bytes: &[u8], at, width| Order::LittleEndian.number(bytes, at, width);
    let at = number(held.get(0..64).ok()?, 60, 4)?;
    let header = held.get(range(at, 24)?).ok()?;
    if !header.starts_with(b"PE\0\0") {
        return None;
    }
    let (sections, optional_bytes) = (number(header, 6, 2)?, number(header, 20, 2)?);
    let optional = held.get(range(at + 24, optional_bytes)?).ok()?;
    let base =
        if number(optional, 0, 2)? == PE32_PLUS { number(optional, 24, 8) } else { number(optional, 28, 4) };
    let table = held.get(range(at + 24 + optional_bytes, sections * SECTION_BYTES)?).ok()?;
    let mut layout = Layout::default();
    for entry in table.as_chunks::<40>().0.iter().take(super::SEGMENTS_MAX) {
        let raw = range(number(entry, 20, 4)?, number(entry, 16, 4)?)?;
        // The length is rounded up; what the section really has is said apart.
        let used = raw.start..raw.end.min(raw.start + number(entry, 8, 4)?);
        layout.add_section(entry.get(..8)?, used);
        layout.segments.push(Segment {
            range: raw,
            address: base.unwrap_or_default().wrapping_add(number(entry, 12, 4)?),
            writable: number(entry, 36, 4)? & MEM_WRITE != 0,
        });
    }
    Some(layout)
}
