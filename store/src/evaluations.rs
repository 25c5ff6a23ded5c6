//! What an evaluation reads, and the verdicts it left. Saving one is [`crate::effects::Effect::SaveEvaluation`].

use model::{Coverage, Digest, ImageDigest, Severity, SnapshotId};
use time::OffsetDateTime;

use crate::row::{number, parse, word};
use crate::{Error, TenantTx};

/// What an evaluation of an image reads, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// Say it again when saving.
    pub revision: i64,
    /// Digest of the SBOM's document.
    pub sbom_digest: Digest,
    /// The SBOM in canonical form.
    pub sbom: Vec<u8>,
}

/// A verdict on an image. Append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Counts up from 1 for each image, without gaps.
    pub version: u32,
    /// The image's revision it was made from.
    pub revision: i64,
    /// The snapshot it was made from.
    pub snapshot: SnapshotId,
    /// How far it can be trusted.
    pub coverage: Coverage,
    /// Digest of the findings in canonical form.
    pub findings_digest: Digest,
    /// Digest of the SBOM it was made from.
    pub sbom_digest: Digest,
    /// How many findings of each severity, as in `Severity::ALL`.
    pub counts: Vec<(Severity, u32)>,
    /// When it was made.
    pub at: OffsetDateTime,
}

/// Reads the image's revision and SBOM together. `NotFound` for an image without an SBOM too.
pub async fn inputs(tx: &mut TenantTx, image: &ImageDigest) -> Result<Inputs, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        "select i.revision, s.digest, s.document
         from scanner.image i join scanner.sbom s on s.tenant_id = i.tenant_id and s.digest = i.sbom_digest
         where i.tenant_id = $1 and i.digest = $2",
        tenant,
        image.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "sbom" })?;
    Ok(Inputs { revision: row.revision, sbom_digest: parse("sbom", &row.digest)?, sbom: row.document })
}

/// An SBOM's document by its digest.
pub async fn sbom(tx: &mut TenantTx, digest: &Digest) -> Result<Vec<u8>, Error> {
    let tenant = tx.tenant().as_uuid();
    let document = sqlx::query_scalar!(
        "select document from scanner.sbom where tenant_id = $1 and digest = $2",
        tenant,
        digest.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    document.ok_or(Error::NotFound { entity: "sbom" })
}

/// An image's verdicts, newest first, older than this version.
pub async fn verdicts(
    tx: &mut TenantTx,
    image: &ImageDigest,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<Verdict>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        "select version, revision, snapshot_id, coverage, findings_digest, sbom_digest, counts, at
         from scanner.verdict where tenant_id = $1 and image_digest = $2 and version < $3
         order by version desc limit $4",
        tenant,
        image.as_str(),
        before.map_or(i32::MAX, |v| i32::try_from(v).unwrap_or(i32::MAX)),
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Verdict {
                version: number("verdict", r.version)?,
                revision: r.revision,
                snapshot: SnapshotId(r.snapshot_id),
                coverage: word("verdict", &r.coverage, Coverage::from_word)?,
                findings_digest: parse("verdict", &r.findings_digest)?,
                sbom_digest: parse("verdict", &r.sbom_digest)?,
                counts: counts(&r.counts)?,
                at: r.at,
            })
        })
        .collect()
}

/// An image's last verdict, if it was ever evaluated.
pub async fn last_verdict(tx: &mut TenantTx, image: &ImageDigest) -> Result<Option<Verdict>, Error> {
    Ok(verdicts(tx, image, None, 1).await?.pop())
}

fn counts(stored: &[i32]) -> Result<Vec<(Severity, u32)>, Error> {
    Severity::ALL.iter().zip(stored).map(|(s, &n)| Ok((*s, number("verdict", n)?))).collect()
}
