//! Steering feeds: pause and resume, pin and unpin, each done in the caller's transaction and written down.
//!
//! Whatever steers raises `steering`, at which a refresh under way writes nothing more. What takes long is an order:
//! see [`feed_orders`](crate::feed_orders).

use model::{FeedId, Lane, SnapshotId, TenantId};
use uuid::Uuid;

use crate::feeds::{self, Refresh};
use crate::{Error, FleetTx, Store, outbox};

/// The source of a feed that is never read by itself: it lives of the bundles that are imported.
pub const BUNDLES_ONLY: &str = "bundle:";

/// How a feed is, in one word. What people did comes before what the source did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It keeps its promise.
    Fresh,
    /// It was last read well longer ago than it promises, or never.
    Late,
    /// The last try to read it failed.
    Failed,
    /// Its format, or the scheme or packing of its source, is not known here.
    Unsupported,
    /// Its configuration or credentials are lacking, or refused by policy.
    Blocked,
    /// Somebody stopped it: nothing is read or changed until it is resumed.
    Paused,
    /// Somebody pinned it: it keeps its snapshot until it is unpinned.
    Pinned,
    /// It is known for the sake of older snapshots only.
    Unregistered,
}

/// Why a refresh failed, as far as it matters to who mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The source did not give what it should; it may next time.
    Failed,
    /// Nobody here can read this.
    Unsupported,
    /// Somebody must configure or allow something first.
    Blocked,
}

/// Who steers, and why.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The name of whoever asks.
    pub who: &'a str,
    /// In their own words.
    pub reason: &'a str,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Fresh,
        Self::Late,
        Self::Failed,
        Self::Unsupported,
        Self::Blocked,
        Self::Paused,
        Self::Pinned,
        Self::Unregistered,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Pinned => "pinned",
            Self::Unregistered => "unregistered",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Fault {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Blocked => "blocked",
        }
    }
}

/// Stops a feed: a refresh under way ends within a second, and nothing of it shows. It stays as it is until resumed.
pub async fn pause(tx: &mut FleetTx, feed: &FeedId, by: By<'_>) -> Result<(), Error> {
    let done = sqlx::query!(
        "update vuln.feed set paused_at = clock_timestamp(), pause_reason = $2, steering = steering + 1
         where feed_id = $1 and paused_at is null",
        feed.as_str(),
        by.reason,
    )
    .execute(tx.conn())
    .await?;
    noted(tx, feed, "pause", None, by, done.rows_affected() > 0).await
}

/// Lets a paused feed go on.
pub async fn resume(tx: &mut FleetTx, feed: &FeedId, by: By<'_>) -> Result<(), Error> {
    let done = sqlx::query!(
        "update vuln.feed set paused_at = null, pause_reason = null, failures = 0, due_at = clock_timestamp()
         where feed_id = $1 and paused_at is not null",
        feed.as_str(),
    )
    .execute(tx.conn())
    .await?;
    noted(tx, feed, "resume", None, by, done.rows_affected() > 0).await?;
    ring(tx, feed).await
}

/// Has a feed keep what it says now. Answers the snapshot that it keeps; 0 for a feed that says nothing yet.
pub async fn pin(tx: &mut FleetTx, feed: &FeedId, by: By<'_>) -> Result<SnapshotId, Error> {
    let pinned = sqlx::query_scalar!(
        r#"update vuln.feed f set pinned_at = clock_timestamp(), pin_reason = $2, steering = steering + 1,
               pinned = (select coalesce(max(snapshot_id), 0) from vuln.snapshot where feed_id = f.feed_id)
           where feed_id = $1 and pinned_at is null returning pinned as "pinned!""#,
        feed.as_str(),
        by.reason,
    )
    .fetch_optional(tx.conn())
    .await?;
    noted(tx, feed, "pin", pinned, by, pinned.is_some()).await?;
    Ok(SnapshotId(pinned.unwrap_or(0)))
}

/// Lets a pinned feed be read again, at once.
pub async fn unpin(tx: &mut FleetTx, feed: &FeedId, by: By<'_>) -> Result<(), Error> {
    let done = sqlx::query!(
        "update vuln.feed set pinned_at = null, pin_reason = null, pinned = null, failures = 0,
             due_at = clock_timestamp()
         where feed_id = $1 and pinned_at is not null",
        feed.as_str(),
    )
    .execute(tx.conn())
    .await?;
    noted(tx, feed, "unpin", None, by, done.rows_affected() > 0).await?;
    ring(tx, feed).await
}

/// Keeps that somebody registered a feed or asked for it to be read.
pub async fn note(tx: &mut FleetTx, feed: &FeedId, kind: &str, by: By<'_>) -> Result<(), Error> {
    noted(tx, feed, kind, None, by, true).await
}

/// Whether somebody has steered the feed since the refresh began: then it writes nothing more.
pub async fn steered(store: &Store, refresh: &Refresh) -> Result<bool, Error> {
    let mut tx = store.fleet().await?;
    let steering =
        sqlx::query_scalar!("select steering from vuln.feed where feed_id = $1", refresh.feed.as_str())
            .fetch_optional(tx.conn())
            .await?;
    tx.commit().await?;
    Ok(steering != Some(refresh.steering))
}

/// Has the feed's entity look, before everything that is not asked for by people.
pub(crate) async fn ring(tx: &mut FleetTx, feed: &FeedId) -> Result<(), Error> {
    outbox::ring(tx, "feed", TenantId::SYSTEM, feed.as_str(), Lane::Interactive).await
}

/// Writes down what was done. What was so already leaves no line; what concerns no feed is refused.
async fn noted(
    tx: &mut FleetTx,
    feed: &FeedId,
    kind: &str,
    snapshot: Option<i64>,
    by: By<'_>,
    changed: bool,
) -> Result<(), Error> {
    if !changed {
        feeds::get(tx, feed).await?;
        return Ok(());
    }
    sqlx::query!(
        "insert into vuln.feed_order (feed_id, order_id, kind, snapshot_id, reason, asked_by, ended_at)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp())",
        feed.as_str(),
        Uuid::now_v7(),
        kind,
        snapshot,
        by.reason,
        by.who,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
