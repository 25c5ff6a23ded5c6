//! What the verdicts of a fleet are compared by, as far as a node has read it: the digests of findings, and which
//! advisories say something else than before. Neither ever changes, and images share most of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{FeedId, SnapshotId, TenantId};
use store::Store;
use store::evaluations::FactId;
use store::revised::Revised;

use crate::remembered::Remembered;

/// Digests that are held, some 80 bytes each.
const HELD: usize = 262_144;
/// Answers about advisories that are held. In a run most images ask the same.
const ANSWERS: usize = 1_024;
/// Who asks about more advisories than this is answered by the store.
const ADVISORIES: usize = 64;

type Sha256 = [u8; 32];

/// Two snapshots, the older first, and the advisories that are asked about.
type Question = (SnapshotId, SnapshotId, Vec<(FeedId, String)>);

/// What was read. Cheap to clone; all clones share it.
#[derive(Debug, Clone)]
pub(crate) struct KnownFacts {
    store: Store,
    held: Arc<Remembered<(TenantId, FactId), Sha256>>,
    revised: Arc<Remembered<Question, Arc<[Revised]>>>,
}

impl KnownFacts {
    /// Of this store.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, held: Arc::new(Remembered::new(HELD)), revised: Arc::new(Remembered::new(ANSWERS)) }
    }

    /// Those of these advisories that say something else as of `until` than as of `after`, the older snapshot.
    pub(crate) async fn revised(
        &self,
        tenant: TenantId,
        advisories: &BTreeSet<(&FeedId, &str)>,
        after: SnapshotId,
        until: SnapshotId,
    ) -> Result<Arc<[Revised]>, store::Error> {
        let named = advisories.iter().map(|(feed, advisory)| ((*feed).clone(), (*advisory).to_owned()));
        let question = (advisories.len() <= ADVISORIES).then(|| (after, until, named.collect()));
        if let Some(known) = question.as_ref().and_then(|question| self.revised.get(question)) {
            return Ok(known);
        }
        let mut tx = self.store.tenant(tenant).await?;
        let revised: Arc<[Revised]> = store::revised::among(&mut tx, advisories, after, until).await?.into();
        tx.commit().await?;
        if let Some(question) = question {
            self.revised.put(question, revised.clone());
        }
        Ok(revised)
    }

    /// The digests of these facts of a tenant, in their order.
    pub(crate) async fn digests(
        &self,
        tenant: TenantId,
        ids: &[FactId],
    ) -> Result<Vec<Sha256>, store::Error> {
        let held = self.held.get_all(ids.iter().map(|id| (tenant, *id)));
        let missing = ids.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(id, _)| *id);
        let read = self.read(tenant, missing.collect()).await?;
        let digest = |(id, held): (&FactId, Option<Sha256>)| {
            let what = "a finding that it names is not there";
            held.or_else(|| read.get(id).copied())
                .ok_or_else(|| store::Error::Corrupt { table: "verdict", source: what.into() })
        };
        ids.iter().zip(held).map(digest).collect()
    }

    async fn read(
        &self,
        tenant: TenantId,
        ids: Vec<FactId>,
    ) -> Result<HashMap<FactId, Sha256>, store::Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut tx = self.store.tenant(tenant).await?;
        let read = store::evaluations::fact_digests(&mut tx, &ids).await?;
        tx.commit().await?;
        for (id, digest) in &read {
            self.held.put((tenant, *id), *digest);
        }
        Ok(read)
    }
}
