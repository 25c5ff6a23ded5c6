//! This node's index of the newest snapshot: built once, shared by everyone who evaluates.
//!
//! Whoever asks gets a snapshot at least as new as the newest when they asked, so that a scan after a
//! refresh sees what the refresh brought. While an index is built, those who need it wait for that one
//! build. The one before lives as long as somebody evaluates against it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use advisory::formats::{self, Format};
use advisory::{Advisory, Limits};
use evaluation::Index;
use model::{FeedId, SnapshotId};
use store::Store;
use store::observations::Observation;
use tokio::sync::{Mutex, mpsc};

use crate::entity::Trouble;
use crate::metrics::{INDEX_ADVISORIES, INDEX_BUILD, INDEX_SNAPSHOT};

/// Advisories read at once.
const PAGE: u32 = 2_000;
/// Pages read ahead of the parser.
const AHEAD: usize = 2;

/// A snapshot and its index.
#[derive(Debug)]
pub struct IndexedSnapshot {
    /// Which snapshot.
    pub id: SnapshotId,
    /// Everything listed in it.
    pub index: Index,
}

/// The newest index. Cheap to clone; all clones share it.
#[derive(Debug, Clone)]
pub struct IndexCache {
    store: Store,
    limits: Limits,
    newest: Arc<RwLock<Option<Arc<IndexedSnapshot>>>>,
    building: Arc<Mutex<()>>,
}

impl IndexCache {
    /// Builds from this store. Nothing is built before somebody asks.
    pub fn new(store: Store, limits: Limits) -> Self {
        Self { store, limits, newest: Arc::default(), building: Arc::default() }
    }

    /// The newest snapshot of this moment, or a newer one.
    pub(crate) async fn newest(&self) -> Result<Arc<IndexedSnapshot>, Trouble> {
        let mut tx = self.store.fleet().await?;
        let id = store::observations::latest_snapshot(&mut tx).await?;
        tx.commit().await?;
        if let Some(found) = self.held(id) {
            return Ok(found);
        }
        // A task of its own, so that the one who asked first may die without undoing the build.
        let cache = self.clone();
        let building = tokio::spawn(async move { cache.build_once(id).await });
        building.await.map_err(|panicked| Trouble::Failed(Box::new(panicked)))?
    }

    /// What is held, if it is this snapshot or a newer one.
    fn held(&self, id: SnapshotId) -> Option<Arc<IndexedSnapshot>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|held| held.id >= id).cloned()
    }

    async fn build_once(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, Trouble> {
        let _one = self.building.lock().await;
        if let Some(found) = self.held(id) {
            return Ok(found);
        }
        let started = Instant::now();
        let built = Arc::new(IndexedSnapshot { id, index: self.build(id).await? });
        let (advisories, took) = (built.index.advisories(), started.elapsed());
        tracing::info!(snapshot = id.0, advisories, duration_ms = took.as_millis(), "index built");
        report(&built, took);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(built.clone());
        Ok(built)
    }

    /// Reads page by page while a blocking thread parses what came.
    async fn build(&self, id: SnapshotId) -> Result<Index, Trouble> {
        let formats = self.formats().await?;
        let (pages, mut arrived) = mpsc::channel::<Vec<Observation>>(AHEAD);
        let limits = self.limits.clone();
        let thinking = tokio::task::spawn_blocking(move || {
            let observations = std::iter::from_fn(|| arrived.blocking_recv()).flatten();
            Index::build(observations.filter_map(|observation| parse(observation, &formats, &limits)))
        });
        let mut reader = store::observations::current(&self.store, id, None);
        loop {
            let page = reader.next_page(PAGE).await?;
            if page.is_empty() || pages.send(page).await.is_err() {
                break;
            }
        }
        drop(pages);
        thinking.await.map_err(|panicked| Trouble::Failed(Box::new(panicked)))
    }

    async fn formats(&self) -> Result<HashMap<FeedId, &'static Format>, Trouble> {
        let mut tx = self.store.fleet().await?;
        let feeds = store::feeds::list(&mut tx).await?;
        tx.commit().await?;
        Ok(feeds.into_iter().filter_map(|feed| Some((feed.id, formats::by_word(&feed.format)?))).collect())
    }
}

/// It could be read when it was taken in; where a newer build is stricter, it is missed and said so.
fn parse(
    observation: Observation,
    formats: &HashMap<FeedId, &'static Format>,
    limits: &Limits,
) -> Option<(FeedId, Advisory)> {
    let Observation { feed, advisory_id, document } = observation;
    let format = formats.get(&feed)?;
    match (format.parse)(&document, limits) {
        Ok((advisory, _)) => Some((feed, advisory)),
        Err(error) => {
            tracing::warn!(feed.id = %feed, advisory_id, error = %error, "an observation cannot be read");
            None
        }
    }
}

fn report(built: &IndexedSnapshot, took: std::time::Duration) {
    metrics::histogram!(INDEX_BUILD).record(took);
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        metrics::gauge!(INDEX_ADVISORIES).set(built.index.advisories() as f64);
        metrics::gauge!(INDEX_SNAPSHOT).set(built.id.0 as f64);
    }
}
