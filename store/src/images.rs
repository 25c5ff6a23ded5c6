//! Images, their blobs and names, and how far behind they are.

use std::collections::HashMap;

use model::{Digest, ImageDigest, JobId, JobKind, Lane, TraceId};
use time::OffsetDateTime;

use crate::row::{lane, number, parse};
use crate::{Error, TenantTx};

/// Repositories that one image is known by.
const CALLED_MAX: i64 = 64;

/// A layer as the manifest and the configuration name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob as stored (compressed, mostly).
    pub digest: Digest,
    /// The blob's size.
    pub size: u64,
    /// How it is packed.
    pub media_type: String,
    /// Digest of the layer when unpacked.
    pub diff_id: Digest,
}

/// An image to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Digest of the manifest.
    pub digest: ImageDigest,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: String,
    /// The configuration's blob.
    pub config: Digest,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// What it is called (`registry/repository:tag`); each name moves here.
    pub names: Vec<String>,
}

/// An image as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: ImageDigest,
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The configuration's blob.
    pub config: Digest,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// What it is called, sorted.
    pub names: Vec<String>,
    /// What it takes to know of it, without the layers.
    pub summary: Summary,
}

/// An image as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Digest of the manifest.
    pub digest: ImageDigest,
    /// Size of its layers' blobs.
    pub size: u64,
    /// Raised by what changes the inputs of its evaluation.
    pub revision: i64,
    /// The revision that was evaluated last.
    pub evaluated_revision: i64,
    /// The snapshot it was evaluated against last.
    pub evaluated_snapshot: Option<i64>,
    /// Its components, once extracted.
    pub sbom: Option<Digest>,
    /// Version of the last verdict; 0 before the first.
    pub last_verdict: u32,
    /// When it was registered.
    pub created_at: OffsetDateTime,
}

/// Everything an image's entity needs to decide what is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Raised by what changes the inputs of its evaluation.
    pub revision: i64,
    /// The revision that was evaluated last; less than `revision` means that an evaluation is owed.
    pub evaluated_revision: i64,
    /// The snapshot it was evaluated against last.
    pub evaluated_snapshot: Option<i64>,
    /// Its components, once extracted.
    pub sbom: Option<CurrentSbom>,
    /// Admitted jobs that wait to be dispatched, or whose work is gone. Oldest first, as are the next two.
    pub admitted: Vec<OpenJob>,
    /// Jobs that wait for the layers to be read.
    pub extracting: Vec<OpenJob>,
    /// Jobs that wait for the evaluation.
    pub evaluating: Vec<OpenJob>,
    /// Whether its layers are being read, or are about to be.
    pub open_work: bool,
    /// Version of the last verdict; 0 before the first.
    pub last_verdict: u32,
}

impl Behind {
    /// Whether somebody, or what has changed, waits for an evaluation that can be done.
    pub const fn owes_evaluation(&self) -> bool {
        self.sbom.is_some() && (!self.evaluating.is_empty() || self.evaluated_revision < self.revision)
    }
}

/// The SBOM an image has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSbom {
    /// Its digest.
    pub digest: Digest,
    /// The extractor that made it.
    pub extractor: String,
}

/// A job that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenJob {
    /// Its id.
    pub job: JobId,
    /// How urgent.
    pub lane: Lane,
    /// What it asks for.
    pub kind: JobKind,
    /// The trace it is part of.
    pub trace: Option<TraceId>,
}

/// Which of these blobs were never uploaded by this tenant, in the order given.
pub async fn missing_blobs(tx: &mut TenantTx, digests: &[Digest]) -> Result<Vec<Digest>, Error> {
    let wanted: Vec<String> = digests.iter().map(|d| d.as_str().to_owned()).collect();
    let tenant = tx.tenant().as_uuid();
    let missing = sqlx::query_scalar!(
        r#"select w.digest as "digest!" from unnest($2::text[]) with ordinality as w(digest, place)
           where not exists (select from scanner.blob b where b.tenant_id = $1 and b.digest = w.digest)
           order by w.place"#,
        tenant,
        &wanted,
    )
    .fetch_all(tx.conn())
    .await?;
    missing.iter().map(|text| parse("blob", text)).collect()
}

