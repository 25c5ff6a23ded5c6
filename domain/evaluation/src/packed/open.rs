//! A packed index that is open: evaluations read what they need of it, and no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use advisory::{Ecosystem, scheme};
use model::{Digest, Sbom};
use version::Scheme;

use super::bytes::Budget;
use super::directory::Directory;
use super::records::{entries, numbers, places, source};
use super::section::{Kind, Reader};
use super::{
    About, FOOT_BYTES, HEAD_BYTES, MAGIC, PackedError, ReadAt, VERSION, limits, malformed, number_of,
    package_key,
};
use crate::index::{Excerpt, Place, Source};
use crate::matching::asked;
use crate::{Evaluation, Explanation, evaluate, explain};

/// An index that lies in a file, or wherever else bytes are. Only its directory is held in memory.
#[derive(Debug)]
pub struct Packed<S> {
    source: S,
    directory: Directory,
}

impl<S: ReadAt> Packed<S> {
    /// Reads and checks the directory.
    ///
    /// # Errors
    /// When it is no packed index, of another version, damaged, or cannot be read.
    pub fn open(source: S) -> Result<Self, PackedError> {
        let mut magic = [0; MAGIC.len()];
        let mut version = [0; 4];
        let size = source.size()?;
        if size < HEAD_BYTES + FOOT_BYTES {
            return Err(PackedError::Foreign);
        }
        source.read_at(&mut magic, 0)?;
        source.read_at(&mut version, MAGIC.len() as u64)?;
        if magic != *MAGIC {
            return Err(PackedError::Foreign);
        }
        match u32::from_le_bytes(version) {
            VERSION => {}
            other => return Err(PackedError::OtherVersion(other)),
        }
        let (mut len, mut sha256) = ([0; 8], [0; 32]);
        source.read_at(&mut len, size - FOOT_BYTES)?;
        source.read_at(&mut sha256, size - 32)?;
        let len = u64::from_le_bytes(len);
        let room = size - HEAD_BYTES - FOOT_BYTES;
        let Some(bytes) = usize::try_from(len).ok().filter(|_| len <= room.min(limits::DIRECTORY_BYTES))
        else {
            return Err(PackedError::Damaged { what: "its end" });
        };
        let mut directory = vec![0; bytes];
        let at = size - FOOT_BYTES - len;
        source.read_at(&mut directory, at)?;
        if Digest::of(&directory).to_sha256() != sha256 {
            return Err(PackedError::Damaged { what: "the directory" });
        }
        Ok(Self { directory: Directory::read(&directory, at)?, source })
    }

    /// What it is about.
    pub fn about(&self) -> &About {
        &self.directory.about
    }

    /// How many advisories it was packed from, withdrawn and incomparable ones included.
    pub fn advisories(&self) -> usize {
        self.directory.advisories
    }

    /// The ecosystems and releases that it speaks of.
    pub fn ecosystems(&self) -> &[Ecosystem] {
        &self.directory.ecosystems
    }

    /// What holds for the image: as [`crate::evaluate`] by the index that was packed.
    ///
    /// # Errors
    /// When what is said of the image's packages cannot be read.
    pub fn evaluate(&self, sbom: &Sbom) -> Result<Evaluation, PackedError> {
        let mut reading = Reading::new(self);
        reading.packages(self.asked(sbom), true)?;
        Ok(evaluate(sbom, &reading.finish()?.into_index()))
    }

    /// Why the vulnerability holds, or why it does not: as [`crate::explain`] by the index that was packed.
    ///
    /// # Errors
    /// When what is said of it, or of the image's packages, cannot be read.
    pub fn explain(&self, sbom: &Sbom, vulnerability: &str) -> Result<Explanation, PackedError> {
        let mut reading = Reading::new(self);
        let asked = self.asked(sbom);
        let places = reading.called(vulnerability)?;
        reading.packages(places.difference(&asked).cloned().collect(), false)?;
        reading.packages(asked, true)?;
        Ok(explain(sbom, &reading.finish()?.into_index(), vulnerability))
    }

    /// Reads everything, as an import does before it trusts a file.
    ///
    /// # Errors
    /// At the first thing that is damaged or makes no sense.
    pub fn verify(&self) -> Result<(), PackedError> {
        let mut last = None;
        for kind in Kind::ALL {
            let mut reader = self.reader(kind);
            for at in 0..self.directory.section(kind).0.len() {
                let mut records = reader.block(at)?;
                let mut first = true;
                while let Some((key, value)) = records.next()? {
                    let announced = &self.directory.section(kind).0[at].first;
                    if std::mem::take(&mut first) && key != announced.as_slice()
                        || last.as_deref() >= Some(key)
                    {
                        return Err(malformed(
                            kind.as_str(),
                            "it does not hold the keys that the directory tells",
                        ));
                    }
                    self.check(kind, key, value)?;
                    last = Some(key.to_vec());
                }
            }
            last = None;
        }
        Ok(())
    }

