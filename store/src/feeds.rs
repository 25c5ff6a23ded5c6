//! Feeds: what is read, how far it is, and taking in what was published.
//!
//! A refresh is [`begin`], any number of [`ingest`] and [`quarantine`], then [`finish`] or [`failed`], each fenced by
//! the feed's partition. Only what differs is written. What a refresh wrote counts from the snapshot that `finish`
//! makes, so an interrupted one is invisible; the next takes it up under the same number.

mod origins;

use std::sync::Arc;
use std::time::Duration;

use advisory::contract;
use advisory::enrichment::Catalogue;
use model::{Digest, FeedId, Lane, SnapshotId, TenantId};
use time::OffsetDateTime;

use crate::deltas::Arrival;
use crate::feed_control::{Fault, State};
use crate::feed_orders::{self, Order, Task};
use crate::row::{number, parse, text, word};
use crate::vex::published;
use crate::{Error, Fence, FleetTx, Store, deltas, outbox, quarantine};

/// What a feed publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Advisories, against which packages are held.
    Advisories,
    /// What suppliers say of vulnerabilities in their products.
    Vex,
    /// What is known of vulnerabilities besides, of which only what holds now is kept ([`crate::enrichment`]).
    Enrichment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Advisories, Self::Vex, Self::Enrichment];

    /// What is written in this format.
    pub fn of_format(format: &str) -> Self {
        match format {
            "vex" => Self::Vex,
            format if Catalogue::from_word(format).is_some() => Self::Enrichment,
            _ => Self::Advisories,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advisories => "advisories",
            Self::Vex => "vex",
            Self::Enrichment => "enrichment",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A feed to be read from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFeed {
    /// Its name.
    pub id: FeedId,
    /// Where it is read from: a URL or a path.
    pub source: String,
    /// How it is written (`osv`).
    pub format: String,
    /// How often it is read.
    pub interval: Duration,
    /// Older than this, results say so.
    pub promise: Duration,
}

/// A feed as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its name.
    pub id: FeedId,
    /// Where it is read from.
    pub source: String,
    /// How it is written.
    pub format: String,
    /// What it publishes.
    pub kind: Kind,
    /// How often it is read.
    pub interval: Duration,
    /// Older than this, results say so.
    pub promise: Duration,
    /// Whether it is registered; else it is kept for the sake of older snapshots.
    pub enabled: bool,
    /// How it is.
    pub state: State,
    /// Since when it is so.
    pub since: OffsetDateTime,
    /// Why, as far as somebody said so: who paused or pinned it, or the last failure.
    pub reason: Option<String>,
    /// The newest snapshot that it made.
    pub snapshot: Option<SnapshotId>,
    /// The snapshot that it keeps.
    pub pinned: Option<SnapshotId>,
    /// Whether an order waits or is being carried out.
    pub ordered: bool,
    /// How long ago its source was last read whole.
    pub whole_age: Option<Duration>,
    /// Raised by each request to refresh.
    pub revision: i64,
    /// The revision of the last refresh that ended; less than `revision` means that one is owed.
    pub done_revision: i64,
    /// Whether a refresh has begun and not ended.
    pub refreshing: bool,
    /// The source's own mark of what was read last.
    pub cursor: Option<String>,
    /// When the last refresh began.
    pub attempted_at: Option<OffsetDateTime>,
    /// When one last succeeded.
    pub succeeded_at: Option<OffsetDateTime>,
    /// When the next is due.
    pub due_at: OffsetDateTime,
    /// Whether there is something to do: it is due, was asked for, or ordered, and nobody stopped it.
    pub due: bool,
    /// Whether the last success is older than promised, or there was none.
    pub late: bool,
    /// Refreshes that failed since one succeeded.
    pub failures: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// Advisories it lists now.
    pub advisories: u64,
    /// Records of the last refresh that could not be read.
    pub problems: u64,
}

/// A refresh that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The feed.
    pub feed: FeedId,
    /// What it publishes.
    pub kind: Kind,
    /// Of the feed's entity.
    pub fence: Fence,
    /// Its number.
    pub number: i64,
    /// The feed's revision when it began.
    pub revision: i64,
    /// The source's own mark of what was read last; none when what was read last was not finished.
    pub cursor: Option<String>,
    /// What had been steered when it began.
    pub steering: i64,
    /// The order that it carries out.
    pub order: Option<Order>,
    /// Where the documents come from, once that is known.
    pub origin: Origin,
}

