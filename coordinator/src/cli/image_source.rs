//! Images to be read: an OCI layout (directory or tar), a docker archive, a root file system in a directory, what a
//! registry has, or an SBOM instead of one.
//!
//! Layers are not unpacked. A tar archive is indexed once by the places of its members, and each blob is then
//! read from its place, as often as it is needed. What comes over the network is kept, compressed as it is, in
//! temporary files that are gone with the process.

mod docker_archive;
mod layout;
mod members;
mod origin;
mod platforms;
mod registry;
mod rootfs;
pub(super) mod sbom;
mod sign_in;
mod spool;
mod unpack;

use std::collections::HashSet;
use std::fmt;
use std::future::ready;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::clients::registry as client;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use inventory::{DocumentError, ImageConfig, LayerDescriptor, Limits, Platform};
use model::{Digest, ImageDigest};

use members::Members;
pub(super) use origin::Origin;
pub(super) use platforms::Platforms;
use registry::Remote;
pub(super) use sign_in::{RegistryFlags, SignIn};
use spool::Spool;

/// Which image to take when there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// By its name in the archive, or its digest.
    pub reference: Option<String>,
    /// By what it runs on.
    pub platform: Platforms,
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
    /// What it runs on: by its index, else by its configuration.
    pub platform: Option<Platform>,
    /// Its layers as manifest and configuration tell them, lowest first.
    pub layers: Vec<LayerDescriptor>,
    /// Their blobs, each once, lowest first.
    pub blobs: Vec<Blob>,
    /// What of it could not be read, in words.
    pub left_out: Vec<String>,
    content: Content,
}

/// Where the blobs are.
#[derive(Debug)]
enum Content {
    /// In a layout or an archive.
    Members(Arc<Members>),
    /// The only one is here, compressed by us.
    Rootfs(Spool),
    /// The only one is an SBOM, here as it was given.
    Sbom(Spool),
    /// In a registry, or fetched from there.
    Remote(Box<Remote>),
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
    #[error(
        "{} is neither an OCI layout nor a docker archive: it has no index.json and no manifest.json; \
         nor is it a root file system: it has no os-release",
        .0.display()
    )]
    Unknown(PathBuf),
    /// There is no such file, nor does it read as anything else; why not, where that is worth a word.
    #[error("there is no file {path}{}", .why.as_ref().map(|why| format!(", and {why}")).unwrap_or_default())]
    NoFile {
        /// What was asked for.
        path: String,
        /// Why it is no name of an image either.
        why: Option<client::InvalidReference>,
    },
    /// It begins like an SBOM, and is none that is read.
    #[error("{}: {source}", path.display())]
    Sbom {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: bom::ReadError,
    },
    /// It was said to be the name of an image.
    #[error(transparent)]
    Name(client::InvalidReference),
    /// A mirror's name is wrong.
    #[error(transparent)]
    Mirror(client::InvalidMirror),
    /// There is a user, but no password.
    #[error("there is no password for the user of --registry-user")]
    NoPassword,
    /// What docker or podman keeps about signing in cannot be used.
    #[error("{}: {why}", path.display())]
    Credentials {
        /// The file in which it is kept.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The registry does not give it.
    #[error("{reference}: {}", with_causes(source))]
    Registry {
        /// What was asked for.
        reference: Box<client::Reference>,
        /// Why not.
        source: Box<client::Error>,
    },
    /// A registry's manifest, index or configuration is refused.
    #[error("{name}: {source}")]
    Refused {
        /// The image.
        name: String,
        /// Why.
        source: DocumentError,
    },
    /// `--ref` was given where there is one image only.
    #[error("--ref chooses within an archive or layout; a registry's name or a directory is one image")]
    OneImage,
    /// More than is read of one image.
    #[error("{what} holds more than {limit} {unit}")]
    TooMuch {
        /// Its name.
        what: String,
        /// How much is read.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A temporary file cannot be written.
    #[error("nothing can be kept in a temporary file: {0}")]
    Keep(#[source] io::Error),
    /// Something that must be there is not.
    #[error("{what} is missing from the archive")]
    Missing {
        /// Its name.
        what: String,
    },
    /// A layer that a registry or archive need not have: its manifest says where else it may be.
    #[error("{name}: layer {layer} is not there: its media type is {media_type}, which is kept elsewhere")]
    Elsewhere {
        /// The image, or what holds it.
        name: String,
        /// The layer's digest.
        layer: Digest,
        /// What marks it.
        media_type: String,
    },
    /// A document is larger than is read.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Its name.
        what: String,
        /// How much is read.
        limit: u64,
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
            Self::Unknown(_) | Self::Read { .. } | Self::NoFile { .. } => {
                "give a directory or tar made by docker save, podman save, skopeo or buildx, rootfs:DIRECTORY, or \
                 the name of an image in a registry"
                    .to_owned()
            }
            Self::Name(_) => "write HOST[:PORT]/REPOSITORY[:TAG][@DIGEST], or docker's short form".to_owned(),
            Self::Mirror(_) => "correct --registry-mirror or STARLING_REGISTRY_MIRRORS".to_owned(),
            Self::NoPassword => "set STARLING_REGISTRY_PASSWORD, or give it on standard input".to_owned(),
            Self::Credentials { .. } => {
                "sign in anew with docker login or podman login, or give --registry-user and STARLING_REGISTRY_PASSWORD".to_owned()
            }
            Self::Registry { reference, source } => advice(reference, source),
            Self::Refused { source, .. } => source.advice().unwrap_or("push the image again").to_owned(),
            Self::Elsewhere { .. } => ELSEWHERE.to_owned(),
            Self::OneImage => "leave out --ref".to_owned(),
            Self::Sbom { .. } => "give an SBOM as CycloneDX JSON or SPDX".to_owned(),
            Self::TooMuch { .. } => {
                "leave out what belongs to no image: data, caches, other root file systems".to_owned()
            }
            Self::Keep(_) => KEEP.to_owned(),
            Self::Ambiguous(_) | Self::NoSuchImage { .. } => "choose one with --ref".to_owned(),
            Self::Document(error) => error.advice().unwrap_or(EXPORT_AGAIN).to_owned(),
            Self::Missing { .. } | Self::TooLarge { .. } | Self::Damaged { .. } => EXPORT_AGAIN.to_owned(),
        }
    }
}

