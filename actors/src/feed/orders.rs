//! What people order of a feed: going back to a snapshot, taking in a bundle, ending. Each is a refresh.

use std::fs::File;
use std::io;
use std::time::Instant;

use advisory::enrichment::Catalogue;
use futures::StreamExt as _;
use model::{Digest, SnapshotId, TenantId};
use store::feed_orders::{self, Bundle, Order, Task};
use store::feeds::{self, Counts, Feed as Row, Observed, Origin, Refresh};
use store::objects::Blob;
use store::{observations, quarantine};
use tokio::io::AsyncWriteExt as _;

use super::{Done, Failure, Feed, reading};
use crate::entity::Trouble;
use crate::failpoint::{self, Point};
use crate::with_causes;

/// Observations that are said again at once.
const PAGE: u32 = 1_000;

impl Feed {
    /// Carries an order out. One that cannot be is given up with the reason: nobody repeats it unasked.
    pub(super) async fn obey(&self, feed: &Row, order: &Order) -> Result<(), Trouble> {
        let started = Instant::now();
        let refresh = feed_orders::begin(&self.store, self.fence, &self.feed, order).await?;
        match self.heeding(&refresh, self.carry_out(feed, &refresh, order)).await {
            Ok(done) => self.report(&done, started).await,
            Err(failure) => {
                let reason = with_causes(&failure.ours()?);
                tracing::warn!(feed.id = %self.feed, order.id = %order.id, reason, "an order is given up");
                feed_orders::give_up(&self.store, &refresh, order, &reason).await?;
                Ok(())
            }
        }
    }

    async fn carry_out(&self, feed: &Row, refresh: &Refresh, order: &Order) -> Result<Done, Failure> {
        match &order.task {
            Task::RollBack(to) => self.say_again(refresh, *to).await,
            Task::Import(bundle) => self.import(feed, refresh, bundle).await,
            Task::Unregister => {
                // Of one that keeps no past, what it says now is all there is.
                let keeps_no_past = refresh.kind == feeds::Kind::Enrichment;
                let cleared = if keeps_no_past { self.clear_catalogue(refresh).await? } else { 0 };
                let mut finished = feeds::finish(&self.store, refresh, None, Some(&[])).await?;
                finished.removed += cleared;
                Ok(Done { counts: Counts::default(), unreadable: 0, finished })
            }
        }
    }

    /// What was listed then is observed once more; what differs from it now is superseded, what came since is removed.
    /// Without a cursor, so that the source is read whole when the feed is unpinned.
    async fn say_again(&self, refresh: &Refresh, to: SnapshotId) -> Result<Done, Failure> {
        let origin = Origin { source: format!("snapshot:{}", to.0), ..refresh.origin.clone() };
        let refresh = &Refresh { origin, ..refresh.clone() };
        let mut reader = observations::current(&self.store, to, Some(self.feed.clone()));
        let (mut counts, mut ids) = (Counts::default(), Vec::new());
        loop {
            let page = reader.next_page(PAGE).await?;
            if page.is_empty() {
                break;
            }
            ids.extend(page.iter().map(|listed| listed.advisory_id.clone()));
            let page: Vec<_> = page
                .into_iter()
                .map(|listed| Observed {
                    advisory_id: listed.advisory_id,
                    digest: Digest::of(&listed.document),
                    document: listed.document,
                })
                .collect();
            counts += feeds::ingest(&self.store, refresh, &page).await?;
            failpoint::hit(Point::FeedMidIngest).await;
        }
        let finished = feeds::finish(&self.store, refresh, None, Some(&ids)).await?;
        Ok(Done { counts, unreadable: 0, finished })
    }

    /// Read twice: before the first record is stored it is known that the bundle can be read to its end.
    async fn import(&self, feed: &Row, refresh: &Refresh, bundle: &Bundle) -> Result<Done, Failure> {
        let broken = |source| Failure::Bundle { digest: bundle.digest.to_string(), source };
        let file = self.fetch(&bundle.digest).await?;
        if let Some(catalogue) = Catalogue::from_word(&feed.format) {
            let named = (bundle.name.clone(), file);
            return self.import_catalogue(refresh, named, catalogue, bundle.whole).await;
        }
        let format = Self::format_of(feed)?;
        let again = file.try_clone().map_err(broken)?;
        let records = self.sources.open_file(bundle.name.clone(), again, format).await?;
        let limits = self.limits.clone();
        let tried = tokio::task::spawn_blocking(move || reading::read(records, format, &limits, |_| true));
        let listing = tried.await.map_err(|_| Failure::Panicked)??.map_err(|_| Failure::Panicked)?;
        if listing.readable == 0 {
            return Err(Failure::NothingReadable { unreadable: listing.unreadable });
        }
        let (source, mark) = (format!("bundle:{}", bundle.name), Some(bundle.digest.to_string()));
        let origin = Origin { source, mark, ..refresh.origin.clone() };
        let refresh = &Refresh { origin, ..refresh.clone() };
        let records = self.sources.open_file(bundle.name.clone(), file, format).await?;
        let (counts, listing) = self.take_in(refresh, records, format).await?;
        if bundle.whole {
            quarantine::settle(&self.store, refresh, &listing.refused).await?;
        }
        let whole = bundle.whole.then_some(listing.ids.as_slice());
        let finished = feeds::finish(&self.store, refresh, None, whole).await?;
        Ok(Done { counts, unreadable: listing.unreadable, finished })
    }

    /// The bundle as a file that can be read from any place.
    async fn fetch(&self, digest: &Digest) -> Result<File, Failure> {
        let broken = |source| Failure::Bundle { digest: digest.to_string(), source };
        let missing = || broken(io::ErrorKind::NotFound.into());
        let mut content = match self.objects.open_blob(TenantId::SYSTEM, digest).await {
            Ok(Blob::File(file)) => return Ok(file),
            Ok(Blob::Stream(content)) => content,
            Err(store::Error::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(broken)?);
        while let Some(chunk) = content.next().await {
            file.write_all(&chunk.map_err(broken)?).await.map_err(broken)?;
        }
        file.flush().await.map_err(broken)?;
        Ok(file.into_std().await)
    }
}
