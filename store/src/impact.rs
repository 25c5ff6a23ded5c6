//! The BOM-index: which images, of whichever tenant, have which package versions.
//!
//! What a change of the advisories touches is found in two steps: the dictionary's entries under the change's keys
//! ([`components`]), and the images that have one of those that are touched ([`images`]).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use evaluation::impact::{FORM, Indexed, Kept, Key};
use model::{Coverage, Digest, FeedId, ImageDigest, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::{number, parse, word};
use crate::{Error, FleetTx, TenantTx, gaps};

/// Numbers that are asked for in one query: PostgreSQL compares each with each of an image's where it must look twice.
const AT_ONCE: usize = 512;

/// The number of an entry in the dictionary.
pub type ComponentId = i32;

/// Keeps what an image has. Call it in the transaction that stores its SBOM, last: whoever adds the same entries waits
/// until it ends.
pub async fn index(tx: &mut TenantTx, image: &ImageDigest, entries: &[Indexed]) -> Result<(), Error> {
    let rows = Rows::of(entries);
    sqlx::query!(
        "select scanner.index_image($1, $2, $3, $4, $5, $6)",
        image.as_str(),
        FORM,
        &rows.digests,
        &rows.documents,
        &rows.places,
        &rows.keys,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what an image has whose SBOM was stored before; false when it has another SBOM by now. A later SBOM waits.
pub async fn index_stored(
    tx: &mut TenantTx,
    image: &ImageDigest,
    sbom: &Digest,
    entries: &[Indexed],
) -> Result<bool, Error> {
    let tenant = tx.tenant().as_uuid();
    let current = sqlx::query_scalar!(
        "select 1 as one from scanner.image where tenant_id = $1 and digest = $2 and sbom_digest = $3
         for no key update",
        tenant,
        image.as_str(),
        sbom.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    if current.is_some() {
        index(tx, image, entries).await?;
    }
    Ok(current.is_some())
}

/// Entries as the database takes them: by digest, and the keys of each place.
struct Rows {
    digests: Vec<Vec<u8>>,
    documents: Vec<Vec<u8>>,
    places: Vec<i32>,
    keys: Vec<i64>,
}

impl Rows {
    fn of(entries: &[Indexed]) -> Self {
        let mut sorted: Vec<_> = entries
            .iter()
            .map(|entry| {
                let digest = hex::decode(entry.digest().hex()).expect("a digest is hexadecimal");
                (digest, entry)
            })
            .collect();
        sorted.sort();
        sorted.dedup();
        let (mut places, mut keys) = (Vec::new(), Vec::new());
        for (place, (_, entry)) in (1..).zip(&sorted) {
            for key in entry.keys() {
                places.push(place);
                keys.push(key.number());
            }
        }
        let documents = sorted.iter().map(|(_, entry)| entry.document()).collect();
        Self { digests: sorted.into_iter().map(|(digest, _)| digest).collect(), documents, places, keys }
    }
}

/// The dictionary's entries under these keys, and a few more, by number: those behind `after`, at most `limit`.
pub async fn components(
    tx: &mut FleetTx,
    keys: &[Key],
    after: ComponentId,
    limit: u32,
) -> Result<Vec<(ComponentId, Indexed)>, Error> {
    let numbers: Vec<i64> = keys.iter().map(Key::number).collect();
    let rows = sqlx::query!(
        "select c.component_id, c.document from scanner.component c
         where c.component_id in (select k.component_id from scanner.component_key k
                                  where k.key = any ($1) and k.component_id > $2
                                  group by 1 order by 1 limit $3)
         order by c.component_id",
        &numbers,
        after,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    let entry = |document: &[u8]| {
        Indexed::parse(document).map_err(|e| Error::Corrupt { table: "component", source: Box::new(e) })
    };
    rows.into_iter().map(|row| Ok((row.component_id, entry(&row.document)?))).collect()
}

/// Which images are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Having<'a> {
    /// All that the index knows.
    Anything,
    /// Those that have one of these.
    AnyOf(&'a [ComponentId]),
}

/// An image that the index knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its place: the next page begins behind it.
    pub number: i32,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which image.
    pub image: ImageDigest,
}

/// The images that have something, of one tenant or of all, by their place: those behind `after`, at most `limit`.
pub async fn images(
    tx: &mut FleetTx,
    having: Having<'_>,
    of: Option<TenantId>,
    after: i32,
    limit: u32,
) -> Result<Vec<Found>, Error> {
    let of = of.map(|tenant| tenant.as_uuid());
    let Having::AnyOf(ids) = having else { return all(tx, of, after, limit).await };
    remember_each(tx).await?;
    let mut found = Vec::new();
    for some in ids.chunks(AT_ONCE) {
        found.extend(having_any(tx, some, of, after, limit).await?);
    }
    found.sort();
    found.dedup();
    found.truncate(limit as usize);
    Ok(found)
}

/// Room for the places of all rows that an index finds. With less PostgreSQL remembers pages only, and compares the
/// list of each image on them with all that is asked for.
async fn remember_each(tx: &mut FleetTx) -> Result<(), Error> {
    sqlx::query!("select set_config('work_mem', '64MB', true) as set").fetch_one(tx.conn()).await?;
    Ok(())
}

/// Materialized, so that the lists' index is asked, and never one image after another by their places: what a page of
/// that costs depends on images that have nothing of it.
async fn having_any(
    tx: &mut FleetTx,
    ids: &[ComponentId],
    of: Option<Uuid>,
    after: i32,
    limit: u32,
) -> Result<Vec<Found>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"with found as materialized (
               select image_no, tenant_id, image_digest from scanner.image_component
               where components && $1 and image_no > $3)
           select image_no as "image_no!", tenant_id as "tenant_id!", image_digest as "image_digest!" from found
           where $2::uuid is null or tenant_id = $2 order by image_no limit $4"#,
        ids,
        of,
        after,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Found::try_from).collect()
}

async fn all(tx: &mut FleetTx, of: Option<Uuid>, after: i32, limit: u32) -> Result<Vec<Found>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select image_no, tenant_id, image_digest from scanner.image_component
         where ($1::uuid is null or tenant_id = $1) and image_no > $2 order by image_no limit $3",
        of,
        after,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Found::try_from).collect()
}

