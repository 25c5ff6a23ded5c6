//! How long it took until something went on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::fault::{Fault, Progress};

/// How long it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// Until the first of the jobs was done that were submitted from then on.
    pub(super) first: Duration,
    /// Until all were done that were open when something went wrong.
    pub(super) caught_up: Duration,
}

/// By fault.
#[derive(Default)]
pub(super) struct Times(BTreeMap<Fault, Vec<Took>>);

impl Times {
    pub(super) fn note(&mut self, fault: Fault, took: Took) {
        self.0.entry(fault).or_default().push(took);
    }

    /// Those that took longer than they may.
    pub(super) fn late(&self) -> Vec<String> {
        let late = self.0.iter().flat_map(|(fault, times)| {
            let bar = bar(*fault);
            times
                .iter()
                .filter(move |took| took.first > bar)
                .map(move |took| format!("{fault:?}: {took:?} > {bar:?}"))
        });
        late.collect()
    }
}

/// A table in Markdown, in seconds.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | times | goes on after: median | 95 % | most | may | caught up after: median | 95 % | most |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for (fault, times) in &self.0 {
            let (first, bar) = (Spread::of(times, |took| took.first), bar(*fault).as_secs());
            let caught_up = Spread::of(times, |took| took.caught_up);
            writeln!(f, "| {fault:?} | {} | {first} | {bar} | {caught_up} |", times.len())?;
        }
        Ok(())
    }
}

/// How soon there must be progress.
fn bar(fault: Fault) -> Duration {
    let (Progress::During(bar) | Progress::After(bar)) = fault.progress();
    bar
}

/// Lengths of time, sorted.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(times: &[Took], which: fn(&Took) -> Duration) -> Self {
        let mut all: Vec<_> = times.iter().map(which).collect();
        all.sort();
        Self(all)
    }

    fn at(&self, hundredths: usize) -> f64 {
        self.0[(self.0.len() - 1) * hundredths / 100].as_secs_f64()
    }
}

/// Median, 95 %, most.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} | {:.2} | {:.2}", self.at(50), self.at(95), self.at(100))
    }
}