/// Where the documents of a refresh come from; kept with each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Where it is read from.
    pub source: String,
    /// How it is written.
    pub format: String,
    /// The source's own mark of the state that is read: an ETag, a digest.
    pub mark: Option<String>,
}

/// One advisory exactly as published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its own id.
    pub advisory_id: String,
    /// Digest of the document, or of its canonical form.
    pub digest: Digest,
    /// The document.
    pub document: Vec<u8>,
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its place in the source: a file name or an id.
    pub entry: String,
    /// Why it could not be read.
    pub reason: String,
    /// What it is; only the beginning is kept.
    pub document: Vec<u8>,
}

/// How many of a batch were what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Never seen before, or listed again.
    pub added: u64,
    /// Different from what was stored.
    pub changed: u64,
    /// As stored: nothing was written.
    pub unchanged: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
    }
}

/// What a refresh has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The snapshot it made; none when nothing changed.
    pub snapshot: Option<SnapshotId>,
    /// Advisories that the feed no longer lists.
    pub removed: u64,
}

/// Makes a feed known, again, or changes where and how it is read. Leaves a bell for it. What it publishes stays of one
/// kind: what was taken in before would else be taken for the other.
pub async fn register(tx: &mut FleetTx, feed: &NewFeed) -> Result<Feed, Error> {
    let kind = Kind::of_format(&feed.format);
    let done = sqlx::query!(
        "insert into vuln.feed as f (feed_id, source, format, interval_s, promise_s, kind)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (feed_id) do update set
             source = excluded.source, format = excluded.format, interval_s = excluded.interval_s,
             promise_s = excluded.promise_s, enabled = true, revision = f.revision + 1, steering = f.steering + 1,
             paused_at = null, pause_reason = null, pinned_at = null, pin_reason = null, pinned = null,
             fault = null, fault_at = null, last_error = null, failures = 0,
             cursor = case when f.source = excluded.source and f.enabled then f.cursor end
         where f.kind = excluded.kind",
        feed.id.as_str(),
        feed.source,
        feed.format,
        seconds(feed.interval),
        seconds(feed.promise),
        kind.as_str(),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        let what = format!("{} is a feed of something else than {}", feed.id, kind.as_str());
        return Err(Error::Conflict { what });
    }
    outbox::ring(tx, "feed", TenantId::SYSTEM, feed.id.as_str(), Lane::Sweep).await?;
    get(tx, &feed.id).await
}

struct Row {
    feed_id: String,
    source: String,
    format: String,
    kind: String,
    interval_s: i32,
    promise_s: i32,
    enabled: bool,
    state: String,
    since: OffsetDateTime,
    reason: Option<String>,
    snapshot_id: Option<i64>,
    pinned: Option<i64>,
    ordered: bool,
    whole_age_s: Option<f64>,
    revision: i64,
    done_revision: i64,
    refreshing: bool,
    cursor: Option<String>,
    attempted_at: Option<OffsetDateTime>,
    succeeded_at: Option<OffsetDateTime>,
    due_at: OffsetDateTime,
    due: bool,
    late: bool,
    failures: i32,
    last_error: Option<String>,
    advisories: i64,
    problems: i64,
}

impl TryFrom<Row> for Feed {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: parse("feed", &row.feed_id)?,
            source: row.source,
            format: row.format,
            kind: word("feed", &row.kind, Kind::from_word)?,
            interval: Duration::from_secs(number("feed", row.interval_s)?),
            promise: Duration::from_secs(number("feed", row.promise_s)?),
            enabled: row.enabled,
            state: word("feed", &row.state, State::from_word)?,
            since: row.since,
            reason: row.reason.filter(|reason| !reason.is_empty()),
            snapshot: row.snapshot_id.map(SnapshotId),
            pinned: row.pinned.map(SnapshotId),
            ordered: row.ordered,
            whole_age: row.whole_age_s.and_then(|s| Duration::try_from_secs_f64(s).ok()),
            revision: row.revision,
            done_revision: row.done_revision,
            refreshing: row.refreshing,
            cursor: row.cursor,
            attempted_at: row.attempted_at,
            succeeded_at: row.succeeded_at,
            due_at: row.due_at,
            due: row.due,
            late: row.late,
            failures: number("feed", row.failures)?,
            last_error: row.last_error,
            advisories: number("feed", row.advisories)?,
            problems: number("feed", row.problems)?,
        })
    }
}