const EXPORT_AGAIN: &str = "export the image again";
const ELSEWHERE: &str = "push the image again by a docker with --allow-nondistributable-artifacts for this registry, or \
                         give an archive that holds the layer: addresses in a manifest are not followed";
const KEEP: &str = "make room, or name another folder for temporary files in TMPDIR";

/// What to do when a registry does not give an image.
fn advice(reference: &client::Reference, error: &client::Error) -> String {
    use client::Error::{
        Broken, Damaged, Denied, NoClient, NotFound, Refused, SignIn, Store, Token, Unreachable,
    };
    let host = reference.host();
    match error {
        Denied { with_credentials: false, .. } => format!(
            "check the name, then sign in: docker login {host}, or --registry-user with STARLING_REGISTRY_PASSWORD"
        ),
        Denied { .. } | SignIn { .. } => {
            "check user and password, and whether this user may read the repository".to_owned()
        }
        NotFound { .. } if reference.is_short() => {
            "check repository and tag; if a file is meant, check its path".to_owned()
        }
        NotFound { .. } => "check repository and tag".to_owned(),
        Unreachable { .. } => format!(
            "check that {host} can be reached from here; --plain-http is for registries without TLS, and SSL_CERT_FILE \
             names certificates to trust"
        ),
        Refused { status: 400, .. } => {
            "see whether the registry expects TLS: --plain-http, and a name of this machine, do without"
                .to_owned()
        }
        Refused { .. } | Broken { .. } | Token { .. } => "try again later".to_owned(),
        Damaged { .. } => "push the image again, or see what stands between here and the registry".to_owned(),
        NoClient(_) => "install the certificates of authorities (ca-certificates)".to_owned(),
        Store { .. } => KEEP.to_owned(),
    }
}

