//! Folders that were packed once, for the next time: below this user's cache, under a name that is made of everything
//! that the files show without being read. Losing it costs time only.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use evaluation::Index;
use evaluation::packed::{About, Packed, pack};
use model::Digest;

use super::folders::Source;
use super::{InFile, open};
use crate::config::Environment;

/// So many are kept; of more, those that were written first go.
const KEPT: usize = 4;
/// How these files end.
const ENDING: &str = "packed";
/// A file may be written twice within one tick of the clock that dates it, and look the same.
const TICK: Duration = Duration::from_millis(20);

/// Where the packed form of some folders belongs.
pub(super) struct Place {
    folder: PathBuf,
    name: String,
    /// Whether the folders' files are older than a tick.
    settled: bool,
}

impl Place {
    /// `None` where there is no place for it, or the folders cannot be looked at.
    pub(super) fn of(env: &Environment, sources: &[Source]) -> Option<Self> {
        let folder = env.cache_home()?.join("starling").join("advisories");
        let (name, youngest) = name_of(sources).ok()?;
        let settled = youngest.elapsed().is_ok_and(|age| age > TICK);
        Some(Self { folder, name, settled })
    }

    /// What was kept, if it was and is sound.
    pub(super) fn open(&self) -> Option<(PathBuf, Packed<InFile>)> {
        let path = self.folder.join(&self.name);
        let packed = open(&path).ok()?;
        Some((path, packed))
    }

    /// Keeps it, if it is still what the folders hold.
    pub(super) fn keep(&self, sources: &[Source], index: &Index, about: &About) {
        let unchanged = || name_of(sources).is_ok_and(|(name, _)| name == self.name);
        if self.settled && unchanged() {
            // Whoever cannot keep it reads the folders again next time.
            drop(self.write(index, about));
        }
    }

    /// In a file of its own first: others may be reading what is there, or writing the same.
    fn write(&self, index: &Index, about: &About) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        pack(index, about, &mut io::BufWriter::new(&mut file))?;
        file.persist(self.folder.join(&self.name))?;
        self.tidy()?;
        Ok(())
    }

    fn tidy(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        files.sort();
        let more = files.len().saturating_sub(KEPT);
        files.iter().take(more).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// Names the folders as they are, the program that reads them included; and says when the last of it was changed.
fn name_of(sources: &[Source]) -> io::Result<(String, SystemTime)> {
    let mut shown = show("", &fs::metadata(std::env::current_exe()?)?);
    let mut youngest = SystemTime::UNIX_EPOCH;
    for Source { id, format, folder } in sources {
        let whole = folder.canonicalize()?;
        shown.push_str(&format!("{id} {} {}\n", format.word, whole.display()));
        for (name, found) in files(&whole)? {
            shown.push_str(&show(&name, &found));
            youngest = youngest.max(changed(&found)).max(found.modified()?);
        }
    }
    Ok((format!("{}.{ENDING}", Digest::of(shown.as_bytes()).hex()), youngest))
}

/// What a file shows without being read.
fn show(name: &str, found: &Metadata) -> String {
    let changed = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    format!("{name:?} {} {} {} {changed:?}\n", found.len(), found.dev(), found.ino())
}

fn changed(found: &Metadata) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(found.ctime()).unwrap_or_default())
        + Duration::from_nanos(u64::try_from(found.ctime_nsec()).unwrap_or_default())
}

/// The files of a folder, links followed.
fn files(folder: &Path) -> io::Result<Vec<(String, Metadata)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = fs::metadata(entry.path())?;
        files.push((entry.file_name().to_string_lossy().into_owned(), found));
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}
