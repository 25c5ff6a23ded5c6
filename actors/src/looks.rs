//! How far behind images are, and what their evaluations read: asked by each image alone, and read for many at once.
//! What was asked while one batch is read makes up the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{BatchError, Batcher};
use futures::future::join_all;
use model::{ImageDigest, TenantId};
use store::Store;
use store::evaluations::Inputs;
use store::images::Behind;

/// Images of one batch, and so SBOMs that are held to be handed out.
const BATCH: usize = 32;
/// How many may wait for their batch before those who come have to wait too.
const QUEUE_MAX: usize = 1024;
/// Larger SBOMs are read by whoever needs them, alone.
const SBOM_BYTES: i32 = 1024 * 1024;

/// What an image sees when it looks.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// How far behind it is.
    pub(crate) behind: Behind,
    /// What an evaluation reads, where one is owed and its SBOM is not large.
    pub(crate) inputs: Option<Inputs>,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// The image is not there.
    #[error(transparent)]
    Absent(store::Error),
    /// The store does not answer.
    #[error("images could not be read")]
    Store(#[source] Arc<store::Error>),
    /// Whoever reads ended meanwhile.
    #[error(transparent)]
    Ended(#[from] BatchError),
}

/// Looks. Cheap to clone; all clones share one queue.
#[derive(Debug, Clone)]
pub(crate) struct Looks(Batcher<(TenantId, ImageDigest), Result<Look, LookError>>);

impl Looks {
    /// Starts reading from this store. Ends when the last clone is dropped.
    pub(crate) fn start(store: Store) -> Self {
        Self(Batcher::start(BATCH, QUEUE_MAX, move |asked| {
            let store = store.clone();
            async move { look(&store, asked).await }
        }))
    }

    /// What there is of an image, from this moment on.
    pub(crate) async fn at(&self, tenant: TenantId, image: ImageDigest) -> Result<Look, LookError> {
        self.0.submit((tenant, image)).await?
    }
}

/// An answer for each, in their order.
async fn look(store: &Store, asked: Vec<(TenantId, ImageDigest)>) -> Vec<Result<Look, LookError>> {
    let mut tenants: BTreeMap<TenantId, Vec<ImageDigest>> = BTreeMap::new();
    for (tenant, image) in &asked {
        tenants.entry(*tenant).or_default().push(image.clone());
    }
    let reading =
        tenants.into_iter().map(async |(tenant, images)| (tenant, of_tenant(store, tenant, &images).await));
    let seen: BTreeMap<TenantId, _> = join_all(reading).await.into_iter().collect();
    let answer = |(tenant, image)| match seen.get(&tenant) {
        Some(Ok(looks)) => {
            // Copied: an image may be asked for twice, by an activation that ends and by the next.
            looks.get(&image).cloned().ok_or(LookError::Absent(store::Error::NotFound { entity: "image" }))
        }
        Some(Err(error)) => Err(LookError::Store(Arc::clone(error))),
        None => Err(LookError::Ended(BatchError::Lost)),
    };
    asked.into_iter().map(answer).collect()
}

async fn of_tenant(
    store: &Store,
    tenant: TenantId,
    images: &[ImageDigest],
) -> Result<BTreeMap<ImageDigest, Look>, Arc<store::Error>> {
    let mut tx = store.tenant(tenant).await?;
    let behind = store::images::behind(&mut tx, images).await?;
    let owed: Vec<ImageDigest> = behind
        .iter()
        .filter(|(_, behind)| behind.owes_evaluation())
        .map(|(image, _)| image.clone())
        .collect();
    let mut inputs = match owed.is_empty() {
        true => Default::default(),
        false => store::evaluations::inputs_of(&mut tx, &owed, SBOM_BYTES).await?,
    };
    tx.commit().await?;
    let look = |(image, behind)| {
        let inputs = inputs.remove(&image);
        (image, Look { behind, inputs })
    };
    Ok(behind.into_iter().map(look).collect())
}
