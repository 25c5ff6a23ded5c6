//! Advisories from folders on this machine, read into an index as a node would read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use actors::clients::feeds::{Error, Folder, Limits, Record};
use advisory::Advisory;
use advisory::formats::{self, FORMATS, Format, Piece};
use clap::Args;
use evaluation::Index;
use model::{Digest, FeedId};

use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;

/// Where advisories come from.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Advisories {
    /// Folder of advisories (*.json, *.jsonl, *.jsonl.zst); several make several feeds, called by the
    /// folders' names or as given. Without a format they are OSV records
    #[arg(long, value_name = "[FEED=][FORMAT:]FOLDER", value_delimiter = ',', required = true)]
    advisories: Vec<String>,
}

/// Advisories that were read.
pub(in crate::cli) struct Loaded {
    /// Ready for matching.
    pub index: Index,
    /// Each feed.
    pub feeds: Vec<LoadedFeed>,
    /// Names this state of the advisories: the same records give the same digest, wherever they lie.
    pub digest: Digest,
}

/// One feed.
pub(in crate::cli) struct LoadedFeed {
    /// Its name.
    pub id: FeedId,
    /// How many advisories it has.
    pub advisories: usize,
    /// How many records of it could not be read.
    pub unreadable: usize,
    /// How long ago its newest file was written.
    pub age: Duration,
}

impl Advisories {
    /// Reads all of them. Blocks.
    pub(in crate::cli) fn load(&self) -> Result<Loaded, Failure> {
        let mut all: BTreeMap<FeedId, (LoadedFeed, BTreeMap<String, Read>)> = BTreeMap::new();
        for source in &self.advisories {
            let (id, format, folder) = feed_of(source)?;
            let read = read_folder(id.clone(), format, &folder)?;
            if all.insert(id.clone(), read).is_some() {
                let message = format!("two of the folders are called {id}");
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
        Ok(Loaded { index: Index::build(advisories), feeds, digest: Digest::of(names.as_bytes()) })
    }
}

impl Loaded {
    /// Says what could not be read.
    pub(in crate::cli) fn warn(&self, screen: &mut Screen) {
        for feed in self.feeds.iter().filter(|feed| feed.unreadable > 0) {
            screen.say(format!("warning: {} records of feed {} could not be read", feed.unreadable, feed.id));
        }
    }
}

struct Read {
    digest: Digest,
    advisory: Advisory,
}

/// `NAME=FORMAT:FOLDER`, or a folder that gives the name: its last part, in a feed's letters.
fn feed_of(source: &str) -> Result<(FeedId, &'static Format, PathBuf), Failure> {
    let (name, rest) = source.split_once('=').map_or((None, source), |(name, rest)| (Some(name), rest));
    let known = rest.split_once(':').and_then(|(word, folder)| Some((formats::by_word(word)?, folder)));
    let (format, folder) = known.unwrap_or((&FORMATS[0], rest));
    let name = name.map_or_else(|| plain_name(Path::new(folder)), str::to_owned);
    let id = name.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok((id, format, PathBuf::from(folder)))
}

fn plain_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let last = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    plain.take(60).collect::<String>().trim_matches('-').to_owned()
}

/// A record said twice counts as it was said last.
fn read_folder(
    id: FeedId,
    format: &Format,
    folder: &Path,
) -> Result<(LoadedFeed, BTreeMap<String, Read>), Failure> {
    let limits = Limits::default();
    let failed = |error| {
        Failure::new(Exit::Failed, format!("{:#}", anyhow::Error::from(error)))
            .next(format!("give a folder of {} documents: --advisories [FORMAT:]FOLDER", format.word))
    };
    let mut records = BTreeMap::new();
    let mut unreadable = 0;
    for document in Folder::open(folder.to_owned(), limits.of(format)).map_err(failed)? {
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
    let age = newest(folder).and_then(|at| at.elapsed().ok()).unwrap_or_default();
    Ok((LoadedFeed { id, advisories: records.len(), unreadable, age }, records))
}

/// When the newest file of a folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    files
        .filter_map(|file| std::fs::metadata(file.path()).ok().filter(|m| m.is_file())?.modified().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(id: &str, fixed: &str) -> String {
        format!(
            r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
    }

    fn load(sources: &[String]) -> Result<Loaded, Failure> {
        Advisories { advisories: sources.to_vec() }.load()
    }

    #[test]
    fn folders_become_feeds_and_the_digest_names_what_they_say() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str, text: &str| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("all.jsonl"), text).unwrap();
            folder.display().to_string()
        };
        let once = folder("My_Feed", &format!("{}\n{}\n", record("A-1", "1.0.0"), record("B-1", "1.0.0")));
        let text = format!(
            "{}\n{}\nnot json\n{}\n",
            record("B-1", "0.1.0"),
            record("A-1", "1.0.0"),
            record("B-1", "1.0.0")
        );
        let again = folder("again", &text);
        let loaded = load(std::slice::from_ref(&once)).unwrap();
        assert_eq!((loaded.feeds[0].id.as_str(), loaded.feeds[0].advisories), ("my-feed", 2));
        let same = load(&[format!("my-feed={again}")]).unwrap();
        assert_eq!((same.digest, same.feeds[0].unreadable), (loaded.digest, 1));
        let twice = load(&[once.clone(), format!("my-feed={again}")]).err().unwrap();
        assert_eq!(twice.message, "two of the folders are called my-feed");
        let missing = load(&["/nowhere/at-all".to_owned()]).err().unwrap();
        assert!(missing.message.contains("/nowhere/at-all"), "{missing}");
    }

    #[test]
    fn a_feed_may_have_another_format() {
        let root = tempfile::tempdir().unwrap();
        let document =
            r#"{"distroversion":"v3.20","packages":[7,{"pkg":{"name":"a","secfixes":{"1":["CVE-1-1"]}}}]}"#;
        fs::write(root.path().join("main.json"), document).unwrap();
        let source = format!("alpine=secdb:{}", root.path().display());
        let loaded = load(std::slice::from_ref(&source)).unwrap();
        let feed = &loaded.feeds[0];
        assert_eq!((feed.id.as_str(), feed.advisories, feed.unreadable), ("alpine", 1, 1));
        fs::write(root.path().join("main.json"), &document[1..]).unwrap();
        let broken = load(&[source]).err().unwrap();
        assert!(broken.message.contains("cannot read main.json to its end"), "{broken}");
    }
}