/// Says that a blob is in the object store. Call it after the upload is complete.
pub async fn record_blob(
    tx: &mut TenantTx,
    digest: &Digest,
    size: u64,
    media_type: &str,
) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    sqlx::query!(
        "insert into scanner.blob (tenant_id, digest, size, media_type) values ($1, $2, $3, $4)
         on conflict do nothing",
        tenant,
        digest.as_str(),
        stored_size(size)?,
        media_type,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Registers an image whose blobs are all there (`MissingBlob` names the first that is not), and moves its names to
/// it. Says whether it is new.
pub async fn put(tx: &mut TenantTx, image: &NewImage) -> Result<bool, Error> {
    let blobs: Vec<Digest> =
        std::iter::once(&image.config).chain(image.layers.iter().map(|l| &l.digest)).cloned().collect();
    if let Some(digest) = missing_blobs(tx, &blobs).await?.into_iter().next() {
        return Err(Error::MissingBlob { digest });
    }
    let new = insert_image(tx, image).await?;
    if new {
        insert_layers(tx, image).await?;
    }
    move_names(tx, image).await?;
    remember_called(tx, image).await?;
    Ok(new)
}

async fn insert_image(tx: &mut TenantTx, image: &NewImage) -> Result<bool, Error> {
    let tenant = tx.tenant().as_uuid();
    let done = sqlx::query!(
        "insert into scanner.image (tenant_id, digest, media_type, manifest, config_digest, size)
         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        tenant,
        image.digest.as_str(),
        image.media_type,
        image.manifest,
        image.config.as_str(),
        stored_size(image.layers.iter().map(|l| l.size).sum())?,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_layers(tx: &mut TenantTx, image: &NewImage) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let text = |pick: fn(&Layer) -> &str| -> Vec<String> {
        image.layers.iter().map(|layer| pick(layer).to_owned()).collect()
    };
    let sizes = image.layers.iter().map(|l| stored_size(l.size)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query!(
        "insert into scanner.layer (tenant_id, image_digest, position, digest, size, media_type, diff_id)
         select $1, $2, (place - 1)::int, digest, size, media_type, diff_id
         from unnest($3::text[], $4::bigint[], $5::text[], $6::text[]) with ordinality
              as l(digest, size, media_type, diff_id, place)",
        tenant,
        image.digest.as_str(),
        &text(|l| l.digest.as_str()),
        &sizes,
        &text(|l| &l.media_type),
        &text(|l| l.diff_id.as_str()),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn move_names(tx: &mut TenantTx, image: &NewImage) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    sqlx::query!(
        "insert into scanner.image_name as n (tenant_id, name, image_digest)
         select distinct $1::uuid, name, $2 from unnest($3::text[]) as w(name) order by name
         on conflict (tenant_id, name) do update
         set image_digest = excluded.image_digest, changed_at = clock_timestamp()
         where n.image_digest <> excluded.image_digest",
        tenant,
        image.digest.as_str(),
        &image.names,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what the image is called besides what it was called before. An image that was evaluated has to be again, as what
/// is said of a product may be said of it now.
async fn remember_called(tx: &mut TenantTx, image: &NewImage) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let mut repositories: Vec<String> = image.names.iter().map(|name| vex::repository(name)).collect();
    repositories.sort();
    repositories.dedup();
    let new = sqlx::query_scalar!(
        r#"select r.name as "name!" from unnest($3::text[]) as r(name)
           where not exists (select from scanner.image_called c
                             where c.tenant_id = $1 and c.image_digest = $2 and c.repository = r.name)
           limit greatest($4 - (select count(*) from scanner.image_called c
                                where c.tenant_id = $1 and c.image_digest = $2), 0)"#,
        tenant,
        image.digest.as_str(),
        &repositories,
        CALLED_MAX,
    )
    .fetch_all(tx.conn())
    .await?;
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with raised as (
             update scanner.image set
                 revision = revision + case when sbom_digest is null then 0 else 1 end,
                 changed_at = case when sbom_digest is null then changed_at else clock_timestamp() end
             where tenant_id = $1 and digest = $2 returning revision)
         insert into scanner.image_called (tenant_id, image_digest, repository, revision)
         select $1, $2, n.name, raised.revision from raised, unnest($3::text[]) as n(name) on conflict do nothing",
        tenant,
        image.digest.as_str(),
        &new,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The repositories that an image was called by up to this revision of it, in their order.
pub async fn called(tx: &mut TenantTx, digest: &ImageDigest, revision: i64) -> Result<Vec<String>, Error> {
    let tenant = tx.tenant().as_uuid();
    let repositories = sqlx::query_scalar!(
        "select repository from scanner.image_called
         where tenant_id = $1 and image_digest = $2 and revision <= $3 order by repository",
        tenant,
        digest.as_str(),
        revision,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(repositories)
}

/// An image with its layers and names.
pub async fn get(tx: &mut TenantTx, digest: &ImageDigest) -> Result<Image, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        "select media_type, manifest, config_digest from scanner.image where tenant_id = $1 and digest = $2",
        tenant,
        digest.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "image" })?;
    let names = sqlx::query_scalar!(
        "select name from scanner.image_name where tenant_id = $1 and image_digest = $2 order by name",
        tenant,
        digest.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Image {
        digest: digest.clone(),
        media_type: row.media_type,
        manifest: row.manifest,
        config: parse("image", &row.config_digest)?,
        layers: layers(tx, digest).await?,
        names,
        summary: summary(tx, digest).await?,
    })
}

/// Hexadecimal digits that the beginning of a digest has at least.
const BEGINNING_MIN: usize = 8;
/// Images that are named where a beginning fits several.
const CANDIDATES_MAX: usize = 4;

/// The image that a digest (`sha256:…`), a name, or else the beginning of a digest stands for.
pub async fn resolve(tx: &mut TenantTx, reference: &str) -> Result<ImageDigest, Error> {
    let tenant = tx.tenant().as_uuid();
    let found = sqlx::query_scalar!(
        r#"select digest as "digest!" from scanner.image where tenant_id = $1 and digest = $2
           union all
           select image_digest from scanner.image_name where tenant_id = $1 and name = $2 limit 1"#,
        tenant,
        reference,
    )
    .fetch_optional(tx.conn())
    .await?;
    match found {
        Some(digest) => parse("image", &digest),
        None => by_beginning(tx, reference).await,
    }
}

/// `sha256:` may be left out, as no name of an image begins with it.
async fn by_beginning(tx: &mut TenantTx, reference: &str) -> Result<ImageDigest, Error> {
    let missing = Error::NotFound { entity: "image" };
    let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
    if digits.len() > 64 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(missing);
    }
    if digits.len() < BEGINNING_MIN {
        let what =
            format!("{reference:?} is too little of a digest: give {BEGINNING_MIN} of its digits or more");
        return Err(if digits == reference { missing } else { Error::Conflict { what } });
    }
    let found = sqlx::query_scalar!(
        "select digest from scanner.image where tenant_id = $1 and digest between $2 and $3 order by digest limit $4",
        tx.tenant().as_uuid(),
        format!("sha256:{digits:0<64}"),
        format!("sha256:{digits:f<64}"),
        CANDIDATES_MAX as i64 + 1,
    )
    .fetch_all(tx.conn())
    .await?;
    match found.as_slice() {
        [] => Err(missing),
        [digest] => parse("image", digest),
        several => Err(Error::Conflict { what: ambiguous(reference, several) }),
    }
}

fn ambiguous(reference: &str, digests: &[String]) -> String {
    let named = digests[..digests.len().min(CANDIDATES_MAX)].join(", ");
    let more = if digests.len() > CANDIDATES_MAX { " and others" } else { "" };
    format!(
        "{reference:?} is the beginning of several images' digests, {named}{more}: give more of the one you mean"
    )
}

struct SummaryRow {
    digest: String,
    size: i64,
    revision: i64,
    evaluated_revision: i64,
    evaluated_snapshot: Option<i64>,
    sbom_digest: Option<String>,
    last_verdict: i32,
    created_at: OffsetDateTime,
}

impl TryFrom<SummaryRow> for Summary {
    type Error = Error;

    fn try_from(row: SummaryRow) -> Result<Self, Error> {
        Ok(Self {
            digest: parse("image", &row.digest)?,
            size: number("image", row.size)?,
            revision: row.revision,
            evaluated_revision: row.evaluated_revision,
            evaluated_snapshot: row.evaluated_snapshot,
            sbom: row.sbom_digest.map(|d| parse("image", &d)).transpose()?,
            last_verdict: number("image", row.last_verdict)?,
            created_at: row.created_at,
        })
    }
}

/// An image without its layers, manifest and names.
pub async fn summary(tx: &mut TenantTx, digest: &ImageDigest) -> Result<Summary, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query_as!(
        SummaryRow,
        "select digest, size, revision, evaluated_revision, evaluated_snapshot, sbom_digest, last_verdict, created_at
         from scanner.image where tenant_id = $1 and digest = $2",
        tenant,
        digest.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "image" })?.try_into()
}

/// Images, newest first, after this one.
pub async fn list(tx: &mut TenantTx, after: Option<&ImageDigest>, limit: u32) -> Result<Vec<Summary>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query_as!(
        SummaryRow,
        "select digest, size, revision, evaluated_revision, evaluated_snapshot, sbom_digest, last_verdict, created_at
         from scanner.image
         where tenant_id = $1
           and ($2::text is null or (created_at, digest) <
                (select i.created_at, i.digest from scanner.image i where i.tenant_id = $1 and i.digest = $2))
         order by created_at desc, digest desc limit $3",
        tenant,
        after.map(ImageDigest::as_str),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Summary::try_from).collect()
}

