//! What an evaluation reads. Saving one is [`crate::effects::Effect::SaveEvaluation`].

use std::collections::HashSet;

use evaluation::Basis;
use model::{Coverage, Digest, Finding, ImageDigest, SnapshotId};

use crate::facts::{finding, raw};
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
}

/// The last verdict, as far as the next one is made with regard to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its version.
    pub version: u32,
    /// What it was made from.
    pub basis: Basis,
    /// Whether its findings were kept. Those of versions of long ago were not.
    pub keeps_findings: bool,
}

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
    /// The digest of its document.
    pub digest: Digest,
    /// The finding; none where the asker has it.
    pub finding: Option<Finding>,
}

/// Reads the image's revision, SBOM and last verdict together. `NotFound` for an image without an SBOM too.
pub async fn inputs(tx: &mut TenantTx, image: &ImageDigest) -> Result<Inputs, Error> {
    let tenant = tx.tenant().as_uuid();
    let row = sqlx::query!(
        r#"select i.revision, s.digest, s.document, i.last_verdict, v.snapshot_id as "snapshot_id?",
                  v.coverage as "coverage?", v.gaps, v.findings_digest as "findings_digest?", v.sbom_digest as "sbom_digest?",
                  v.facts is not null as "keeps_findings!"
           from scanner.image i join scanner.sbom s on s.tenant_id = i.tenant_id and s.digest = i.sbom_digest
           left join scanner.verdict v
               on v.tenant_id = i.tenant_id and v.image_digest = i.digest and v.version = i.last_verdict
           where i.tenant_id = $1 and i.digest = $2"#,
        tenant,
        image.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(Error::NotFound { entity: "sbom" })?;
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
            keeps_findings: row.keeps_findings,
        }),
        _ => None,
    };
    let sbom_digest = parse("sbom", &row.digest)?;
    Ok(Inputs { revision: row.revision, sbom_digest, sbom: row.document, last })
}

/// What the last verdict found, without the documents of those findings whose digests are `known`.
pub async fn before(
    tx: &mut TenantTx,
    image: &ImageDigest,
    last: &Last,
    known: &HashSet<Digest>,
) -> Result<Before, Error> {
    let tenant = tx.tenant().as_uuid();
    let known: Vec<Vec<u8>> = known.iter().map(raw).collect();
    let rows = sqlx::query!(
        r#"select f.digest, case when f.digest <> all ($4) then f.document end as document
           from scanner.verdict v cross join unnest(v.facts) with ordinality as u(fact_id, place)
           join scanner.fact f on f.tenant_id = v.tenant_id and f.fact_id = u.fact_id
           where v.tenant_id = $1 and v.image_digest = $2 and v.version = $3 order by u.place"#,
        tenant,
        image.as_str(),
        i32::try_from(last.version).unwrap_or(i32::MAX),
        &known,
    )
    .fetch_all(tx.conn())
    .await?;
    let found = rows.into_iter().map(|row| {
        let raw: [u8; 32] = row
            .digest
            .as_slice()
            .try_into()
            .map_err(|e| Error::Corrupt { table: "fact", source: Box::new(e) })?;
        let finding = row.document.as_deref().map(finding).transpose()?;
        Ok(Found { digest: Digest::from_sha256(raw), finding })
    });
    Ok(Before {
        version: last.version,
        findings_digest: last.keeps_findings.then(|| last.basis.findings.clone()),
        findings: found.collect::<Result<_, Error>>()?,
    })
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