struct Row {
    image_no: i32,
    tenant_id: Uuid,
    image_digest: String,
}

impl TryFrom<Row> for Found {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let image = parse("image_component", &row.image_digest)?;
        Ok(Self { number: row.image_no, tenant: TenantId::from_uuid(row.tenant_id), image })
    }
}

/// An image with what it has of what was asked for, and how far its own result is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The image.
    pub found: Found,
    /// What it has, sorted.
    pub components: Vec<ComponentId>,
    /// The snapshot that it was evaluated against last, if it ever was.
    pub evaluated_snapshot: Option<SnapshotId>,
    /// When that was.
    pub evaluated_at: Option<OffsetDateTime>,
}

/// As [`images`], with what each has of it.
pub async fn holdings(
    tx: &mut FleetTx,
    ids: &[ComponentId],
    of: Option<TenantId>,
    after: i32,
    limit: u32,
) -> Result<Vec<Holding>, Error> {
    remember_each(tx).await?;
    let mut all: BTreeMap<i32, Holding> = BTreeMap::new();
    for some in ids.chunks(AT_ONCE) {
        for holding in holdings_of(tx, some, of, after, limit).await? {
            match all.entry(holding.found.number) {
                Entry::Vacant(place) => drop(place.insert(holding)),
                Entry::Occupied(mut known) => known.get_mut().components.extend(holding.components),
            }
        }
    }
    let sorted = all.into_values().take(limit as usize).map(|mut holding| {
        holding.components.sort_unstable();
        holding
    });
    Ok(sorted.collect())
}

async fn holdings_of(
    tx: &mut FleetTx,
    ids: &[ComponentId],
    of: Option<TenantId>,
    after: i32,
    limit: u32,
) -> Result<Vec<Holding>, Error> {
    let rows = sqlx::query!(
        r#"with found as materialized (
               select image_no, tenant_id, image_digest, components from scanner.image_component
               where components && $1 and image_no > $3)
           select f.image_no as "image_no!", f.tenant_id as "tenant_id!", f.image_digest as "image_digest!",
                  array(select unnest(f.components) intersect select unnest($1)) as "has!",
                  i.evaluated_snapshot as "snapshot?", i.evaluated_at as "at?"
           from found f join scanner.image i on i.tenant_id = f.tenant_id and i.digest = f.image_digest
           where $2::uuid is null or f.tenant_id = $2 order by f.image_no limit $4"#,
        ids,
        of.map(|tenant| tenant.as_uuid()),
        after,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let image = parse("image_component", &row.image_digest)?;
            let tenant = TenantId::from_uuid(row.tenant_id);
            Ok(Holding {
                found: Found { number: row.image_no, tenant, image },
                components: row.has,
                evaluated_snapshot: row.snapshot.map(SnapshotId),
                evaluated_at: row.at,
            })
        })
        .collect()
}

