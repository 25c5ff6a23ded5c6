//! Images that lie on this machine: an OCI layout (directory or tar), or a docker archive.
//!
//! Layers are not unpacked. A tar archive is indexed once by the places of its members, and each blob is then
//! read from its place, as often as it is needed.

mod docker_archive;
mod layout;
mod members;
mod unpack;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inventory::{DocumentError, LayerDescriptor, Limits, Platform};
use model::{Digest, ImageDigest};

use members::Members;

/// Which image to take when there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// By its name in the archive, or its digest.
    pub reference: Option<String>,
    /// By what it runs on.
    pub platform: Platform,
}

/// One image, ready to be uploaded.
#[derive(Debug)]
pub(super) struct SourceImage {
    /// What it is.
    pub digest: ImageDigest,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration, byte for byte.
    pub config: Vec<u8>,
    /// How the archive names it.
    pub names: Vec<String>,
    /// Its layers as manifest and configuration tell them, lowest first.
    pub layers: Vec<LayerDescriptor>,
    /// Their blobs, each once, lowest first.
    pub blobs: Vec<Blob>,
    members: Arc<Members>,
}

/// One blob of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its digest, as the image says it; the server checks it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
    /// The member of the source that holds it.
    member: String,
}

/// Why no image could be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive as a whole is compressed in a way that is not read.
    #[error("{} is compressed by something else than gzip or zstd", .0.display())]
    Compressed(PathBuf),
    /// It is neither of the known kinds.
    #[error("{} is neither an OCI layout nor a docker archive: it has no index.json and no manifest.json", .0.display())]
    Unknown(PathBuf),
    /// Something that must be there is not.
    #[error("{what} is missing from the archive")]
    Missing {
        /// Its name.
        what: String,
    },
    /// A document is larger than is read.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Its name.
        what: String,
        /// How much is read.
        limit: usize,
    },
    /// A document's bytes are not what its name says.
    #[error("{what} has the digest {actual}: the archive is damaged")]
    Damaged {
        /// Its name.
        what: String,
        /// What it really is.
        actual: Digest,
    },
    /// A manifest, index or configuration is refused.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There are several images and none was chosen.
    #[error("it holds {} images: {}", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    /// There is no image of that name.
    #[error("it holds no image {wanted:?}, only: {}", offered.join(", "))]
    NoSuchImage {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
}

impl SourceError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Compressed(path) => {
                format!("decompress it first, for example: bunzip2 -k {}", path.display())
            }
            Self::Unknown(_) | Self::Read { .. } => {
                "give a directory or tar made by docker save, podman save, skopeo or buildx".to_owned()
            }
            Self::Ambiguous(_) | Self::NoSuchImage { .. } => "choose one with --ref".to_owned(),
            Self::Document(DocumentError::NoSuchPlatform { .. }) => "choose one with --platform".to_owned(),
            Self::Missing { .. } | Self::TooLarge { .. } | Self::Damaged { .. } | Self::Document(_) => {
                "export the image again".to_owned()
            }
        }
    }
}

/// An image that could be taken: how it is called, and what it needs to be read.
struct Candidate<T> {
    names: Vec<String>,
    digest: Option<Digest>,
    content: T,
}

/// Opens a source and takes the one image in it, or the chosen one. Blocks while it reads.
pub(super) fn open(path: &Path, choice: &Choice) -> Result<SourceImage, SourceError> {
    let members = Arc::new(Members::of(path)?);
    if members.contains("index.json") {
        layout::open(&members, choice)
    } else if members.contains("manifest.json") {
        docker_archive::open(&members, choice)
    } else {
        Err(SourceError::Unknown(path.to_owned()))
    }
}

impl SourceImage {
    /// A reader over a layer's bytes.
    pub(super) fn read_layer(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, SourceError> {
        let blob = self.blobs.iter().find(|blob| blob.digest == *digest);
        self.read(blob.ok_or_else(|| SourceError::Missing { what: digest.to_string() })?)
    }

    /// A reader over a blob's bytes.
    pub(super) fn read(&self, blob: &Blob) -> Result<Box<dyn Read + Send>, SourceError> {
        self.members.open(&blob.member)
    }
}

/// The candidate with this name or digest; without one, the only candidate.
fn pick<T>(mut candidates: Vec<Candidate<T>>, wanted: Option<&str>) -> Result<Candidate<T>, SourceError> {
    let offered = || candidates.iter().map(Candidate::title).collect::<Vec<_>>();
    let at = match wanted {
        Some(wanted) => candidates.iter().position(|candidate| candidate.is_called(wanted)),
        None if candidates.len() == 1 => Some(0),
        None => return Err(SourceError::Ambiguous(offered())),
    };
    let missing =
        || SourceError::NoSuchImage { wanted: wanted.unwrap_or_default().to_owned(), offered: offered() };
    let at = at.ok_or_else(missing)?;
    Ok(candidates.swap_remove(at))
}

impl<T> Candidate<T> {
    fn title(&self) -> String {
        let digest = || self.digest.as_ref().map_or_else(|| "unnamed".to_owned(), Digest::to_string);
        self.names.first().cloned().unwrap_or_else(digest)
    }

    fn is_called(&self, wanted: &str) -> bool {
        let digest = self.digest.as_ref().is_some_and(|digest| digest.as_str() == wanted);
        digest || self.names.iter().any(|name| name == wanted || short(name) == short(wanted))
    }
}

/// A docker name without what docker leaves out: `docker.io/library/` and `:latest`.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

/// How much of a document is read.
const DOCUMENT_BYTES: usize = Limits::DEFAULT.document_bytes;

#[cfg(test)]
mod tests;
