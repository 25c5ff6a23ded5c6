//! What the values of records are: entries, advisories, places, numbers.

use std::sync::Arc;

use advisory::{Ecosystem, Targets};
use model::{NoFix, Notice, Severity};
use version::{End, Interval, Range, Scheme, Version};

use super::bytes::{Budget, Cursor, put_count, put_number, put_text};
use super::{PackedError, number_of};
use crate::index::{Entry, Place, Source, Standing};

/// Words by their place; those of another version of this program have another version of the file.
const SEVERITIES: [Severity; 6] =
    [Severity::Unknown, Severity::None, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
const NO_FIXES: [Option<NoFix>; 4] =
    [None, Some(NoFix::EndOfLife), Some(NoFix::WillNotFix), Some(NoFix::Unimportant)];
const NOTICES: [Option<Notice>; 4] =
    [None, Some(Notice::Unmaintained), Some(Notice::Notice), Some(Notice::Unsound)];
const BEFORE: u8 = 0;
const THROUGH: u8 = 1;
const NEVER: u8 = 2;

fn word<T: Copy>(words: &[T], at: u8, cursor: &Cursor<'_>) -> Result<T, PackedError> {
    words.get(usize::from(at)).copied().ok_or_else(|| cursor.wrong("it has a word that is not known"))
}

fn place_of<T: PartialEq>(words: &[T], word: &T) -> u8 {
    let at = words.iter().position(|own| own == word);
    at.and_then(|at| u8::try_from(at).ok()).expect("every word is in its list")
}

/// Without the number of its advisory.
pub(super) fn put_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    let texts = |bytes: &mut Vec<u8>, texts: &mut dyn Iterator<Item = &str>, count| {
        put_count(bytes, count);
        texts.for_each(|text| put_text(bytes, text));
    };
    bytes.push(u8::from(entry.is_source));
    bytes.push(place_of(&SEVERITIES, &entry.severity));
    bytes.push(place_of(&NO_FIXES, &entry.no_fix));
    bytes.push(place_of(&NOTICES, &entry.notice));
    let everywhere = Targets::default();
    let Targets { systems, processors } = entry.targets.as_deref().unwrap_or(&everywhere);
    for words in [systems, processors] {
        texts(bytes, &mut words.iter().map(String::as_str), words.len());
    }
    put_count(bytes, entry.ranges.len());
    for range in &entry.ranges {
        put_count(bytes, range.intervals().len());
        range.intervals().iter().for_each(|interval| put_interval(bytes, interval));
        texts(bytes, &mut range.fixed().iter().map(Version::text), range.fixed().len());
    }
    texts(bytes, &mut entry.listed.iter().map(Version::text), entry.listed.len());
    texts(bytes, &mut entry.listed_text.iter().map(|text| &**text), entry.listed_text.len());
    texts(bytes, &mut entry.unreadable.as_deref().into_iter(), usize::from(entry.unreadable.is_some()));
}

/// No version is an empty text.
fn put_interval(bytes: &mut Vec<u8>, interval: &Interval) {
    put_text(bytes, interval.from().map_or("", Version::text));
    let (end, version) = match interval.to() {
        End::Before(version) => (BEFORE, version.text()),
        End::Through(version) => (THROUGH, version.text()),
        End::Never => (NEVER, ""),
    };
    bytes.push(end);
    put_text(bytes, version);
}

/// All that is said of a package.
pub(super) fn entries(
    value: &[u8],
    scheme: Scheme,
    budget: &mut Budget,
) -> Result<Vec<Arc<Entry>>, PackedError> {
    let mut cursor = Cursor::new(value, "what is said of a package");
    let mut entries = Vec::new();
    while !cursor.is_at_end() {
        let source = number(&mut cursor)?;
        entries.push(Arc::new(EntryReader { cursor: &mut cursor, scheme, budget }.entry(source)?));
    }
    Ok(entries)
}

struct EntryReader<'a, 'b> {
    cursor: &'a mut Cursor<'b>,
    scheme: Scheme,
    budget: &'a mut Budget,
}

impl EntryReader<'_, '_> {
    fn entry(&mut self, source: u32) -> Result<Entry, PackedError> {
        self.budget.hold(size_of::<Entry>())?;
        let is_source = word(&[false, true], self.cursor.byte()?, self.cursor)?;
        let severity = word(&SEVERITIES, self.cursor.byte()?, self.cursor)?;
        let no_fix = word(&NO_FIXES, self.cursor.byte()?, self.cursor)?;
        let notice = word(&NOTICES, self.cursor.byte()?, self.cursor)?;
        let targets = Targets { systems: self.many(Self::word)?, processors: self.many(Self::word)? };
        let targets = Some(Box::new(targets)).filter(|targets| **targets != Targets::default());
        let ranges = self.many(Self::range)?;
        let (listed, listed_text) = (self.many(Self::version)?, self.many(Self::text)?);
        let mut unreadable = self.many(Self::text)?;
        let (unreadable, more) = (unreadable.pop(), unreadable.pop());
        if more.is_some() {
            return Err(self.cursor.wrong("a range is unreadable for two reasons"));
        }
        Ok(Entry {
            source,
            is_source,
            severity,
            no_fix,
            notice,
            targets,
            ranges: ranges.into(),
            listed: listed.into(),
            listed_text: listed_text.into(),
            unreadable,
        })
    }

