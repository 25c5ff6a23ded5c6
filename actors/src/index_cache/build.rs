//! How the index of a snapshot comes about: from everything that is listed in it, or from another one and what differs.

use std::collections::HashMap;
use std::sync::Arc;

use advisory::formats::{self, Format};
use advisory::{Advisory, Limits};
use evaluation::{Changed, Index};
use model::{FeedId, SnapshotId};
use store::Store;
use store::observations::{self, Observation};
use tokio::sync::mpsc;

use super::{IndexError, IndexedSnapshot};
use crate::metrics::INDEX_CHANGES;

/// Advisories read at once.
const PAGE: u32 = 2_000;
/// Pages read ahead of the parser.
const AHEAD: usize = 2;
/// Where more than one in so many advisories differ, all are read: that takes no more time, and shares nothing anyway.
const FEW: u64 = 4;
/// Changes that are always few.
const ALWAYS_FEW: u64 = 100;

#[derive(Debug, Clone)]
pub(super) struct Builder {
    store: Store,
    limits: Limits,
}

type Formats = HashMap<FeedId, &'static Format>;

impl Builder {
    pub(super) fn new(store: Store, limits: Limits) -> Self {
        Self { store, limits }
    }

    /// Reads page by page while a blocking thread parses what came.
    pub(super) async fn build(&self, id: SnapshotId) -> Result<Index, IndexError> {
        let formats = self.formats().await?;
        let (pages, mut arrived) = mpsc::channel::<Vec<Observation>>(AHEAD);
        let limits = self.limits.clone();
        let thinking = tokio::task::spawn_blocking(move || {
            let observations = std::iter::from_fn(|| arrived.blocking_recv()).flatten();
            Index::build(observations.filter_map(|Observation { feed, advisory_id, document }| {
                let advisory = parse(&feed, &advisory_id, &document, &formats, &limits)?;
                Some((feed, advisory))
            }))
        });
        let mut reader = observations::current(&self.store, id, None);
        loop {
            let page = reader.next_page(PAGE).await?;
            if page.is_empty() || pages.send(page).await.is_err() {
                break;
            }
        }
        drop(pages);
        Ok(thinking.await?)
    }

    /// Of one that is there by what differs; `None` where that is much.
    pub(super) async fn apply(
        &self,
        held: &Arc<IndexedSnapshot>,
        id: SnapshotId,
    ) -> Result<Option<Index>, IndexError> {
        let mut tx = self.store.fleet().await?;
        let differ = observations::changed_at_most(&mut tx, held.id, id).await?;
        tx.commit().await?;
        if differ > ALWAYS_FEW && differ > held.known.index().advisories() as u64 / FEW {
            return Ok(None);
        }
        let formats = self.formats().await?;
        let mut reader = observations::changed_between(&self.store, held.id, id);
        let mut changes = Vec::new();
        loop {
            let page = reader.next_page(PAGE).await?;
            if page.is_empty() {
                break;
            }
            changes.extend(page);
        }
        metrics::counter!(INDEX_CHANGES).increment(changes.len() as u64);
        let (held, limits) = (held.clone(), self.limits.clone());
        let thinking = tokio::task::spawn_blocking(move || {
            held.known.index().apply(changes.into_iter().map(|changed| {
                let observations::Changed { feed, advisory_id: id, document } = changed;
                let now = document.and_then(|document| parse(&feed, &id, &document, &formats, &limits));
                Changed { feed, id, now }
            }))
        });
        Ok(Some(thinking.await?))
    }

    async fn formats(&self) -> Result<Formats, store::Error> {
        let mut tx = self.store.fleet().await?;
        let feeds = store::feeds::list(&mut tx).await?;
        tx.commit().await?;
        Ok(feeds.into_iter().filter_map(|feed| Some((feed.id, formats::by_word(&feed.format)?))).collect())
    }
}

/// It could be read when it was taken in; where a newer build is stricter, it is missed and said so.
fn parse(feed: &FeedId, id: &str, document: &[u8], formats: &Formats, limits: &Limits) -> Option<Advisory> {
    let format = formats.get(feed)?;
    match (format.parse)(document, limits) {
        Ok((advisory, _)) => Some(advisory),
        Err(error) => {
            tracing::warn!(feed.id = %feed, advisory_id = id, error = %error, "an observation cannot be read");
            None
        }
    }
}
