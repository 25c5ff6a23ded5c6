//! What the feeds say as of a snapshot.

mod changed;

use model::{FeedId, SnapshotId};

use crate::row::parse;
use crate::{Error, FleetTx, Store};

pub use changed::{Changed, ChangedReader, changed_at_most, changed_between};

/// One advisory as of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory_id: String,
    /// The document as published.
    pub document: Vec<u8>,
}

/// The newest snapshot; 0 before any feed was read.
pub async fn latest_snapshot(tx: &mut FleetTx) -> Result<SnapshotId, Error> {
    let id = sqlx::query_scalar!("select snapshot_id from vuln.latest").fetch_one(tx.conn()).await?;
    Ok(SnapshotId(id))
}

/// Reads everything that is listed as of a snapshot, page by page, so that no transaction stays open while the caller
/// works: [`Reader::next_page`] until it is empty. Observations are immutable, so the pages fit together.
pub fn current(store: &Store, snapshot: SnapshotId, feed: Option<FeedId>) -> Reader {
    Reader { store: store.clone(), snapshot, only: feed, after: (String::new(), String::new()) }
}

/// A place in a snapshot.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    snapshot: SnapshotId,
    only: Option<FeedId>,
    after: (String, String),
}

impl Reader {
    /// The next observations by feed and id, at most `limit`; empty at the end.
    pub async fn next_page(&mut self, limit: u32) -> Result<Vec<Observation>, Error> {
        loop {
            let mut tx = self.store.fleet().await?;
            let rows = sqlx::query!(
                r#"select distinct on (o.feed_id, o.advisory_id) o.feed_id, o.advisory_id, o.document
                   from vuln.observation o join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
                   where s.snapshot_id <= $1 and ($2::text is null or o.feed_id = $2)
                     and (o.feed_id, o.advisory_id) > ($3, $4)
                   order by o.feed_id, o.advisory_id, o.revision desc limit $5"#,
                self.snapshot.0,
                self.only.as_ref().map(FeedId::as_str),
                self.after.0,
                self.after.1,
                i64::from(limit),
            )
            .fetch_all(tx.conn())
            .await?;
            tx.commit().await?;
            let Some(last) = rows.last() else { return Ok(Vec::new()) };
            self.after = (last.feed_id.clone(), last.advisory_id.clone());
            let mut page = Vec::with_capacity(rows.len());
            for row in rows {
                if let Some(document) = row.document {
                    let feed = parse("observation", &row.feed_id)?;
                    page.push(Observation { feed, advisory_id: row.advisory_id, document });
                }
            }
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }
}
