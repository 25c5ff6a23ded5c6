//! From a column's plain value to the domain's word for it.

use std::str::FromStr;

use model::Lane;

use crate::Error;

/// Reads a text column; what the domain refuses is a corrupt row.
pub(crate) fn parse<T>(table: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e: T::Err| Error::Corrupt { table, source: Box::new(e) })
}

/// A word that has no `FromStr`, looked up by the domain's own function.
pub(crate) fn word<T>(table: &'static str, text: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    find(text).ok_or_else(|| Error::Corrupt { table, source: format!("unknown word {text:?}").into() })
}

/// A number that is never negative nor large by the schema's own checks.
pub(crate) fn number<T, N>(table: &'static str, value: N) -> Result<T, Error>
where
    T: TryFrom<N>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(value).map_err(|e| Error::Corrupt { table, source: Box::new(e) })
}

/// Foreign text as a column takes it: PostgreSQL's holds every character but NUL, which hostile files may hold too.
pub(crate) fn text(foreign: &str) -> String {
    foreign.replace('\0', "\u{fffd}")
}

/// Lanes are stored by their place in `Lane::ALL`, so that rows sort by urgency.
pub(crate) const fn lane_index(lane: Lane) -> i16 {
    lane as i16
}

pub(crate) fn lane(table: &'static str, index: i16) -> Result<Lane, Error> {
    usize::try_from(index)
        .ok()
        .and_then(|i| Lane::ALL.get(i).copied())
        .ok_or_else(|| Error::Corrupt { table, source: format!("unknown lane {index}").into() })
}
