//! What an evaluation reads. Saving one is [`crate::effects::Effect::SaveEvaluation`].

use std::collections::HashMap;

use evaluation::Basis;
use model::{Coverage, Digest, Finding, ImageDigest, SnapshotId};

use crate::facts::finding;
use crate::row::{number, parse, word};
use crate::{Error, TenantTx, gaps};

/// What an evaluation of an image reads, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// Say it again when saving.
    pub revision: i64,
    /// Digest of the SBOM's document.
    pub sbom_digest: Digest,
    /// The SBOM in canonical form.
    pub sbom: Vec<u8>,
    /// The last verdict; none before the first.
    pub last: Option<Last>,
    /// The newest snapshot of that moment.
    pub latest: SnapshotId,
}

/// The last verdict, as far as the next one is made with regard to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its version.
    pub version: u32,
    /// What it was made from.
    pub basis: Basis,
    /// Its findings in their order. Those of versions of long ago were not kept.
    pub facts: Option<Vec<FactId>>,
}

/// A finding that was once found for a tenant, by its number there. What it says never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactId(pub i64);

/// The verdict that a new one follows, with what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// Its version; 0 before the first.
    pub version: u32,
    /// The digest of its findings; none where they were not kept.
    pub findings_digest: Option<Digest>,
    /// Its findings in their order. May be left out where the next verdict has the same.
    pub findings: Vec<Found>,
}

/// A finding of the verdict before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The SHA-256 of its document.
    pub digest: [u8; 32],
    /// The finding; none where the next verdict has it too.
    pub finding: Option<Finding>,
}

/// Reads the image's revision, SBOM and last verdict together. `NotFound` for an image without an SBOM too.
pub async fn inputs(tx: &mut TenantTx, image: &ImageDigest) -> Result<Inputs, Error> {
    let mut found = inputs_of(tx, std::slice::from_ref(image), i32::MAX).await?;
    found.remove(image).ok_or(Error::NotFound { entity: "sbom" })
}

/// As [`inputs`], for many images. Those without an SBOM, and those whose SBOM has more bytes than this, are left out.
pub async fn inputs_of(
    tx: &mut TenantTx,
    images: &[ImageDigest],
    bytes_max: i32,
) -> Result<HashMap<ImageDigest, Inputs>, Error> {
    let tenant = tx.tenant().as_uuid();
    let digests: Vec<&str> = images.iter().map(ImageDigest::as_str).collect();
    let rows = sqlx::query!(
        r#"select i.digest as image, i.revision, s.digest, s.document, i.last_verdict, l.snapshot_id as latest,
                  v.snapshot_id as "snapshot_id?", v.coverage as "coverage?", v.gaps,
                  v.findings_digest as "findings_digest?", v.sbom_digest as "sbom_digest?", v.facts
           from vuln.latest l, scanner.image i
           join scanner.sbom s on s.tenant_id = i.tenant_id and s.digest = i.sbom_digest
           left join scanner.verdict v
               on v.tenant_id = i.tenant_id and v.image_digest = i.digest and v.version = i.last_verdict
           where i.tenant_id = $1 and i.digest = any ($2) and octet_length(s.document) <= $3"#,
        tenant,
        &digests as &[&str],
        bytes_max,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut all = HashMap::with_capacity(rows.len());
    for row in rows {
        let last = match (row.snapshot_id, row.coverage, row.findings_digest, row.sbom_digest) {
            (Some(snapshot), Some(coverage), Some(findings), Some(sbom)) => Some(Last {
                version: number("verdict", row.last_verdict)?,
                basis: Basis {
                    sbom: parse("verdict", &sbom)?,
                    snapshot: SnapshotId(snapshot),
                    coverage: word("verdict", &coverage, Coverage::from_word)?,
                    gaps: gaps::read(row.gaps.as_ref())?,
                    findings: parse("verdict", &findings)?,
                },
                facts: row.facts.map(|facts| facts.into_iter().map(FactId).collect()),
            }),
            _ => None,
        };
        let inputs = Inputs {
            revision: row.revision,
            sbom_digest: parse("sbom", &row.digest)?,
            sbom: row.document,
            last,
            latest: SnapshotId(row.latest),
        };
        all.insert(parse("image", &row.image)?, inputs);
    }
    Ok(all)
}

/// The SHA-256 of the documents of these findings.
pub async fn fact_digests(tx: &mut TenantTx, ids: &[FactId]) -> Result<HashMap<FactId, [u8; 32]>, Error> {
    let tenant = tx.tenant().as_uuid();
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "select fact_id, digest from scanner.fact where tenant_id = $1 and fact_id = any ($2)",
        tenant,
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let read = |digest: Vec<u8>| number("fact", digest.as_slice());
    rows.into_iter().map(|row| Ok((FactId(row.fact_id), read(row.digest)?))).collect()
}

/// These findings.
pub async fn facts(tx: &mut TenantTx, ids: &[FactId]) -> Result<HashMap<FactId, Finding>, Error> {
    let tenant = tx.tenant().as_uuid();
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "select fact_id, document from scanner.fact where tenant_id = $1 and fact_id = any ($2)",
        tenant,
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| Ok((FactId(row.fact_id), finding(&row.document)?))).collect()
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
