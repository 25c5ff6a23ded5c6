//! A run's row, and the selector as it is stored.

use std::str::FromStr as _;

use model::{ImageDigest, RunId, SnapshotId, TenantId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Counts, Marks, Run};
use crate::Error;
use crate::row::{number, parse};

/// Which images a run is over. All that is said must hold; nothing said means every image with an SBOM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// This image.
    pub image: Option<ImageDigest>,
    /// Called by a name like this; `*` stands for any text.
    pub name: Option<String>,
    /// Not evaluated on the newest snapshot.
    pub stale_only: bool,
    /// Holding one of these packages, as package URLs; with a version, or in all of them.
    pub packages: Vec<String>,
}

impl Selector {
    /// As a column holds it.
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "tenant": self.tenant.map(|tenant| tenant.to_string()),
            "image": self.image.as_ref().map(ImageDigest::as_str),
            "name": self.name,
            "stale_only": self.stale_only,
            "packages": self.packages,
        })
    }

    /// From a column.
    pub(crate) fn from_value(table: &'static str, value: &Value) -> Result<Self, Error> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let wrong =
            |error: &dyn std::fmt::Display| Error::Corrupt { table, source: error.to_string().into() };
        let packages = value.get("packages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(Self {
            tenant: text("tenant").map(TenantId::from_str).transpose().map_err(|e| wrong(&e))?,
            image: text("image").map(ImageDigest::from_str).transpose().map_err(|e| wrong(&e))?,
            name: text("name").map(str::to_owned),
            stale_only: value.get("stale_only").and_then(Value::as_bool).unwrap_or(false),
            packages: packages.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// The pattern of `like` for its name.
    pub(crate) fn name_pattern(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        let mut pattern = String::with_capacity(name.len());
        for c in name.chars() {
            match c {
                '*' => pattern.push('%'),
                '%' | '_' | '\\' => pattern.extend(['\\', c]),
                other => pattern.push(other),
            }
        }
        Some(pattern)
    }
}

pub(super) struct Row {
    pub(super) run_id: Uuid,
    pub(super) kind: String,
    pub(super) cause: String,
    pub(super) state: String,
    pub(super) after_snapshot: Option<i64>,
    pub(super) until_snapshot: Option<i64>,
    pub(super) selector: Value,
    pub(super) schedule_id: Option<String>,
    pub(super) rate_per_s: Option<f32>,
    pub(super) cancel_asked: bool,
    pub(super) released_at: Option<OffsetDateTime>,
    pub(super) reason: Option<String>,
    pub(super) delta_records: i64,
    pub(super) withdrawn: i64,
    pub(super) package_versions: i64,
    pub(super) images_known: i64,
    pub(super) images: i64,
    pub(super) losing: i64,
    pub(super) dispatched: i64,
    pub(super) evaluated: i64,
    pub(super) changed: i64,
    pub(super) failed: i64,
    pub(super) published_at: Option<OffsetDateTime>,
    pub(super) observed_at: Option<OffsetDateTime>,
    pub(super) created_at: OffsetDateTime,
    pub(super) planned_at: Option<OffsetDateTime>,
    pub(super) dispatched_at: Option<OffsetDateTime>,
    pub(super) ended_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Run {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let counts = Counts {
            delta_records: number("run", row.delta_records)?,
            withdrawn: number("run", row.withdrawn)?,
            package_versions: number("run", row.package_versions)?,
            images_known: number("run", row.images_known)?,
            images: number("run", row.images)?,
            losing: number("run", row.losing)?,
            dispatched: number("run", row.dispatched)?,
            evaluated: number("run", row.evaluated)?,
            changed: number("run", row.changed)?,
            failed: number("run", row.failed)?,
        };
        let marks = Marks {
            published: row.published_at,
            observed: row.observed_at,
            created: row.created_at,
            planned: row.planned_at,
            dispatched: row.dispatched_at,
            ended: row.ended_at,
        };
        Ok(Self {
            id: RunId::from_uuid(row.run_id),
            kind: parse("run", &row.kind)?,
            cause: row.cause,
            state: parse("run", &row.state)?,
            snapshots: row
                .after_snapshot
                .zip(row.until_snapshot)
                .map(|(a, u)| (SnapshotId(a), SnapshotId(u))),
            selector: Selector::from_value("run", &row.selector)?,
            schedule: row.schedule_id,
            rate_per_s: row.rate_per_s,
            cancel_asked: row.cancel_asked,
            released: row.released_at,
            reason: row.reason,
            counts,
            marks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_comes_back_as_it_was() {
        let whole = Selector {
            tenant: Some(TenantId::from_uuid(Uuid::from_u128(7))),
            image: Some(format!("sha256:{}", "a".repeat(64)).parse().unwrap()),
            name: Some("registry/app:*".to_owned()),
            stale_only: true,
            packages: vec!["pkg:npm/a".to_owned()],
        };
        for selector in [whole, Selector::default()] {
            assert_eq!(Selector::from_value("run", &selector.to_value()).unwrap(), selector);
        }
        let bad = json!({ "tenant": "acme" });
        assert!(matches!(Selector::from_value("run", &bad), Err(Error::Corrupt { table: "run", .. })));
    }

    #[test]
    fn only_the_star_stands_for_others() {
        let pattern =
            |name: &str| Selector { name: Some(name.to_owned()), ..Selector::default() }.name_pattern();
        assert_eq!(pattern("a_b*c%").as_deref(), Some("a\\_b%c\\%"));
        assert_eq!(Selector::default().name_pattern(), None);
    }
}
