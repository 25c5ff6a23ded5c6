//! Advisories from folders on this machine, read into an index as a node would read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use actors::clients::feeds::{Folder, Limits, Record};
use advisory::Advisory;
use advisory::formats::osv;
use clap::Args;
use evaluation::Index;
use model::{Digest, FeedId};

use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;

/// Where advisories come from.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Advisories {
    /// Folder of OSV records (*.json, *.jsonl, *.jsonl.zst); several make several feeds, called by the
    /// folders' names or as given
    #[arg(long, value_name = "[FEED=]FOLDER", value_delimiter = ',', required = true)]
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
            let (id, folder) = feed_of(source)?;
            let read = read_folder(id.clone(), &folder)?;
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

/// `NAME=FOLDER`, or a folder that gives the name: its last part, in a feed's letters.
fn feed_of(source: &str) -> Result<(FeedId, PathBuf), Failure> {
    let (name, folder) = match source.split_once('=') {
        Some((name, folder)) => (name.to_owned(), PathBuf::from(folder)),
        None => (plain_name(Path::new(source)), PathBuf::from(source)),
    };
    let id = name.parse().map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok((id, folder))
}

fn plain_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let last = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    plain.take(60).collect::<String>().trim_matches('-').to_owned()
}

/// A record said twice counts as it was said last.
fn read_folder(id: FeedId, folder: &Path) -> Result<(LoadedFeed, BTreeMap<String, Read>), Failure> {
    let limits = Limits::default();
    let failed = |error| {
        Failure::new(Exit::Failed, format!("{:#}", anyhow::Error::from(error)))
            .next("give a folder of OSV records: --advisories FOLDER")
    };
    let mut records = BTreeMap::new();
    let mut unreadable = 0;
    for record in Folder::open(folder.to_owned(), limits.clone()).map_err(failed)? {
        let parsed = match record.map_err(failed)? {
            Record::Document { bytes, .. } => {
                osv::parse(&bytes, &limits.records).ok().map(|(a, _)| (Digest::of(&bytes), a))
            }
            Record::Unreadable { .. } => None,
        };
        match parsed {
            Some((digest, advisory)) => drop(records.insert(advisory.id.clone(), Read { digest, advisory })),
            None => unreadable += 1,
        }
    }
    let age = newest(folder).and_then(|at| at.elapsed().ok()).unwrap_or_default();
    Ok((LoadedFeed { id, advisories: records.len(), unreadable, age }, records))
}

/// When the newest file of a folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    files.filter_map(|file| file.metadata().ok().filter(|m| m.is_file())?.modified().ok()).max()
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
}
