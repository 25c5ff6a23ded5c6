//! Puts into the BOM-index what an older build left out of it, or kept there in another form.
//!
//! An image is indexed when its SBOM is stored, so that there is nothing to do here but after an upgrade.

use model::{ImageDigest, TenantId};
use store::Store;

use crate::entity::Trouble;
use crate::metrics::IMAGES_INDEXED;

/// Images of one round: the sweeper has more to do than this.
const ROUND: u32 = 200;

/// Indexes some images; false when none was left.
pub(super) async fn round(store: &Store) -> Result<bool, Trouble> {
    let mut tx = store.fleet().await?;
    let missing = store::impact::unindexed(&mut tx, ROUND).await?;
    tx.commit().await?;
    let mut indexed = 0_u64;
    for (tenant, image) in &missing {
        indexed += u64::from(one(store, *tenant, image).await?);
    }
    metrics::counter!(IMAGES_INDEXED).increment(indexed);
    if indexed > 0 {
        tracing::info!(images = indexed, "indexed what an older build had left out");
    }
    Ok(!missing.is_empty())
}

/// False when it has another SBOM by now, which was indexed with it.
async fn one(store: &Store, tenant: TenantId, image: &ImageDigest) -> Result<bool, Trouble> {
    let mut tx = store.tenant(tenant).await?;
    let inputs = store::evaluations::inputs(&mut tx, image).await?;
    tx.commit().await?;
    let (document, digest) = (inputs.sbom, inputs.sbom_digest);
    let reading = tokio::task::spawn_blocking(move || {
        inventory::sbom::parse(&document).map(|sbom| evaluation::impact::indexed(&sbom))
    });
    let entries = match reading.await.map_err(|panicked| Trouble::Failed(Box::new(panicked)))? {
        Ok(entries) => entries,
        Err(error) => {
            // It can never be evaluated either, so that no change of the advisories matters to it.
            tracing::error!(tenant.id = %tenant, image.digest = %image, %error, "a stored sbom cannot be indexed");
            Vec::new()
        }
    };
    let mut tx = store.tenant(tenant).await?;
    let current = store::impact::index_stored(&mut tx, image, &digest, &entries).await?;
    tx.commit().await?;
    Ok(current)
}