/// The names of some images, sorted: which image, and what it is called.
pub async fn names_of(
    tx: &mut TenantTx,
    images: &[ImageDigest],
) -> Result<Vec<(ImageDigest, String)>, Error> {
    let digests: Vec<&str> = images.iter().map(ImageDigest::as_str).collect();
    let tenant = tx.tenant().as_uuid();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select n.image_digest, n.name from unnest($2::text[]) as w(digest)
         join scanner.image_name n on n.tenant_id = $1 and n.image_digest = w.digest order by n.name",
    )
    .bind(tenant)
    .bind(digests)
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|(digest, name)| Ok((parse("image_name", &digest)?, name))).collect()
}

/// An image's layers, lowest first.
pub async fn layers(tx: &mut TenantTx, digest: &ImageDigest) -> Result<Vec<Layer>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        "select digest, size, media_type, diff_id from scanner.layer
         where tenant_id = $1 and image_digest = $2 order by position",
        tenant,
        digest.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Layer {
                digest: parse("layer", &r.digest)?,
                size: number("layer", r.size)?,
                media_type: r.media_type,
                diff_id: parse("layer", &r.diff_id)?,
            })
        })
        .collect()
}

/// How far behind these images are. Those that are not there are left out.
pub async fn behind(
    tx: &mut TenantTx,
    images: &[ImageDigest],
) -> Result<HashMap<ImageDigest, Behind>, Error> {
    let tenant = tx.tenant().as_uuid();
    let digests: Vec<&str> = images.iter().map(ImageDigest::as_str).collect();
    let rows = sqlx::query!(
        r#"select digest, revision, evaluated_revision, evaluated_snapshot, sbom_digest, extractor, last_verdict,
                  exists (select from orchestrator.work w
                          where w.tenant_id = i.tenant_id and w.image_digest = i.digest) as "open_work!"
           from scanner.image i where tenant_id = $1 and digest = any ($2)"#,
        tenant,
        &digests as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    let mut all = HashMap::with_capacity(rows.len());
    for row in rows {
        let behind = Behind {
            revision: row.revision,
            evaluated_revision: row.evaluated_revision,
            evaluated_snapshot: row.evaluated_snapshot,
            sbom: match (row.sbom_digest, row.extractor) {
                (Some(digest), Some(extractor)) => {
                    Some(CurrentSbom { digest: parse("image", &digest)?, extractor })
                }
                _ => None,
            },
            admitted: Vec::new(),
            extracting: Vec::new(),
            evaluating: Vec::new(),
            open_work: row.open_work,
            last_verdict: number("image", row.last_verdict)?,
        };
        all.insert(parse("image", &row.digest)?, behind);
    }
    open_jobs(tx, &digests, &mut all).await?;
    Ok(all)
}

async fn open_jobs(
    tx: &mut TenantTx,
    digests: &[&str],
    all: &mut HashMap<ImageDigest, Behind>,
) -> Result<(), Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        "select image_digest, job_id, lane, kind, state, trace_id from orchestrator.job
         where tenant_id = $1 and image_digest = any ($2) and ended_at is null and admitted_at is not null
         order by job_id",
        tenant,
        digests as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let Some(behind) = all.get_mut(&parse("job", &row.image_digest)?) else { continue };
        let job = OpenJob {
            job: JobId::from_uuid(row.job_id),
            lane: lane("job", row.lane)?,
            kind: parse("job", &row.kind)?,
            trace: row.trace_id.and_then(TraceId::from_uuid),
        };
        match row.state.as_str() {
            "extracting" if behind.open_work => behind.extracting.push(job),
            "evaluating" => behind.evaluating.push(job),
            _ => behind.admitted.push(job),
        }
    }
    Ok(())
}

fn stored_size(size: u64) -> Result<i64, Error> {
    i64::try_from(size)
        .map_err(|_| Error::Conflict { what: format!("a size of {size} bytes is not possible") })
}
