//! An image in a registry: its documents are fetched when it is found, each layer when it is first read.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use actors::clients::registry::{Error, Limits as RegistryLimits, Reference, Repository};
use inventory::{Descriptor, Document, DocumentError, ImageConfig, ImageManifest, Limits, Platform};
use model::Digest;
use tokio::runtime::Handle;

use super::platforms::Taken;
use super::sign_in::SignIn;
use super::spool::Spool;
use super::{Blob, Choice, Content, DEPTH_MAX, Platforms, SourceError, SourceImage, each_once, too_deep};

/// Layers of one image that are on the way at once.
pub(super) const AT_ONCE: usize = 3;

/// The layers of an image, as far as they are here.
#[derive(Debug)]
pub(super) struct Remote {
    reference: Reference,
    repository: Arc<Repository>,
    runtime: Handle,
    here: Mutex<BTreeMap<Digest, Spool>>,
}

/// An image's manifest.
struct Found {
    bytes: Vec<u8>,
    manifest: ImageManifest,
    /// As an index says it.
    platform: Option<Platform>,
}

/// Finds the image under this name, at a mirror or at its registry; or all images under it.
pub(super) async fn open(
    reference: Reference,
    choice: &Choice,
    sign_in: &SignIn,
) -> Result<Vec<SourceImage>, SourceError> {
    if choice.reference.is_some() {
        return Err(SourceError::OneImage);
    }
    let (repository, first) = ask(&reference, sign_in).await?;
    let repository = Arc::new(repository);
    let mut taken = Taken::default();
    let found = match &choice.platform {
        Platforms::One(platform) => vec![choose(&repository, first, platform, &reference).await?],
        Platforms::All => every(&repository, first, &reference, &mut taken).await?,
    };
    let mut images = Vec::new();
    for found in found {
        let image = image(&repository, found, &reference).await?;
        taken.document(&image.config, &reference.to_string())?;
        images.push(image);
    }
    Ok(images)
}

/// The image of a manifest, with its configuration.
async fn image(
    repository: &Arc<Repository>,
    found: Found,
    reference: &Reference,
) -> Result<SourceImage, SourceError> {
    let refused = |source: DocumentError| SourceError::Refused { name: reference.to_string(), source };
    let failed = |source| SourceError::registry(reference, source);
    let Found { bytes, manifest, platform } = found;
    let config = repository.document(&manifest.config.digest).await.map_err(failed)?;
    let parsed = ImageConfig::parse(&config).map_err(refused)?;
    let layers = manifest.layers_of(&parsed).map_err(refused)?;
    let blobs = each_once(layers.iter().map(|layer| Blob {
        digest: layer.digest.clone(),
        size: layer.size,
        media_type: layer.media_type.clone(),
        member: String::new(),
    }));
    let (sum, limit) =
        (blobs.iter().map(|blob| u128::from(blob.size)).sum::<u128>(), Limits::DEFAULT.layer_bytes);
    if sum > u128::from(limit) {
        return Err(SourceError::TooMuch { what: reference.to_string(), limit, unit: "bytes" });
    }
    let (names, runtime, here) = (reference.names(), Handle::current(), Mutex::default());
    let (reference, repository) = (reference.clone(), repository.clone());
    let content = Content::Remote(Box::new(Remote { reference, repository, runtime, here }));
    let image = SourceImage::new(bytes, manifest.media_type, config, layers, blobs, content);
    let platform = platform.or_else(|| image.platform.clone());
    Ok(SourceImage { names, platform, ..image })
}

/// The first manifest or index, from the first place that gives it. What the registry itself says is said.
async fn ask(reference: &Reference, sign_in: &SignIn) -> Result<(Repository, Vec<u8>), SourceError> {
    let failed = |source| SourceError::registry(reference, source);
    let mut last = None;
    // This may wait for a helper of docker's; there is nothing else to do meanwhile.
    for (place, credentials) in sign_in.places(reference)? {
        let limits = RegistryLimits::default();
        let name = reference.repository();
        let repository =
            Repository::new(&place, name, credentials, limits, sign_in.plain_http).map_err(failed)?;
        match repository.manifest(reference.wanted()).await {
            Ok(bytes) => return Ok((repository, bytes)),
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.expect("the registry itself is one of the places")))
}

