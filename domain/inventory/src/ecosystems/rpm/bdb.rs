//! `Packages` in Berkeley DB's hash format (`db_page.h`): every value of every hash page is a package's header, most on
//! overflow pages of their own. Numbers are in the byte order of the machine that wrote it, which the magic tells.

use super::{Allowance, place, u16_at, u32_at};

const HASH_MAGIC: u32 = 0x0006_1561;
const PAGE_HEADER_BYTES: usize = 26;
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Kinds of items: within the page, and on pages of their own.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;
/// What rpm counts its packages with is among them; a header is longer.
const COUNTER_BYTES: usize = 5;

pub(super) fn blobs(content: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let database = Database::new(content).ok_or("it is not a Berkeley DB hash")?;
    let mut allowance = Allowance::of(content);
    for page in content.chunks_exact(database.page_bytes).skip(1) {
        if ![HASH_UNSORTED, HASH].contains(&page[25]) {
            continue;
        }
        let items = usize::from(database.u16(page, 20).unwrap_or_default());
        // Keys and values take turns.
        for item in (1..items).step_by(2) {
            // Items fill the page from its end, so one ends where the one before it begins.
            let offset = |item| database.u16(page, PAGE_HEADER_BYTES + 2 * item).map(usize::from);
            let bounds = offset(item).zip(offset(item - 1));
            let value = bounds.and_then(|(start, end)| page.get(start..end)).ok_or(DAMAGED)?;
            match value.first() {
                Some(&OFF_PAGE) => take(&database.overflow(value, &mut allowance)?)?,
                Some(&INLINE) if value.len() <= COUNTER_BYTES => {}
                Some(&INLINE) => {
                    allowance.take(value.len())?;
                    take(&value[1..])?;
                }
                _ => return Err(DAMAGED.to_owned()),
            }
        }
    }
    Ok(())
}

const DAMAGED: &str = "the database is damaged";

struct Database<'a> {
    content: &'a [u8],
    big_endian: bool,
    page_bytes: usize,
}

impl<'a> Database<'a> {
    fn new(content: &'a [u8]) -> Option<Self> {
        let big_endian = match u32_at(content, 12, u32::from_le_bytes)? {
            HASH_MAGIC => false,
            other if other.swap_bytes() == HASH_MAGIC => true,
            _ => return None,
        };
        let mut database = Self { content, big_endian, page_bytes: 0 };
        database.page_bytes = place(database.u32(content, 20)?);
        let usual = database.page_bytes.is_power_of_two() && (512..=65536).contains(&database.page_bytes);
        usual.then_some(database)
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        u32_at(bytes, at, if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes })
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        u16_at(bytes, at, if self.big_endian { u16::from_be_bytes } else { u16::from_le_bytes })
    }

    /// The value that an item points at, gathered from its pages. Each page of the chain has to bring something, so the
    /// chain ends.
    fn overflow(&self, item: &[u8], allowance: &mut Allowance) -> Result<Vec<u8>, String> {
        let mut number = self.u32(item, 4).ok_or(DAMAGED)?;
        let length = place(self.u32(item, 8).ok_or(DAMAGED)?);
        allowance.take(length)?;
        let mut value = Vec::with_capacity(length);
        while value.len() < length {
            let start = place(number).checked_mul(self.page_bytes).ok_or(DAMAGED)?;
            let page = start.checked_add(self.page_bytes).and_then(|end| self.content.get(start..end));
            let page = page.filter(|page| page[25] == OVERFLOW).ok_or(DAMAGED)?;
            let here = usize::from(self.u16(page, 22).ok_or(DAMAGED)?).min(length - value.len());
            let bytes = page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + here).ok_or(DAMAGED)?;
            if bytes.is_empty() {
                return Err(DAMAGED.to_owned());
            }
            value.extend_from_slice(bytes);
            number = self.u32(page, 16).ok_or(DAMAGED)?;
        }
        Ok(value)
    }
}
