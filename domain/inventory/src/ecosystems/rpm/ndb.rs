//! SUSE's `Packages.db` (rpm's `lib/backend/ndb/rpmpkg.c`): slots that say where each package's blob is. Numbers are
//! little-endian.

use super::{Allowance, place, u32_at};

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"Slot");
const BLOB_MAGIC: u32 = u32::from_le_bytes(*b"BlbS");
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
/// The header takes the place of the first slots.
const HEADER_BYTES: usize = 2 * SLOT_BYTES;
/// Offsets are told in blocks.
const BLOCK_BYTES: usize = 16;
const BLOB_HEADER_BYTES: usize = 16;

pub(super) fn blobs(content: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let number = |at| u32_at(content, at, u32::from_le_bytes);
    if number(0) != Some(MAGIC) || number(4) != Some(0) {
        return Err("it is not an ndb database of version 0".to_owned());
    }
    let slot_bytes = number(12).and_then(|pages| place(pages).checked_mul(PAGE_BYTES));
    let slots = slot_bytes
        .and_then(|end| content.get(HEADER_BYTES..end))
        .ok_or("the database's slots are cut off")?;
    let mut allowance = Allowance::of(content);
    for slot in slots.chunks_exact(SLOT_BYTES) {
        let field = |at| u32_at(slot, at, u32::from_le_bytes);
        if field(0) != Some(SLOT_MAGIC) {
            return Err("a slot of the database is damaged".to_owned());
        }
        match (field(4), field(8)) {
            (_, Some(0)) => {} // It is free.
            (Some(package), Some(block)) => {
                let blob =
                    blob(content, package, block).ok_or("a package's place in the database is damaged")?;
                allowance.take(blob.len())?;
                take(blob)?;
            }
            _ => return Err("a slot of the database is damaged".to_owned()),
        }
    }
    Ok(())
}

fn blob(content: &[u8], package: u32, block: u32) -> Option<&[u8]> {
    let start = place(block).checked_mul(BLOCK_BYTES)?;
    let header = content.get(start..start.checked_add(BLOB_HEADER_BYTES)?)?;
    let field = |at| u32_at(header, at, u32::from_le_bytes);
    if field(0)? != BLOB_MAGIC || field(4)? != package {
        return None;
    }
    let body = start + BLOB_HEADER_BYTES;
    content.get(body..body.checked_add(place(field(12)?))?)
}