/// How many images have something, and of how many tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Images.
    pub images: u64,
    /// Tenants.
    pub tenants: u64,
}

/// Counts the images that have one of these, of one tenant or of all.
pub async fn totals(tx: &mut FleetTx, ids: &[ComponentId], of: Option<TenantId>) -> Result<Totals, Error> {
    remember_each(tx).await?;
    let row = sqlx::query!(
        r#"select count(*) as "images!", count(distinct tenant_id) as "tenants!" from scanner.image_component
           where components && $1 and ($2::uuid is null or tenant_id = $2)"#,
        ids,
        of.map(|tenant| tenant.as_uuid()),
    )
    .fetch_one(tx.conn())
    .await?;
    let table = "image_component";
    Ok(Totals { images: number(table, row.images)?, tenants: number(table, row.tenants)? })
}

/// What these images are called, of those that are the tenant's own.
pub async fn names(
    tx: &mut TenantTx,
    images: &[ImageDigest],
) -> Result<BTreeMap<ImageDigest, Vec<String>>, Error> {
    let digests: Vec<&str> = images.iter().map(ImageDigest::as_str).collect();
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        r#"select i.digest, array_remove(array_agg(n.name order by n.name), null) as "names!"
           from scanner.image i
           left join scanner.image_name n on n.tenant_id = i.tenant_id and n.image_digest = i.digest
           where i.tenant_id = $1 and i.digest = any ($2::text[]) group by i.digest"#,
        tenant,
        &digests as _,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| Ok((parse("image", &row.digest)?, row.names))).collect()
}

/// The last revision of an advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub feed: FeedId,
    /// Its own id.
    pub advisory: String,
    /// Counts up from 1.
    pub revision: u32,
    /// The snapshot that it came with.
    pub snapshot: SnapshotId,
    /// When it was read.
    pub observed_at: OffsetDateTime,
    /// When it was known which images it touches, by the run that took it.
    pub planned_at: Option<OffsetDateTime>,
    /// When all of them had been evaluated.
    pub evaluated_at: Option<OffsetDateTime>,
    /// As published; `None` when the feed does not list it any more.
    pub document: Option<Vec<u8>>,
}

/// How these advisories stand as of a snapshot, in this order.
pub async fn standing(
    tx: &mut FleetTx,
    snapshot: SnapshotId,
    advisories: &[(FeedId, String)],
) -> Result<Vec<Standing>, Error> {
    let feeds: Vec<&str> = advisories.iter().map(|(feed, _)| feed.as_str()).collect();
    let ids: Vec<&str> = advisories.iter().map(|(_, id)| id.as_str()).collect();
    let rows = sqlx::query!(
        r#"select o.feed_id, o.advisory_id, o.revision, o.snapshot_id as "snapshot_id!", o.observed_at, o.document,
                  r.planned_at as "planned_at?", r.done_at as "done_at?"
           from unnest($1::text[], $2::text[]) with ordinality a (feed, id, place), lateral (
               select o.feed_id, o.advisory_id, o.revision, s.snapshot_id, o.observed_at, o.document
               from vuln.observation o join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
               where o.feed_id = a.feed and o.advisory_id = a.id and s.snapshot_id <= $3
               order by o.revision desc limit 1) o
           left join lateral (
               select r.planned_at, case when r.state = 'completed' then r.ended_at end as done_at
               from scheduler.run r
               where r.kind = 'delta' and r.after_snapshot < o.snapshot_id and r.until_snapshot >= o.snapshot_id
               order by r.run_id desc limit 1) r on true
           order by a.place"#,
        &feeds as _,
        &ids as _,
        snapshot.0,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Standing {
                feed: parse("observation", &row.feed_id)?,
                advisory: row.advisory_id,
                revision: number("observation", row.revision)?,
                snapshot: SnapshotId(row.snapshot_id),
                observed_at: row.observed_at,
                planned_at: row.planned_at,
                evaluated_at: row.done_at,
                document: row.document,
            })
        })
        .collect()
}