    fn range(&mut self) -> Result<Range, PackedError> {
        self.budget.hold(size_of::<Range>())?;
        Ok(Range::from_parts(self.many(Self::interval)?, self.many(Self::version)?))
    }

    fn interval(&mut self) -> Result<Interval, PackedError> {
        self.budget.hold(size_of::<Interval>())?;
        let from = self.perhaps_version()?;
        let end = self.cursor.byte()?;
        let to = match (end, self.perhaps_version()?) {
            (BEFORE, Some(version)) => End::Before(version),
            (THROUGH, Some(version)) => End::Through(version),
            (NEVER, None) => End::Never,
            _ => return Err(self.cursor.wrong("an interval has no end that is known")),
        };
        Ok(Interval::new(from, to))
    }

    fn version(&mut self) -> Result<Version, PackedError> {
        let version = self.perhaps_version()?;
        version.ok_or_else(|| self.cursor.wrong("a version is an empty text"))
    }

    fn perhaps_version(&mut self) -> Result<Option<Version>, PackedError> {
        let text = self.cursor.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        // The key of a version is seldom longer than three times its text.
        self.budget.hold(4 * text.len())?;
        let version = Version::parse(self.scheme, text);
        version.map(Some).map_err(|_| self.cursor.wrong("a version cannot be compared"))
    }

    fn word(&mut self) -> Result<String, PackedError> {
        self.budget.hold(size_of::<String>())?;
        self.text().map(String::from)
    }

    fn text(&mut self) -> Result<Box<str>, PackedError> {
        let text = self.cursor.text()?;
        self.budget.hold(text.len())?;
        Ok(text.into())
    }

    fn many<T>(&mut self, one: fn(&mut Self) -> Result<T, PackedError>) -> Result<Vec<T>, PackedError> {
        (0..self.cursor.count()?).map(|_| one(self)).collect()
    }
}

/// With the number of its feed in another list.
pub(super) fn put_source(bytes: &mut Vec<u8>, source: &Source, feed: u32) {
    put_text(bytes, &source.id);
    put_text(bytes, &source.vulnerability);
    put_number(bytes, feed.into());
    bytes.push(u8::from(source.is_withdrawn()));
    for names in [&source.aliases, &source.upstream] {
        put_count(bytes, names.len());
        names.iter().for_each(|name| put_text(bytes, name));
    }
}

/// Its places are told elsewhere. There are so many feeds.
pub(super) fn source(value: &[u8], feeds: usize, budget: &mut Budget) -> Result<Source, PackedError> {
    let mut cursor = Cursor::new(value, "an advisory");
    budget.hold(size_of::<Source>())?;
    let mut text = |cursor: &mut Cursor<'_>| -> Result<Box<str>, PackedError> {
        let text = cursor.text()?;
        budget.hold(text.len())?;
        Ok(text.into())
    };
    let (id, vulnerability) = (text(&mut cursor)?, text(&mut cursor)?);
    let feed = number(&mut cursor)?;
    let standing = word(&[Standing::Joining, Standing::Withdrawn], cursor.byte()?, &cursor)?;
    let mut names = || (0..cursor.count()?).map(|_| text(&mut cursor)).collect::<Result<Vec<_>, _>>();
    let (aliases, upstream) = (names()?.into(), names()?.into());
    if feed as usize >= feeds {
        return Err(cursor.wrong("it is of a feed that is not there"));
    }
    cursor.end()?;
    Ok(Source { id, vulnerability, aliases, upstream, feed, standing, places: Box::default() })
}

/// `ecosystems` are sorted.
pub(super) fn put_places(bytes: &mut Vec<u8>, places: &[Place], ecosystems: &[Ecosystem]) {
    put_count(bytes, places.len());
    for place in places {
        let ecosystem = number_of(ecosystems, &place.ecosystem).expect("every ecosystem is in the list");
        put_number(bytes, ecosystem.into());
        put_text(bytes, &place.package);
    }
}

/// The numbers of ecosystems, and names of packages.
pub(super) fn places<'a>(
    value: &'a [u8],
    ecosystems: usize,
    budget: &mut Budget,
) -> Result<Vec<(u16, &'a str)>, PackedError> {
    let mut cursor = Cursor::new(value, "the packages that an advisory speaks of");
    let mut places = Vec::new();
    for _ in 0..cursor.count()? {
        let ecosystem =
            u16::try_from(cursor.number()?).ok().filter(|number| usize::from(*number) < ecosystems);
        let ecosystem = ecosystem.ok_or_else(|| cursor.wrong("an ecosystem is not there"))?;
        let package = cursor.text()?;
        budget.hold(package.len())?;
        places.push((ecosystem, package));
    }
    cursor.end()?;
    Ok(places)
}

/// Numbers of advisories.
pub(super) fn put_numbers(bytes: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u32>) {
    put_count(bytes, numbers.len());
    numbers.for_each(|number| put_number(bytes, number.into()));
}

/// Numbers of advisories.
pub(super) fn numbers(value: &[u8]) -> Result<Vec<u32>, PackedError> {
    let mut cursor = Cursor::new(value, "the advisories of a name");
    let numbers = (0..cursor.count()?).map(|_| number(&mut cursor)).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(numbers)
}

fn number(cursor: &mut Cursor<'_>) -> Result<u32, PackedError> {
    u32::try_from(cursor.number()?).map_err(|_| cursor.wrong("a number is too large"))
}
