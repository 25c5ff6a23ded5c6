//! The directory: what the file is about, which ecosystems it covers, and where its blocks lie.

use advisory::Ecosystem;
use model::Digest;

use super::bytes::{Cursor, put_bytes, put_count, put_number, put_text};
use super::section::{Block, Kind, Section, check};
use super::{About, HEAD_BYTES, PackedError, PackedFeed};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) about: About,
    pub(super) advisories: usize,
    /// Sorted, each once: an ecosystem's place is its number.
    pub(super) ecosystems: Vec<Ecosystem>,
    /// In the order of [`Kind::ALL`].
    pub(super) sections: [Section; 4],
}

impl Directory {
    pub(super) fn section(&self, kind: Kind) -> &Section {
        &self.sections[kind as usize]
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = self.about.state.to_sha256().to_vec();
        put_count(&mut bytes, self.advisories);
        put_count(&mut bytes, self.about.feeds.len());
        for feed in &self.about.feeds {
            put_text(&mut bytes, feed.id.as_str());
            for number in [feed.advisories, feed.unreadable, feed.newest] {
                put_number(&mut bytes, number);
            }
        }
        put_count(&mut bytes, self.ecosystems.len());
        for ecosystem in &self.ecosystems {
            put_text(&mut bytes, &ecosystem.name);
            bytes.push(u8::from(ecosystem.release.is_some()));
            put_text(&mut bytes, ecosystem.release.as_deref().unwrap_or_default());
        }
        for section in &self.sections {
            put_count(&mut bytes, section.0.len());
            for block in &section.0 {
                put_bytes(&mut bytes, &block.first);
                put_count(&mut bytes, block.len);
                bytes.extend_from_slice(&block.sha256);
            }
        }
        bytes
    }

    /// `end` is where the blocks end.
    pub(super) fn read(bytes: &[u8], end: u64) -> Result<Self, PackedError> {
        let mut cursor = Cursor::new(bytes, "the directory");
        let state = Digest::from_sha256(cursor.array()?);
        let advisories = usize::try_from(cursor.number()?).unwrap_or(usize::MAX);
        let feeds = (0..cursor.count()?).map(|_| feed(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        let ecosystems =
            (0..cursor.count()?).map(|_| ecosystem(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        if !feeds.is_sorted_by(|a, b| a.id < b.id) || !ecosystems.is_sorted_by(|a, b| a < b) {
            return Err(cursor.wrong("names are not in order"));
        }
        let mut offset = HEAD_BYTES;
        let mut sections: [Section; 4] = Default::default();
        for section in &mut sections {
            let mut follow = offset;
            for _ in 0..cursor.count()? {
                let block = block(&mut cursor, follow)?;
                follow = follow.saturating_add(block.len as u64);
                section.0.push(block);
            }
            check(section, &mut offset)?;
        }
        cursor.end()?;
        if offset != end {
            return Err(cursor.wrong("it does not follow the last block"));
        }
        Ok(Self { about: About { state, feeds }, advisories, ecosystems, sections })
    }
}

fn feed(cursor: &mut Cursor<'_>) -> Result<PackedFeed, PackedError> {
    let id = cursor.text()?.parse().map_err(|_| cursor.wrong("a feed has a name that feeds cannot have"))?;
    let [advisories, unreadable, newest] = [cursor.number()?, cursor.number()?, cursor.number()?];
    Ok(PackedFeed { id, advisories, unreadable, newest })
}

fn ecosystem(cursor: &mut Cursor<'_>) -> Result<Ecosystem, PackedError> {
    let name = cursor.text()?.to_owned();
    let (has_release, release) = (cursor.byte()?, cursor.text()?);
    let release = match (has_release, release) {
        (0, "") => None,
        (1, release) => Some(release.to_owned()),
        _ => return Err(cursor.wrong("an ecosystem has a release and has none")),
    };
    Ok(Ecosystem { name, release })
}

fn block(cursor: &mut Cursor<'_>, offset: u64) -> Result<Block, PackedError> {
    let first = cursor.bytes()?.to_vec();
    let len = usize::try_from(cursor.number()?).unwrap_or(usize::MAX);
    Ok(Block { first, offset, len, sha256: cursor.array()? })
}
