//! What a stretch of snapshots changes of what is heard: of which vulnerabilities, and for whom.
//!
//! A document concerns the vulnerabilities that it names; those that the one before it named, which it may take back;
//! and those of all documents that share an id with it, since a later version takes back what an earlier one says. A
//! change of an issuer concerns what its documents name. In doubt more is named than changes: a name too many costs an
//! evaluation, one too few a wrong verdict.

use std::collections::BTreeSet;

use model::{FeedId, ImageDigest, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::images;
use crate::row::parse;
use crate::{Error, FleetTx};

/// Which snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Those after this one …
    pub after: SnapshotId,
    /// … up to this one.
    pub until: SnapshotId,
}

/// What a snapshot changes, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// When it was made.
    pub at: OffsetDateTime,
    /// Whose images; none: everybody's.
    pub tenant: Option<TenantId>,
    /// Only these images; none: whichever have such a finding.
    pub images: Option<Vec<ImageDigest>>,
    /// The vulnerabilities, by names in upper case.
    pub names: BTreeSet<String>,
}

/// Where the next part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    snapshot: SnapshotId,
    name: String,
}

/// How much changes in a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Records of feeds of VEX that were added, changed or removed; documents attached or taken back; changes of issuers.
    pub records: u64,
    /// The newest of the documents, by its own word.
    pub stated_at: Option<OffsetDateTime>,
}

/// Counts what changes in a stretch. Nothing where there is no VEX in it.
pub async fn changes(tx: &mut FleetTx, stretch: Stretch) -> Result<Changes, Error> {
    let row = sqlx::query!(
        r#"with made as (
               select s.snapshot_id, s.feed_id, s.refresh, s.added + s.changed + s.removed as records
               from vuln.snapshot s left join vuln.feed f on f.feed_id = s.feed_id
               where s.snapshot_id > $1 and s.snapshot_id <= $2 and (f.kind is null or f.kind = 'vex'))
           select coalesce(sum(case when feed_id is null then 1 else records end), 0)::bigint as "records!",
                  greatest((select max(p.stated_at)
                            from made m
                            join vuln.observation o on o.feed_id = m.feed_id and o.refresh = m.refresh
                            join vex.published p on p.feed_id = o.feed_id and p.advisory_id = o.advisory_id
                                                and p.revision = o.revision),
                           (select max(c.stated_at)
                            from made m
                            join vex.attachment a on a.snapshot_id = m.snapshot_id
                            join vex.content c on c.tenant_id = a.tenant_id and c.digest = a.digest)) as stated_at
           from made"#,
        stretch.after.0,
        stretch.until.0,
    )
    .fetch_one(tx.conn())
    .await?;
    let records = crate::row::number("snapshot", row.records)?;
    // Some documents are dated with nonsense: it is shown, and decides nothing.
    let stated_at = row.stated_at.filter(|at| at.year() > 1970 && at.year() < 3000);
    Ok(Changes { records, stated_at })
}

/// What made a snapshot.
enum Made {
    Feed { feed: FeedId, refresh: i64 },
    Document { tenant: TenantId, digest: String, images: Vec<ImageDigest> },
    Issuer { tenant: TenantId, issuer: String, reach: IssuerReach },
}

/// Whose documents a change of an issuer may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IssuerReach {
    /// Those that name it as their author.
    Authors,
    /// These, and all that are signed: it may be with its keys.
    Signed,
    /// All.
    Everything,
}

struct Change {
    snapshot: SnapshotId,
    at: OffsetDateTime,
    made: Made,
}

