//! Keeps one feed: reads its source when it is due or asked for, and takes in what differs.
//!
//! A refresh that is interrupted, by a failure or by a move to another node, is taken up again by the
//! next one; nothing of it shows before it is finished. The sweeper rings when a feed is due.

mod reading;

use std::sync::Arc;
use std::time::Instant;

use advisory::formats::{self, Format};
use cluster::{EntityContext, EntityFactory};
use model::FeedId;
use store::feeds::{self, Counts, Feed as Row, Finished, Origin, Refresh};
use store::{Fence, Store, quarantine};
use tokio::sync::mpsc;

use self::reading::{Batch, Listing};
use crate::clients::feeds::{Error as SourceError, Feeds, Opened, Records};
use crate::entity::{Entity, Factory, Trouble};
use crate::failpoint::{self, Point};
use crate::metrics::{FEED_LAST_SUCCESS, FEED_RECORDS, FEED_RUN_DURATION};
use crate::{Deps, fence_of, with_causes};

/// Batches that are read ahead of the store.
const AHEAD: usize = 2;

struct Feed {
    feed: FeedId,
    fence: Fence,
    store: Store,
    sources: Feeds,
    limits: advisory::Limits,
}

pub(crate) fn factory(deps: &Deps) -> Arc<dyn EntityFactory> {
    let deps = deps.clone();
    Factory::new(move |context: EntityContext| {
        Some(Feed {
            feed: context.key.id.parse().ok()?,
            fence: fence_of(context.lease),
            store: deps.store.clone(),
            sources: deps.sources.clone(),
            limits: deps.config.feeds.records.clone(),
        })
    })
    .shared()
}

/// Why a refresh did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there is no format {0:?}")]
    UnknownFormat(String),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("none of its records can be read ({unreadable} were refused)")]
    NothingReadable { unreadable: u64 },
    #[error("reading it panicked")]
    Panicked,
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A refresh that came to its end.
struct Done {
    counts: Counts,
    unreadable: u64,
    finished: Finished,
}

impl Entity for Feed {
    const KIND: &'static str = "feed";
    type State = ();

    async fn catch_up(&self, (): &mut ()) -> Result<(), Trouble> {
        let feed = self.row().await?;
        if !feed.due {
            return Ok(());
        }
        let started = Instant::now();
        let refresh = feeds::begin(&self.store, self.fence, &self.feed).await?;
        match self.refresh(&feed, &refresh).await {
            Ok(done) => self.report(&done, started).await,
            // Ours to repeat, not the source's fault; unless the store refuses the values themselves.
            Err(Failure::Store(error)) if !matches!(error, store::Error::Conflict { .. }) => {
                Err(error.into())
            }
            Err(failure) => {
                let reason = with_causes(&failure);
                tracing::warn!(feed.id = %self.feed, reason, "feed cannot be refreshed");
                feeds::failed(&self.store, &refresh, &reason).await?;
                Ok(())
            }
        }
    }
}

impl Feed {
    async fn row(&self) -> Result<Row, store::Error> {
        let mut tx = self.store.fleet().await?;
        let row = feeds::get(&mut tx, &self.feed).await?;
        tx.commit().await?;
        Ok(row)
    }

    async fn refresh(&self, feed: &Row, refresh: &Refresh) -> Result<Done, Failure> {
        let format =
            formats::by_word(&feed.format).ok_or_else(|| Failure::UnknownFormat(feed.format.clone()))?;
        match self.sources.open(&feed.source, refresh.cursor.as_deref(), format).await? {
            Opened::Unchanged => {
                let finished = feeds::finish(&self.store, refresh, refresh.cursor.as_deref(), None).await?;
                let counts = Counts { unchanged: feed.advisories, ..Counts::default() };
                Ok(Done { counts, unreadable: feed.problems, finished })
            }
            Opened::Records { etag, records } => {
                let origin = Origin { mark: etag.clone(), ..refresh.origin.clone() };
                let refresh = &Refresh { origin, ..refresh.clone() };
                let (counts, listing) = self.take_in(refresh, records, format).await?;
                if listing.readable == 0 && (listing.unreadable > 0 || feed.advisories > 0) {
                    return Err(Failure::NothingReadable { unreadable: listing.unreadable });
                }
                quarantine::settle(&self.store, refresh, &listing.refused).await?;
                let finished =
                    feeds::finish(&self.store, refresh, etag.as_deref(), Some(&listing.ids)).await?;
                Ok(Done { counts, unreadable: listing.unreadable, finished })
            }
        }
    }

    /// A blocking thread reads and parses while the store takes in what came.
    async fn take_in(
        &self,
        refresh: &Refresh,
        records: Records,
        format: &'static Format,
    ) -> Result<(Counts, Listing), Failure> {
        let (batches, mut arrived) = mpsc::channel(AHEAD);
        let limits = self.limits.clone();
        let reading = tokio::task::spawn_blocking(move || {
            reading::read(records, format, &limits, |batch| batches.blocking_send(batch).is_ok())
        });
        let mut counts = Counts::default();
        while let Some(batch) = arrived.recv().await {
            match batch {
                Batch::Observed(records) => counts += feeds::ingest(&self.store, refresh, &records).await?,
                Batch::Unreadable(records) => {
                    feeds::quarantine(&self.store, refresh, &records).await?;
                }
            }
            failpoint::hit(Point::FeedMidIngest).await;
        }
        let listing = reading.await.map_err(|_| Failure::Panicked)??.map_err(|_| Failure::Panicked)?;
        Ok((counts, listing))
    }

    async fn report(&self, done: &Done, started: Instant) -> Result<(), Trouble> {
        let row = self.row().await?;
        let (counts, finished) = (&done.counts, &done.finished);
        tracing::info!(
            feed.id = %self.feed,
            added = counts.added,
            changed = counts.changed,
            unchanged = counts.unchanged,
            removed = finished.removed,
            unreadable = done.unreadable,
            snapshot = finished.snapshot.map(|snapshot| snapshot.0),
            duration_ms = started.elapsed().as_millis(),
            "feed refreshed"
        );
        let feed = self.feed.to_string();
        metrics::histogram!(FEED_RUN_DURATION, "feed" => feed.clone()).record(started.elapsed());
        let results = [
            ("new", counts.added),
            ("changed", counts.changed),
            ("unchanged", counts.unchanged),
            ("removed", finished.removed),
            ("quarantined", done.unreadable),
        ];
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        for (result, records) in results {
            metrics::gauge!(FEED_RECORDS, "feed" => feed.clone(), "result" => result).set(records as f64);
        }
        if let Some(at) = row.succeeded_at {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(FEED_LAST_SUCCESS, "feed" => feed).set(at.unix_timestamp() as f64);
        }
        Ok(())
    }
}
