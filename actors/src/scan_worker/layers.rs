//! Layers that some node has read already: asked for in the store, and read by one for all who want them.

use std::time::{Duration, Instant};

use inventory::{Layer, LayerCache, LayerDescriptor, LayerError};
use metrics::counter;
use model::Digest;
use store::Store;
use store::layers::{self, Reader, Taken};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::reading::Brake;
use crate::backoff::Backoff;
use crate::failpoint::{self, Point};
use crate::metrics::{LAYER_CACHE_REQUESTS, LAYER_CACHE_SAVED_BYTES};

/// Between two questions whether another reader is done.
const ASK_AGAIN: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };
/// After so long it is read here, too: better twice than not at all.
const WAIT_LIMIT: Duration = Duration::from_secs(300);

/// The fleet's layers, for one attempt.
pub(super) struct SharedLayers {
    pub(super) store: Store,
    pub(super) generation: i64,
    pub(super) runtime: Handle,
    pub(super) brake: Brake,
}

impl LayerCache for SharedLayers {
    fn layer(
        &self,
        layer: &LayerDescriptor,
        read: &mut dyn FnMut() -> Result<Layer, LayerError>,
    ) -> Result<Layer, LayerError> {
        self.runtime.block_on(failpoint::hit(Point::WorkerMidExtraction));
        let claim = Claim {
            layers: self,
            key: key(layer),
            reader: Reader { generation: self.generation, id: Uuid::now_v7() },
        };
        match self.runtime.block_on(claim.take()) {
            Taken::Known(content) => {
                if let Some(known) = Layer::restore(&content) {
                    counter!(LAYER_CACHE_REQUESTS, "result" => "hit").increment(1);
                    counter!(LAYER_CACHE_SAVED_BYTES).increment(layer.size);
                    return Ok(known);
                }
                tracing::error!(layer.digest = %layer.digest, "what was kept of a layer cannot be read");
                counter!(LAYER_CACHE_REQUESTS, "result" => "unreadable").increment(1);
                read()
            }
            Taken::Read => {
                counter!(LAYER_CACHE_REQUESTS, "result" => "miss").increment(1);
                let held = Held(Some(claim));
                let read = read()?;
                held.put(&read);
                Ok(read)
            }
            Taken::Wait | Taken::Alone => {
                counter!(LAYER_CACHE_REQUESTS, "result" => "alone").increment(1);
                read()
            }
        }
    }
}

/// Names what is kept by everything that it depends on. The blob's digest is in it: so nobody is answered who does not
/// have the blob, and it was checked that the blob has this diff id.
fn key(layer: &LayerDescriptor) -> String {
    let LayerDescriptor { digest, size, media_type, diff_id } = layer;
    Digest::of(format!("{}\n{digest}\n{size}\n{media_type}\n{diff_id}", inventory::EXTRACTOR).as_bytes())
        .to_string()
}

/// A layer that is asked for.
struct Claim<'a> {
    layers: &'a SharedLayers,
    key: String,
    reader: Reader,
}

impl Claim<'_> {
    /// Waits while another reads it. Where the store does not answer, it is read alone.
    async fn take(&self) -> Taken {
        let began = Instant::now();
        let mut times = 0;
        loop {
            match layers::take(&self.layers.store, &self.key, self.reader).await {
                Ok(Taken::Wait) if began.elapsed() < WAIT_LIMIT && !self.layers.brake.is_pulled() => {}
                Ok(taken) => return taken,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot ask for a layer");
                    return Taken::Alone;
                }
            }
            times += 1;
            tokio::time::sleep(ASK_AGAIN.random_delay(times)).await;
        }
    }
}

/// A layer that this reader reads for all. Dropped before it was read, it is left to the next.
struct Held<'a>(Option<Claim<'a>>);

impl Held<'_> {
    fn put(mut self, layer: &Layer) {
        let Some(claim) = self.0.take() else { return };
        let content = layer.store();
        let put = layers::put(&claim.layers.store, &claim.key, claim.reader, content.as_deref());
        if let Err(error) = claim.layers.runtime.block_on(put) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a layer is not kept");
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(claim) = self.0.take() else { return };
        let left = layers::leave(&claim.layers.store, &claim.key, claim.reader);
        if let Err(error) = claim.layers.runtime.block_on(left) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a layer is left to its holder's end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_known_by_its_blob_and_by_what_it_is_said_to_be() {
        let layer = |blob: &str, kind: &str, diff: &str| LayerDescriptor {
            digest: Digest::of(blob.as_bytes()),
            size: 1,
            media_type: kind.to_owned(),
            diff_id: Digest::of(diff.as_bytes()),
        };
        let one = key(&layer("a", "tar", "d"));
        assert_eq!(one, key(&layer("a", "tar", "d")));
        for other in [layer("b", "tar", "d"), layer("a", "gzip", "d"), layer("a", "tar", "e")] {
            assert_ne!(one, key(&other));
        }
    }
}