/// An error in one line, with what it comes from.
fn with_causes(error: &client::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// An image that could be taken: how it is called, and what it needs to be read.
struct Candidate<T> {
    names: Vec<String>,
    digest: Option<Digest>,
    content: T,
}

/// Finds the image, and of one in a registry its documents; its layers come when they are read. They are several
/// only where all platforms are wanted, and never none.
pub(super) async fn find(
    origin: Origin,
    choice: Choice,
    sign_in: &SignIn,
) -> Result<Vec<SourceImage>, SourceError> {
    let read = match origin {
        Origin::Registry { reference, .. } => return registry::open(reference, &choice, sign_in).await,
        Origin::Path(path) => tokio::task::spawn_blocking(move || open(&path, &choice)),
        Origin::Rootfs(path) => tokio::task::spawn_blocking(move || Ok(vec![rootfs::open(&path, &choice)?])),
    };
    read.await.unwrap_or_else(|panicked| Err(SourceError::Keep(io::Error::other(panicked))))
}

/// Opens a source and takes the one image in it, or the chosen ones. Blocks while it reads.
pub(super) fn open(path: &Path, choice: &Choice) -> Result<Vec<SourceImage>, SourceError> {
    if let Some(image) = sbom::open(path, choice)? {
        return Ok(vec![image]);
    }
    let members = Arc::new(Members::of(path)?);
    if members.contains("index.json") {
        layout::open(&members, choice)
    } else if members.contains("manifest.json") {
        Ok(vec![docker_archive::open(&members, choice)?])
    } else if rootfs::is_one(path) {
        Ok(vec![rootfs::open(path, choice)?])
    } else {
        Err(SourceError::Unknown(path.to_owned()))
    }
}

impl SourceImage {
    /// The image of a manifest, which is called by its digest alone and of which nothing is left out.
    fn new(
        manifest: Vec<u8>,
        media_type: String,
        config: Vec<u8>,
        layers: Vec<LayerDescriptor>,
        blobs: Vec<Blob>,
        content: Content,
    ) -> Self {
        let digest = ImageDigest::new(Digest::of(&manifest));
        let platform = ImageConfig::parse(&config).ok().and_then(|config| config.platform);
        let (names, left_out) = (Vec::new(), Vec::new());
        Self { digest, manifest, media_type, config, names, platform, layers, blobs, left_out, content }
    }

    /// A reader over a layer's bytes.
    pub(super) fn read_layer(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, SourceError> {
        let blob = self.blobs.iter().find(|blob| blob.digest == *digest);
        self.read(blob.ok_or_else(|| SourceError::Missing { what: digest.to_string() })?)
    }

    /// A reader over a blob's bytes.
    pub(super) fn read(&self, blob: &Blob) -> Result<Box<dyn Read + Send>, SourceError> {
        match &self.content {
            Content::Members(members) => members.open(&blob.member),
            Content::Sbom(document) => Ok(Box::new(document.read())),
            Content::Rootfs(packed) => {
                let plain = zstd::Decoder::new(packed.read()).map_err(SourceError::Keep)?;
                Ok(Box::new(plain))
            }
            Content::Remote(remote) => remote.read(blob),
        }
    }

    /// The registry or mirror that has it; `None` when it is on this machine.
    pub(super) fn registry(&self) -> Option<&str> {
        match &self.content {
            Content::Remote(remote) => Some(remote.host()),
            Content::Members(_) | Content::Rootfs(_) | Content::Sbom(_) => None,
        }
    }

    /// Fetches all blobs that are not here, several at once. `came` is told of bytes as they come.
    pub(super) async fn fetch(&self, came: impl Fn(u64)) -> Result<(), SourceError> {
        let Content::Remote(remote) = &self.content else { return Ok(()) };
        let each = stream::iter(&self.blobs).map(|blob| remote.fetch(blob, &came));
        each.buffer_unordered(registry::AT_ONCE).try_for_each(|_| ready(Ok(()))).await
    }
}

impl SourceError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    fn registry(reference: &client::Reference, source: client::Error) -> Self {
        Self::Registry { reference: Box::new(reference.clone()), source: Box::new(source) }
    }

    /// Whether it is somebody else's no.
    pub(super) fn is_refusal(&self) -> bool {
        use client::Error::{Denied, SignIn};
        matches!(self, Self::Registry { source, .. } if matches!(**source, Denied { .. } | SignIn { .. }))
    }
}

/// What a layer's media type has in it that may be somewhere else: OCI's and Docker's words.
const KEPT_ELSEWHERE: [&str; 2] = [".nondistributable.", ".foreign."];

impl Blob {
    /// Whether whoever has the image need not have this layer.
    fn may_be_elsewhere(&self) -> bool {
        KEPT_ELSEWHERE.iter().any(|mark| self.media_type.contains(mark))
    }

    /// That it is not there, of an image that has it to be elsewhere.
    fn elsewhere(&self, name: impl fmt::Display) -> SourceError {
        let (layer, media_type) = (self.digest.clone(), self.media_type.clone());
        SourceError::Elsewhere { name: name.to_string(), layer, media_type }
    }
}

/// Blobs without those that were there before.
fn each_once(all: impl Iterator<Item = Blob>) -> Vec<Blob> {
    let mut seen = HashSet::new();
    all.filter(|blob| seen.insert(blob.digest.clone())).collect()
}

/// An index in an index in an index: nobody goes deeper.
const DEPTH_MAX: usize = 3;

fn too_deep() -> DocumentError {
    let why = format!("indexes are nested more than {DEPTH_MAX} deep");
    DocumentError::Unsupported { document: "image index", why }
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
