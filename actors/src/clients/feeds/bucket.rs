//! An OSV bucket: `ECOSYSTEM/all.zip` has everything, `ECOSYSTEM/modified_id.csv` says when each record changed, and
//! `ECOSYSTEM/ID.json` is one of them.
//!
//! The first reading, and now and then another, takes `all.zip`: only then is it known what is gone. In between only
//! what changed since is fetched, a few records at once. A record that is listed and cannot be had is set aside and
//! tried again each time, as long as it is listed.

mod changes;

use std::collections::BTreeSet;
use std::io::BufReader;

use futures::{StreamExt as _, stream};
use reqwest::Url;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::changes::Changes;
use super::cursor::Cursor;
use super::download::Download;
use super::{Error, Feeds, Mark, Opened, Record};
use crate::feed_format::FeedFormat;
use crate::with_causes;

/// Records fetched at once.
const AT_ONCE: usize = 8;
/// When so many in a row cannot be had, it is the server.
const IN_A_ROW_MAX: u32 = 10;
/// When more has changed, the whole is fetched at once.
const CHANGED_MAX: usize = 5_000;

impl Feeds {
    /// Opens the bucket of one ecosystem; `whole` when everything is to be read, whatever was read last.
    pub(super) async fn bucket(
        &self,
        base: &Url,
        former: Cursor,
        whole: bool,
        format: FeedFormat,
    ) -> Result<Opened, Error> {
        let Some(followed) = former.bucket.clone().filter(|_| !whole) else {
            return self.all_of_bucket(base, format).await;
        };
        let (changes, mark) = match self.changes(base, &former).await? {
            Some((changes, mark)) => (changes, mark),
            None if followed.again.is_empty() => return Ok(Opened::Unchanged { cursor: former.text() }),
            None => (Changes::of_ids(&followed.again, &followed), former.clone()),
        };
        let (wanted, next) = changes.since(&followed);
        if wanted.len() > CHANGED_MAX {
            return self.all_of_bucket(base, format).await;
        }
        let next = Cursor { bucket: Some(next), ..mark };
        if wanted.is_empty() && changes.problems.is_empty() {
            return Ok(Opened::Unchanged { cursor: next.text() });
        }
        tracing::debug!(url = %base, records = wanted.len(), "following the changes of a bucket");
        Ok(self.records_of_bucket(base.clone(), wanted, changes.problems, next))
    }

    /// The list first: what changes while the archive comes is fetched again next time.
    async fn all_of_bucket(&self, base: &Url, format: FeedFormat) -> Result<Opened, Error> {
        let (changes, mark) = self.changes(base, &Cursor::default()).await?.unwrap_or_default();
        let all = below(base, "all.zip")?;
        let place = all.to_string();
        match self.download(&all, &Cursor::default(), self.limits.download_bytes).await? {
            Download::Unchanged => Err(Error::Refused { url: all, status: 304 }),
            Download::File(file, state) => {
                let records = self.open_file(place, file, format).await?;
                let cursor = Cursor { bucket: Some(changes.end()), ..mark };
                Ok(Opened::Records { whole: true, etag: state.etag, mark: Mark::known(&cursor), records })
            }
        }
    }

    /// The list of changes; `None` when it is what it was.
    async fn changes(&self, base: &Url, former: &Cursor) -> Result<Option<(Changes, Cursor)>, Error> {
        let url = below(base, "modified_id.csv")?;
        let (file, mark) = match self.download(&url, former, self.limits.download_bytes).await? {
            Download::Unchanged => return Ok(None),
            Download::File(file, mark) => (file, mark),
        };
        let (place, limit) = (url.to_string(), self.limits.records.records);
        let reading = tokio::task::spawn_blocking(move || {
            let (_, file) = super::packing::form_of(file).map_err(Error::unreadable(&place))?;
            Changes::read(BufReader::new(file), &place, limit)
        });
        let changes = reading
            .await
            .map_err(|panicked| Error::Broken { place: url.to_string(), why: panicked.to_string() })??;
        Ok(Some((changes, mark)))
    }

    /// Records as they come, in their order; the cursor is known when all have come.
    fn records_of_bucket(
        &self,
        base: Url,
        wanted: Vec<String>,
        problems: Vec<Record>,
        mut next: Cursor,
    ) -> Opened {
        let etag = next.etag.clone();
        let (sender, arrived) = mpsc::channel(AT_ONCE);
        let (tell, told) = oneshot::channel();
        let feeds = self.clone();
        let fetching = tokio::spawn(async move {
            for problem in problems {
                if sender.send(Ok(problem)).await.is_err() {
                    return;
                }
            }
            if let Some(missing) = feeds.fetch_all(base, wanted, &sender).await {
                next.bucket.get_or_insert_default().again = missing;
                // Whoever has given up reading asks for no cursor.
                let _ = tell.send(next.text());
            }
        });
        let mark = Mark::Told(told, AbortOnDropHandle::new(fetching));
        Opened::Records { whole: false, etag, mark, records: Box::new(Arriving(arrived)) }
    }

    /// Fetches these, several at once, and hands them on; answers what could not be had. `None`: nobody takes them any
    /// more, or the server is in trouble.
    async fn fetch_all(
        &self,
        base: Url,
        wanted: Vec<String>,
        sender: &mpsc::Sender<Result<Record, Error>>,
    ) -> Option<BTreeSet<String>> {
        let (mut missing, mut in_a_row) = (BTreeSet::new(), 0);
        let fetches = wanted.into_iter().map(|id| async {
            let record = self.fetch(&base, &id).await;
            (id, record)
        });
        let mut fetches = std::pin::pin!(stream::iter(fetches).buffered(AT_ONCE));
        while let Some((id, fetched)) = fetches.next().await {
            let record = match fetched {
                Ok(bytes) => {
                    in_a_row = 0;
                    Record::Document { place: format!("{id}.json"), bytes }
                }
                Err(error) if self.is_the_servers(&error) && in_a_row + 1 >= IN_A_ROW_MAX => {
                    let _ = sender.send(Err(error)).await;
                    return None;
                }
                Err(error) => {
                    in_a_row = if self.is_the_servers(&error) { in_a_row + 1 } else { 0 };
                    missing.insert(id.clone());
                    let what = format!("it is listed, but {}", with_causes(&error));
                    Record::Unreadable { place: format!("{id}.json"), what }
                }
            };
            sender.send(Ok(record)).await.ok()?;
        }
        Some(missing)
    }

    /// Whether others would fare no better.
    fn is_the_servers(&self, error: &Error) -> bool {
        match error {
            Error::Unreachable { .. } | Error::TooSlow { .. } => true,
            Error::Refused { status, .. } => matches!(status, 401 | 403 | 407 | 429 | 500..),
            _ => false,
        }
    }

    async fn fetch(&self, base: &Url, id: &str) -> Result<Vec<u8>, Error> {
        let url = below(base, &format!("{id}.json"))?;
        self.small(&url, self.limits.record_bytes()).await
    }
}

/// The address of what is called so in the bucket. A name is one step of the path, whatever is in it.
fn below(base: &Url, name: &str) -> Result<Url, Error> {
    let mut url = base.clone();
    let why = "nothing can be below it";
    let invalid = |()| Error::InvalidSource { uri: base.to_string(), why };
    url.path_segments_mut().map_err(invalid)?.pop_if_empty().push(name);
    Ok(url)
}

/// What a task fetches, for a thread that waits.
struct Arriving(mpsc::Receiver<Result<Record, Error>>);

impl Iterator for Arriving {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.blocking_recv()
    }
}

#[cfg(test)]
mod tests;
