//! What the feeds say as of a snapshot.

mod changed;

use advisory::formats::{self, Format};
use advisory::{Advisory, Limits};
use model::{Digest, FeedId, SnapshotId};
use time::OffsetDateTime;

use crate::row::{number, parse};
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

/// A revision to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory_id: String,
    /// Which revision of it.
    pub revision: u32,
}

/// One immutable revision of one advisory, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory_id: String,
    /// Counted from 1. It supersedes the one before.
    pub revision: u32,
    /// The snapshot from which it counts; none while its refresh is under way.
    pub snapshot: Option<SnapshotId>,
    /// The document exactly as published; none when its feed no longer lists it.
    pub document: Option<Vec<u8>>,
    /// Digest of the document.
    pub digest: Option<Digest>,
    /// When it was taken in.
    pub observed_at: OffsetDateTime,
    /// Where it was read from.
    pub source: String,
    /// How it is written.
    pub format: String,
    /// The source's own mark of the state that was read: an ETag, a digest.
    pub mark: Option<String>,
    /// What read it.
    pub collector: String,
}

impl Revision {
    /// What it says; none where it has no document or that cannot be read.
    pub fn read(&self) -> Option<Advisory> {
        advisory_of(formats::by_word(&self.format)?, self.document.as_deref()?)
    }
}

/// What a stored document says. It was within its node's limits when it came; beyond the usual ones it is unreadable
/// here, and counts as whatever may be.
pub(crate) fn advisory_of(format: &Format, document: &[u8]) -> Option<Advisory> {
    (format.parse)(document, &Limits::default()).ok().map(|(advisory, _)| advisory)
}

struct RevisionRow {
    feed_id: String,
    advisory_id: String,
    revision: i32,
    snapshot_id: Option<i64>,
    document: Option<Vec<u8>>,
    digest: String,
    observed_at: OffsetDateTime,
    source: String,
    format: String,
    mark: Option<String>,
    collector: String,
}

impl TryFrom<RevisionRow> for Revision {
    type Error = Error;

    fn try_from(row: RevisionRow) -> Result<Self, Error> {
        Ok(Self {
            feed: parse("observation", &row.feed_id)?,
            advisory_id: row.advisory_id,
            revision: number("observation", row.revision)?,
            snapshot: row.snapshot_id.map(SnapshotId),
            digest: (!row.digest.is_empty()).then(|| parse("observation", &row.digest)).transpose()?,
            document: row.document,
            observed_at: row.observed_at,
            source: row.source,
            format: row.format,
            mark: row.mark,
            collector: row.collector,
        })
    }
}

/// These revisions, in any order; those that are not there are left out.
pub async fn revisions(tx: &mut FleetTx, asked: &[Asked]) -> Result<Vec<Revision>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let feeds: Vec<String> = asked.iter().map(|a| a.feed.to_string()).collect();
    let ids: Vec<String> = asked.iter().map(|a| a.advisory_id.clone()).collect();
    let numbers: Vec<i32> = asked.iter().map(|a| i32::try_from(a.revision).unwrap_or(i32::MAX)).collect();
    let rows = sqlx::query_as!(
        RevisionRow,
        r#"select o.feed_id, o.advisory_id, o.revision, s.snapshot_id as "snapshot_id?", o.document, o.digest,
                  o.observed_at, g.source, g.format, g.mark, g.collector
           from unnest($1::text[], $2::text[], $3::int[]) as a(feed_id, advisory_id, revision)
           join vuln.observation o using (feed_id, advisory_id, revision)
           join vuln.origin g on g.feed_id = o.feed_id and g.origin = o.origin
           left join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh"#,
        &feeds,
        &ids,
        &numbers,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Revision::try_from).collect()
}

/// The revisions of the advisories with this id, by feed, the newest first, that counted as of a snapshot. Of each
/// feed at most `limit`; only the newest comes with its document. VEX is no advisory.
pub async fn history(
    tx: &mut FleetTx,
    advisory_id: &str,
    at: SnapshotId,
    limit: u32,
) -> Result<Vec<Revision>, Error> {
    let rows = sqlx::query_as!(
        RevisionRow,
        r#"select o.feed_id, o.advisory_id, o.revision, o.snapshot_id as "snapshot_id?", o.digest, o.observed_at,
                  case when o.place = 1 then o.document end as document, g.source, g.format, g.mark, g.collector
           from vuln.feed f
           cross join lateral (
               select o.*, s.snapshot_id, row_number() over (order by o.revision desc) as place
               from vuln.observation o
               join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
               where o.feed_id = f.feed_id and o.advisory_id = $1 and s.snapshot_id <= $2
               order by o.revision desc limit $3) o
           join vuln.origin g on g.feed_id = o.feed_id and g.origin = o.origin
           where f.kind = 'advisories'
           order by o.feed_id, o.revision desc"#,
        advisory_id,
        at.0,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Revision::try_from).collect()
}

/// The newest snapshot; 0 before any feed was read.
pub async fn latest_snapshot(tx: &mut FleetTx) -> Result<SnapshotId, Error> {
    let id = sqlx::query_scalar!("select snapshot_id from vuln.latest").fetch_one(tx.conn()).await?;
    Ok(SnapshotId(id))
}

/// Reads everything that a feed lists as of a snapshot, or all feeds of advisories, page by page, so that no transaction stays open while the caller
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
                   where s.snapshot_id <= $1
                     and case when $2::text is null
                              then o.feed_id in (select f.feed_id from vuln.feed f where f.kind = 'advisories')
                              else o.feed_id = $2 end
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
