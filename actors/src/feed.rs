//! Keeps one feed: reads its source when it is due or asked for, carries out what people order, and takes in what
//! differs.
//!
//! A refresh that is interrupted, by a failure, by a move to another node or because somebody steered the feed, is
//! taken up again by the next one; nothing of it shows before it is finished. The sweeper rings when there is
//! something to do.

mod catalogue;
mod orders;
mod reading;

use std::sync::Arc;
use std::time::{Duration, Instant};

use advisory::enrichment::Catalogue;
use cluster::{EntityContext, EntityFactory};
use model::FeedId;
use store::feed_control::{self, Fault};
use store::feeds::{self, Counts, Feed as Row, Finished, Origin, Refresh};
use store::{Fence, Objects, Store, quarantine};
use tokio::sync::mpsc;

use self::reading::{Batch, Listing};
use crate::clients::feeds::{Error as SourceError, Feeds, Opened, Records};
use crate::entity::{Entity, Factory, Trouble};
use crate::failpoint::{self, Point};
use crate::feed_format::FeedFormat;
use crate::metrics::{FEED_LAST_SUCCESS, FEED_RECORDS, FEED_RUN_DURATION};
use crate::{Deps, fence_of, with_causes};

/// Batches that are read ahead of the store.
const AHEAD: usize = 2;
/// Between two looks at whether somebody has steered the feed. Within a second nothing more is read.
const HEED: Duration = Duration::from_millis(300);

struct Feed {
    feed: FeedId,
    fence: Fence,
    store: Store,
    objects: Objects,
    sources: Feeds,
    limits: advisory::Limits,
    whole_every: Duration,
}

pub(crate) fn factory(deps: &Deps) -> Arc<dyn EntityFactory> {
    let deps = deps.clone();
    Factory::new(move |context: EntityContext| {
        Some(Feed {
            feed: context.key.id.parse().ok()?,
            fence: fence_of(context.lease),
            store: deps.store.clone(),
            objects: deps.objects.clone(),
            sources: deps.sources.clone(),
            limits: deps.config.feeds.records.clone(),
            whole_every: deps.config.feeds.whole_every,
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
    #[error("the bundle {digest} cannot be read")]
    Bundle { digest: String, source: std::io::Error },
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
        while self.step().await? {}
        Ok(())
    }
}

impl Failure {
    /// What it means to those who are to mend it.
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownFormat(_) => Fault::Unsupported,
            Self::Source(error) => error.fault(),
            Self::NothingReadable { .. } | Self::Panicked | Self::Bundle { .. } | Self::Store(_) => {
                Fault::Failed
            }
        }
    }

    /// What of it is ours to repeat, and not the source's fault.
    fn ours(self) -> Result<Self, store::Error> {
        match self {
            // The store refuses the values themselves.
            Self::Store(error @ store::Error::Conflict { .. }) => Ok(Self::Store(error)),
            Self::Store(error) => Err(error),
            other => Ok(other),
        }
    }
}

impl Feed {
    /// Does the next thing there is to do. Answers whether there was one.
    async fn step(&self) -> Result<bool, Trouble> {
        let mut tx = self.store.fleet().await?;
        let feed = feeds::get(&mut tx, &self.feed).await?;
        let order = store::feed_orders::next_order(&mut tx, &self.feed).await?;
        tx.commit().await?;
        match order {
            Some(order) => self.obey(&feed, &order).await?,
            None if feed.due => self.read(&feed).await?,
            None => return Ok(false),
        }
        Ok(true)
    }

    async fn read(&self, feed: &Row) -> Result<(), Trouble> {
        let started = Instant::now();
        let refresh = feeds::begin(&self.store, self.fence, &self.feed).await?;
        match self.heeding(&refresh, self.refresh(feed, &refresh)).await {
            Ok(done) => self.report(&done, started).await,
            Err(failure) => {
                let failure = failure.ours()?;
                let (fault, reason) = (failure.fault(), with_causes(&failure));
                tracing::warn!(feed.id = %self.feed, ?fault, reason, "feed cannot be refreshed");
                feeds::failed(&self.store, &refresh, fault, &reason).await?;
                Ok(())
            }
        }
    }

    /// Goes on until somebody steers the feed: then it ends at once, wherever it is.
    async fn heeding<T>(
        &self,
        refresh: &Refresh,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let work = Box::pin(work);
        tokio::select! {
            done = work => done,
            () = self.steered(refresh) => {
                tracing::info!(feed.id = %self.feed, "stopped reading: somebody steers the feed");
                Err(store::Error::Stale { entity: "feed" }.into())
            }
        }
    }

    async fn steered(&self, refresh: &Refresh) {
        loop {
            tokio::time::sleep(HEED).await;
            // A store that does not answer is noticed by who writes.
            if let Ok(true) = feed_control::steered(&self.store, refresh).await {
                return;
            }
        }
    }

    async fn row(&self) -> Result<Row, store::Error> {
        let mut tx = self.store.fleet().await?;
        let row = feeds::get(&mut tx, &self.feed).await?;
        tx.commit().await?;
        Ok(row)
    }

    fn format_of(feed: &Row) -> Result<FeedFormat, Failure> {
        FeedFormat::by_word(&feed.format).ok_or_else(|| Failure::UnknownFormat(feed.format.clone()))
    }

    async fn refresh(&self, feed: &Row, refresh: &Refresh) -> Result<Done, Failure> {
        if let Some(catalogue) = Catalogue::from_word(&feed.format) {
            return self.refresh_catalogue(feed, refresh, catalogue).await;
        }
        let format = Self::format_of(feed)?;
        let whole = feed.whole_age.is_none_or(|age| age >= self.whole_every);
        let opened = self.sources.open(&feed.source, refresh.cursor.as_deref(), whole, format).await?;
        match opened {
            Opened::Unchanged { cursor } => {
                let finished = feeds::finish(&self.store, refresh, cursor.as_deref(), None).await?;
                let counts = Counts { unchanged: feed.advisories, ..Counts::default() };
                Ok(Done { counts, unreadable: feed.problems, finished })
            }
            Opened::Records { whole, etag, mark, records } => {
                let origin = Origin { mark: etag, ..refresh.origin.clone() };
                let refresh = &Refresh { origin, ..refresh.clone() };
                let (counts, listing) = self.take_in(refresh, records, format).await?;
                let nothing = whole && listing.readable == 0;
                if nothing && (listing.unreadable > 0 || feed.advisories > 0) {
                    return Err(Failure::NothingReadable { unreadable: listing.unreadable });
                }
                if whole {
                    quarantine::settle(&self.store, refresh, &listing.refused).await?;
                }
                let (cursor, listed) = (mark.cursor().await, whole.then_some(listing.ids.as_slice()));
                let finished = feeds::finish(&self.store, refresh, cursor.as_deref(), listed).await?;
                Ok(Done { counts, unreadable: listing.unreadable, finished })
            }
        }
    }

    /// A blocking thread reads and parses while the store takes in what came.
    async fn take_in(
        &self,
        refresh: &Refresh,
        records: Records,
        format: FeedFormat,
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
