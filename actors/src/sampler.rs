//! Delta equals full: after a run, a sample of all images is matched anew against everything, and held against the
//! verdicts that the deltas left. Most of a sample was not touched by the run, and that is what it is for.
//!
//! A difference is a fault of ours, or of a store that was changed by hand: it is an error in the log and a number that
//! an alarm watches. Nothing is mended: whoever looks finds it as it was.

use evaluation::impact::{self, Difference, sampled};
use model::SnapshotId;
use store::Store;
use store::impact::Found;

use crate::Deps;
use crate::evaluator::{Asked, Evaluator};
use crate::index_cache::IndexCache;
use crate::metrics::{DELTA_DIFFERENCES, DELTA_SAMPLED};
use crate::places::Unevaluable;

/// Matches samples anew. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sampler {
    store: Store,
    indexes: IndexCache,
    evaluator: Evaluator,
}

/// What came of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sampled {
    /// Images that were matched anew.
    pub compared: u64,
    /// Those whose verdict says something else.
    pub differing: Vec<(Found, Difference)>,
}

impl Sampler {
    /// With the node's own indexes, in its places.
    pub fn of_node(deps: &Deps) -> Self {
        Self { store: deps.store.clone(), indexes: deps.indexes.clone(), evaluator: deps.evaluator.clone() }
    }

    /// Compares up to so many images, chosen by the seed: those whose verdict is to hold for this snapshot.
    ///
    /// # Errors
    /// When the store does not answer, or there is no such snapshot.
    pub async fn sample(
        &self,
        seed: u64,
        snapshot: SnapshotId,
        images: u32,
    ) -> Result<Sampled, Box<dyn std::error::Error + Send + Sync>> {
        let mut tx = self.store.fleet().await?;
        let last = store::impact::last_place(&mut tx).await?;
        let chosen: Vec<i32> = sampled(seed, last, images).into_iter().collect();
        let found = store::impact::at_places(&mut tx, &chosen).await?;
        tx.commit().await?;
        if found.is_empty() {
            return Ok(Sampled::default());
        }
        let full = self.indexes.at(snapshot).await?;
        let mut sampled = Sampled::default();
        for found in found {
            let mut tx = self.store.tenant(found.tenant).await?;
            let kept = store::impact::kept(&mut tx, &found.image, snapshot).await?;
            tx.commit().await?;
            let Some((kept, sbom)) = kept else { continue };
            // It is the word on all revisions there are.
            let (tenant, image, revision) = (found.tenant, found.image.clone(), i64::MAX);
            let asked = Asked { tenant, image, revision, sbom };
            // One that cannot be read has no verdict that could be wrong.
            let matched = match self.evaluator.evaluate_anew(asked, full.clone(), false).await? {
                Err(Unevaluable::Unreadable(_)) => continue,
                evaluated => evaluated?.matched,
            };
            sampled.compared += 1;
            if let Err(difference) = impact::compare(kept, matched) {
                tell(&found, snapshot, &difference);
                sampled.differing.push((found, *difference));
            }
        }
        metrics::counter!(DELTA_SAMPLED).increment(sampled.compared);
        metrics::counter!(DELTA_DIFFERENCES).increment(sampled.differing.len() as u64);
        Ok(sampled)
    }
}

fn tell(found: &Found, snapshot: SnapshotId, difference: &Difference) {
    tracing::error!(
        tenant.id = %found.tenant,
        image.digest = %found.image,
        snapshot = snapshot.0,
        %difference,
        "a verdict is not what matching everything gives"
    );
}
