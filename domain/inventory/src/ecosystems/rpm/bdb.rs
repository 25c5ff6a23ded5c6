//! `Packages` in Berkeley DB's hash format (`db_page.h`): every value of every hash page is a package's header, most on
//! overflow pages of their own. Numbers are in the byte order of the machine that wrote it, which the magic tells.

use std::borrow::Cow;

use super::{Allowance, Content, Order, Take, place};

const HASH_MAGIC: u64 = 0x0006_1561;
/// Of the first page, what tells how to read the others.
const META_BYTES: usize = 24;
const PAGE_HEADER_BYTES: usize = 26;
/// Where a page says of which kind it is.
const KIND: usize = 25;
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Kinds of items: within the page, and on pages of their own.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;
/// What rpm counts its packages with is among them; a header is longer.
const COUNTER_BYTES: usize = 5;

const DAMAGED: &str = "the database is damaged";

pub(super) fn blobs(content: &Content<'_>, take: Take<'_>) -> Result<(), String> {
    let database = Database::new(content).ok_or("it is not a Berkeley DB hash")?;
    let order = database.order;
    let mut allowance = Allowance::of(content.len());
    for number in 1..content.len() / database.page_bytes {
        let page = database.page(number).ok_or(DAMAGED)?;
        if ![HASH_UNSORTED, HASH].contains(&page[KIND]) {
            continue;
        }
        let items = place(order, &page, 20, 2).unwrap_or_default();
        // Keys and values take turns.
        for item in (1..items).step_by(2) {
            // Items fill the page from its end, so one ends where the one before it begins.
            let offset = |item| place(order, &page, PAGE_HEADER_BYTES + 2 * item, 2);
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

struct Database<'a> {
    content: &'a Content<'a>,
    order: Order,
    page_bytes: usize,
}

impl<'a> Database<'a> {
    fn new(content: &'a Content<'a>) -> Option<Self> {
        let meta = content.get(0..META_BYTES)?;
        let is_magic = |order: &Order| order.number(&meta, 12, 4) == Some(HASH_MAGIC);
        let order = [Order::LittleEndian, Order::BigEndian].into_iter().find(is_magic)?;
        let page_bytes = place(order, &meta, 20, 4)?;
        let usual = page_bytes.is_power_of_two() && (512..=65536).contains(&page_bytes);
        usual.then_some(Self { content, order, page_bytes })
    }

    fn page(&self, number: usize) -> Option<Cow<'a, [u8]>> {
        let start = number.checked_mul(self.page_bytes)?;
        self.content.get(start..start.checked_add(self.page_bytes)?)
    }

    /// The value that an item points at, gathered from its pages. Each page of the chain has to bring something, so the
    /// chain ends.
    fn overflow(&self, item: &[u8], allowance: &mut Allowance) -> Result<Vec<u8>, String> {
        let number = |bytes: &[u8], at, width| place(self.order, bytes, at, width).ok_or(DAMAGED);
        let (mut next, length) = (number(item, 4, 4)?, number(item, 8, 4)?);
        allowance.take(length)?;
        let mut value = Vec::with_capacity(length);
        while value.len() < length {
            let page = self.page(next).filter(|page| page[KIND] == OVERFLOW).ok_or(DAMAGED)?;
            let here = number(&page, 22, 2)?.min(length - value.len());
            let bytes = page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + here).ok_or(DAMAGED)?;
            if bytes.is_empty() {
                return Err(DAMAGED.to_owned());
            }
            value.extend_from_slice(bytes);
            next = number(&page, 16, 4)?;
        }
        Ok(value)
    }
}
