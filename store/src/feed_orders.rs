//! Orders that a feed's entity carries out: go back to a snapshot, take in a bundle, end.
//!
//! An order is a refresh like any other: it writes new observations, makes a snapshot, and ends in the transaction
//! that ends the refresh. Until then it stands, whoever dies. The table is also who did what: see [`history`].

use model::{Digest, FeedId, SnapshotId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::feed_control::{By, ring};
use crate::feeds::{self, Refresh};
use crate::row::{number, parse, text};
use crate::{Error, Fence, FleetTx, Store};

/// Bytes that somebody brought for a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The file's name, where it came from.
    pub name: String,
    /// Of its bytes; also their name in the object store, under the system's tenant.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
    /// Whether it lists all of the feed: then what it does not list is removed.
    pub whole: bool,
}

/// What the feed's entity is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Say again what it said as of this snapshot, and keep to that.
    RollBack(SnapshotId),
    /// Take in a bundle.
    Import(Bundle),
    /// Take back all it says, and end.
    Unregister,
}

/// An order that was not carried out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// What to do.
    pub task: Task,
}

/// One line of a feed's history of steers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steer {
    /// Its id.
    pub id: Uuid,
    /// `register`, `refresh`, `pause`, `resume`, `pin`, `unpin`, `roll_back`, `import`, `unregister`.
    pub kind: String,
    /// The snapshot that was pinned or gone back to.
    pub snapshot: Option<SnapshotId>,
    /// What was imported.
    pub bundle: Option<Bundle>,
    /// Why, in the words of who asked.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: OffsetDateTime,
    /// When it was done, or given up; none while it waits.
    pub ended_at: Option<OffsetDateTime>,
    /// Why it was given up.
    pub failure: Option<String>,
    /// The snapshot it made.
    pub made: Option<SnapshotId>,
}

