//! Values as people read them: lengths of time, sizes, states, ids.

use std::time::Duration;

use model::Severity;
use prost_types::Timestamp;
use proto_api::common::v1 as common;
use time::OffsetDateTime;

use crate::grpc::convert;

/// What stands for "not known".
pub(super) const NOTHING: &str = "–";

/// An enum's value as a word: `JOB_STATE_DONE` without `JOB_STATE_` is `done`.
pub(super) fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    if word == "UNSPECIFIED" { NOTHING.to_owned() } else { word.to_lowercase().replace('_', "-") }
}

/// The word for a lane.
pub(super) fn lane(lane: common::Lane) -> String {
    word(lane.as_str_name(), "LANE_")
}

/// A severity of the contract as the model's; what is not said counts as unknown.
pub(super) const fn severity(severity: common::Severity) -> Severity {
    match severity {
        common::Severity::Unspecified | common::Severity::Unknown => Severity::Unknown,
        common::Severity::None => Severity::None,
        common::Severity::Low => Severity::Low,
        common::Severity::Medium => Severity::Medium,
        common::Severity::High => Severity::High,
        common::Severity::Critical => Severity::Critical,
    }
}

/// Two units at most: `1.3 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`.
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A length of time of the contract.
pub(super) fn length_of(time: Option<prost_types::Duration>) -> String {
    duration(time).map_or_else(|| NOTHING.to_owned(), length)
}

/// A length of time of the contract, when it is set and not negative.
pub(super) fn duration(time: Option<prost_types::Duration>) -> Option<Duration> {
    time.and_then(|time| Duration::try_from(time).ok())
}

/// How long ago a moment was.
pub(super) fn ago(time: Option<Timestamp>, now: OffsetDateTime) -> String {
    let Some(time) = time.and_then(moment) else { return NOTHING.to_owned() };
    let age = Duration::try_from(now - time).unwrap_or_default();
    format!("{} ago", length(age))
}

/// From one moment to another.
pub(super) fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Duration> {
    Duration::try_from(moment(end?)? - moment(start?)?).ok()
}

/// A moment of the contract.
pub(super) fn moment(time: Timestamp) -> Option<OffsetDateTime> {
    convert::moment(time)
}

/// A size in bytes: `17 B`, `4.2 MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut rest = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if rest < 1000.0 {
            return if unit == "B" || rest >= 100.0 {
                format!("{rest:.0} {unit}")
            } else {
                format!("{rest:.1} {unit}")
            };
        }
        rest /= 1000.0;
    }
    format!("{rest:.1} TB")
}

/// `1 job`, `2 jobs`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

/// A digest short enough for a table, and long enough to be found by: the server takes it for the whole one.
pub(super) fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_at_most() {
        for (ms, text) in [
            (1_340, "1.3 s"),
            (59_999, "59 s"),
            (245_000, "4 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(length(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn sizes_have_three_figures_at_most() {
        for (bytes, text) in
            [(17, "17 B"), (999, "999 B"), (4_250_000, "4.2 MB"), (120_000, "120 kB"), (1_000, "1.0 kB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_value_of_an_enum_becomes_a_word() {
        assert_eq!(word("JOB_STATE_DONE", "JOB_STATE_"), "done");
        assert_eq!(word("LANE_UNSPECIFIED", "LANE_"), NOTHING);
    }
}
