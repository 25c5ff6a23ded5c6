//! The findings of an image's last verdict, worst first.

use model::{AdvisoryMatch, Finding, FixState, ImageDigest, NoFix, Purl, Severity};
use serde_json::Value;

use crate::row::{number, parse};
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
}

/// A finding and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The finding.
    pub finding: Finding,
    /// Hand it to [`of_image`] to go on behind this finding.
    pub cursor: Cursor,
}

/// A place in the list: worst first, then in the order of the verdict. It holds while the findings do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// `Severity as i16`.
    pub severity: i16,
    /// The finding's place in the verdict's order.
    pub ordinal: i32,
}

/// An image's findings, worst first. Empty when it was never evaluated: ask for the verdict too.
pub async fn of_image(
    tx: &mut TenantTx,
    image: &ImageDigest,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    let tenant = tx.tenant().as_uuid();
    let after = after.unwrap_or(Cursor { severity: i16::MAX, ordinal: -1 });
    let rows = sqlx::query!(
        "select ordinal, vulnerability, aliases, purl, package, version, severity, fixed_versions, advisories
         from scanner.finding
         where tenant_id = $1 and image_digest = $2 and severity >= $3
           and (severity < $4 or severity = $4 and ordinal > $5)
           and (not $6 or cardinality(fixed_versions) > 0)
           and ($7::text is null or package = $7 or vulnerability = $7 or $7 = any (aliases))
         order by severity desc, ordinal limit $8",
        tenant,
        image.as_str(),
        filter.min_severity as i16,
        after.severity,
        after.ordinal,
        filter.fixed_only,
        filter.exactly,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let cursor = Cursor { severity: r.severity, ordinal: r.ordinal };
            let advisories = advisories(&r.advisories)?;
            let finding = Finding {
                vulnerability: r.vulnerability,
                aliases: r.aliases,
                purl: Purl::from_canonical(r.purl),
                package: r.package,
                version: r.version,
                severity: severity(r.severity)?,
                fix: FixState::of(r.fixed_versions, advisories.iter().map(|a| a.no_fix)),
                advisories,
                vex: None,
            };
            Ok(Listed { finding, cursor })
        })
        .collect()
}

/// How many findings of each severity an image has, as in `Severity::ALL`.
pub async fn counts(tx: &mut TenantTx, image: &ImageDigest) -> Result<Vec<(Severity, u32)>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        r#"select severity, count(*)::int as "count!" from scanner.finding
           where tenant_id = $1 and image_digest = $2 group by severity"#,
        tenant,
        image.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    Severity::ALL
        .into_iter()
        .map(|s| {
            let found = rows.iter().find(|r| r.severity == s as i16).map_or(0, |r| r.count);
            Ok((s, number("finding", found)?))
        })
        .collect()
}

fn severity(stored: i16) -> Result<Severity, Error> {
    let place: usize = number("finding", stored)?;
    Severity::ALL.get(place).copied().ok_or_else(|| corrupt("unknown severity"))
}

fn advisories(stored: &Value) -> Result<Vec<AdvisoryMatch>, Error> {
    let list = stored.as_array().ok_or_else(|| corrupt("advisories are not a list"))?;
    list.iter()
        .map(|a| {
            let text = |field: &str| {
                a[field].as_str().map(str::to_owned).ok_or_else(|| corrupt("an advisory lacks a field"))
            };
            let fixed = a["fixed_versions"].as_array().ok_or_else(|| corrupt("an advisory lacks a field"))?;
            Ok(AdvisoryMatch {
                advisory: text("advisory")?,
                feed: parse("finding", &text("feed")?)?,
                reason: text("reason")?,
                fixed_versions: fixed.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                no_fix: no_fix(&a["no_fix"])?,
            })
        })
        .collect()
}

/// Not written where nothing is said.
fn no_fix(stored: &Value) -> Result<Option<NoFix>, Error> {
    let unknown = || corrupt("unknown reason for no fix");
    stored.as_str().map(|word| NoFix::from_word(word).ok_or_else(unknown)).transpose()
}

fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { table: "finding", source: what.into() }
}
