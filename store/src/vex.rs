//! Documents of VEX: those that feeds publish, and those that people attach to images or to whatever they name.
//!
//! A tenant's documents are its own; what the system's tenant attaches counts for all. Nothing is ever changed: taking
//! a document back is a row of its own. Each change makes a snapshot, like a feed's refresh does, so a verdict's
//! snapshot says which documents were heard.

mod about;
mod concerns;
pub(crate) mod published;

use ::vex::{Format, Summary};
use model::{Digest, ImageDigest, Lane, SnapshotId, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::{lane_index, number, parse, text, word};
use crate::{Error, TenantTx};

pub use about::{Source, SourceOrigin, about, all_for, bytes, is_any};
pub use concerns::{Changes, Concern, Place, Stretch, changes, concerns};

/// Bytes of a file that is attached.
pub const CONTENT_BYTES_MAX: usize = 8 << 20;
/// Bytes of a signature beside it.
pub const SIGNATURE_BYTES_MAX: usize = 64 << 10;
/// Images that one document is attached to, at most.
pub const IMAGES_MAX: usize = 100;
/// Documents that a tenant has attached at once.
pub const ATTACHED_MAX: usize = 10_000;

/// A document to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attaching {
    /// Its id here, a UUIDv7.
    pub id: Uuid,
    /// The file.
    pub content: Vec<u8>,
    /// The signature that lies beside it.
    pub signature: Option<Vec<u8>>,
    /// What the file says of itself.
    pub summary: Summary,
    /// The images that it is about, and then no other; none: whatever its products name.
    pub images: Vec<ImageDigest>,
    /// Who attaches it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A document that is or was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its id here.
    pub id: Uuid,
    /// Whose it is; the system's counts for all.
    pub tenant: TenantId,
    /// Digest of the file.
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// How it is written.
    pub format: Format,
    /// The document's own id.
    pub document_id: String,
    /// Its version, as it writes it.
    pub version: String,
    /// Who made it, by its own word.
    pub author: String,
    /// When it was last changed, by its own word.
    pub stated_at: Option<OffsetDateTime>,
    /// Whether it came with a signature.
    pub is_signed: bool,
    /// How many statements it makes.
    pub statements: u32,
    /// The images that it is about; none: whatever its products name.
    pub images: Vec<ImageDigest>,
    /// Who attached it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: OffsetDateTime,
    /// The snapshot from which it counts.
    pub snapshot: SnapshotId,
    /// That it was taken back.
    pub detached: Option<Detached>,
}

/// That a document was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// Who took it back.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: OffsetDateTime,
    /// The snapshot from which it does not count any more.
    pub snapshot: SnapshotId,
}

/// Which documents to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those attached to this image.
    pub image: Option<ImageDigest>,
    /// Those that speak of this vulnerability.
    pub vulnerability: Option<String>,
    /// Those with this id of their own.
    pub document_id: Option<String>,
    /// Also those that were taken back.
    pub with_detached: bool,
    /// Also those of the system's tenant.
    pub with_global: bool,
}

/// By which words a file is found, as the database takes them.
pub(crate) struct Words {
    pub(crate) names: Vec<String>,
    pub(crate) what: Vec<String>,
}

impl Words {
    pub(crate) fn of(summary: &Summary) -> Self {
        let kinds = [
            ("vulnerability", &summary.names),
            ("document", &summary.documents),
            ("author", &summary.authors),
        ];
        let all = kinds.into_iter().flat_map(|(what, names)| names.iter().map(move |name| (name, what)));
        let (names, what) = all.map(|(name, what)| (name.clone(), what.to_owned())).unzip();
        Self { names, what }
    }
}

