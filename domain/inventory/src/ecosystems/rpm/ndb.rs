//! SUSE's `Packages.db` (rpm's `lib/backend/ndb/rpmpkg.c`): slots that say where each package's blob is. Numbers are
//! little-endian.

use super::{Allowance, Order, place};

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

pub(super) fn blobs(content: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    if !content.starts_with(MAGIC) || LITTLE.number(content, 4, 4) != Some(0) {
        return Err("it is not an ndb database of version 0".to_owned());
    }
    let slot_bytes = place(LITTLE, content, 12, 4).and_then(|pages| pages.checked_mul(PAGE_BYTES));
    let slots = slot_bytes.and_then(|end| content.get(HEADER_BYTES..end));
    let mut allowance = Allowance::of(content);
    for slot in slots.ok_or("the database's slots are cut off")?.chunks_exact(SLOT_BYTES) {
        if !slot.starts_with(SLOT_MAGIC) {
            return Err(DAMAGED_SLOT.to_owned());
        }
        let package = LITTLE.number(slot, 4, 4).ok_or(DAMAGED_SLOT)?;
        let block = place(LITTLE, slot, 8, 4).ok_or(DAMAGED_SLOT)?;
        if block == 0 {
            continue; // It is free.
        }
        let blob = blob(content, package, block).ok_or("a package's place in the database is damaged")?;
        allowance.take(blob.len())?;
        take(blob)?;
    }
    Ok(())
}

fn blob(content: &[u8], package: u64, block: usize) -> Option<&[u8]> {
    let start = block.checked_mul(BLOCK_BYTES)?;
    let body = start.checked_add(BLOB_HEADER_BYTES)?;
    let header = content.get(start..body)?;
    if !header.starts_with(BLOB_MAGIC) || LITTLE.number(header, 4, 4)? != package {
        return None;
    }
    content.get(body..body.checked_add(place(LITTLE, header, 12, 4)?)?)
}
