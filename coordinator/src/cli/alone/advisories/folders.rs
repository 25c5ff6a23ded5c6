//! Folders of advisories, read into one index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use actors::clients::feeds::{Error, Folder, Limits, Record};
use advisory::Advisory;
use advisory::formats::{self, FORMATS, Format, Piece};
use evaluation::Index;
use evaluation::packed::{About, PackedFeed};
use model::{Digest, FeedId};

use super::{Exit, Failure};

/// A folder, what its feed is called, and how its documents are written.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: FeedId,
    pub(super) format: &'static Format,
    pub(super) folder: PathBuf,
}

/// Reads all of them.
pub(super) fn read(sources: &[Source]) -> Result<(Index, About), Failure> {
    let mut all: BTreeMap<FeedId, (PackedFeed, BTreeMap<String, Read>)> = BTreeMap::new();
    for source in sources {
        if all.insert(source.id.clone(), read_folder(source)?).is_some() {
            let message = format!("two of the folders are called {}", source.id);
            return Err(Failure::new(Exit::Usage, message).next("name one: --advisories NAME=FOLDER"));
        }
    }
    let mut names = String::new();
    let (mut feeds, mut advisories) = (Vec::new(), Vec::new());
    for (id, (feed, records)) in all {
        for (record, Read { digest, advisory }) in records {
            names.push_str(&format!("{id}\t{record}\t{digest}\n"));
            advisories.push((id.clone(), advisory));
        }
        feeds.push(feed);
    }
    Ok((Index::build(advisories), About { state: Digest::of(names.as_bytes()), feeds }))
}

struct Read {
    digest: Digest,
    advisory: Advisory,
}

impl Source {
    /// `NAME=FORMAT:FOLDER`, or a folder that gives the name: its last part, in a feed's letters.
    pub(super) fn parse(source: &str) -> Result<Self, Failure> {
        let (name, rest) = source.split_once('=').map_or((None, source), |(name, rest)| (Some(name), rest));
        let known = rest.split_once(':').and_then(|(word, folder)| Some((formats::by_word(word)?, folder)));
        let (format, folder) = known.unwrap_or((&FORMATS[0], rest));
        let name = name.map_or_else(|| plain_name(Path::new(folder)), str::to_owned);
        let id = name.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(Self { id, format, folder: PathBuf::from(folder) })
    }
}

fn plain_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let last = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    plain.take(60).collect::<String>().trim_matches('-').to_owned()
}

/// A record said twice counts as it was said last.
fn read_folder(source: &Source) -> Result<(PackedFeed, BTreeMap<String, Read>), Failure> {
    let Source { id, format, folder } = source;
    let limits = Limits::default();
    let failed = |error| {
        Failure::new(Exit::Failed, format!("{:#}", anyhow::Error::from(error)))
            .next(format!("give a folder of {} documents: --advisories [FORMAT:]FOLDER", format.word))
    };
    let mut records = BTreeMap::new();
    let mut unreadable = 0;
    for document in Folder::open(folder.clone(), limits.of(*format)).map_err(failed)? {
        let (place, bytes) = match document.map_err(failed)? {
            Record::Document { place, bytes } => (place, bytes),
            Record::Unreadable { place, what: why } if format.splits() => {
                return Err(failed(Error::Broken { place, why }));
            }
            Record::Unreadable { .. } | Record::Ignored { .. } => {
                unreadable += 1;
                continue;
            }
        };
        let read = |bytes: &[u8]| (format.parse)(bytes, &limits.records).ok().map(|(advisory, _)| advisory);
        let whole = format.split(bytes, &limits.records, &mut |piece| {
            match piece {
                Piece::Record(bytes) => match read(&bytes) {
                    Some(advisory) => {
                        let digest = Digest::of(&bytes);
                        records.insert(advisory.id.clone(), Read { digest, advisory });
                    }
                    None => unreadable += 1,
                },
                Piece::Wrong(_) => unreadable += 1,
            }
            true
        });
        whole.map_err(|error| failed(Error::Broken { place, why: error.to_string() }))?;
    }
    let newest = newest(folder).and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let newest = newest.as_ref().map_or(0, Duration::as_secs);
    Ok((PackedFeed { id: id.clone(), advisories: records.len() as u64, unreadable, newest }, records))
}

/// When the newest file of a folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    files
        .filter_map(|file| std::fs::metadata(file.path()).ok().filter(|m| m.is_file())?.modified().ok())
        .max()
}
