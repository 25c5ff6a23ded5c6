//! Ranges of affected versions, by the OSV schema ("affected[].ranges[].events", "Evaluation").
//!
//! The schema's algorithm walks the events in the order of their versions and asks at the end whether
//! the version is affected. Here the walk is done once, when the range is read: what is left are
//! intervals, and asking is two comparisons. An interval also says why a version is affected.

use std::fmt;

use crate::{InvalidVersion, Scheme, Version};

/// One event of a range, with its version as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// The first affected version; `0` stands before every version.
    Introduced(String),
    /// The first version that is not affected any more.
    Fixed(String),
    /// The last affected version.
    LastAffected(String),
    /// What is not below any of these is not spoken of; `*` stands after every version.
    Limit(String),
}

/// Events that make no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// One of its versions is not a version of the scheme.
    #[error(transparent)]
    Version(#[from] InvalidVersion),
    /// It never begins.
    #[error("the range has no introduced event")]
    NeverIntroduced,
}

/// The versions of one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    intervals: Box<[Interval]>,
    fixed: Box<[Version]>,
}

/// Neighbouring affected versions. Shown as `[1.0, 1.4)`; `*` is no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The first; `None` is before every version.
    from: Option<Version>,
    to: End,
}

/// Where affected versions end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// This one is not affected any more.
    Before(Version),
    /// This one is the last.
    Through(Version),
    /// All that follow are affected.
    Never,
}

impl Range {
    /// Reads the events of a range, in any order.
    pub fn parse(scheme: Scheme, events: &[Event]) -> Result<Self, InvalidRange> {
        let mut steps = Vec::with_capacity(events.len());
        let mut limits = Limits::None;
        for event in events {
            match event {
                Event::Introduced(text) if text == "0" => steps.push((None, Step::Introduced)),
                Event::Introduced(text) => {
                    steps.push((Some(Version::parse(scheme, text)?), Step::Introduced))
                }
                Event::Fixed(text) => steps.push((Some(Version::parse(scheme, text)?), Step::Fixed)),
                Event::LastAffected(text) => {
                    steps.push((Some(Version::parse(scheme, text)?), Step::LastAffected));
                }
                Event::Limit(text) if text == "*" => limits.lift(),
                Event::Limit(text) => limits.add(Version::parse(scheme, text)?),
            }
        }
        if !steps.iter().any(|(_, step)| *step == Step::Introduced) {
            return Err(InvalidRange::NeverIntroduced);
        }
        steps.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut fixed: Vec<_> = fixes(&steps).collect();
        fixed.dedup();
        let intervals = walk(&steps).into_iter().filter_map(|interval| limits.cut(interval));
        Ok(Self { intervals: intervals.collect(), fixed: fixed.into() })
    }

    /// A range that was taken apart, from what [`Self::intervals`] and [`Self::fixed`] told.
    pub fn from_parts(intervals: Vec<Interval>, fixed: Vec<Version>) -> Self {
        Self { intervals: intervals.into(), fixed: fixed.into() }
    }

    /// The versions that it calls fixed, lowest first.
    pub fn fixed(&self) -> &[Version] {
        &self.fixed
    }

    /// What it holds, lowest first.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The interval that holds this version, if one does.
    pub fn contains(&self, version: &Version) -> Option<&Interval> {
        self.intervals.iter().find(|interval| interval.contains(version))
    }

    /// The versions after this one that the range calls fixed, lowest first.
    pub fn fixed_after(&self, version: &Version) -> impl Iterator<Item = &Version> {
        self.fixed.iter().filter(move |fixed| *fixed > version)
    }
}

impl Interval {
    /// From the first affected version, where not all before are, to the end.
    pub const fn new(from: Option<Version>, to: End) -> Self {
        Self { from, to }
    }

    /// The first affected version; `None` is before every version.
    pub const fn from(&self) -> Option<&Version> {
        self.from.as_ref()
    }

    /// Where it ends.
    pub const fn to(&self) -> &End {
        &self.to
    }

    fn contains(&self, version: &Version) -> bool {
        self.from.as_ref().is_none_or(|from| version >= from)
            && match &self.to {
                End::Before(end) => version < end,
                End::Through(last) => !version.is_after(last),
                End::Never => true,
            }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_ref().map_or("0", Version::text);
        match &self.to {
            End::Before(end) => write!(f, "[{from}, {end})"),
            End::Through(last) => write!(f, "[{from}, {last}]"),
            End::Never => write!(f, "[{from}, *)"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Introduced,
    Fixed,
    LastAffected,
}

fn fixes(steps: &[(Option<Version>, Step)]) -> impl Iterator<Item = Version> {
    steps.iter().filter(|(_, step)| *step == Step::Fixed).filter_map(|(version, _)| version.clone())
}

/// Walks over sorted steps. At each version two things are asked: is it affected itself, and is what follows?
fn walk(steps: &[(Option<Version>, Step)]) -> Vec<Interval> {
    let mut intervals: Vec<Interval> = Vec::new();
    let mut open: Option<Option<Version>> = None;
    for group in steps.chunk_by(|(a, _), (b, _)| a == b) {
        let here = &group[0].0;
        // A last affected version takes its builds with it (`5` the `5+cpu`); an event among those goes on from there.
        if let Some(here) = here
            && let Some(interval) = intervals.pop_if(|last| last.contains(here))
        {
            open = Some(interval.from);
        }
        let (mut at, mut after) = (open.is_some(), open.is_some());
        for (_, step) in group {
            match step {
                Step::Introduced => (at, after) = (true, true),
                Step::Fixed => (at, after) = (false, false),
                Step::LastAffected => after = false,
            }
        }
        if at && open.is_none() {
            open = Some(here.clone());
        }
        if !after && let Some(from) = open.take() {
            let here = here.clone().expect("only introduced stands before every version");
            intervals.push(Interval { from, to: if at { End::Through(here) } else { End::Before(here) } });
        }
    }
    intervals.extend(open.map(|from| Interval { from, to: End::Never }));
    intervals
}

/// How far a range speaks at all: below the highest of its limits.
enum Limits {
    None,
    Below(Version),
    Lifted,
}

impl Limits {
    fn lift(&mut self) {
        *self = Self::Lifted;
    }

    fn add(&mut self, limit: Version) {
        match self {
            Self::Lifted => {}
            Self::Below(highest) if *highest >= limit => {}
            Self::None | Self::Below(_) => *self = Self::Below(limit),
        }
    }

    fn cut(&self, interval: Interval) -> Option<Interval> {
        let Self::Below(limit) = self else { return Some(interval) };
        if interval.from.as_ref().is_some_and(|from| from >= limit) {
            return None;
        }
        match &interval.to {
            End::Before(end) if end <= limit => Some(interval),
            End::Through(last) if limit.is_after(last) => Some(interval),
            End::Before(_) | End::Through(_) | End::Never => {
                Some(Interval { from: interval.from, to: End::Before(limit.clone()) })
            }
        }
    }
}
