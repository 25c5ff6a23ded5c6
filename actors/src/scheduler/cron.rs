//! When a schedule comes: five fields (minute, hour, day of the month, month, day of the week), in UTC.
//!
//! As in crontab(5), with `L`, `W` and `#` besides; when both days are restricted, either is enough (`*/2` restricts
//! too). No seconds, no years, no time zones: rounds of a fleet need none.

use std::str::FromStr;

use chrono::DateTime;
use croner::parser::{CronParser, Seconds, Year};
use time::OffsetDateTime;

/// When something comes again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron(croner::Cron);

/// The text says no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// There are more or fewer than five fields.
    #[error("it must have five fields: minute, hour, day of the month, month, day of the week")]
    Fields,
    /// A field cannot be read.
    #[error("{0}")]
    Field(String),
    /// There is no such day.
    #[error("it never comes")]
    Never,
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        if text.split_ascii_whitespace().count() != 5 {
            return Err(InvalidCron::Fields);
        }
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).sloppy_ranges(true);
        let cron =
            parser.build().parse(text).map(Self).map_err(|error| InvalidCron::Field(error.to_string()))?;
        cron.after(OffsetDateTime::UNIX_EPOCH).map(|_| cron).ok_or(InvalidCron::Never)
    }
}

impl Cron {
    /// The first time after this moment.
    pub fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = DateTime::from_timestamp(moment.unix_timestamp(), 0)?;
        let next = self.0.find_next_occurrence(&moment, false).ok()?;
        OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[track_caller]
    fn check(cron: &str, after: OffsetDateTime, expected: OffsetDateTime) {
        let cron: Cron = cron.parse().expect("it can be read");
        assert_eq!(cron.after(after), Some(expected));
    }

    #[test]
    fn the_next_time_is_after_the_moment_and_never_at_it() {
        let noon = datetime!(2026-03-04 12:00:00 UTC);
        check("* * * * *", noon, datetime!(2026-03-04 12:01 UTC));
        check("* * * * *", datetime!(2026-03-04 12:00:59.9 UTC), datetime!(2026-03-04 12:01 UTC));
        check("0 12 * * *", noon, datetime!(2026-03-05 12:00 UTC));
        check("30 12 * * *", noon, datetime!(2026-03-04 12:30 UTC));
        check("59 23 31 12 *", noon, datetime!(2026-12-31 23:59 UTC));
        check("0 0 1 1 *", datetime!(2026-12-31 23:59:30 UTC), datetime!(2027-01-01 0:00 UTC));
    }

    #[test]
    fn lists_ranges_steps_and_names() {
        let wednesday = datetime!(2026-03-04 12:00 UTC);
        check("*/15 * * * *", wednesday, datetime!(2026-03-04 12:15 UTC));
        check("5/20 * * * *", wednesday, datetime!(2026-03-04 12:05 UTC));
        check("0 9-17/4 * * *", wednesday, datetime!(2026-03-04 13:00 UTC));
        check("0 2,4 * * mon-FRI", wednesday, datetime!(2026-03-05 2:00 UTC));
        check("0 0 * feb *", wednesday, datetime!(2027-02-01 0:00 UTC));
        check("0 0 * * 7", wednesday, datetime!(2026-03-08 0:00 UTC));
        check("0 0 29 2 *", wednesday, datetime!(2028-02-29 0:00 UTC));
    }

    #[test]
    fn of_two_restricted_days_either_is_enough() {
        let wednesday = datetime!(2026-03-04 12:00 UTC);
        check("0 0 13 * fri", wednesday, datetime!(2026-03-06 0:00 UTC));
        check("0 0 5 * fri", wednesday, datetime!(2026-03-05 0:00 UTC));
        check("0 0 */2 * fri", wednesday, datetime!(2026-03-05 0:00 UTC));
    }

    #[test]
    fn what_says_no_times_is_refused() {
        for bad in ["", "* * * *", "* * * * * *"] {
            assert_eq!(bad.parse::<Cron>(), Err(InvalidCron::Fields), "{bad}");
        }
        for bad in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
        ] {
            assert!(matches!(bad.parse::<Cron>(), Err(InvalidCron::Field(_))), "{bad}");
        }
        assert_eq!("0 0 30 2 *".parse::<Cron>(), Err(InvalidCron::Never));
    }
}
