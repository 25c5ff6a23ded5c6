//! What changed in meaning, by snapshot: written with the revisions it compares, read folded over any stretch.

mod writing;

use std::collections::{BTreeMap, BTreeSet};

use advisory::delta::{self, Kind, Part};
use model::{FeedId, SnapshotId};
use time::OffsetDateTime;

use crate::observations::{self, Asked, Revision};
use crate::row::{number, parse, word};
use crate::{Error, FleetTx};

pub(crate) use self::writing::{Arrival, past_of, read, write};

/// A change in meaning over a stretch of snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedDelta {
    /// The feed.
    pub feed: FeedId,
    /// The advisory's own id.
    pub advisory_id: String,
    /// The revision before; none when it was not listed then.
    pub before: Option<u32>,
    /// The revision after; none when it is not listed then.
    pub after: Option<u32>,
    /// How it changed.
    pub kind: Kind,
    /// What changed; none where it was not listed before or is not after.
    pub parts: BTreeSet<Part>,
    /// The last snapshot in which it did.
    pub snapshot: SnapshotId,
}

/// Which changes.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// Changes after this snapshot …
    pub after: SnapshotId,
    /// … up to this one.
    pub until: SnapshotId,
    /// Of one feed only.
    pub feed: Option<&'a FeedId>,
}

/// A snapshot, and what made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: SnapshotId,
    /// The feed that had changed; none where somebody attached VEX or took it back, or an issuer changed.
    pub feed: Option<FeedId>,
    /// Advisories that it lists and did not before.
    pub added: u64,
    /// Advisories whose document is another.
    pub changed: u64,
    /// Advisories that it does not list any more.
    pub removed: u64,
    /// Of all these, how many say something else than before.
    pub meaningful: u64,
    /// When it was made.
    pub at: OffsetDateTime,
}

/// The changes of a stretch, by feed and advisory: at most `limit`, after the place `from`; none at the end. What came
/// and went, or changed and changed back, is no change.
pub async fn between(
    tx: &mut FleetTx,
    stretch: Stretch<'_>,
    from: Option<(&FeedId, &str)>,
    limit: u32,
) -> Result<Vec<FoldedDelta>, Error> {
    let mut place = from.map(|(feed, id)| (feed.to_string(), id.to_owned())).unwrap_or_default();
    let mut found = Vec::new();
    loop {
        let page = folded(tx, stretch, &place, limit).await?;
        let Some(last) = page.last() else { return Ok(found) };
        place = (last.feed.to_string(), last.advisory_id.clone());
        let ended = page.len() < limit as usize;
        found.extend(settled(tx, page).await?);
        found.truncate(limit as usize);
        if ended || found.len() == limit as usize {
            return Ok(found);
        }
    }
}

/// Changes of several revisions, not yet compared from end to end.
struct Folded {
    feed: FeedId,
    advisory_id: String,
    first: i32,
    last: i32,
    changes: i64,
    was_listed: bool,
    kind: Kind,
    parts: BTreeSet<Part>,
    snapshot: SnapshotId,
}

/// Each snapshot hands over no more than the page may need of it, in the order of its index, so that a page costs the
/// same wherever it is and however long the stretch's first reading of a feed was.
async fn folded(
    tx: &mut FleetTx,
    stretch: Stretch<'_>,
    (feed, id): &(String, String),
    limit: u32,
) -> Result<Vec<Folded>, Error> {
    let rows = sqlx::query_file!(
        "queries/deltas_between.sql",
        stretch.after.0,
        stretch.until.0,
        stretch.feed.map(FeedId::as_str),
        feed,
        id,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let parts = row.parts.iter().map(|part| word("difference", part, Part::from_word));
            Ok(Folded {
                feed: parse("difference", &row.feed_id)?,
                advisory_id: row.advisory_id,
                first: row.first,
                last: row.last,
                changes: row.changes,
                was_listed: row.was_listed,
                kind: word("difference", &row.kind, Kind::from_word)?,
                parts: parts.collect::<Result<_, _>>()?,
                snapshot: SnapshotId(row.snapshot_id),
            })
        })
        .collect()
}

