//! Records that could not be read: kept with the reason, until a whole reading of their source has them no more.

use model::{Digest, FeedId};
use time::OffsetDateTime;

use crate::feeds::{self, Refresh};
use crate::row::{number, parse};
use crate::{Error, FleetTx, Store};

/// Of an entry's place so many characters are kept.
pub(crate) const ENTRY_CHARS: usize = 512;

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The feed.
    pub feed: FeedId,
    /// Its place in the source.
    pub entry: String,
    /// Digest of what is there.
    pub digest: Digest,
    /// Why it could not be read.
    pub reason: String,
    /// What is there: its first bytes.
    pub beginning: Vec<u8>,
    /// How much of it is kept, in bytes.
    pub kept: u64,
    /// When it was set aside.
    pub at: OffsetDateTime,
    /// When its source was read without it; not before.
    pub settled_at: Option<OffsetDateTime>,
}

/// A place in the listing: entry and digest.
pub type Place<'a> = (&'a str, &'a str);

/// What of a feed is set aside, by entry; with `settled` also what was.
pub async fn list(
    tx: &mut FleetTx,
    feed: &FeedId,
    settled: bool,
    after: Option<Place<'_>>,
    limit: u32,
) -> Result<Vec<Quarantined>, Error> {
    let (entry, digest) = after.unwrap_or_default();
    let rows = sqlx::query!(
        r#"select feed_id, entry, digest, reason, substring(document for 200) as "beginning!",
                  length(document) as "kept!", at, settled_at
           from vuln.quarantine
           where feed_id = $1 and ($2 or settled_at is null) and (entry, digest) > ($3, $4)
           order by entry, digest limit $5"#,
        feed.as_str(),
        settled,
        entry,
        digest,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Quarantined {
                feed: parse("quarantine", &row.feed_id)?,
                entry: row.entry,
                digest: parse("quarantine", &row.digest)?,
                reason: row.reason,
                beginning: row.beginning,
                kept: number("quarantine", row.kept)?,
                at: row.at,
                settled_at: row.settled_at,
            })
        })
        .collect()
}

/// Has the whole source read again, whatever its mark says, and with it what is set aside. Answers how much that is.
pub async fn retry(tx: &mut FleetTx, feed: &FeedId) -> Result<u64, Error> {
    sqlx::query!("update vuln.feed set cursor = null where feed_id = $1", feed.as_str())
        .execute(tx.conn())
        .await?;
    feeds::request_refresh(tx, feed, true).await?;
    let open = sqlx::query_scalar!(
        r#"select count(*) as "open!" from vuln.quarantine where feed_id = $1 and settled_at is null"#,
        feed.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    number("quarantine", open)
}

/// After a whole reading: what is set aside and was not met again is settled. `met`: places and digests. Says how many.
pub async fn settle(store: &Store, refresh: &Refresh, met: &[(String, Digest)]) -> Result<u64, Error> {
    let mut tx = feeds::open(store, refresh).await?;
    let entries: Vec<String> =
        met.iter().map(|(entry, _)| entry.chars().take(ENTRY_CHARS).collect()).collect();
    let digests: Vec<&str> = met.iter().map(|(_, digest)| digest.as_str()).collect();
    let done = sqlx::query!(
        "update vuln.quarantine q set settled_at = clock_timestamp()
         where feed_id = $1 and settled_at is null
           and not exists (select from unnest($2::text[], $3::text[]) as m(entry, digest)
                           where m.entry = q.entry and m.digest = q.digest)",
        refresh.feed.as_str(),
        &entries,
        &digests as &[&str],
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