/// How much the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Images of all tenants.
    pub images: u64,
    /// Images that have an SBOM and are not in the index yet, or as an older build put them there.
    pub unindexed: u64,
}

/// Counts the images, for the share of them that a change touches.
pub async fn counts(tx: &mut FleetTx) -> Result<Counts, Error> {
    let row = sqlx::query!(
        r#"select (select count(*) from scanner.image_component) as "images!",
                  (select count(*) from scanner.image i
                   left join scanner.image_component c
                     on c.tenant_id = i.tenant_id and c.image_digest = i.digest and c.form = $1
                   where i.sbom_digest is not null and c.image_no is null) as "unindexed!""#,
        FORM,
    )
    .fetch_one(tx.conn())
    .await?;
    let (images, unindexed) = (number("image_component", row.images)?, number("image", row.unindexed)?);
    Ok(Counts { images, unindexed })
}

/// Images that have an SBOM and are not in the index yet, or as an older build put them there: to be caught up with
/// before anything is planned.
pub async fn unindexed(tx: &mut FleetTx, limit: u32) -> Result<Vec<(TenantId, ImageDigest)>, Error> {
    let rows = sqlx::query!(
        "select i.tenant_id, i.digest from scanner.image i
         left join scanner.image_component c
           on c.tenant_id = i.tenant_id and c.image_digest = i.digest and c.form = $1
         where i.sbom_digest is not null and c.image_no is null
         limit $2",
        FORM,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| Ok((TenantId::from_uuid(row.tenant_id), parse("image", &row.digest)?)))
        .collect()
}

/// Of these images those that have an SBOM: of the tenant that is given, or of every tenant that has the image.
pub async fn named(
    tx: &mut FleetTx,
    images: &[(Option<TenantId>, ImageDigest)],
) -> Result<Vec<(TenantId, ImageDigest)>, Error> {
    let tenants: Vec<Option<Uuid>> = images.iter().map(|(tenant, _)| tenant.map(|t| t.as_uuid())).collect();
    let digests: Vec<&str> = images.iter().map(|(_, image)| image.as_str()).collect();
    let rows = sqlx::query!(
        "select distinct i.tenant_id, i.digest
         from unnest($1::uuid[], $2::text[]) as n(tenant, digest)
         join scanner.image i on i.digest = n.digest and (n.tenant is null or i.tenant_id = n.tenant)
         where i.sbom_digest is not null order by i.tenant_id, i.digest",
        &tenants as &[Option<Uuid>],
        &digests as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| Ok((TenantId::from_uuid(row.tenant_id), parse("image", &row.digest)?)))
        .collect()
}

/// The last place that an image has; 0 when there is none.
pub async fn last_place(tx: &mut FleetTx) -> Result<i32, Error> {
    let last = sqlx::query_scalar!("select max(image_no) from scanner.image_component");
    Ok(last.fetch_one(tx.conn()).await?.unwrap_or_default())
}

/// The images at these places, as far as there are any.
pub async fn at_places(tx: &mut FleetTx, places: &[i32]) -> Result<Vec<Found>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select image_no, tenant_id, image_digest from scanner.image_component
         where image_no = any ($1) order by image_no",
        places,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Found::try_from).collect()
}

/// The result that an image's last verdict keeps, with the SBOM it was made from; `None` when it is not the word on this
/// snapshot: none is there yet, another is owed, or it was made from a newer snapshot.
pub async fn kept(
    tx: &mut TenantTx,
    image: &ImageDigest,
    snapshot: SnapshotId,
) -> Result<Option<(Kept, Vec<u8>)>, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        "select v.findings_digest, v.coverage, v.gaps, s.document
         from scanner.image i
         join scanner.verdict v
           on v.tenant_id = i.tenant_id and v.image_digest = i.digest and v.version = i.last_verdict
         join scanner.sbom s on s.tenant_id = i.tenant_id and s.digest = i.sbom_digest
         where i.tenant_id = $1 and i.digest = $2 and i.revision = i.evaluated_revision
           and i.evaluated_snapshot <= $3",
        tenant,
        image.as_str(),
        snapshot.0,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let findings = parse("verdict", &row.findings_digest)?;
    let coverage = word("verdict", &row.coverage, Coverage::from_word)?;
    Ok(Some((Kept { findings, coverage, gaps: gaps::read(row.gaps.as_ref())? }, row.document)))
}
