//! Which documents are heard about an image's findings.

use model::{Digest, FeedId, ImageDigest, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::images;
use crate::row::{number, parse};
use crate::{Error, TenantTx};

/// A document that counts at a snapshot, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// How it came.
    pub origin: SourceOrigin,
    /// Digest of its file.
    pub digest: Digest,
    /// The signature that lies beside it.
    pub signature: Option<Vec<u8>>,
    /// The images that somebody attached it to. Where there are any it is heard about these and no others; where there
    /// are none, about whatever its products name.
    pub images: Vec<ImageDigest>,
    /// When it was taken in.
    pub taken_in: OffsetDateTime,
}

/// How a document came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceOrigin {
    /// A feed publishes it.
    Feed {
        /// The feed.
        feed: FeedId,
        /// The record's id.
        advisory_id: String,
        /// Its revision.
        revision: u32,
    },
    /// Somebody attached it.
    Attached {
        /// Whose it is.
        tenant: TenantId,
        /// Its id here.
        id: Uuid,
    },
}

/// Whether any document could concern this tenant at a snapshot; cheap to ask.
pub async fn is_any(tx: &mut TenantTx, at: SnapshotId) -> Result<bool, Error> {
    let tenant = tx.tenant().as_uuid();
    let is_any = sqlx::query_scalar!(
        r#"select exists (select from vuln.feed f join vuln.snapshot s on s.feed_id = f.feed_id
                          where f.kind = 'vex' and s.snapshot_id <= $2)
               or exists (select from vex.attachment where tenant_id in ($1, $3) and snapshot_id <= $2) as "is_any!""#,
        tenant,
        at.0,
        TenantId::SYSTEM.as_uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_any)
}

/// The documents that speak of one of these vulnerabilities as of a snapshot, by any of their names; and those that may
/// take back what these say. Sorted.
pub async fn about(tx: &mut TenantTx, names: &[String], at: SnapshotId) -> Result<Vec<Source>, Error> {
    sources(tx, names, None, at).await
}

/// The documents that are attached to an image or speak of one of these vulnerabilities as of a snapshot. Sorted, at
/// most `limit`.
pub async fn all_for(
    tx: &mut TenantTx,
    image: &ImageDigest,
    names: &[String],
    at: SnapshotId,
    limit: u32,
) -> Result<Vec<Source>, Error> {
    let mut sources = sources(tx, names, Some(image), at).await?;
    sources.truncate(limit as usize);
    Ok(sources)
}

async fn sources(
    tx: &mut TenantTx,
    names: &[String],
    image: Option<&ImageDigest>,
    at: SnapshotId,
) -> Result<Vec<Source>, Error> {
    let tenant = tx.tenant().as_uuid();
    let names: Vec<String> = names.iter().map(|name| ::vex::summary::vulnerability(name)).collect();
    let rows =
        sqlx::query_file!("queries/vex_about.sql", tenant, &names, at.0, image.map(ImageDigest::as_str))
            .fetch_all(tx.conn())
            .await?;
    let mut sources = Vec::with_capacity(rows.len());
    for row in rows {
        let origin = match (row.feed_id, row.advisory_id, row.revision, row.tenant_id, row.attachment_id) {
            (Some(feed), Some(advisory_id), Some(revision), ..) => SourceOrigin::Feed {
                feed: parse("observation", &feed)?,
                advisory_id,
                revision: number("observation", revision)?,
            },
            (.., Some(tenant), Some(id)) => {
                SourceOrigin::Attached { tenant: TenantId::from_uuid(tenant), id }
            }
            _ => continue,
        };
        sources.push(Source {
            origin,
            digest: parse("vex document", &row.digest)?,
            signature: row.signature,
            images: images(&row.images)?,
            taken_in: row.taken_in,
        });
    }
    sources.sort();
    Ok(sources)
}

/// The files of these documents, in their order. They may be many megabytes each: ask for a few at a time.
pub async fn bytes(tx: &mut TenantTx, sources: &[&Source]) -> Result<Vec<Vec<u8>>, Error> {
    let (mut places, mut feeds, mut ids, mut revisions) = (vec![], vec![], vec![], vec![]);
    let (mut attached_places, mut tenants, mut attachments) = (vec![], vec![], vec![]);
    for (place, source) in (0_i64..).zip(sources) {
        match &source.origin {
            SourceOrigin::Feed { feed, advisory_id, revision } => {
                places.push(place);
                feeds.push(feed.to_string());
                ids.push(advisory_id.clone());
                revisions.push(i32::try_from(*revision).unwrap_or(i32::MAX));
            }
            SourceOrigin::Attached { tenant, id } => {
                attached_places.push(place);
                tenants.push(tenant.as_uuid());
                attachments.push(*id);
            }
        }
    }
    let rows = sqlx::query!(
        r#"select p.place as "place!", o.document as "content!"
           from unnest($1::bigint[], $2::text[], $3::text[], $4::int[]) as p(place, feed_id, advisory_id, revision)
           join vuln.observation o using (feed_id, advisory_id, revision)
           where o.document is not null
           union all
           select p.place, c.content
           from unnest($5::bigint[], $6::uuid[], $7::uuid[]) as p(place, tenant_id, attachment_id)
           join vex.attachment a using (tenant_id, attachment_id)
           join vex.content c on c.tenant_id = a.tenant_id and c.digest = a.digest
           order by 1"#,
        &places,
        &feeds,
        &ids,
        &revisions,
        &attached_places,
        &tenants,
        &attachments,
    )
    .fetch_all(tx.conn())
    .await?;
    if rows.len() != sources.len() {
        return Err(Error::NotFound { entity: "vex document" });
    }
    Ok(rows.into_iter().map(|row| row.content).collect())
}
