//! This node's indexes of snapshots: the newest, shared by everyone who evaluates, and a few older ones.
//!
//! Whoever asks gets a snapshot at least as new as the newest when they asked, so that a scan after a
//! refresh sees what the refresh brought. A snapshot's index is made of one that is held by what differs between
//! the two, and shares with it the rest; only where that is much is it built of everything. Meanwhile those who
//! need it wait for that one build. The one before lives as long as somebody evaluates against it.

mod build;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use advisory::Limits;
use evaluation::Known;
use model::SnapshotId;
use store::Store;
use tokio::sync::Mutex;

use self::build::Builder;
use crate::metrics::{INDEX_ADVISORIES, INDEX_BUILD, INDEX_SNAPSHOT};

/// How many older snapshots are held for those who ask what was known then.
const OLDER: usize = 4;

/// A snapshot and its index.
#[derive(Debug)]
pub struct IndexedSnapshot {
    /// Which snapshot.
    pub id: SnapshotId,
    /// Everything listed in it, and what is known by it.
    pub known: Known,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// What it is made of could not be read; a snapshot that is not there yet is not found.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The build ended before its time.
    #[error("the index could not be built")]
    Build(#[from] tokio::task::JoinError),
}

/// The indexes. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub struct IndexCache {
    store: Store,
    builder: Builder,
    held: Arc<RwLock<Held>>,
    building: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Held {
    newest: Option<Arc<IndexedSnapshot>>,
    /// The last that was asked for at the end.
    older: VecDeque<Arc<IndexedSnapshot>>,
}

impl IndexCache {
    /// Builds from this store. Nothing is built before somebody asks.
    pub fn new(store: Store, limits: Limits) -> Self {
        let builder = Builder::new(store.clone(), limits);
        Self { store, builder, held: Arc::default(), building: Arc::default() }
    }

    /// The newest snapshot of this moment, or a newer one.
    ///
    /// # Errors
    /// When the store does not answer, or the build was broken off.
    pub async fn newest(&self) -> Result<Arc<IndexedSnapshot>, IndexError> {
        self.from(self.latest().await?).await
    }

    /// This snapshot, which is there, or a newer one.
    ///
    /// # Errors
    /// As for [`Self::newest`].
    pub async fn from(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, IndexError> {
        match self.read(|held| held.newest_from(id)) {
            Some(found) => Ok(found),
            None => self.alone(|cache| async move { cache.make_newest(id).await }).await,
        }
    }

    /// This snapshot, for those who ask what was known then.
    ///
    /// # Errors
    /// When there is no such snapshot yet, the store does not answer, or the build was broken off.
    pub async fn at(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, IndexError> {
        if let Some(found) = self.read(|held| held.exactly(id)) {
            return Ok(found);
        }
        if id > self.latest().await? {
            return Err(store::Error::NotFound { entity: "snapshot" }.into());
        }
        self.alone(|cache| async move { cache.make_older(id).await }).await
    }

    async fn latest(&self) -> Result<SnapshotId, store::Error> {
        let mut tx = self.store.fleet().await?;
        let id = store::observations::latest_snapshot(&mut tx).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// A task of its own, so that the one who asked first may die without undoing the build.
    async fn alone<F>(&self, make: impl FnOnce(Self) -> F) -> Result<Arc<IndexedSnapshot>, IndexError>
    where
        F: Future<Output = Result<Arc<IndexedSnapshot>, IndexError>> + Send + 'static,
    {
        tokio::spawn(make(self.clone())).await?
    }

    async fn make_newest(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, IndexError> {
        let _one = self.building.lock().await;
        if let Some(found) = self.read(|held| held.newest_from(id)) {
            return Ok(found);
        }
        let made = self.make(id).await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        {
            metrics::gauge!(INDEX_ADVISORIES).set(made.known.index().advisories() as f64);
            metrics::gauge!(INDEX_SNAPSHOT).set(made.id.0 as f64);
        }
        self.write(|held| held.newest = Some(made.clone()));
        Ok(made)
    }

    async fn make_older(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, IndexError> {
        let _one = self.building.lock().await;
        if let Some(found) = self.read(|held| held.exactly(id)) {
            return Ok(found);
        }
        let made = self.make(id).await?;
        self.write(|held| held.keep(made.clone()));
        Ok(made)
    }

    /// Of the nearest one that is held, or of everything.
    async fn make(&self, id: SnapshotId) -> Result<Arc<IndexedSnapshot>, IndexError> {
        let started = Instant::now();
        let nearest = self.read(|held| held.nearest(id));
        let (way, index) = match nearest {
            Some(nearest) => match self.builder.apply(&nearest, id).await? {
                Some(index) => ("changes", index),
                None => ("whole", self.builder.build(id).await?),
            },
            None => ("whole", self.builder.build(id).await?),
        };
        let (advisories, took) = (index.advisories(), started.elapsed());
        tracing::info!(snapshot = id.0, advisories, of = way, duration_ms = took.as_millis(), "index built");
        metrics::histogram!(INDEX_BUILD, "of" => way).record(took);
        Ok(Arc::new(IndexedSnapshot { id, known: Known::new(index) }))
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &Arc<IndexedSnapshot>> {
        self.newest.iter().chain(&self.older)
    }

    /// The newest, if it is this one or a newer one.
    fn newest_from(&self, id: SnapshotId) -> Option<Arc<IndexedSnapshot>> {
        self.newest.as_ref().filter(|held| held.id >= id).cloned()
    }

    fn exactly(&self, id: SnapshotId) -> Option<Arc<IndexedSnapshot>> {
        self.all().find(|held| held.id == id).cloned()
    }

    fn nearest(&self, id: SnapshotId) -> Option<Arc<IndexedSnapshot>> {
        self.all().min_by_key(|held| held.id.0.abs_diff(id.0)).cloned()
    }

    fn keep(&mut self, older: Arc<IndexedSnapshot>) {
        if self.older.len() >= OLDER {
            self.older.pop_front();
        }
        self.older.push_back(older);
    }
}
