//! Advisories on this machine: folders, read into an index as a node would read them, or a packed index, which is read in
//! place. Folders are packed once, for the next time.

mod folders;
mod kept;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use evaluation::packed::{About, Packed, PackedError, PackedFeed, ReadAt};
use evaluation::{Evaluation, Explanation, Index};
use model::{Digest, FeedId, Sbom};

use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;
use crate::config::Environment;
use folders::Source;

/// Where advisories come from.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Advisories {
    /// File of packed advisories (see starling advisories pack), or folder of advisories (*.json, *.jsonl,
    /// *.jsonl.zst); several folders make several feeds, called by the folders' names or as given. Without a
    /// format they are OSV records
    #[arg(long, value_name = "FILE|[FEED=][FORMAT:]FOLDER", value_delimiter = ',', required = true)]
    advisories: Vec<String>,
}

/// Advisories that are ready.
pub(in crate::cli) struct Loaded {
    /// Each feed.
    pub feeds: Vec<LoadedFeed>,
    /// Names this state of the advisories: the same records give the same digest, wherever they lie.
    pub digest: Digest,
    content: Content,
}

enum Content {
    Whole(Index),
    Packed(PathBuf, Packed<InFile>),
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

/// A file that is read wherever a reader wants, by as many as want.
#[derive(Debug)]
pub(in crate::cli) struct InFile(File);

impl ReadAt for InFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl Advisories {
    /// Opens or reads all of them. Blocks.
    pub(in crate::cli) fn load(&self, env: &Environment) -> Result<Loaded, Failure> {
        let packed = |source: &&String| fs::metadata(source).is_ok_and(|found| found.is_file());
        if let Some(file) = self.advisories.iter().find(packed) {
            if self.advisories.len() > 1 {
                let message = format!("{file} is packed, and packed advisories stand alone");
                return Err(Failure::new(Exit::Usage, message).next("give the file, or folders"));
            }
            let path = PathBuf::from(file);
            return open(&path)
                .map(|packed| Loaded::packed(path.clone(), packed))
                .map_err(|e| unreadable(&path, &e));
        }
        let sources = self.sources()?;
        let kept = kept::Place::of(env, &sources);
        if let Some((path, packed)) = kept.as_ref().and_then(kept::Place::open) {
            return Ok(Loaded::packed(path, packed));
        }
        let (index, about) = folders::read(&sources)?;
        if let Some(place) = kept {
            place.keep(&sources, &index, &about);
        }
        Ok(Loaded::whole(index, about))
    }

    /// Reads folders to pack them. Blocks.
    pub(in crate::cli) fn read(&self) -> Result<(Index, About), Failure> {
        folders::read(&self.sources()?)
    }

    fn sources(&self) -> Result<Vec<Source>, Failure> {
        self.advisories.iter().map(|source| Source::parse(source)).collect()
    }
}

/// Opens a packed index.
pub(in crate::cli) fn open(path: &Path) -> Result<Packed<InFile>, PackedError> {
    Packed::open(InFile(File::open(path)?))
}

/// Says which file is not read, and why.
pub(in crate::cli) fn unreadable(path: &Path, error: &PackedError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::new(Exit::Failed, format!("{}: {error}{cause}", path.display()))
        .next("pack the advisories again: starling advisories pack FILE --advisories FOLDER")
}

impl Loaded {
    fn whole(index: Index, about: About) -> Self {
        Self { feeds: feeds(&about), digest: about.state, content: Content::Whole(index) }
    }

    fn packed(path: PathBuf, packed: Packed<InFile>) -> Self {
        let about = packed.about();
        Self { feeds: feeds(about), digest: about.state.clone(), content: Content::Packed(path, packed) }
    }

    /// What holds for an image.
    pub(in crate::cli) fn evaluate(&self, sbom: &Sbom) -> Result<Evaluation, Failure> {
        match &self.content {
            Content::Whole(index) => Ok(evaluation::evaluate(sbom, index)),
            Content::Packed(path, packed) => packed.evaluate(sbom).map_err(|error| unreadable(path, &error)),
        }
    }

    /// Why a vulnerability holds for an image, or why it does not.
    pub(in crate::cli) fn explain(&self, sbom: &Sbom, vulnerability: &str) -> Result<Explanation, Failure> {
        match &self.content {
            Content::Whole(index) => Ok(evaluation::explain(sbom, index, vulnerability)),
            Content::Packed(path, packed) => {
                packed.explain(sbom, vulnerability).map_err(|error| unreadable(path, &error))
            }
        }
    }

    /// Says what could not be read.
    pub(in crate::cli) fn warn(&self, screen: &mut Screen) {
        for feed in self.feeds.iter().filter(|feed| feed.unreadable > 0) {
            screen.say(format!("warning: {} records of feed {} could not be read", feed.unreadable, feed.id));
        }
    }
}

fn feeds(about: &About) -> Vec<LoadedFeed> {
    let age = |seconds: u64| (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).elapsed().ok();
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let feed = |feed: &PackedFeed| LoadedFeed {
        id: feed.id.clone(),
        advisories: count(feed.advisories),
        unreadable: count(feed.unreadable),
        age: Some(feed.newest).filter(|newest| *newest > 0).and_then(age).unwrap_or_default(),
    };
    about.feeds.iter().map(feed).collect()
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
        Advisories { advisories: sources.to_vec() }.load(&Environment::default())
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
    fn folders_are_packed_for_the_next_time_and_answer_the_same() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("npm");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("all.jsonl"), record("A-1", "2.0.0")).unwrap();
        let cache = root.path().join("cache");
        let env = Environment::of([("XDG_CACHE_HOME", cache.to_str().unwrap())]);
        let advisories = Advisories { advisories: vec![folder.display().to_string()] };
        let load = || advisories.load(&env).unwrap();
        let component = model::Component {
            purl: model::Purl::from_canonical("pkg:npm/a@1.0.0".to_owned()),
            kind: model::PackageKind::Npm,
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            architecture: None,
            source: None,
            owner: None,
            locations: vec![],
        };
        let sbom = Sbom { components: vec![component], ..Sbom::default() };
        let whole = load();
        assert!(matches!(whole.content, Content::Whole(_)));
        // What was written just now is not kept: it may be written again in the same moment.
        let packed = loop {
            let loaded = load();
            if matches!(loaded.content, Content::Packed(..)) {
                break loaded;
            }
        };
        assert_eq!(packed.evaluate(&sbom).unwrap(), whole.evaluate(&sbom).unwrap());
        assert_eq!(packed.evaluate(&sbom).unwrap().findings.len(), 1);
        assert_eq!(packed.explain(&sbom, "A-1").unwrap(), whole.explain(&sbom, "A-1").unwrap());
        assert_eq!(packed.digest, whole.digest);
        fs::write(folder.join("all.jsonl"), record("A-1", "1.0.0")).unwrap();
        let changed = load();
        assert_ne!(changed.digest, whole.digest);
        assert_eq!(changed.evaluate(&sbom).unwrap().findings, []);
    }

    #[test]
    fn a_packed_file_stands_alone_and_is_checked() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("packed");
        fs::write(&file, "{}").unwrap();
        let packed = file.display().to_string();
        let wrong = load(std::slice::from_ref(&packed)).err().unwrap();
        assert_eq!(wrong.message, format!("{packed}: it is not a file of packed advisories"));
        let more = load(&[packed.clone(), "npm".to_owned()]).err().unwrap();
        assert_eq!(more.message, format!("{packed} is packed, and packed advisories stand alone"));
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