/// Leaves an order for the feed's entity, and a bell. Whatever it is doing, it ends that first.
pub async fn order(tx: &mut FleetTx, feed: &FeedId, task: Task, by: By<'_>) -> Result<Order, Error> {
    let id = Uuid::now_v7();
    let (kind, snapshot, bundle) = match &task {
        Task::RollBack(to) => ("roll_back", Some(to.0), None),
        Task::Import(bundle) => ("import", None, Some(bundle)),
        Task::Unregister => ("unregister", None, None),
    };
    sqlx::query!(
        "insert into vuln.feed_order
             (feed_id, order_id, kind, snapshot_id, bundle, name, bytes, whole, reason, asked_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        feed.as_str(),
        id,
        kind,
        snapshot,
        bundle.map(|bundle| bundle.digest.as_str()),
        bundle.map(|bundle| bundle.name.as_str()),
        bundle.map(|bundle| i64::try_from(bundle.bytes).unwrap_or(i64::MAX)),
        bundle.is_none_or(|bundle| bundle.whole),
        by.reason,
        by.who,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("update vuln.feed set steering = steering + 1 where feed_id = $1", feed.as_str())
        .execute(tx.conn())
        .await?;
    ring(tx, feed).await?;
    Ok(Order { id, task })
}

/// What the feed's entity is to do next. A paused feed does nothing, a pinned one takes no bundle.
pub async fn next_order(tx: &mut FleetTx, feed: &FeedId) -> Result<Option<Order>, Error> {
    let row = sqlx::query!(
        "select o.order_id, o.kind, o.snapshot_id, o.bundle, o.name, o.bytes, o.whole
         from vuln.feed_order o join vuln.feed f using (feed_id)
         where o.feed_id = $1 and o.ended_at is null and f.enabled and f.paused_at is null
           and (f.pinned_at is null or o.kind in ('roll_back', 'unregister'))
         order by o.asked_at, o.order_id limit 1",
        feed.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let task = match (row.snapshot_id, row.bundle) {
        (Some(to), _) => Task::RollBack(SnapshotId(to)),
        (None, Some(digest)) => Task::Import(bundle(&digest, row.name, row.bytes, row.whole)?),
        (None, None) => Task::Unregister,
    };
    Ok(Some(Order { id: row.order_id, task }))
}

/// Begins the refresh that carries an order out, or takes it up.
pub async fn begin(store: &Store, fence: Fence, feed: &FeedId, order: &Order) -> Result<Refresh, Error> {
    feeds::start(store, fence, feed, Some(order)).await
}

/// Ends an order that cannot be carried out, whatever is tried.
pub async fn give_up(store: &Store, refresh: &Refresh, order: &Order, why: &str) -> Result<(), Error> {
    let mut tx = feeds::fenced(store, refresh.fence).await?;
    sqlx::query!(
        "update vuln.feed_order set ended_at = clock_timestamp(), failure = $3
         where feed_id = $1 and order_id = $2 and ended_at is null",
        refresh.feed.as_str(),
        order.id,
        text(why),
    )
    .execute(tx.conn())
    .await?;
    // What was written counts with the next refresh; where nothing was, none is under way any more.
    sqlx::query!(
        "update vuln.feed set refreshing = exists (
             select from vuln.observation o where o.feed_id = $1 and o.refresh = $2)
         where feed_id = $1 and refresh = $2",
        refresh.feed.as_str(),
        refresh.number,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// In the transaction that ends the refresh: the order is carried out, and what it asks of the feed holds.
pub(crate) async fn carried_out(
    tx: &mut FleetTx,
    refresh: &Refresh,
    order: &Order,
    made: Option<SnapshotId>,
) -> Result<(), Error> {
    let feed = refresh.feed.as_str();
    match &order.task {
        Task::Import(_) => {}
        Task::RollBack(_) => {
            sqlx::query!(
                "update vuln.feed f set pinned_at = clock_timestamp(), pin_reason = o.reason,
                     pinned = (select coalesce(max(s.snapshot_id), 0) from vuln.snapshot s where s.feed_id = $1)
                 from vuln.feed_order o where f.feed_id = $1 and o.feed_id = $1 and o.order_id = $2",
                feed,
                order.id,
            )
            .execute(tx.conn())
            .await?;
        }
        Task::Unregister => {
            sqlx::query!("update vuln.feed set enabled = false where feed_id = $1", feed)
                .execute(tx.conn())
                .await?;
        }
    }
    sqlx::query!(
        "update vuln.feed_order set ended_at = clock_timestamp(), made = $3 where feed_id = $1 and order_id = $2",
        feed,
        order.id,
        made.map(|made| made.0),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The steers of a feed, newest first.
pub async fn history(tx: &mut FleetTx, feed: &FeedId, limit: u32) -> Result<Vec<Steer>, Error> {
    let rows = sqlx::query!(
        "select order_id, kind, snapshot_id, bundle, name, bytes, whole, reason, asked_by, asked_at, ended_at,
                failure, made
         from vuln.feed_order where feed_id = $1 order by asked_at desc, order_id desc limit $2",
        feed.as_str(),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let bundle = row.bundle.map(|digest| bundle(&digest, row.name, row.bytes, row.whole));
            Ok(Steer {
                id: row.order_id,
                kind: row.kind,
                snapshot: row.snapshot_id.map(SnapshotId),
                bundle: bundle.transpose()?,
                reason: row.reason,
                asked_by: row.asked_by,
                asked_at: row.asked_at,
                ended_at: row.ended_at,
                failure: row.failure,
                made: row.made.map(SnapshotId),
            })
        })
        .collect()
}

fn bundle(digest: &str, name: Option<String>, bytes: Option<i64>, whole: bool) -> Result<Bundle, Error> {
    Ok(Bundle {
        name: name.unwrap_or_default(),
        digest: parse("feed_order", digest)?,
        bytes: number("feed_order", bytes.unwrap_or_default())?,
        whole,
    })
}
