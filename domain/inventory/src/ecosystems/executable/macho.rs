//! Mach-O (Apple's `mach-o/loader.h`): programs for macOS. Only the 64-bit form for one machine: a file for
//! several begins as Java classes do, and is not met in images.

use super::Order;
use super::held::Held;
use super::{Layout, Listed, SEGMENTS_MAX, Segment, range};

/// `MH_MAGIC_64`, little-endian.
pub(super) const MAGIC: &[u8] = b"\xcf\xfa\xed\xfe";

const HEADER_BYTES: u64 = 32;
const LC_SEGMENT_64: u64 = 0x19;
const SEGMENT_BYTES: usize = 72;
const VM_PROT_WRITE: u64 = 2;

pub(super) fn layout(held: &Held) -> Option<Layout> {
    let number = |bytes: &[u8], at, width| Order::LittleEndian.number(bytes, at, width);
    let header = held.get(0..HEADER_BYTES).ok()?;
    let mut commands = held.get(range(HEADER_BYTES, number(header, 20, 4)?)?).ok()?;
    let mut layout = Layout { listed: Listed::Known, ..Layout::default() };
    while layout.segments.len() < SEGMENTS_MAX
        && let Some(bytes) = number(commands, 4, 4).and_then(|bytes| usize::try_from(bytes).ok())
        && bytes >= 8
        && let Some((command, rest)) = commands.split_at_checked(bytes)
    {
        commands = rest;
        if number(command, 0, 4)? == LC_SEGMENT_64 {
            layout.segments.push(Segment {
                range: range(number(command, 40, 8)?, number(command, 48, 8)?)?,
                address: number(command, 24, 8)?,
                writable: number(command, 60, 4)? & VM_PROT_WRITE != 0,
            });
            for section in command.get(SEGMENT_BYTES..)?.as_chunks::<80>().0 {
                let (size, at) = (number(section, 40, 8)?, number(section, 48, 4)?);
                layout.add_section(section.get(..16)?, range(at, size)?);
            }
        }
    }
    Some(layout)
}