    fn check(&self, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), PackedError> {
        let mut budget = Budget::default();
        match kind {
            Kind::Packages => entries(value, self.scheme_of(key)?, &mut budget).map(drop),
            Kind::Sources => source(value, self.about().feeds.len(), &mut budget).map(drop),
            Kind::Places => places(value, self.ecosystems().len(), &mut budget).map(drop),
            Kind::Names => numbers(value).map(drop),
        }
    }

    /// The keys of everything that matching looks for.
    fn asked(&self, sbom: &Sbom) -> BTreeSet<Vec<u8>> {
        let asked = asked(sbom).into_iter();
        let known =
            asked.filter_map(|(ecosystem, name)| Some((number_of(self.ecosystems(), &ecosystem)?, name)));
        known.map(|(ecosystem, name)| package_key(ecosystem, &name)).collect()
    }

    fn reader(&self, kind: Kind) -> Reader<'_, S> {
        Reader::new(&self.source, self.directory.section(kind), kind)
    }

    /// The ecosystem and the name that a key is made of.
    fn place<'k>(&self, key: &'k [u8]) -> Result<(&Ecosystem, &'k str), PackedError> {
        let place = key.split_first_chunk().and_then(|(number, name)| {
            let ecosystem = self.ecosystems().get(usize::from(u16::from_be_bytes(*number)))?;
            Some((ecosystem, std::str::from_utf8(name).ok()?))
        });
        place.ok_or_else(|| malformed("a block of packages", "a key is no package's"))
    }

    fn scheme_of(&self, key: &[u8]) -> Result<Scheme, PackedError> {
        let (ecosystem, _) = self.place(key)?;
        let scheme = ecosystem.kind().and_then(scheme);
        scheme.ok_or_else(|| malformed("a block of packages", "its versions cannot be compared"))
    }
}

/// What was read for one image so far.
struct Reading<'a, S> {
    packed: &'a Packed<S>,
    excerpt: Excerpt,
    budget: Budget,
    /// Numbers of advisories that have to be there.
    named: BTreeSet<u32>,
    /// Those that are there.
    read: BTreeSet<u32>,
}

impl<'a, S: ReadAt> Reading<'a, S> {
    fn new(packed: &'a Packed<S>) -> Self {
        let feeds = packed.about().feeds.iter().map(|feed| feed.id.clone()).collect();
        let excerpt = Excerpt::new(feeds, packed.ecosystems(), packed.advisories());
        Self { packed, excerpt, budget: Budget::default(), named: BTreeSet::new(), read: BTreeSet::new() }
    }

    /// What is said of these packages; and, if wanted, the advisories that say it.
    fn packages(&mut self, keys: BTreeSet<Vec<u8>>, with_sources: bool) -> Result<(), PackedError> {
        let mut reader = self.packed.reader(Kind::Packages);
        for key in &keys {
            let Some(value) = reader.find(key)? else { continue };
            let entries = entries(value, self.packed.scheme_of(key)?, &mut self.budget)?;
            if with_sources {
                self.named.extend(entries.iter().map(|entry| entry.source));
            }
            let (ecosystem, package) = self.packed.place(key)?;
            self.excerpt.package(ecosystem, package, entries);
        }
        Ok(())
    }

    /// The advisories of a name, and the packages that they speak of.
    fn called(&mut self, name: &str) -> Result<BTreeSet<Vec<u8>>, PackedError> {
        let mut names = self.packed.reader(Kind::Names);
        let Some(value) = names.find(name.to_ascii_lowercase().as_bytes())? else {
            return Ok(BTreeSet::new());
        };
        let (mut sources, mut told) = (self.packed.reader(Kind::Sources), self.packed.reader(Kind::Places));
        let mut keys = BTreeSet::new();
        for number in numbers(value)? {
            let source = self.source(&mut sources, number)?;
            let value = told.find(&number.to_be_bytes())?.ok_or_else(not_there)?;
            let places = places(value, self.packed.ecosystems().len(), &mut self.budget)?;
            keys.extend(places.iter().map(|(ecosystem, package)| package_key(*ecosystem, package)));
            let place = |(number, package): (u16, &str)| {
                let ecosystem = Arc::new(self.packed.ecosystems()[usize::from(number)].clone());
                Place { ecosystem, package: package.into() }
            };
            let places = places.into_iter().map(place).collect();
            self.excerpt.source(number, Source { places, ..source });
            self.read.insert(number);
        }
        Ok(keys)
    }

    fn source(&mut self, sources: &mut Reader<'_, S>, number: u32) -> Result<Source, PackedError> {
        let value = sources.find(&number.to_be_bytes())?.ok_or_else(not_there)?;
        source(value, self.packed.about().feeds.len(), &mut self.budget)
    }

    /// With every advisory that is named.
    fn finish(mut self) -> Result<Excerpt, PackedError> {
        let mut sources = self.packed.reader(Kind::Sources);
        for number in self.named.difference(&self.read).copied().collect::<Vec<_>>() {
            let source = self.source(&mut sources, number)?;
            self.excerpt.source(number, source);
        }
        Ok(self.excerpt)
    }
}

fn not_there() -> PackedError {
    malformed("a block of advisories", "an advisory is named and not there")
}