/// Attaches a document. The same file with the same signature to the same images is attached once.
pub async fn attach(tx: &mut TenantTx, document: &Attaching) -> Result<SnapshotId, Error> {
    if document.content.len() > CONTENT_BYTES_MAX {
        return Err(Error::Conflict { what: format!("it is longer than {CONTENT_BYTES_MAX} bytes") });
    }
    let digest = Digest::of(&document.content);
    let mut images: Vec<String> = document.images.iter().map(|image| image.as_str().to_owned()).collect();
    images.sort();
    images.dedup();
    // What takes long comes before the lock under which snapshots are numbered.
    keep_content(tx, &digest, document).await?;
    let snapshot = next_snapshot(tx).await?;
    may_attach(tx, &digest, document.signature.as_deref(), &images).await?;
    let tenant = tx.tenant().as_uuid();
    sqlx::query!(
        "insert into vex.attachment
             (tenant_id, attachment_id, snapshot_id, digest, signature, is_signed, images, attached_by, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        document.id,
        snapshot.0,
        digest.as_str(),
        document.signature,
        document.summary.is_signed,
        &images,
        text(&document.by),
        text(&document.reason),
    )
    .execute(tx.conn())
    .await?;
    Ok(snapshot)
}

/// The file and by which words it is found. Where it is there already, what it is found by today is added.
async fn keep_content(tx: &mut TenantTx, digest: &Digest, document: &Attaching) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let summary = &document.summary;
    sqlx::query!(
        "insert into vex.content
             (tenant_id, digest, content, format, document_id, version, author, stated_at, statements)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        tenant,
        digest.as_str(),
        document.content,
        summary.format.as_str(),
        text(&summary.id),
        text(&summary.version),
        text(&summary.author),
        summary.stated_at,
        count(summary.statements),
    )
    .execute(tx.conn())
    .await?;
    let words = Words::of(summary);
    sqlx::query!(
        "insert into vex.content_name (tenant_id, name, what, digest)
         select $1, w.name, w.what, $2 from unnest($3::text[], $4::text[]) as w(name, what)
         on conflict do nothing",
        tenant,
        digest.as_str(),
        &words.names,
        &words.what,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Asked under the lock of the next snapshot, so nobody attaches the same meanwhile.
async fn may_attach(
    tx: &mut TenantTx,
    digest: &Digest,
    signature: Option<&[u8]>,
    images: &[String],
) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        r#"select count(*) as "attached!",
                  count(*) filter (where digest = $2 and images = $3 and signature is not distinct from $4) as "same!"
           from vex.attachment a
           where tenant_id = $1
             and not exists (select from vex.detachment d
                             where d.tenant_id = a.tenant_id and d.attachment_id = a.attachment_id)"#,
        tenant,
        digest.as_str(),
        images,
        signature,
    )
    .fetch_one(tx.conn())
    .await?;
    if row.same > 0 {
        return Err(Error::AlreadyExists { entity: "vex document" });
    }
    if row.attached >= ATTACHED_MAX as i64 {
        return Err(Error::Conflict { what: format!("{ATTACHED_MAX} documents are attached already") });
    }
    Ok(())
}

