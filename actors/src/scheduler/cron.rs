//! When a schedule comes: five fields (minute, hour, day of the month, month, day of the week), in UTC.
//!
//! As in crontab(5): `*`, numbers, ranges, lists, steps, three-letter names of months and days, 7 for Sunday; when both
//! days are restricted, either is enough. No seconds, no `L`, `W` or `#`, no time zones: rounds of a fleet need none.

use std::str::FromStr;

use time::{Date, Duration, Month, OffsetDateTime, Time};

/// How far ahead is looked: February 29th comes within eight years.
const DAYS_MAX: u32 = 8 * 366 + 1;

/// When something comes again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either of the days is enough.
    either_day: bool,
}

/// The text says no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// There are more or fewer than five fields.
    #[error("it must have five fields: minute, hour, day of the month, month, day of the week")]
    Fields,
    /// A field cannot be read.
    #[error("{field}: {text:?} is not of {lowest} to {highest}, a range, a list or a step")]
    Field {
        /// Which.
        field: &'static str,
        /// The part that cannot be read.
        text: String,
        /// The least it may say.
        lowest: u8,
        /// The most.
        highest: u8,
    },
    /// There is no such day.
    #[error("it never comes")]
    Never,
}

struct Field {
    name: &'static str,
    lowest: u8,
    highest: u8,
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", lowest: 0, highest: 59, words: &[] };
const HOUR: Field = Field { name: "hour", lowest: 0, highest: 23, words: &[] };
const DAY: Field = Field { name: "day of the month", lowest: 1, highest: 31, words: &[] };
const MONTH: Field = Field {
    name: "month",
    lowest: 1,
    highest: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    name: "day of the week",
    lowest: 0,
    highest: 7,
    words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Field {
    /// The numbers that the text names, as bits.
    fn parse(&self, text: &str) -> Result<u64, InvalidCron> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| InvalidCron::Field {
                field: self.name,
                text: part.to_owned(),
                lowest: self.lowest,
                highest: self.highest,
            })?;
        }
        Ok(bits)
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if range == "*" => (self.lowest, self.highest),
            // `5/15` is from five on.
            None => (self.number(range)?, if step.is_some() { self.highest } else { self.number(range)? }),
        };
        let numbers = (from..=to).step_by(usize::from(step.unwrap_or(1)));
        (from <= to).then(|| numbers.fold(0, |bits, number| bits | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let word = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let number = match word {
            Some(place) => u8::try_from(place).ok()? + self.lowest,
            None => text.parse().ok()?,
        };
        (self.lowest..=self.highest).contains(&number).then_some(number)
    }
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else { return Err(InvalidCron::Fields) };
        let weekdays = WEEKDAY.parse(weekday)?;
        let cron = Self {
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DAY.parse(day)?,
            months: MONTH.parse(month)?,
            weekdays: weekdays | (weekdays >> 7),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        cron.after(OffsetDateTime::UNIX_EPOCH).map(|_| cron).ok_or(InvalidCron::Never)
    }
}

impl Cron {
    /// The first time after this moment.
    pub fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = moment.to_offset(time::UtcOffset::UTC) + Duration::minutes(1);
        let mut date = moment.date();
        let mut earliest = (moment.hour(), moment.minute());
        for _ in 0..DAYS_MAX {
            if self.has_day(date)
                && let Some(time) = self.time_from(earliest)
            {
                return Some(date.with_time(time).assume_utc());
            }
            date = date.next_day()?;
            earliest = (0, 0);
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().number_days_from_sunday());
        let right_day = if self.either_day { day || weekday } else { day && weekday };
        has(self.months, Month::from(date.month()).into()) && right_day
    }

    /// The first time of a day that is not before this hour and minute.
    fn time_from(&self, (hour, minute): (u8, u8)) -> Option<Time> {
        let minutes = |from: u8| (from..60).find(|minute| has(self.minutes, *minute));
        let (hour, minute) = (hour..24).filter(|at| has(self.hours, *at)).find_map(|at| {
            let from = if at == hour { minute } else { 0 };
            minutes(from).map(|minute| (at, minute))
        })?;
        Time::from_hms(hour, minute, 0).ok()
    }
}

const fn has(bits: u64, number: u8) -> bool {
    bits & (1 << number) != 0
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
        check("0 0 */2 * fri", wednesday, datetime!(2026-03-13 0:00 UTC));
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
            assert!(matches!(bad.parse::<Cron>(), Err(InvalidCron::Field { .. })), "{bad}");
        }
        assert_eq!("0 0 30 2 *".parse::<Cron>(), Err(InvalidCron::Never));
    }
}
