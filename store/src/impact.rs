//! The BOM-index: which images, of whichever tenant, have which package versions.
//!
//! What a change of the advisories touches is found in two steps: the dictionary's entries under the change's keys
//! ([`components`]), and the images that have one of those that are touched ([`images`]).

use evaluation::impact::{FORM, Indexed, Key};
use model::{Digest, ImageDigest, TenantId};

use crate::row::{number, parse};
use crate::{Error, FleetTx, TenantTx};

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
    let Having::AnyOf(ids) = having else { return page(tx, None, of, after, limit).await };
    let mut found = Vec::new();
    for some in ids.chunks(AT_ONCE) {
        found.extend(page(tx, Some(some), of, after, limit).await?);
    }
    found.sort();
    found.dedup();
    found.truncate(limit as usize);
    Ok(found)
}

async fn page(
    tx: &mut FleetTx,
    ids: Option<&[ComponentId]>,
    of: Option<TenantId>,
    after: i32,
    limit: u32,
) -> Result<Vec<Found>, Error> {
    let rows = sqlx::query!(
        "select image_no, tenant_id, image_digest from scanner.image_component
         where ($1::int[] is null or components && $1) and ($2::uuid is null or tenant_id = $2) and image_no > $3
         order by image_no limit $4",
        ids as _,
        of.map(|tenant| tenant.as_uuid()),
        after,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    let found = |number, tenant, image: &str| {
        let image = parse("image_component", image)?;
        Ok(Found { number, tenant: TenantId::from_uuid(tenant), image })
    };
    rows.into_iter().map(|row| found(row.image_no, row.tenant_id, &row.image_digest)).collect()
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