/// The next part of what a stretch changes, with at most `limit` names, behind a place; none at the end.
pub async fn concerns(
    tx: &mut FleetTx,
    stretch: Stretch,
    from: Option<&Place>,
    limit: u32,
) -> Result<Option<(Concern, Place)>, Error> {
    let mut place = from.cloned().unwrap_or(Place { snapshot: stretch.after, name: String::new() });
    // The names of the place's own snapshot that are left, and then those of the snapshots behind it.
    if place.snapshot > stretch.after
        && let Some(change) = change(tx, SnapshotId(place.snapshot.0 - 1), place.snapshot).await?
    {
        let names = names(tx, &change, stretch.until, &place.name, limit).await?;
        if let Some(found) = concern(change, names) {
            return Ok(Some(found));
        }
    }
    while let Some(change) = change(tx, place.snapshot, stretch.until).await? {
        place.snapshot = change.snapshot;
        let names = names(tx, &change, stretch.until, "", limit).await?;
        if let Some(found) = concern(change, names) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn concern(change: Change, names: Vec<String>) -> Option<(Concern, Place)> {
    let place = Place { snapshot: change.snapshot, name: names.last()?.clone() };
    let of = |tenant: TenantId| Some(tenant).filter(|tenant| *tenant != TenantId::SYSTEM);
    let (tenant, images) = match change.made {
        Made::Feed { .. } => (None, None),
        Made::Document { tenant, images, .. } => {
            (of(tenant), Some(images).filter(|images| !images.is_empty()))
        }
        Made::Issuer { tenant, .. } => (of(tenant), None),
    };
    let names = names.into_iter().collect();
    Some((Concern { snapshot: change.snapshot, at: change.at, tenant, images, names }, place))
}

/// The first snapshot of the stretch that changes something of VEX.
async fn change(tx: &mut FleetTx, after: SnapshotId, until: SnapshotId) -> Result<Option<Change>, Error> {
    let row = sqlx::query!(
        r#"select s.snapshot_id, s.at, s.feed_id, s.refresh,
                  coalesce(a.tenant_id, d.tenant_id) as "document_tenant?", coalesce(a.digest, b.digest) as "digest?",
                  coalesce(a.images, b.images) as "images?", c.tenant_id as "issuer_tenant?",
                  c.issuer_id as "issuer_id?", c.kind as "kind?"
           from vuln.snapshot s
           left join vuln.feed f on f.feed_id = s.feed_id
           left join vex.attachment a on a.snapshot_id = s.snapshot_id
           left join vex.detachment d on d.snapshot_id = s.snapshot_id
           left join vex.attachment b on b.tenant_id = d.tenant_id and b.attachment_id = d.attachment_id
           left join vex.issuer_change c on c.snapshot_id = s.snapshot_id
           where s.snapshot_id > $1 and s.snapshot_id <= $2 and (f.kind is null or f.kind = 'vex')
           order by s.snapshot_id limit 1"#,
        after.0,
        until.0,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let made = if let (Some(feed), Some(refresh)) = (row.feed_id, row.refresh) {
        Made::Feed { feed: parse("snapshot", &feed)?, refresh }
    } else if let (Some(tenant), Some(digest), Some(stored)) = (row.document_tenant, row.digest, row.images) {
        Made::Document { tenant: TenantId::from_uuid(tenant), digest, images: images(&stored)? }
    } else if let (Some(tenant), Some(issuer), Some(kind)) = (row.issuer_tenant, row.issuer_id, row.kind) {
        Made::Issuer { tenant: TenantId::from_uuid(tenant), issuer, reach: reach(&kind) }
    } else {
        let what = format!("nothing made snapshot {}", row.snapshot_id);
        return Err(Error::Corrupt { table: "snapshot", source: what.into() });
    };
    Ok(Some(Change { snapshot: SnapshotId(row.snapshot_id), at: row.at, made }))
}

fn reach(kind: &str) -> IssuerReach {
    match kind {
        "policy" => IssuerReach::Everything,
        "created" => IssuerReach::Authors, // It has no keys yet.
        _ => IssuerReach::Signed,
    }
}

/// The names that a change concerns, in their order, behind `after`.
async fn names(
    tx: &mut FleetTx,
    change: &Change,
    until: SnapshotId,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, Error> {
    let limit = i64::from(limit);
    match &change.made {
        Made::Feed { feed, refresh } => {
            let names = sqlx::query_file_scalar!(
                "queries/vex_names_of_refresh.sql",
                feed.as_str(),
                refresh,
                until.0,
                after,
                limit
            );
            Ok(names.fetch_all(tx.conn()).await?)
        }
        Made::Document { tenant, digest, .. } => {
            let tenant = tenant.as_uuid();
            let names = sqlx::query_file_scalar!(
                "queries/vex_names_of_document.sql",
                tenant,
                digest,
                until.0,
                after,
                limit
            );
            Ok(names.fetch_all(tx.conn()).await?)
        }
        Made::Issuer { tenant, issuer, reach } => {
            let tenant = tenant.as_uuid();
            let authors = authors(tx, tenant, issuer, change.snapshot).await?;
            let names = sqlx::query_file_scalar!(
                "queries/vex_names_of_issuer.sql",
                tenant,
                &authors,
                *reach != IssuerReach::Authors,
                *reach == IssuerReach::Everything,
                until.0,
                after,
                limit,
            );
            Ok(names.fetch_all(tx.conn()).await?)
        }
    }
}

/// All names that the issuer ever had in its documents, until this snapshot.
async fn authors(
    tx: &mut FleetTx,
    tenant: Uuid,
    issuer: &str,
    until: SnapshotId,
) -> Result<Vec<String>, Error> {
    let authors = sqlx::query_scalar!(
        r#"select distinct a.name as "name!"
           from vex.issuer_change c
           cross join jsonb_array_elements_text(case when jsonb_typeof(c.body -> 'authors') = 'array'
                                                     then c.body -> 'authors' else '[]' end) as a(name)
           where c.tenant_id in ($1, $2) and c.issuer_id = $3 and c.snapshot_id <= $4"#,
        tenant,
        TenantId::SYSTEM.as_uuid(),
        issuer,
        until.0,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(authors.iter().map(|author| ::vex::summary::name(author)).collect())
}
