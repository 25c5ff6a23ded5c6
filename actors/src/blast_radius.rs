//! Whom a vulnerability concerns: the package versions that are affected, now and before its advisories last changed.
//!
//! It asks the node's index and the BOM-index, and no image: an answer is as new as the newest snapshot, also for images
//! whose verdicts are still on their way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use advisory::{Limits, formats};
use evaluation::impact::{Indexed, Key, Reach, advisories_called};
use model::{Purl, SnapshotId};
use store::Store;
use store::impact::{ComponentId, Standing};

use crate::Deps;
use crate::index_cache::{IndexCache, IndexedSnapshot};
use crate::metrics::BLAST_RADIUS_DURATION;

/// Entries of the dictionary read at once.
const PAGE: u32 = 2_000;
/// Package versions of one vulnerability: more than any has.
const PACKAGES_MAX: usize = 50_000;
/// How many snapshots back the last change may lie for its other side to be looked up: an index of long ago is much work.
const LOOK_BACK: i64 = 16;

/// Answers whom a vulnerability concerns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlastRadius {
    store: Store,
    indexes: IndexCache,
    limits: Limits,
}

/// What is known of a vulnerability without looking at any image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concerned {
    /// The newest snapshot.
    pub snapshot: SnapshotId,
    /// The snapshot before its advisories last changed; `None` when that is long ago.
    pub former: Option<SnapshotId>,
    /// The advisories that speak of it, under any of its names.
    pub advisories: Vec<Spoken>,
    /// The package versions that some image has and that are, or were, affected.
    pub packages: BTreeMap<ComponentId, AffectedPackage>,
}

/// An advisory that speaks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Its last revision.
    pub standing: Standing,
    /// When its publisher published it, as it is written there.
    pub published: Option<String>,
}

/// A package version that is, or was, affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedPackage {
    /// The package.
    pub purl: Purl,
    /// By the newest snapshot.
    pub now: bool,
    /// By the former one.
    pub before: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no index of the advisories.
    #[error("there is no index of the advisories")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More is affected than is looked at.
    #[error("more than {PACKAGES_MAX} package versions are affected")]
    TooMany,
}

impl BlastRadius {
    /// Asks these.
    pub const fn new(store: Store, indexes: IndexCache, limits: Limits) -> Self {
        Self { store, indexes, limits }
    }

    /// Asks what the node's actors ask.
    pub fn of_node(deps: &Deps) -> Self {
        Self::new(deps.store.clone(), deps.indexes.clone(), deps.config.feeds.records.clone())
    }

    /// What is affected by the vulnerability that is called so, by any of its names in any case.
    ///
    /// # Errors
    /// When the store does not answer, or when too much is affected.
    pub async fn of(&self, vulnerability: &str) -> Result<Concerned, Error> {
        let started = Instant::now();
        let newest = self.indexes.newest().await.map_err(unindexed)?;
        let (called, now) = look(&newest, vulnerability).await?;
        let mut tx = self.store.fleet().await?;
        let standing = store::impact::standing(&mut tx, newest.id, &called).await?;
        let formats: HashMap<_, _> =
            store::feeds::list(&mut tx).await?.into_iter().map(|feed| (feed.id, feed.format)).collect();
        tx.commit().await?;
        let former = former(&standing, newest.id);
        let before = match former {
            None => None,
            Some(SnapshotId(0)) => Some(Reach::default()),
            Some(id) => Some(look(&self.indexes.at(id).await.map_err(unindexed)?, vulnerability).await?.1),
        };
        let packages = self.packages(&now, before.as_ref()).await?;
        metrics::histogram!(BLAST_RADIUS_DURATION).record(started.elapsed());
        let published = |standing: &Standing| {
            let format = formats::by_word(formats.get(&standing.feed)?)?;
            (format.parse)(standing.document.as_deref()?, &self.limits).ok()?.0.published
        };
        let spoken = |standing: Standing| Spoken { published: published(&standing), standing };
        let advisories = standing.into_iter().map(spoken).collect();
        Ok(Concerned { snapshot: newest.id, former, advisories, packages })
    }

    /// What images have of it, by the dictionary.
    async fn packages(
        &self,
        now: &Reach,
        before: Option<&Reach>,
    ) -> Result<BTreeMap<ComponentId, AffectedPackage>, Error> {
        let mut keys: Vec<Key> = now.keys();
        keys.extend(before.map(Reach::keys).unwrap_or_default());
        let (mut found, mut after) = (BTreeMap::new(), 0);
        loop {
            let mut tx = self.store.fleet().await?;
            let page = store::impact::components(&mut tx, &keys, after, PAGE).await?;
            tx.commit().await?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = *last;
            for (id, entry) in page {
                let (now, before) =
                    (now.affects(&entry), before.is_some_and(|before| before.affects(&entry)));
                if let Indexed::Package(package) = entry
                    && (now || before)
                {
                    found.insert(id, AffectedPackage { purl: package.component.purl, now, before });
                }
            }
            if found.len() > PACKAGES_MAX {
                return Err(Error::TooMany);
            }
        }
    }
}

/// The advisories of a name and what they reach, thought out away from the threads that wait.
async fn look(
    snapshot: &Arc<IndexedSnapshot>,
    vulnerability: &str,
) -> Result<(Vec<(model::FeedId, String)>, Reach), Error> {
    let (snapshot, name) = (snapshot.clone(), vulnerability.to_owned());
    let thinking = tokio::task::spawn_blocking(move || {
        let index = snapshot.known.index();
        (advisories_called(index, &name), Reach::of_vulnerability(index, &name))
    });
    thinking.await.map_err(unindexed)
}

/// The snapshot before the last change of these advisories, unless that is too long ago.
fn former(standing: &[Standing], newest: SnapshotId) -> Option<SnapshotId> {
    let changed = standing.iter().map(|standing| standing.snapshot).max()?;
    (newest.0 - changed.0 < LOOK_BACK).then_some(SnapshotId(changed.0 - 1))
}

fn unindexed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Index(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_of_the_last_change_is_looked_up_unless_it_is_long_ago() {
        let standing = |snapshot| Standing {
            feed: "f".parse().unwrap(),
            advisory: "X".to_owned(),
            revision: 1,
            snapshot: SnapshotId(snapshot),
            observed_at: time::OffsetDateTime::UNIX_EPOCH,
            planned_at: None,
            evaluated_at: None,
            document: None,
        };
        let all = [standing(3), standing(7)];
        assert_eq!(former(&all, SnapshotId(9)), Some(SnapshotId(6)));
        assert_eq!(former(&all, SnapshotId(7 + LOOK_BACK)), None);
        assert_eq!(former(&[standing(1)], SnapshotId(1)), Some(SnapshotId(0)));
        assert_eq!(former(&[], SnapshotId(9)), None);
    }
}
