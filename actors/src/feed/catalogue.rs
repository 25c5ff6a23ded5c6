//! Feeds of what is known of vulnerabilities beside advisories. They are read and steered like the others, but what they
//! say changes from day to day and no verdict rests on it: only what holds now is kept, and no snapshot is made.

use std::fs::File;

use advisory::enrichment::{Catalogue, Enrichment, Entry};
use model::{Digest, Problem};
use store::feeds::{self, Counts, Feed as Row, Refresh, Unreadable};
use store::{enrichment, quarantine};

use super::{Done, Failure, Feed};
use crate::clients::feeds::{Error as SourceError, Opened, Record, Records};
use crate::failpoint::{self, Point};

/// Entries that are taken in at once.
const PAGE: usize = 5_000;

/// What a reading gave: what is known, what of it could not be read.
struct Read {
    known: Enrichment,
    problems: Vec<Problem>,
}

impl Feed {
    /// Reads its source and takes in what differs.
    pub(super) async fn refresh_catalogue(
        &self,
        feed: &Row,
        refresh: &Refresh,
        catalogue: Catalogue,
    ) -> Result<Done, Failure> {
        match self.sources.open_catalogue(&feed.source, refresh.cursor.as_deref()).await? {
            Opened::Unchanged { cursor } => {
                let finished = feeds::finish(&self.store, refresh, cursor.as_deref(), Some(&[])).await?;
                let counts = Counts { unchanged: feed.advisories, ..Counts::default() };
                Ok(Done { counts, unreadable: feed.problems, finished })
            }
            Opened::Records { mark, records, .. } => {
                let read = read(records, catalogue).await?;
                let cursor = mark.cursor().await;
                self.take_catalogue(refresh, &read, true, cursor.as_deref()).await
            }
        }
    }

    /// Takes in a catalogue that somebody brought. `whole`: what it does not name is gone.
    pub(super) async fn import_catalogue(
        &self,
        refresh: &Refresh,
        (name, file): (String, File),
        catalogue: Catalogue,
        whole: bool,
    ) -> Result<Done, Failure> {
        let records = self.sources.open_catalogue_file(name, file).await?;
        self.take_catalogue(refresh, &read(records, catalogue).await?, whole, None).await
    }

    /// Takes back all it says.
    pub(super) async fn clear_catalogue(&self, refresh: &Refresh) -> Result<u64, Failure> {
        let all = enrichment::Span { after: "", until: None };
        let (_, removed) = enrichment::take_in(&self.store, refresh, &[], Some(all)).await?;
        enrichment::count(&self.store, refresh).await?;
        Ok(removed)
    }

    async fn take_catalogue(
        &self,
        refresh: &Refresh,
        read: &Read,
        whole: bool,
        cursor: Option<&str>,
    ) -> Result<Done, Failure> {
        let mut entries = read.known.entries().peekable();
        let unreadable = read.problems.len() as u64;
        if entries.peek().is_none() {
            return Err(Failure::NothingReadable { unreadable });
        }
        let (mut counts, mut removed, mut after) = (Counts::default(), 0, String::new());
        while entries.peek().is_some() {
            let page: Vec<Entry> = entries.by_ref().take(PAGE).collect();
            let last = page.last().map(|entry| entry.name.clone()).unwrap_or_default();
            let until = entries.peek().is_some().then_some(last.as_str());
            let span = whole.then_some(enrichment::Span { after: &after, until });
            let (written, gone) = enrichment::take_in(&self.store, refresh, &page, span).await?;
            counts += written;
            removed += gone;
            after = last;
            failpoint::hit(Point::FeedMidIngest).await;
        }
        self.set_aside(refresh, &read.problems, whole).await?;
        enrichment::count(&self.store, refresh).await?;
        let mut finished = feeds::finish(&self.store, refresh, cursor, Some(&[])).await?;
        finished.removed = removed;
        Ok(Done { counts, unreadable, finished })
    }

    async fn set_aside(&self, refresh: &Refresh, problems: &[Problem], whole: bool) -> Result<(), Failure> {
        let unreadable: Vec<Unreadable> = problems
            .iter()
            .map(|Problem { place, what }| Unreadable {
                entry: place.clone(),
                reason: what.clone(),
                document: Vec::new(),
            })
            .collect();
        if !unreadable.is_empty() {
            feeds::quarantine(&self.store, refresh, &unreadable).await?;
        }
        if whole {
            let met: Vec<_> =
                problems.iter().map(|problem| (problem.place.clone(), Digest::of(b""))).collect();
            quarantine::settle(&self.store, refresh, &met).await?;
        }
        Ok(())
    }
}

/// Reads all documents on a blocking thread. One that cannot be read ends it: what is missing from a catalogue cannot be
/// told from what it does not say.
async fn read(records: Records, catalogue: Catalogue) -> Result<Read, Failure> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut read = Read { known: Enrichment::default(), problems: Vec::new() };
        for record in records {
            let (place, bytes) = match record? {
                Record::Document { place, bytes } => (place, bytes),
                Record::Unreadable { place, what: why } => {
                    return Err(SourceError::Broken { place, why }.into());
                }
                Record::Ignored { .. } => continue,
            };
            let problems = read.known.add(catalogue, &bytes).map_err(|error| {
                Failure::from(SourceError::Broken { place: place.clone(), why: error.to_string() })
            })?;
            let placed = |Problem { place: entry, what }| Problem { place: format!("{place} {entry}"), what };
            read.problems.extend(problems.into_iter().map(placed));
        }
        Ok(read)
    });
    reading.await.map_err(|_| Failure::Panicked)?
}
