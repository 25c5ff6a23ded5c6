//! The files of a layout or archive by name, wherever they lie: in a directory, or at an offset in a tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::unpack::unpacked;
use super::{DOCUMENT_BYTES, SourceError};

/// More members than any image has; an archive with more is not one.
const MEMBERS_MAX: usize = 100_000;
/// Links to links to links are followed this far.
const LINK_HOPS: usize = 8;

/// Where the files are.
#[derive(Debug)]
pub(super) enum Members {
    /// In a directory.
    Directory(PathBuf),
    /// In a tar archive, at these places.
    Tar {
        /// The archive.
        archive: Archive,
        /// Its members by name.
        places: HashMap<String, Place>,
    },
}

/// A tar archive, without compression.
#[derive(Debug)]
pub(super) enum Archive {
    /// As it was given.
    Given(PathBuf),
    /// What it became unpacked; gone with the value.
    Unpacked(NamedTempFile),
}

impl Archive {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Unpacked(file) => file.path(),
        }
    }
}

/// What a member of a tar archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file: where its bytes begin, and how many there are.
    File { offset: u64, size: u64 },
    /// A link to another member. Old docker archives share layers between images this way.
    Link(String),
}

impl Members {
    /// The members of what lies at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, SourceError> {
        let read = |source| SourceError::Read { path: path.to_owned(), source };
        if path.metadata().map_err(read)?.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let unpacked = unpacked(path).map_err(|source| match source.kind() {
            io::ErrorKind::Unsupported => SourceError::Compressed(path.to_owned()),
            _ => read(source),
        })?;
        let archive = unpacked.map_or_else(|| Archive::Given(path.to_owned()), Archive::Unpacked);
        let places = index(File::open(archive.path()).map_err(read)?).map_err(read)?;
        Ok(Self::Tar { archive, places })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.size(name).is_some()
    }

    /// How many bytes a member has; `None` when there is no such file.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        match self {
            Self::Directory(root) => {
                root.join(name).metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len())
            }
            Self::Tar { places, .. } => file_place(places, name).map(|(_, size)| size),
        }
    }

    /// A whole document.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let limit = DOCUMENT_BYTES as u64 + 1;
        self.open(name)?.take(limit).read_to_end(&mut bytes).map_err(|source| self.fault(name, source))?;
        if bytes.len() > DOCUMENT_BYTES {
            return Err(SourceError::TooLarge { what: name.to_owned(), limit: DOCUMENT_BYTES as u64 });
        }
        Ok(bytes)
    }

    /// A reader over a member.
    pub(super) fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, SourceError> {
        if !self.contains(name) {
            return Err(SourceError::Missing { what: name.to_owned() });
        }
        self.open_file(name).map_err(|source| self.fault(name, source))
    }

    fn open_file(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Directory(root) => Ok(Box::new(File::open(root.join(name))?)),
            Self::Tar { archive, places } => {
                let (offset, size) = file_place(places, name).ok_or(io::ErrorKind::NotFound)?;
                let mut file = File::open(archive.path())?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file.take(size)))
            }
        }
    }

    fn fault(&self, name: &str, source: io::Error) -> SourceError {
        let path = match self {
            Self::Directory(path) => path,
            Self::Tar { archive, .. } => archive.path(),
        };
        SourceError::Read { path: path.join(name), source }
    }
}

/// Reads the headers of a tar archive and seeks over the rest.
fn index(file: File) -> io::Result<HashMap<String, Place>> {
    let mut archive = tar::Archive::new(file);
    let mut places = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = name_of(&entry.path_bytes()) else { continue };
        let kind = entry.header().entry_type();
        let place = if kind.is_file() {
            Place::File { offset: entry.raw_file_position(), size: entry.size() }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let Some(target) = entry.link_name_bytes() else { continue };
            let base = if kind.is_symlink() { parent(&name) } else { "" };
            let Some(target) = resolve(base, &target) else { continue };
            Place::Link(target)
        } else {
            continue;
        };
        places.insert(name, place);
        if places.len() > MEMBERS_MAX {
            return Err(io::Error::other(format!("more than {MEMBERS_MAX} members: this is no image")));
        }
    }
    Ok(places)
}

fn file_place(places: &HashMap<String, Place>, name: &str) -> Option<(u64, u64)> {
    let mut name = name;
    for _ in 0..LINK_HOPS {
        match places.get(name)? {
            Place::File { offset, size } => return Some((*offset, *size)),
            Place::Link(target) => name = target,
        }
    }
    None
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn name_of(bytes: &[u8]) -> Option<String> {
    resolve("", bytes)
}

/// A path below `base`, without `.` and `..`; `None` when it leaves the archive or names nothing.
fn resolve(base: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_archive() {
        assert_eq!(resolve("a/b", b"../c/layer.tar").as_deref(), Some("a/c/layer.tar"));
        assert_eq!(resolve("", b"./x").as_deref(), Some("x"));
        assert_eq!(resolve("a", b"../../etc"), None);
        let link = |to: &str| Place::Link(to.to_owned());
        let mut places = HashMap::from([("a".to_owned(), link("b")), ("b".to_owned(), link("a"))]);
        assert_eq!(file_place(&places, "a"), None);
        places.insert("b".to_owned(), Place::File { offset: 512, size: 3 });
        assert_eq!(file_place(&places, "a"), Some((512, 3)));
    }
}
