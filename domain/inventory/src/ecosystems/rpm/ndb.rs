//! SUSE's `Packages.db` (rpm's `lib/backend/ndb/rpmpkg.c`): slots that say where each package's blob is. Numbers are
//! little-endian.

use std::borrow::Cow;

use super::{Allowance, Content, Order, Take, place};

const LITTLE: Order = Order::LittleEndian;
const MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const BLOB_MAGIC: &[u8] = b"BlbS";
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
/// The header takes the place of the first slots.
const HEADER_BYTES: usize = 2 * SLOT_BYTES;
/// Offsets are told in blocks.
const BLOCK_BYTES: usize = 16;
const BLOB_HEADER_BYTES: usize = 16;

const DAMAGED_SLOT: &str = "a slot of the database is damaged";

pub(super) fn blobs(content: &Content<'_>, take: Take<'_>) -> Result<(), String> {
    let header = content.get(0..HEADER_BYTES).filter(|header| header.starts_with(MAGIC));
    let header = header.filter(|header| LITTLE.number(header, 4, 4) == Some(0));
    let header = header.ok_or("it is not an ndb database of version 0")?;
    let slot_bytes = place(LITTLE, &header, 12, 4).and_then(|pages| pages.checked_mul(PAGE_BYTES));
    let end = slot_bytes.filter(|end| (HEADER_BYTES..=content.len()).contains(end));
    let end = end.ok_or("the database's slots are cut off")?;
    let mut allowance = Allowance::of(content.len());
    for at in (HEADER_BYTES..end).step_by(SLOT_BYTES) {
        let slot = content.get(at..at + SLOT_BYTES).filter(|slot| slot.starts_with(SLOT_MAGIC));
        let slot = slot.ok_or(DAMAGED_SLOT)?;
        let package = LITTLE.number(&slot, 4, 4).ok_or(DAMAGED_SLOT)?;
        let block = place(LITTLE, &slot, 8, 4).ok_or(DAMAGED_SLOT)?;
        if block == 0 {
            continue; // It is free.
        }
        let blob = place_of(content, package, block).ok_or("a package's place in the database is damaged")?;
        allowance.take(blob.len())?;
        take(&content.get(blob).unwrap_or(Cow::Borrowed(&[])))?;
    }
    Ok(())
}

fn place_of(content: &Content<'_>, package: u64, block: usize) -> Option<std::ops::Range<usize>> {
    let start = block.checked_mul(BLOCK_BYTES)?;
    let body = start.checked_add(BLOB_HEADER_BYTES)?;
    let header = content.get(start..body)?;
    if !header.starts_with(BLOB_MAGIC) || LITTLE.number(&header, 4, 4)? != package {
        return None;
    }
    let end = body.checked_add(place(LITTLE, &header, 12, 4)?)?;
    (end <= content.len()).then_some(body..end)
}
