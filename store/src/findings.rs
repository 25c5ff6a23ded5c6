//! The findings of an image's verdicts, worst first.

use model::{Finding, ImageDigest, Severity};

use crate::facts::finding;
use crate::{Error, TenantTx};

/// Which findings to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// At least this severe.
    pub min_severity: Severity,
    /// Only those with a fix.
    pub fixed_only: bool,
    /// Whose package name or vulnerability (or an alias of it) is this.
    pub exactly: Option<String>,
    /// Those too that are suppressed.
    pub with_suppressed: bool,
}

/// A finding and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The finding.
    pub finding: Finding,
    /// Hand it to [`of_verdict`] to go on behind this finding.
    pub cursor: Cursor,
}

/// A place in the list: worst first, then in the order of the verdict. It holds for ever, as verdicts do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// `Severity as i16`.
    pub severity: i16,
    /// The finding's place in the verdict's order.
    pub ordinal: i32,
}

/// The findings of one version of an image's verdict, worst first. Empty when there is none, or when it kept none: ask
/// for the verdict too.
pub async fn of_verdict(
    tx: &mut TenantTx,
    image: &ImageDigest,
    version: u32,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    let tenant = tx.tenant().as_uuid();
    let after = after.unwrap_or(Cursor { severity: i16::MAX, ordinal: -1 });
    let rows = sqlx::query!(
        r#"select (u.place - 1)::int as "ordinal!", f.severity, f.document
           from scanner.verdict v cross join unnest(v.facts) with ordinality as u(fact_id, place)
           join scanner.fact f on f.tenant_id = v.tenant_id and f.fact_id = u.fact_id
           where v.tenant_id = $1 and v.image_digest = $2 and v.version = $3 and f.severity >= $4
             and (f.severity < $5 or f.severity = $5 and u.place > $6 + 1)
             and (not $7 or f.fixed)
             and ($8::text is null or f.package = $8 or f.vulnerability = $8 or $8 = any (f.aliases))
             and ($9 or not f.suppressed)
           order by f.severity desc, u.place limit $10"#,
        tenant,
        image.as_str(),
        i32::try_from(version).unwrap_or(i32::MAX),
        filter.min_severity as i16,
        after.severity,
        after.ordinal,
        filter.fixed_only,
        filter.exactly,
        filter.with_suppressed,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let cursor = Cursor { severity: r.severity, ordinal: r.ordinal };
            Ok(Listed { finding: finding(&r.document)?, cursor })
        })
        .collect()
}

/// All findings of one version, in the verdict's own order.
pub async fn all(tx: &mut TenantTx, image: &ImageDigest, version: u32) -> Result<Vec<Finding>, Error> {
    let tenant = tx.tenant().as_uuid();
    let documents = sqlx::query_scalar!(
        "select f.document
         from scanner.verdict v cross join unnest(v.facts) with ordinality as u(fact_id, place)
         join scanner.fact f on f.tenant_id = v.tenant_id and f.fact_id = u.fact_id
         where v.tenant_id = $1 and v.image_digest = $2 and v.version = $3 order by u.place",
        tenant,
        image.as_str(),
        i32::try_from(version).unwrap_or(i32::MAX),
    )
    .fetch_all(tx.conn())
    .await?;
    documents.iter().map(|document| finding(document)).collect()
}
