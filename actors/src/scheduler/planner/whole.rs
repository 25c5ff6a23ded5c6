//! The advisories as a whole, before a run's changes and after them.

use std::collections::HashMap;
use std::sync::Arc;

use advisory::formats::{self, Format};
use evaluation::Index;
use evaluation::impact::Reach;
use model::{FeedId, SnapshotId};
use store::observations::Observation;
use tokio::sync::mpsc;

use super::Planner;
use crate::entity::Trouble;
use crate::index_cache::IndexedSnapshot;

/// Advisories read at once, and pages read ahead of the parser.
const PAGE: u32 = 2_000;
const AHEAD: usize = 2;

impl Planner<'_> {
    /// What only the whole shows: other names for vulnerabilities, and ecosystems that come to be covered. Held
    /// against the newest snapshot, which is what images are evaluated on. Answers it, for the next run to begin at.
    pub(super) async fn whole(&self, after: SnapshotId) -> Result<(Reach, Arc<IndexedSnapshot>), Trouble> {
        let now = self.indexes.newest().await?;
        let before = match &self.before {
            Some(kept) if kept.id == after => kept.clone(),
            _ => Arc::new(IndexedSnapshot { id: after, index: self.index_of(after).await? }),
        };
        let newest = now.clone();
        let thinking = move || Reach::default().across(&before.index, &newest.index);
        let reach = tokio::task::spawn_blocking(thinking).await;
        Ok((reach.map_err(|panicked| Trouble::Failed(Box::new(panicked)))?, now))
    }

    /// Reads page by page while a blocking thread parses what came.
    async fn index_of(&self, snapshot: SnapshotId) -> Result<Index, Trouble> {
        let (pages, mut arrived) = mpsc::channel::<Vec<Observation>>(AHEAD);
        let (formats, limits) = (self.formats().await?, self.limits.clone());
        let thinking = tokio::task::spawn_blocking(move || {
            let observations = std::iter::from_fn(|| arrived.blocking_recv()).flatten();
            Index::build(observations.filter_map(|observation| {
                let Observation { feed, document, .. } = observation;
                let (advisory, _) = (formats.get(&feed)?.parse)(&document, &limits).ok()?;
                Some((feed, advisory))
            }))
        });
        let mut reader = store::observations::current(self.store, snapshot, None);
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
