//! What a claim weighs: `(0.45 provenance + 0.35 coverage + 0.20 replayability) x strength x freshness`.
//!
//! All of it is counted in whole numbers of ten thousand, so that every machine comes to the same sum.

use model::{Justification, VexStatus};
use time::OffsetDateTime;

use crate::{Document, Precision, Statement};

/// Everything.
const WHOLE: u32 = 10_000;
/// Days in which a claim loses half of its freshness.
pub const HALF_LIFE_DAYS: i64 = 90;
/// What is left of it however old it is: reached after two half-lives, and then the claim is called stale.
pub const FRESHNESS_MIN: u32 = 2_500;

/// A claim's worth without its age, of 10,000.
pub(crate) fn worth(
    provenance: u32,
    precision: Precision,
    document: &Document,
    statement: &Statement,
) -> u32 {
    let trust = 45 * provenance + 35 * coverage(precision) + 20 * replayability(document, statement);
    trust / 100 * strength(statement) / WHOLE
}

/// How exactly it says what it speaks of.
const fn coverage(precision: Precision) -> u32 {
    match precision {
        Precision::Family => 2_500,
        Precision::Product => 5_000,
        Precision::Version => 7_500,
        Precision::Exact => 10_000,
    }
}

/// Whether another can find the same document again: it has an id of its own, a version and a time.
fn replayability(document: &Document, statement: &Statement) -> u32 {
    let has_id = !document.id.starts_with("sha256:");
    let pinned = [has_id, !document.version.is_empty(), statement.timestamp.is_some()];
    match pinned.into_iter().filter(|is| *is).count() {
        3 => 10_000,
        2 => 6_000,
        _ => 2_000,
    }
}

/// How much is behind what it says.
fn strength(statement: &Statement) -> u32 {
    let explained = statement.impact.is_some();
    match (statement.status, statement.justification) {
        (VexStatus::UnderInvestigation, _) => 4_000,
        (VexStatus::Affected, _) if statement.action.is_some() => 8_000,
        (VexStatus::NotAffected, Some(justification)) if explained => match justification {
            Justification::ComponentNotPresent
            | Justification::VulnerableCodeNotPresent
            | Justification::VulnerableCodeNotInExecutePath => 10_000,
            Justification::VulnerableCodeCannotBeControlledByAdversary
            | Justification::InlineMitigationsAlreadyExist => 8_000,
        },
        (VexStatus::NotAffected, Some(_)) => 8_000,
        (VexStatus::Affected | VexStatus::Fixed | VexStatus::NotAffected, _) => 6_000,
    }
}

/// Its whole days of age; 0 for what is of the future, none for what has no date.
pub(crate) fn age_days(said: Option<OffsetDateTime>, as_of: OffsetDateTime) -> Option<i64> {
    said.map(|said| (as_of - said).whole_days().max(0))
}

/// Half after each half-life, day by day, down to the floor. What has no date is as if it were old.
pub(crate) fn freshness(age_days: Option<i64>) -> u32 {
    /// 2^(-1/90), of 2^32.
    const DAY: u64 = 4_262_016_076;
    let days = age_days.unwrap_or(i64::MAX).min(HALF_LIFE_DAYS * 2);
    let left = (0..days).fold(1_u64 << 32, |left, _| (left * DAY) >> 32);
    u32::try_from((left * u64::from(WHOLE) + (1 << 31)) >> 32).unwrap_or(WHOLE).max(FRESHNESS_MIN)
}

/// A claim's worth at its age.
pub(crate) const fn aged(worth: u32, freshness: u32) -> u32 {
    worth * freshness / WHOLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_halves_in_ninety_days_and_has_a_floor() {
        assert_eq!([0, 30, 90].map(|days| freshness(Some(days))), [10_000, 7_937, 5_000]);
        assert_eq!([180, 181, 100_000].map(|days| freshness(Some(days))), [2_500; 3]);
        assert_eq!(freshness(None), FRESHNESS_MIN);
        assert!((0..180).all(|day| freshness(Some(day)) > freshness(Some(day + 1))));
    }
}
