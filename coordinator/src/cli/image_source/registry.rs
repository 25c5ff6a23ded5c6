//! An image in a registry: its documents are fetched when it is found, each layer when it is first read.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use actors::clients::registry::{Error, Limits as RegistryLimits, Reference, Repository};
use inventory::{Descriptor, Document, DocumentError, ImageConfig, ImageManifest, Limits, Platform};
use model::Digest;
use tokio::runtime::Handle;

use super::sign_in::SignIn;
use super::spool::Spool;
use super::{Blob, Choice, Content, DEPTH_MAX, SourceError, SourceImage, each_once, too_deep};

/// Layers of one image that are on the way at once.
pub(super) const AT_ONCE: usize = 3;

/// The layers of an image, as far as they are here.
#[derive(Debug)]
pub(super) struct Remote {
    reference: Reference,
    repository: Repository,
    runtime: Handle,
    here: Mutex<BTreeMap<Digest, Spool>>,
}

/// Finds the image under this name, at a mirror or at its registry.
pub(super) async fn open(
    reference: Reference,
    choice: &Choice,
    sign_in: &SignIn,
) -> Result<SourceImage, SourceError> {
    if choice.reference.is_some() {
        return Err(SourceError::OneImage);
    }
    let (repository, first) = ask(&reference, sign_in).await?;
    let refused = |source: DocumentError| SourceError::Refused { name: reference.to_string(), source };
    let failed = |source| SourceError::registry(&reference, source);
    let (bytes, manifest) = choose(&repository, first, &choice.platform, &reference).await?;
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
    let names = reference.names();
    let (runtime, here) = (Handle::current(), Mutex::default());
    let content = Content::Remote(Box::new(Remote { reference, repository, runtime, here }));
    let image = SourceImage::new(bytes, manifest.media_type, config, layers, blobs, content);
    Ok(SourceImage { names, ..image })
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
    platform: &Platform,
    reference: &Reference,
) -> Result<(Vec<u8>, ImageManifest), SourceError> {
    let refused = |source| SourceError::Refused { name: reference.to_string(), source };
    for _ in 0..=DEPTH_MAX {
        match Document::parse(&bytes).map_err(refused)? {
            Document::Manifest(manifest) => return Ok((bytes, manifest)),
            Document::Index(index) => {
                let digest = &index.choose(platform).map_err(refused)?.descriptor.digest;
                let asked = repository.manifest(digest.as_str()).await;
                bytes = asked.map_err(|source| SourceError::registry(reference, source))?;
            }
        }
    }
    Err(refused(too_deep()))
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
        let spool =
            Spool::new(fetched.map_err(|error: Error| SourceError::registry(&self.reference, error))?);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(here.entry(blob.digest.clone()).or_insert(spool).clone())
    }

    /// A reader over a layer. To be called on a thread that may block.
    pub(super) fn read(&self, blob: &Blob) -> Result<Box<dyn Read + Send>, SourceError> {
        Ok(Box::new(self.runtime.block_on(self.fetch(blob, |_| ()))?.read()))
    }
}
