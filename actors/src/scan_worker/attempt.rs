//! One attempt at one image: the reading on a blocking thread, and beside it, several times a lease,
//! the question whether anybody still wants it.

use std::io::{self, Read as _};

use cluster::streams::WorkEntry;
use inventory::{ImageConfig, LayerDescriptor, LayerError, Reason};
use model::{Digest, Sbom, TenantId};
use store::Objects;
use store::objects::Blob;
use store::work::{Claimed, Extracted, Failure, Keep, StopReason};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::layers::SharedLayers;
use super::reading::{Brake, LayerReader};
use super::{Shared, passing};

/// An attempt under way.
pub(super) struct Attempt<'a> {
    pub(super) shared: &'a Shared,
    pub(super) claimed: Claimed,
    pub(super) entry: &'a WorkEntry,
}

/// How it ended.
pub(super) enum Ended {
    /// With an SBOM.
    Read(Box<Extracted>),
    /// Without one.
    Failed(Failure),
    /// Nobody waits for it here any more.
    Unwanted(StopReason),
    /// This node is stopping.
    Stopping,
}

impl Attempt<'_> {
    pub(super) async fn run(self) -> Ended {
        let brake = Brake::default();
        // Whichever way this ends, and if it is dropped: the thread gives up at its next read.
        let _pull = brake.pull_on_drop();
        let mut reading = tokio::task::spawn_blocking(self.reading(brake));
        let mut beat = interval(self.shared.keep_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                read = &mut reading => return ended(read),
                _ = beat.tick() => if let Some(reason) = self.keep().await {
                    return Ended::Unwanted(reason);
                },
                () = self.shared.stop.cancelled() => return Ended::Stopping,
            }
        }
    }

    /// What the blocking thread does.
    fn reading(
        &self,
        brake: Brake,
    ) -> impl FnOnce() -> Result<Extracted, Box<inventory::LayerError>> + use<> {
        let (objects, limits) = (self.shared.objects.clone(), self.shared.limits.clone());
        let tenant = self.claimed.hold.tenant;
        let layers: Vec<_> = self.claimed.layers.iter().map(descriptor).collect();
        let config = self.claimed.config.clone();
        let span = tracing::Span::current();
        let known = SharedLayers {
            store: self.shared.store.clone(),
            generation: self.claimed.hold.holder_gen,
            runtime: Handle::current(),
            brake,
        };
        move || {
            let _entered = span.entered();
            let open = |layer: &LayerDescriptor| {
                let blob = known.runtime.block_on(open(&objects, tenant, &layer.digest))?;
                Ok(LayerReader::new(blob, known.brake.clone()))
            };
            if let [document] = layers.as_slice()
                && bom::is_media_type(&document.media_type)
            {
                return Ok(extracted(&uploaded(document, open)?));
            }
            let mut sbom = inventory::scan(&layers, &limits, inventory::usual_threads(), &known, open)?;
            sbom.base_layers = known.runtime.block_on(base_layers(&objects, tenant, &config, &limits))?;
            Ok(extracted(&sbom))
        }
    }

    /// Renews the lease, and asks the store. Trouble with either is no reason to stop: an attempt that
    /// was taken over meanwhile is refused when it ends.
    async fn keep(&self) -> Option<StopReason> {
        if let Err(error) = self.shared.cluster.work().renew(self.entry).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "lease not renewed");
        }
        match store::work::keep(&self.shared.store, &self.claimed.hold).await {
            Ok(Keep::Continue) => None,
            Ok(Keep::Stop(reason)) => Some(reason),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot ask whether to go on");
                None
            }
        }
    }
}

/// A blob as a blocking reader; no more of it is held than one chunk.
async fn open(objects: &Objects, tenant: TenantId, digest: &Digest) -> io::Result<Box<dyn io::Read>> {
    Ok(match objects.open_blob(tenant, digest).await.map_err(io::Error::other)? {
        Blob::File(file) => Box::new(file),
        Blob::Stream(content) => Box::new(SyncIoBridge::new(StreamReader::new(content))),
    })
}

/// How many of the layers are the base's, by the image's configuration.
async fn base_layers(
    objects: &Objects,
    tenant: TenantId,
    config: &Digest,
    limits: &inventory::Limits,
) -> Result<Option<u32>, LayerError> {
    let document = objects.get_small(tenant, config, limits.document_bytes as u64).await;
    let document = document.map_err(|error| refused(config, io::Error::other(error)))?;
    // It was read when the image was taken in; if a newer build is stricter, the base is not known.
    Ok(ImageConfig::parse(&document).ok().and_then(|config| config.base_layers()))
}

/// The SBOM that was brought instead of layers. That the blob is the announced one was checked when it came.
fn uploaded(
    document: &LayerDescriptor,
    open: impl Fn(&LayerDescriptor) -> io::Result<LayerReader<Box<dyn io::Read>>>,
) -> Result<Sbom, LayerError> {
    let mut bytes = Vec::new();
    let read = open(document).and_then(|reader| {
        // One byte more than is read tells that it is too long.
        reader.take(bom::DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes)
    });
    read.map_err(|error| refused(&document.digest, error))?;
    bom::read(&bytes).map_err(|error| LayerError {
        layer: document.digest.clone(),
        entry: None,
        reason: Reason::UnreadableSbom,
        what: error.to_string(),
        source: None,
    })
}

fn refused(blob: &Digest, error: io::Error) -> LayerError {
    let what = "the blob could not be read".to_owned();
    LayerError { layer: blob.clone(), entry: None, reason: Reason::ReadFailed, what, source: Some(error) }
}

fn descriptor(layer: &store::images::Layer) -> LayerDescriptor {
    LayerDescriptor {
        digest: layer.digest.clone(),
        size: layer.size,
        media_type: layer.media_type.clone(),
        diff_id: layer.diff_id.clone(),
    }
}

fn extracted(sbom: &Sbom) -> Extracted {
    let document = inventory::sbom::document(sbom);
    Extracted {
        digest: Digest::of(&document),
        document,
        components: u32::try_from(sbom.components.len()).unwrap_or(u32::MAX),
        extractor: inventory::EXTRACTOR.to_owned(),
        indexed: evaluation::impact::indexed(sbom),
    }
}

fn ended(read: Result<Result<Extracted, Box<inventory::LayerError>>, JoinError>) -> Ended {
    match read {
        Ok(Ok(sbom)) => Ended::Read(Box::new(sbom)),
        Ok(Err(error)) if error.reason.is_permanent() => Ended::Failed(Failure::Permanent {
            code: error.reason.code().to_owned(),
            reason: error.to_string(),
        }),
        Ok(Err(error)) => Ended::Failed(passing(error.as_ref())),
        Err(panicked) => Ended::Failed(passing(&panicked)),
    }
}
