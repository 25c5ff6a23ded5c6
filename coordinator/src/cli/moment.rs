//! Moments on the command line: a day, or a moment of it.

use prost_types::Timestamp;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, time};
use time::{Date, OffsetDateTime, UtcOffset};

use super::words;

/// A day stands for its end in UTC: what was known on that day is all that had come in by then.
pub(super) fn parse_moment(text: &str) -> Result<OffsetDateTime, String> {
    let day = format_description!("[year]-[month]-[day]");
    if let Ok(day) = Date::parse(text, day) {
        return Ok(day.with_time(time!(23:59:59.999_999)).assume_utc());
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no time: write it as 2026-05-31 or 2026-05-31T12:00:00Z"))
}

/// A day stands for its beginning in UTC: from when on something holds.
pub(super) fn parse_start(text: &str) -> Result<OffsetDateTime, String> {
    let day = format_description!("[year]-[month]-[day]");
    match Date::parse(text, day) {
        Ok(day) => Ok(day.midnight().assume_utc()),
        Err(_) => parse_moment(text),
    }
}

/// A moment to the second, in UTC, or what stands for none.
pub(super) fn shown_or_nothing(time: Option<Timestamp>) -> String {
    time.map_or_else(|| words::NOTHING.to_owned(), shown)
}

/// A moment to the second, in UTC.
pub(super) fn shown(time: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let moment = words::moment(time).map(|moment| moment.to_offset(UtcOffset::UTC));
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_else(|| words::NOTHING.to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_day_is_its_end_and_a_moment_itself() {
        assert_eq!(parse_moment("2026-05-31"), Ok(datetime!(2026-05-31 23:59:59.999_999 UTC)));
        assert_eq!(parse_moment("2026-05-31T12:00:00+02:00"), Ok(datetime!(2026-05-31 10:00 UTC)));
        assert_eq!(parse_start("2026-05-31"), Ok(datetime!(2026-05-31 0:00 UTC)));
        assert_eq!(parse_start("2026-05-31T12:00:00Z"), Ok(datetime!(2026-05-31 12:00 UTC)));
        for wrong in ["", "yesterday", "2026-13-01", "2026-05-31 12:00"] {
            assert!(parse_moment(wrong).unwrap_err().contains("write it as"), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_shown_to_the_second() {
        assert_eq!(shown(Timestamp { seconds: 0, nanos: 5 }), "1970-01-01 00:00:00Z");
    }
}
