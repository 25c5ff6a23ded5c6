//! What advisories differ between two snapshots, in either direction of time.

use model::{FeedId, SnapshotId};

use crate::row::{number, parse};
use crate::{Error, FleetTx, Store};

/// An advisory that was observed anew between two snapshots, as it stands in the second of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory_id: String,
    /// The document as published; `None` when it is not listed in that snapshot.
    pub document: Option<Vec<u8>>,
}

/// At most so many advisories differ between these snapshots. It reads the snapshots alone.
pub async fn changed_at_most(tx: &mut FleetTx, a: SnapshotId, b: SnapshotId) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"select coalesce(sum(s.added + s.changed + s.removed), 0)::bigint as "count!"
           from vuln.snapshot s join vuln.feed f on f.feed_id = s.feed_id
           where f.kind = 'advisories'
             and s.snapshot_id > least($1::bigint, $2::bigint) and s.snapshot_id <= greatest($1, $2)"#,
        a.0,
        b.0,
    )
    .fetch_one(tx.conn())
    .await?;
    number("snapshot", count)
}

/// Reads what has to be changed in `from` to come to `to`, which may be the later or the earlier one, page by page:
/// [`ChangedReader::next_page`] until it is empty. Both are immutable, so the pages fit together.
pub fn changed_between(store: &Store, from: SnapshotId, to: SnapshotId) -> ChangedReader {
    ChangedReader { store: store.clone(), from, to, after: (String::new(), String::new()) }
}

/// A place in what differs.
#[derive(Debug)]
pub struct ChangedReader {
    store: Store,
    from: SnapshotId,
    to: SnapshotId,
    after: (String, String),
}

impl ChangedReader {
    /// The next by feed and id, at most `limit`; empty at the end.
    pub async fn next_page(&mut self, limit: u32) -> Result<Vec<Changed>, Error> {
        let mut tx = self.store.fleet().await?;
        let rows = sqlx::query!(
            r#"select k.feed_id, k.advisory_id, o.document as "document?"
               from (select distinct o.feed_id, o.advisory_id
                     from vuln.snapshot s join vuln.feed f on f.feed_id = s.feed_id and f.kind = 'advisories'
                     join vuln.observation o on o.feed_id = s.feed_id and o.refresh = s.refresh
                     where s.snapshot_id > least($1::bigint, $2::bigint) and s.snapshot_id <= greatest($1, $2)
                       and (o.feed_id, o.advisory_id) > ($3, $4)
                     order by o.feed_id, o.advisory_id limit $5) k
               left join lateral (
                   select o.document
                   from vuln.observation o join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
                   where o.feed_id = k.feed_id and o.advisory_id = k.advisory_id and s.snapshot_id <= $2
                   order by o.revision desc limit 1) o on true
               order by k.feed_id, k.advisory_id"#,
            self.from.0,
            self.to.0,
            self.after.0,
            self.after.1,
            i64::from(limit),
        )
        .fetch_all(tx.conn())
        .await?;
        tx.commit().await?;
        if let Some(last) = rows.last() {
            self.after = (last.feed_id.clone(), last.advisory_id.clone());
        }
        let changed = rows.into_iter().map(|row| {
            let feed = parse("observation", &row.feed_id)?;
            Ok(Changed { feed, advisory_id: row.advisory_id, document: row.document })
        });
        changed.collect()
    }
}