/// A feed, also one that is not registered any more.
pub async fn get(tx: &mut FleetTx, feed: &FeedId) -> Result<Feed, Error> {
    rows(tx, Some(feed)).await?.pop().ok_or(Error::NotFound { entity: "feed" })
}

/// All feeds, by name; also those that are not registered any more, of which older snapshots speak.
pub async fn list(tx: &mut FleetTx) -> Result<Vec<Feed>, Error> {
    rows(tx, None).await
}

async fn rows(tx: &mut FleetTx, feed: Option<&FeedId>) -> Result<Vec<Feed>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select feed_id as "feed_id!", source as "source!", format as "format!",
                  (select k.kind from vuln.feed k where k.feed_id = n.feed_id) as "kind!", interval_s as "interval_s!",
                  promise_s as "promise_s!", enabled as "enabled!", state as "state!", since as "since!",
                  case state when 'paused' then pause_reason when 'pinned' then pin_reason else last_error end
                      as reason,
                  snapshot_id, pinned, coalesce(ordered, false) as "ordered!", whole_age_s,
                  revision as "revision!", done_revision as "done_revision!", refreshing as "refreshing!", cursor,
                  attempted_at, succeeded_at, due_at as "due_at!", due as "due!", late as "late!",
                  failures as "failures!", last_error, advisories as "advisories!", problems as "problems!"
           from vuln.feed_now n where $1::text is null or feed_id = $1 order by feed_id"#,
        feed.map(FeedId::as_str),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Feed::try_from).collect()
}

/// Asks for a refresh now; `whole`: of everything, whatever was read last. Answers the revision that will be done
/// with it.
pub async fn request_refresh(tx: &mut FleetTx, feed: &FeedId, whole: bool) -> Result<i64, Error> {
    let revision = sqlx::query_scalar!(
        "update vuln.feed set revision = revision + 1, failures = 0, due_at = clock_timestamp(),
             cursor = case when $2 then null else cursor end, whole_at = case when $2 then null else whole_at end
         where feed_id = $1 returning revision",
        feed.as_str(),
        whole,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "feed" })?;
    outbox::ring(tx, "feed", TenantId::SYSTEM, feed.as_str(), Lane::Interactive).await?;
    Ok(revision)
}

/// Begins a refresh, or takes up one that was interrupted.
pub async fn begin(store: &Store, fence: Fence, feed: &FeedId) -> Result<Refresh, Error> {
    start(store, fence, feed, None).await
}

/// Begins a refresh, which may be what an order asks for.
pub(crate) async fn start(
    store: &Store,
    fence: Fence,
    feed: &FeedId,
    order: Option<&Order>,
) -> Result<Refresh, Error> {
    let mut tx = fenced(store, fence).await?;
    let row = sqlx::query!(
        r#"update vuln.feed f set
               refresh = case when f.refreshing then f.refresh else f.refresh + 1 end,
               refreshing = true, attempted_at = clock_timestamp(),
               problems = case when f.refreshing then f.problems else 0 end,
               -- What an interrupted refresh has written is part of this one, so everything must be read; else nothing is lost.
               cursor = case when f.refreshing and exists (
                   select from vuln.observation o where o.feed_id = f.feed_id and o.refresh = f.refresh)
                   then null else f.cursor end
           where f.feed_id = $1
           returning refresh, revision, done_revision, cursor, steering, source, format, kind"#,
        feed.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "feed" })?;
    tx.commit().await?;
    // What was asked for to be read is not done by an order.
    let revision = if order.is_some() { row.done_revision } else { row.revision };
    Ok(Refresh {
        feed: feed.clone(),
        kind: word("feed", &row.kind, Kind::from_word)?,
        fence,
        number: row.refresh,
        revision,
        cursor: row.cursor,
        steering: row.steering,
        order: order.cloned(),
        origin: Origin { source: row.source, format: row.format, mark: None },
    })
}

/// Takes in a batch (some thousand at once are best): writes a new revision of what differs from the last one, and what
/// it means. A document that carries what no source may say is refused, as is one of a feed of VEX that is none, and
/// nothing of the batch is kept.
pub async fn ingest(store: &Store, refresh: &Refresh, batch: &[Observed]) -> Result<Counts, Error> {
    let mut tx = open(store, refresh).await?;
    let differing = differing(&mut tx, refresh, batch).await?;
    let mut counts = Counts { unchanged: (batch.len() - differing.len()) as u64, ..Counts::default() };
    let mut arrivals = Vec::with_capacity(differing.len());
    for (place, last_revision, was_listed) in differing {
        if was_listed {
            counts.changed += 1
        } else {
            counts.added += 1
        }
        let Observed { advisory_id, digest, document } = batch[place].clone();
        if let Some(field) = contract::derived_field(&document) {
            return Err(Error::Conflict {
                what: format!("{advisory_id} carries {field}, which no source may"),
            });
        }
        arrivals.push(Arrival { advisory_id, revision: last_revision + 1, was_listed, digest, document });
    }
    if !arrivals.is_empty() {
        keep(&mut tx, refresh, arrivals).await?;
    }
    tx.commit().await?;
    Ok(counts)
}

