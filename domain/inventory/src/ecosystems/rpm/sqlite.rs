//! The blobs of table `Packages` in an SQLite database (sqlite.org/fileformat2.html), without an engine: the schema is
//! asked for the table's root page, and the tree below it is walked, each page once.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Allowance, Content, Order, Take, place};

const BIG: Order = Order::BigEndian;
const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
const INTERIOR_TABLE: u8 = 5;
const LEAF_TABLE: u8 = 13;

pub(super) fn blobs(content: &Content<'_>, take: Take<'_>) -> Result<(), String> {
    let database = Database::new(content).ok_or("it is not an SQLite database")?;
    let mut allowance = Allowance::of(content.len());
    let mut root = None;
    database.rows(1, &mut allowance, &mut |record| {
        let columns = columns(record).unwrap_or_default();
        if let [Value::Bytes(b"table"), Value::Bytes(b"Packages"), _, Value::Number(page), ..] = columns[..] {
            root = usize::try_from(page).ok();
        }
        Ok(())
    })?;
    let root = root.ok_or("the database has no table of packages")?;
    database.rows(root, &mut allowance, &mut |record| match columns(record).unwrap_or_default()[..] {
        [_, Value::Bytes(blob), ..] => take(blob),
        _ => Err("a row of the table of packages cannot be read".to_owned()),
    })
}

struct Database<'a> {
    content: &'a Content<'a>,
    page_bytes: usize,
    /// Without what other programs reserve at the end of each page.
    usable: usize,
}

const DAMAGED: &str = "the database is damaged";

impl<'a> Database<'a> {
    fn new(content: &'a Content<'a>) -> Option<Self> {
        let header = content.get(0..HEADER_BYTES)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let page_bytes = match place(BIG, &header, 16, 2)? {
            1 => 65536,
            bytes => bytes,
        };
        let usable = page_bytes.checked_sub(usize::from(*header.get(20)?))?;
        (page_bytes.is_power_of_two() && page_bytes >= 512 && usable >= 480).then_some(Self {
            content,
            page_bytes,
            usable,
        })
    }

    fn page(&self, number: usize) -> Option<Cow<'a, [u8]>> {
        let start = number.checked_sub(1)?.checked_mul(self.page_bytes)?;
        self.content.get(start..start.checked_add(self.page_bytes)?)
    }

    /// Gives the record of each row below this page.
    fn rows(
        &self,
        root: usize,
        allowance: &mut Allowance,
        give: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut seen = HashSet::from([root]);
        let mut todo = vec![root];
        let mut visit = |todo: &mut Vec<usize>, number: Option<usize>| {
            let number = number.ok_or(DAMAGED)?;
            if !seen.insert(number) {
                return Err("the database's pages lead to the same page twice".to_owned());
            }
            todo.push(number);
            Ok(())
        };
        while let Some(number) = todo.pop() {
            let page = self.page(number).ok_or(DAMAGED)?;
            // The first page begins with the database's own header.
            let start = if number == 1 { HEADER_BYTES } else { 0 };
            let kind = *page.get(start).ok_or(DAMAGED)?;
            let cells = place(BIG, &page, start + 3, 2).ok_or(DAMAGED)?;
            let pointers = start + if kind == INTERIOR_TABLE { 12 } else { 8 };
            let cell = |at: usize| place(BIG, &page, pointers + 2 * at, 2);
            match kind {
                INTERIOR_TABLE => {
                    visit(&mut todo, place(BIG, &page, start + 8, 4))?;
                    for at in (0..cells).rev() {
                        visit(&mut todo, cell(at).and_then(|cell| place(BIG, &page, cell, 4)))?;
                    }
                }
                LEAF_TABLE => {
                    for at in 0..cells {
                        let record = self.record(&page, cell(at).ok_or(DAMAGED)?, allowance)?;
                        give(&record)?;
                    }
                }
                _ => return Err(DAMAGED.to_owned()),
            }
        }
        Ok(())
    }

    /// A row's record, gathered from its cell and the pages that it flows over to.
    fn record(&self, page: &[u8], cell: usize, allowance: &mut Allowance) -> Result<Vec<u8>, String> {
        let rest = page.get(cell..).ok_or(DAMAGED)?;
        let (length, rest) = varint(rest).ok_or(DAMAGED)?;
        let (_row, rest) = varint(rest).ok_or(DAMAGED)?;
        let length = usize::try_from(length).map_err(|_| DAMAGED)?;
        allowance.take(length)?;
        let local = self.local(length);
        let mut record = rest.get(..local).ok_or(DAMAGED)?.to_vec();
        let mut next = if local < length { place(BIG, rest, local, 4) } else { None };
        while record.len() < length {
            let page = next.and_then(|number| self.page(number)).ok_or(DAMAGED)?;
            next = place(BIG, &page, 0, 4);
            let more = (self.usable - 4).min(length - record.len());
            record.extend_from_slice(page.get(4..4 + more).ok_or(DAMAGED)?);
        }
        Ok(record)
    }

    /// How many bytes of a record this long are in its cell ("Cell Payload Overflow Pages").
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

/// A column's value, as far as it matters here.
enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Other,
}

/// The columns of a record ("Record Format").
fn columns(record: &[u8]) -> Option<Vec<Value<'_>>> {
    let (header_bytes, mut types) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let mut body = record.get(header_bytes..)?;
    let mut columns = Vec::new();
    while record.len() - types.len() < header_bytes && columns.len() < 100 {
        let (kind, rest) = varint(types)?;
        types = rest;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            long => usize::try_from(long.checked_sub(12)? / 2).ok()?,
        };
        let (value, rest) = body.split_at_checked(bytes)?;
        body = rest;
        columns.push(match kind {
            1..=6 => {
                Value::Number(value.iter().fold(0, |sum: i64, byte| sum.wrapping_shl(8) | i64::from(*byte)))
            }
            8 => Value::Number(0),
            9 => Value::Number(1),
            12.. => Value::Bytes(value),
            _ => Value::Other,
        });
    }
    Some(columns)
}

/// A number of one to nine bytes, the ninth of which is whole.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}
