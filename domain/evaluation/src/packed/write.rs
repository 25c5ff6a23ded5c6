//! Writing an index: the same bytes from the same advisories, whatever order they came in.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use advisory::Ecosystem;
use model::Digest;

use super::bytes::put_number;
use super::directory::Directory;
use super::records::{put_entry, put_numbers, put_places, put_source};
use super::section::{Section, Writer};
use super::{About, HEAD_BYTES, MAGIC, VERSION, limits, package_key};
use crate::Index;
use crate::index::Source;

/// Why an index cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum Unpackable {
    /// It could not be written.
    #[error("it cannot be written")]
    Io(#[from] io::Error),
    /// More is said under one key than is read at once.
    #[error("more than {} bytes are said of {key}", limits::BLOCK_BYTES)]
    TooLarge {
        /// Which.
        key: String,
    },
    /// There are more ecosystems, or the directory is larger, than is read.
    #[error("it has more parts than are read")]
    TooMany,
}

/// Writes the index and what it is about.
///
/// # Errors
/// When it cannot be written, or would be too large to be read.
pub fn pack(index: &Index, about: &About, out: &mut impl io::Write) -> Result<(), Unpackable> {
    let ecosystems: Vec<Ecosystem> = index.ecosystems().cloned().collect();
    if u16::try_from(ecosystems.len()).is_err() {
        return Err(Unpackable::TooMany);
    }
    let mut about = about.clone();
    about.feeds.sort_by(|a, b| a.id.cmp(&b.id));
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    let packer = Packer { index, about: &about, ecosystems: &ecosystems, order: order(index) };
    let mut offset = HEAD_BYTES;
    let sections = [
        packer.packages(Writer::new(out, &mut offset))?,
        packer.sources(Writer::new(out, &mut offset))?,
        packer.places(Writer::new(out, &mut offset))?,
        packer.names(Writer::new(out, &mut offset))?,
    ];
    let directory = Directory { about, advisories: index.advisories(), ecosystems, sections }.write();
    if directory.len() as u64 > limits::DIRECTORY_BYTES {
        return Err(Unpackable::TooMany);
    }
    out.write_all(&directory)?;
    out.write_all(&(directory.len() as u64).to_le_bytes())?;
    out.write_all(&Digest::of(&directory).to_sha256())?;
    Ok(())
}

/// The numbers in the index of what is packed, in the order of the numbers in the file.
fn order(index: &Index) -> Vec<u32> {
    let mut order: Vec<(u32, &Source)> = index.sources().filter(|(_, source)| source.is_heard()).collect();
    order.sort_by(|(a_number, a), (b_number, b)| {
        let by_name = (a.places.first(), index.feed(a), a.names_in_order());
        let by_name = by_name.cmp(&(b.places.first(), index.feed(b), b.names_in_order()));
        by_name.then_with(|| by_content(index, *a_number, *b_number))
    });
    order.into_iter().map(|(number, _)| number).collect()
}

/// Of two that a feed says under one id: by what they say.
fn by_content(index: &Index, a: u32, b: u32) -> Ordering {
    let content = |number| {
        let entries = index.entries_of(number).map(|(ecosystem, package, entry)| {
            let mut bytes = Vec::new();
            put_entry(&mut bytes, entry);
            (ecosystem, package, bytes)
        });
        entries.collect::<BTreeSet<_>>()
    };
    content(a).cmp(&content(b))
}

struct Packer<'a> {
    index: &'a Index,
    about: &'a About,
    ecosystems: &'a [Ecosystem],
    order: Vec<u32>,
}

impl Packer<'_> {
    fn ordered(&self) -> impl Iterator<Item = (u32, &Source)> {
        (0..).zip(self.order.iter().map(|number| self.index.numbered(*number)))
    }

    fn packages(&self, mut writer: Writer<'_, impl io::Write>) -> Result<Section, Unpackable> {
        let numbers: HashMap<u32, u32> = self.order.iter().copied().zip(0..).collect();
        for (at, ecosystem) in (0..).zip(self.ecosystems) {
            for (package, entries) in self.index.packages_of(ecosystem) {
                let records = entries.iter().map(|entry| {
                    let mut bytes = Vec::new();
                    put_entry(&mut bytes, entry);
                    (numbers[&entry.source], bytes)
                });
                let records: BTreeSet<(u32, Vec<u8>)> = records.collect();
                let mut value = Vec::new();
                for (number, bytes) in records {
                    put_number(&mut value, number.into());
                    value.extend(bytes);
                }
                writer.record(&package_key(at, package), &value)?;
            }
        }
        writer.finish()
    }

    fn sources(&self, mut writer: Writer<'_, impl io::Write>) -> Result<Section, Unpackable> {
        let feeds: HashMap<_, u32> = self.about.feeds.iter().map(|feed| &feed.id).zip(0..).collect();
        for (number, source) in self.ordered() {
            let feed = feeds.get(self.index.feed(source)).copied();
            let mut value = Vec::new();
            put_source(&mut value, source, feed.expect("what is packed tells all its feeds"));
            writer.record(&number.to_be_bytes(), &value)?;
        }
        writer.finish()
    }

    fn places(&self, mut writer: Writer<'_, impl io::Write>) -> Result<Section, Unpackable> {
        for (number, source) in self.ordered() {
            let mut value = Vec::new();
            put_places(&mut value, &source.places, self.ecosystems);
            writer.record(&number.to_be_bytes(), &value)?;
        }
        writer.finish()
    }

    fn names(&self, mut writer: Writer<'_, impl io::Write>) -> Result<Section, Unpackable> {
        let mut names: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for (number, source) in self.ordered() {
            for name in source.names().chain([&*source.vulnerability]) {
                names.entry(name.to_ascii_lowercase()).or_default().insert(number);
            }
        }
        for (name, numbers) in names {
            let mut value = Vec::new();
            put_numbers(&mut value, numbers.into_iter());
            writer.record(name.as_bytes(), &value)?;
        }
        writer.finish()
    }
}