/// Writes new revisions, and what they mean: of advisories how they differ, of VEX by which words they are found.
async fn keep(tx: &mut FleetTx, refresh: &Refresh, arrivals: Vec<Arrival>) -> Result<(), Error> {
    let origin = origins::number(tx, refresh).await?;
    match refresh.kind {
        Kind::Advisories => {
            let past = deltas::past_of(tx, refresh, &arrivals).await?;
            let arrivals = Arc::new(arrivals);
            let meaning = deltas::read(refresh.origin.format.clone(), Arc::clone(&arrivals), past);
            observe(tx, refresh, origin, &arrivals).await?;
            deltas::write(tx, refresh, &meaning.await?).await
        }
        Kind::Vex => {
            let arrivals = Arc::new(arrivals);
            let summaries = published::read(Arc::clone(&arrivals));
            observe(tx, refresh, origin, &arrivals).await?;
            published::write(tx, refresh, &summaries.await?).await
        }
        Kind::Enrichment => {
            let what = format!("{} keeps no observations", refresh.feed);
            Err(Error::Conflict { what })
        }
    }
}

async fn observe(
    tx: &mut FleetTx,
    refresh: &Refresh,
    origin: i32,
    arrivals: &[Arrival],
) -> Result<(), Error> {
    let ids: Vec<&str> = arrivals.iter().map(|a| a.advisory_id.as_str()).collect();
    let revisions: Vec<i32> = arrivals.iter().map(|a| a.revision).collect();
    let digests: Vec<&str> = arrivals.iter().map(|a| a.digest.as_str()).collect();
    let documents: Vec<&[u8]> = arrivals.iter().map(|a| a.document.as_slice()).collect();
    sqlx::query!(
        "insert into vuln.observation (feed_id, advisory_id, revision, refresh, digest, document, origin)
         select $1, o.id, o.revision, $2, o.digest, o.document, $7
         from unnest($3::text[], $4::int[], $5::text[], $6::bytea[]) as o(id, revision, digest, document)",
        refresh.feed.as_str(),
        refresh.number,
        &ids as &[&str],
        &revisions,
        &digests as &[&str],
        &documents as &[&[u8]],
        origin,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Places in the batch of what differs from its last revision, that revision, and whether it was then listed. Of
/// several with one id the last counts. Only ids and digests travel, so what is unchanged costs little.
async fn differing(
    tx: &mut FleetTx,
    refresh: &Refresh,
    batch: &[Observed],
) -> Result<Vec<(usize, i32, bool)>, Error> {
    let ids: Vec<String> = batch.iter().map(|o| o.advisory_id.clone()).collect();
    let digests: Vec<String> = batch.iter().map(|o| o.digest.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"select w.place as "place!", coalesce(l.revision, 0) as "revision!", coalesce(l.digest, '') <> '' as "listed!"
           from (select distinct on (id) id, digest, place
                 from unnest($2::text[], $3::text[]) with ordinality as b(id, digest, place)
                 order by id, place desc) w
           left join lateral (
               select o.revision, o.digest from vuln.observation o
               where o.feed_id = $1 and o.advisory_id = w.id order by o.revision desc limit 1) l on true
           where l.digest is distinct from w.digest order by w.place"#,
        refresh.feed.as_str(),
        &ids,
        &digests,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|r| Ok((number("observation", r.place - 1)?, r.revision, r.listed))).collect()
}

/// Keeps what could not be read, with the reason. The same record is kept once. Says how many were new.
pub async fn quarantine(store: &Store, refresh: &Refresh, records: &[Unreadable]) -> Result<u64, Error> {
    const BEGINNING: usize = 64 * 1024;
    let entries: Vec<String> =
        records.iter().map(|r| r.entry.chars().take(quarantine::ENTRY_CHARS).collect()).collect();
    let digests: Vec<String> = records.iter().map(|r| Digest::of(&r.document).as_str().to_owned()).collect();
    let reasons: Vec<String> = records.iter().map(|r| text(&r.reason)).collect();
    let documents: Vec<&[u8]> =
        records.iter().map(|r| &r.document[..r.document.len().min(BEGINNING)]).collect();
    let mut tx = open(store, refresh).await?;
    let done = sqlx::query!(
        "insert into vuln.quarantine as q (feed_id, entry, digest, refresh, reason, document)
         select $1, r.entry, r.digest, $2, r.reason, r.document
         from unnest($3::text[], $4::text[], $5::text[], $6::bytea[]) as r(entry, digest, reason, document)
         on conflict (feed_id, entry, digest) do update set settled_at = null where q.settled_at is not null",
        refresh.feed.as_str(),
        refresh.number,
        &entries,
        &digests,
        &reasons,
        &documents as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update vuln.feed set problems = problems + $2 where feed_id = $1",
        refresh.feed.as_str(),
        i64::try_from(records.len()).unwrap_or(i64::MAX),
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Ends a refresh that was read to its end. `listed`: the ids of everything the feed lists, when it was read whole;
/// what is stored and not among them is marked as removed. Makes a snapshot if anything has changed.
pub async fn finish(
    store: &Store,
    refresh: &Refresh,
    cursor: Option<&str>,
    listed: Option<&[String]>,
) -> Result<Finished, Error> {
    let mut tx = open(store, refresh).await?;
    let removed = match listed {
        Some(ids) => bury_unlisted(&mut tx, refresh, ids).await?,
        None => 0,
    };
    let (added, changed, gone) = changes_of(&mut tx, refresh).await?;
    let snapshot = if added + changed + gone > 0 {
        let snapshot = make_snapshot(&mut tx, refresh, (added, changed, gone)).await?;
        // Who plans what follows from it reads the rest from here.
        outbox::ring(&mut tx, "system", TenantId::SYSTEM, "scheduler", Lane::Bulk).await?;
        Some(snapshot)
    } else {
        None
    };
    // What is said again, or taken back, is no younger for that.
    let read = refresh.order.as_ref().is_none_or(|order| matches!(order.task, Task::Import(_)));
    // Times of many feeds are spread, so that they do not all come at once for ever.
    sqlx::query!(
        "update vuln.feed set
             refreshing = false, done_revision = greatest(done_revision, $2), cursor = $3, failures = 0,
             last_error = null, fault = null, fault_at = null, advisories = advisories + $4,
             succeeded_at = case when $5 then clock_timestamp() else succeeded_at end,
             whole_at = case when $6 then clock_timestamp() else whole_at end,
             fresh_since = case when fault is null and succeeded_at >= clock_timestamp() - promise_s * interval '1 s'
                                then coalesce(fresh_since, clock_timestamp()) else clock_timestamp() end,
             due_at = clock_timestamp() + interval_s * interval '1 s' * (0.9 + random() * 0.2)
         where feed_id = $1",
        refresh.feed.as_str(),
        refresh.revision,
        cursor,
        added - gone,
        read,
        read && listed.is_some(),
    )
    .execute(tx.conn())
    .await?;
    if let Some(order) = &refresh.order {
        feed_orders::carried_out(&mut tx, refresh, order, snapshot).await?;
    }
    tx.commit().await?;
    Ok(Finished { snapshot, removed })
}

async fn bury_unlisted(tx: &mut FleetTx, refresh: &Refresh, listed: &[String]) -> Result<u64, Error> {
    let gone = sqlx::query!(
        r#"select l.advisory_id, l.revision
           from (select distinct on (advisory_id) advisory_id, revision, digest from vuln.observation
                 where feed_id = $1 order by advisory_id, revision desc) l
           where l.digest <> '' and not exists (select from unnest($2::text[]) as w(id) where w.id = l.advisory_id)"#,
        refresh.feed.as_str(),
        listed,
    )
    .fetch_all(tx.conn())
    .await?;
    if gone.is_empty() {
        return Ok(0);
    }
    let origin = origins::number(tx, refresh).await?;
    let (ids, revisions): (Vec<String>, Vec<i32>) =
        gone.into_iter().map(|row| (row.advisory_id, row.revision + 1)).unzip();
    sqlx::query!(
        "with removed as (
             insert into vuln.observation (feed_id, advisory_id, revision, refresh, digest, document, origin)
             select $1, r.advisory_id, r.revision, $2, '', null, $5
             from unnest($3::text[], $4::int[]) as r(advisory_id, revision)
             returning advisory_id, revision)
         insert into vuln.difference (feed_id, refresh, advisory_id, revision, kind, parts)
         select $1, $2, advisory_id, revision, 'removed', '{}' from removed where $6",
        refresh.feed.as_str(),
        refresh.number,
        &ids,
        &revisions,
        origin,
        refresh.kind == Kind::Advisories,
    )
    .execute(tx.conn())
    .await?;
    Ok(ids.len() as u64)
}

/// What a refresh has written: added, changed, removed. Counted from the rows, because an interrupted refresh has
/// forgotten its own counts.
async fn changes_of(tx: &mut FleetTx, refresh: &Refresh) -> Result<(i64, i64, i64), Error> {
    let row = sqlx::query!(
        r#"select count(*) filter (where o.digest <> '' and coalesce(p.digest, '') = '') as "added!",
                  count(*) filter (where o.digest <> '' and p.digest <> '') as "changed!",
                  count(*) filter (where o.digest = '') as "removed!"
           from vuln.observation o
           left join vuln.observation p
             on p.feed_id = o.feed_id and p.advisory_id = o.advisory_id and p.revision = o.revision - 1
           where o.feed_id = $1 and o.refresh = $2"#,
        refresh.feed.as_str(),
        refresh.number,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.added, row.changed, row.removed))
}

async fn make_snapshot(
    tx: &mut FleetTx,
    refresh: &Refresh,
    (added, changed, removed): (i64, i64, i64),
) -> Result<SnapshotId, Error> {
    let id =
        sqlx::query_scalar!("update vuln.latest set snapshot_id = snapshot_id + 1 returning snapshot_id")
            .fetch_one(tx.conn())
            .await?;
    sqlx::query!(
        "insert into vuln.snapshot (snapshot_id, feed_id, refresh, added, changed, removed)
         values ($1, $2, $3, $4, $5, $6)",
        id,
        refresh.feed.as_str(),
        refresh.number,
        added,
        changed,
        removed,
    )
    .execute(tx.conn())
    .await?;
    Ok(SnapshotId(id))
}

/// Ends a refresh that failed; the next is due after a back-off, and takes up what this one has written.
pub async fn failed(store: &Store, refresh: &Refresh, fault: Fault, reason: &str) -> Result<(), Error> {
    let mut tx = fenced(store, refresh.fence).await?;
    sqlx::query!(
        "update vuln.feed set
             failures = failures + 1, last_error = $2, fault = $4,
             refreshing = exists (select from vuln.observation o where o.feed_id = $1 and o.refresh = $3),
             fault_at = case when fault = $4 then fault_at else clock_timestamp() end,
             due_at = clock_timestamp()
                    + least(interval_s, 10 * 2 ^ least(failures, 16)) * interval '1 s' * (0.5 + random())
         where feed_id = $1 and refresh = $3",
        refresh.feed.as_str(),
        text(reason),
        refresh.number,
        fault.as_str(),
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Opens a transaction of the feed's entity: its epoch is checked first, and locked until the commit. Big batches
/// may take longer than other statements.
pub(crate) async fn fenced(store: &Store, fence: Fence) -> Result<FleetTx, Error> {
    let mut tx = store.fleet().await?;
    let ours = sqlx::query_scalar!(
        r#"select cluster.fence($1, $2) and set_config('statement_timeout', '30s', true) is not null as "ours!""#,
        i32::from(fence.partition),
        fence.epoch,
    )
    .fetch_one(tx.conn())
    .await?;
    if ours { Ok(tx) } else { Err(Error::Fenced { entity: "feed" }) }
}

/// Opens a transaction of a refresh that is under way. One that has ended writes nothing more: it would change a
/// snapshot that others have read. Nor does one that began before somebody steered the feed.
pub(crate) async fn open(store: &Store, refresh: &Refresh) -> Result<FleetTx, Error> {
    let mut tx = fenced(store, refresh.fence).await?;
    let open = sqlx::query_scalar!(
        r#"select true as "open!" from vuln.feed
           where feed_id = $1 and refreshing and refresh = $2 and steering = $3 for no key update"#,
        refresh.feed.as_str(),
        refresh.number,
        refresh.steering,
    )
    .fetch_optional(tx.conn())
    .await?;
    match open {
        Some(_) => Ok(tx),
        None => Err(Error::Stale { entity: "feed" }),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1)
}