/// Where several revisions came one after the other, only the two ends count: they are compared themselves.
async fn settled(tx: &mut FleetTx, page: Vec<Folded>) -> Result<Vec<FoldedDelta>, Error> {
    let mut asked = Vec::new();
    for delta in page.iter().filter(|delta| delta.changes > 1) {
        let revisions = [Some(delta.first - 1).filter(|_| delta.was_listed), Some(delta.last)];
        asked.extend(revisions.into_iter().flatten().map(|revision| Asked {
            feed: delta.feed.clone(),
            advisory_id: delta.advisory_id.clone(),
            revision: revision.unsigned_abs(),
        }));
    }
    let known: BTreeMap<(FeedId, String, u32), Revision> = observations::revisions(tx, &asked)
        .await?
        .into_iter()
        .map(|found| ((found.feed.clone(), found.advisory_id.clone(), found.revision), found))
        .collect();
    let mut deltas = Vec::with_capacity(page.len());
    for delta in page {
        let revision =
            |number: i32| known.get(&(delta.feed.clone(), delta.advisory_id.clone(), number.unsigned_abs()));
        let ends = (delta.changes > 1)
            .then(|| Ends { before: revision(delta.first - 1), after: revision(delta.last) });
        deltas.extend(one(delta, ends)?);
    }
    Ok(deltas)
}

fn one(delta: Folded, ends: Option<Ends<'_>>) -> Result<Option<FoldedDelta>, Error> {
    let mut change = delta::Delta { kind: delta.kind, parts: delta.parts };
    let mut is_listed = change.kind != Kind::Removed;
    if let Some(ends) = ends {
        is_listed = ends.after.is_some_and(|after| after.document.is_some());
        let Some(compared) = ends.compare(delta.was_listed, change.kind) else { return Ok(None) };
        change = compared;
        if change.kind == Kind::Added && delta.first > 1 {
            change.kind = Kind::Restored;
        }
    }
    let revision = |of: i32, there: bool| there.then(|| number("difference", of)).transpose();
    Ok(Some(FoldedDelta {
        feed: delta.feed,
        advisory_id: delta.advisory_id,
        before: revision(delta.first - 1, delta.was_listed)?,
        after: revision(delta.last, is_listed)?,
        kind: change.kind,
        parts: change.parts,
        snapshot: delta.snapshot,
    }))
}

/// The two ends of a stretch.
struct Ends<'a> {
    before: Option<&'a Revision>,
    after: Option<&'a Revision>,
}

impl Ends<'_> {
    fn compare(&self, was_listed: bool, noted: Kind) -> Option<delta::Delta> {
        let before = self.before.filter(|_| was_listed).map(Revision::read);
        let after = self.after.filter(|after| after.document.is_some()).map(Revision::read);
        match (before, after) {
            // It cannot be read any more, and may have said anything.
            (Some(None), Some(_)) | (Some(_), Some(None)) => Some(delta::Delta::whole(noted)),
            (before, after) => {
                let listed = (before.is_some(), after.is_some());
                match delta::compare(before.flatten().as_ref(), after.flatten().as_ref()) {
                    None if listed == (true, false) => bare(Kind::Removed),
                    None if listed == (false, true) => bare(Kind::Added),
                    compared => compared,
                }
            }
        }
    }
}

fn bare(kind: Kind) -> Option<delta::Delta> {
    Some(delta::Delta { kind, parts: BTreeSet::new() })
}

/// Snapshots, or those that a feed made: the newest first, at most `limit`, older than `before`.
pub async fn snapshots(
    tx: &mut FleetTx,
    feed: Option<&FeedId>,
    before: Option<SnapshotId>,
    limit: u32,
) -> Result<Vec<Snapshot>, Error> {
    let rows = sqlx::query!(
        r#"select s.snapshot_id, s.feed_id, s.added, s.changed, s.removed, s.at,
                  (select count(*) from vuln.difference d where d.feed_id = s.feed_id and d.refresh = s.refresh)
                  + (select count(*) from vuln.observation o
                     where o.feed_id = s.feed_id and o.refresh = s.refresh and o.revision = 1) as "meaningful!"
           from vuln.snapshot s
           where ($1::text is null or s.feed_id = $1) and ($2::bigint is null or s.snapshot_id < $2)
           order by s.snapshot_id desc limit $3"#,
        feed.map(FeedId::as_str),
        before.map(|before| before.0),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Snapshot {
                id: SnapshotId(row.snapshot_id),
                feed: row.feed_id.map(|id| parse("snapshot", &id)).transpose()?,
                added: number("snapshot", row.added)?,
                changed: number("snapshot", row.changed)?,
                removed: number("snapshot", row.removed)?,
                meaningful: number("snapshot", row.meaningful)?,
                at: row.at,
            })
        })
        .collect()
}