/// Takes a document back. One of another tenant is not found, nor is one that was taken back before.
pub async fn detach(tx: &mut TenantTx, id: Uuid, by: &str, reason: &str) -> Result<SnapshotId, Error> {
    const MISSING: Error = Error::NotFound { entity: "vex document" };
    let tenant = tx.tenant().as_uuid();
    let snapshot = next_snapshot(tx).await?;
    let done = sqlx::query!(
        "insert into vex.detachment (tenant_id, attachment_id, snapshot_id, detached_by, reason)
         select tenant_id, attachment_id, $3, $4, $5 from vex.attachment
         where tenant_id = $1 and attachment_id = $2
         on conflict (tenant_id, attachment_id) do nothing",
        tenant,
        id,
        snapshot.0,
        text(by),
        text(reason),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 { Err(MISSING) } else { Ok(snapshot) }
}

/// The next snapshot, which holds one change of this transaction's. Others that want one wait until it ends; whoever
/// plans what follows is woken then.
pub(crate) async fn next_snapshot(tx: &mut TenantTx) -> Result<SnapshotId, Error> {
    let id = sqlx::query_scalar!(r#"select vex.next_snapshot() as "id!""#).fetch_one(tx.conn()).await?;
    sqlx::query!(
        "select orchestrator.ring('system', $1, 'scheduler', $2)::text as done",
        TenantId::SYSTEM.as_uuid(),
        lane_index(Lane::Bulk),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.rang();
    Ok(SnapshotId(id))
}

struct Row {
    tenant_id: Uuid,
    attachment_id: Uuid,
    digest: String,
    size: i32,
    format: String,
    document_id: String,
    version: String,
    author: String,
    stated_at: Option<OffsetDateTime>,
    is_signed: bool,
    statements: i32,
    images: Vec<String>,
    attached_by: String,
    reason: String,
    at: OffsetDateTime,
    snapshot_id: i64,
    detached_by: Option<String>,
    detached_reason: Option<String>,
    detached_at: Option<OffsetDateTime>,
    detached_snapshot: Option<i64>,
}

impl TryFrom<Row> for Attached {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let detached = match (row.detached_by, row.detached_reason, row.detached_at, row.detached_snapshot) {
            (Some(by), Some(reason), Some(at), Some(snapshot)) => {
                Some(Detached { by, reason, at, snapshot: SnapshotId(snapshot) })
            }
            _ => None,
        };
        Ok(Self {
            id: row.attachment_id,
            tenant: TenantId::from_uuid(row.tenant_id),
            digest: parse("vex content", &row.digest)?,
            size: number("vex content", row.size)?,
            format: word("vex content", &row.format, Format::from_word)?,
            document_id: row.document_id,
            version: row.version,
            author: row.author,
            stated_at: row.stated_at,
            is_signed: row.is_signed,
            statements: number("vex content", row.statements)?,
            images: images(&row.images)?,
            by: row.attached_by,
            reason: row.reason,
            at: row.at,
            snapshot: SnapshotId(row.snapshot_id),
            detached,
        })
    }
}

/// A document that is or was attached: the tenant's own, or the system's.
pub async fn get(tx: &mut TenantTx, id: Uuid) -> Result<Attached, Error> {
    let any = Filter { with_detached: true, with_global: true, ..Filter::default() };
    let found = rows(tx, &any, Some(id), None, 1).await?.pop();
    found.ok_or(Error::NotFound { entity: "vex document" })
}

/// Documents that are or were attached, the newest first, at most `limit`, older than the one with the id `before`.
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Attached>, Error> {
    rows(tx, filter, None, before, limit).await
}

async fn rows(
    tx: &mut TenantTx,
    filter: &Filter,
    id: Option<Uuid>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Attached>, Error> {
    let tenant = tx.tenant().as_uuid();
    let system = if filter.with_global { TenantId::SYSTEM.as_uuid() } else { tenant };
    let rows = sqlx::query_as!(
        Row,
        r#"select a.tenant_id, a.attachment_id, a.digest, octet_length(c.content) as "size!", c.format, c.document_id,
                  c.version, c.author, c.stated_at, a.is_signed, c.statements, a.images, a.attached_by, a.reason, a.at,
                  a.snapshot_id, d.detached_by as "detached_by?", d.reason as "detached_reason?",
                  d.at as "detached_at?", d.snapshot_id as "detached_snapshot?"
           from vex.attachment a
           join vex.content c on c.tenant_id = a.tenant_id and c.digest = a.digest
           left join vex.detachment d on d.tenant_id = a.tenant_id and d.attachment_id = a.attachment_id
           where a.tenant_id in ($1, $2) and ($3::uuid is null or a.attachment_id = $3)
             and ($4::uuid is null or a.attachment_id < $4)
             and ($5::text is null or $5 = any (a.images))
             and ($6::text is null or exists (
                 select from vex.content_name n
                 where n.tenant_id = a.tenant_id and n.digest = a.digest and n.what = 'vulnerability'
                   and n.name = $6))
             and ($7::text is null or exists (
                 select from vex.content_name n
                 where n.tenant_id = a.tenant_id and n.digest = a.digest and n.what = 'document' and n.name = $7))
             and ($8 or d.snapshot_id is null)
           order by a.attachment_id desc limit $9"#,
        tenant,
        system,
        id,
        before,
        filter.image.as_ref().map(ImageDigest::as_str),
        filter.vulnerability.as_deref().map(::vex::summary::vulnerability),
        filter.document_id.as_deref().map(::vex::summary::name),
        filter.with_detached,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Attached::try_from).collect()
}

/// The file of a document, and the signature that lies beside it.
pub async fn content(tx: &mut TenantTx, id: Uuid) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        "select c.content, a.signature
         from vex.attachment a join vex.content c on c.tenant_id = a.tenant_id and c.digest = a.digest
         where a.tenant_id in ($1, $2) and a.attachment_id = $3",
        tenant,
        TenantId::SYSTEM.as_uuid(),
        id,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "vex document" })?;
    Ok((row.content, row.signature))
}

fn images(stored: &[String]) -> Result<Vec<ImageDigest>, Error> {
    stored.iter().map(|image| Ok(ImageDigest::new(parse("vex attachment", image)?))).collect()
}

fn count(of: u32) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}