/// The manifest for the platform, through indexes if need be.
async fn choose(
    repository: &Repository,
    mut bytes: Vec<u8>,
    wanted: &Platform,
    reference: &Reference,
) -> Result<Found, SourceError> {
    let refused = |source| SourceError::Refused { name: reference.to_string(), source };
    let mut platform = None;
    for _ in 0..=DEPTH_MAX {
        match Document::parse(&bytes).map_err(refused)? {
            Document::Manifest(manifest) => return Ok(Found { bytes, manifest, platform }),
            Document::Index(index) => {
                let entry = index.choose(wanted).map_err(refused)?;
                let asked = repository.manifest(entry.descriptor.digest.as_str()).await;
                bytes = asked.map_err(|source| SourceError::registry(reference, source))?;
                platform.clone_from(&entry.platform);
            }
        }
    }
    Err(refused(too_deep()))
}

/// Every manifest, each once, those of further indexes behind the others. What is no image is passed over; that is a
/// failure only when nothing else is there.
async fn every(
    repository: &Repository,
    first: Vec<u8>,
    reference: &Reference,
    taken: &mut Taken,
) -> Result<Vec<Found>, SourceError> {
    let name = reference.to_string();
    let refused = |source| SourceError::Refused { name: name.clone(), source };
    let (mut found, mut passed_over) = (Vec::new(), None);
    let mut seen = HashSet::from([Digest::of(&first)]);
    let mut waiting = VecDeque::from([(first, None, DEPTH_MAX)]);
    while let Some((bytes, platform, depth)) = waiting.pop_front() {
        match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => found.push(Found { bytes, manifest, platform }),
            Ok(Document::Index(_)) if depth == 0 => return Err(refused(too_deep())),
            Ok(Document::Index(index)) => {
                for entry in index.images().filter(|entry| seen.insert(entry.descriptor.digest.clone())) {
                    taken.one_more(&name)?;
                    let asked = repository.manifest(entry.descriptor.digest.as_str()).await;
                    let bytes = asked.map_err(|source| SourceError::registry(reference, source))?;
                    taken.document(&bytes, &name)?;
                    waiting.push_back((bytes, entry.platform.clone(), depth - 1));
                }
            }
            Err(error @ DocumentError::Artifact { .. }) => passed_over = Some(error),
            Err(error) => return Err(refused(error)),
        }
    }
    match passed_over {
        Some(error) if found.is_empty() => Err(refused(error)),
        _ if found.is_empty() => Err(refused(DocumentError::NoSuchPlatform {
            wanted: "any platform".to_owned(),
            offered: "nothing".to_owned(),
        })),
        _ => Ok(found),
    }
}

impl Remote {
    /// Where it comes from.
    pub(super) fn host(&self) -> &str {
        self.repository.host()
    }

    /// Fetches a layer, unless it is here. `came` is told of its bytes as they come.
    pub(super) async fn fetch(&self, blob: &Blob, came: impl Fn(u64)) -> Result<Spool, SourceError> {
        if let Some(spool) = self.here.lock().unwrap_or_else(PoisonError::into_inner).get(&blob.digest) {
            return Ok(spool.clone());
        }
        let Blob { digest, size, media_type, .. } = blob.clone();
        let fetched = self.repository.blob(&Descriptor { media_type, digest, size }, came).await;
        let spool = Spool::new(fetched.map_err(|error| self.failed(blob, error))?);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(here.entry(blob.digest.clone()).or_insert(spool).clone())
    }

    fn failed(&self, blob: &Blob, error: Error) -> SourceError {
        match error {
            Error::NotFound { .. } if blob.may_be_elsewhere() => blob.elsewhere(&self.reference),
            error => SourceError::registry(&self.reference, error),
        }
    }

    /// A reader over a layer. To be called on a thread that may block.
    pub(super) fn read(&self, blob: &Blob) -> Result<Box<dyn Read + Send>, SourceError> {
        Ok(Box::new(self.runtime.block_on(self.fetch(blob, |_| ()))?.read()))
    }
}
