//! How many images may be asked for now: a bucket that fills with time, one for all runs and one for each that has a
//! rate of its own.
//!
//! It lives in memory. Forgotten, it begins empty, so that a scheduler that is started again and again asks for less.

use std::collections::HashMap;

use model::RunId;
use time::OffsetDateTime;

/// Fills at a rate, up to one second's worth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    tokens: f64,
    at: OffsetDateTime,
}

/// The buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    rate_per_s: f32,
    since: OffsetDateTime,
    all: Bucket,
    runs: HashMap<RunId, Bucket>,
}

impl Bucket {
    /// What is in it at this moment. A clock that goes back adds nothing.
    fn level(&self, rate_per_s: f32, now: OffsetDateTime) -> f64 {
        let rate = f64::from(rate_per_s);
        let gone = (now - self.at).as_seconds_f64().max(0.0);
        (self.tokens + gone * rate).min(rate.max(1.0))
    }
}

impl Budget {
    /// Empty buckets, of this rate for all runs together.
    pub fn new(rate_per_s: f32, now: OffsetDateTime) -> Self {
        Self { rate_per_s, since: now, all: Bucket { tokens: 0.0, at: now }, runs: HashMap::new() }
    }

    /// How many images of this run may be asked for now.
    pub fn allows(&self, run: RunId, own_rate: Option<f32>, now: OffsetDateTime) -> u64 {
        let all = self.all.level(self.rate_per_s, now);
        let own = own_rate.map_or(f64::INFINITY, |rate| self.own(run).level(rate, now));
        whole(all.min(own))
    }

    /// The most that can ever be allowed at once.
    pub fn burst(&self, own_rate: Option<f32>) -> u64 {
        let rate = own_rate.map_or(self.rate_per_s, |own| own.min(self.rate_per_s));
        whole(f64::from(rate).max(1.0))
    }

    /// So many of this run were asked for.
    pub fn spend(&mut self, run: RunId, own_rate: Option<f32>, images: u64, now: OffsetDateTime) {
        let left = |level: f64| level - images as f64;
        self.all = Bucket { tokens: left(self.all.level(self.rate_per_s, now)), at: now };
        if let Some(rate) = own_rate {
            let own = Bucket { tokens: left(self.own(run).level(rate, now)), at: now };
            self.runs.insert(run, own);
        }
    }

    /// Forgets the buckets of runs that are not among these.
    pub fn keep(&mut self, open: impl Fn(RunId) -> bool) {
        self.runs.retain(|run, _| open(*run));
    }

    fn own(&self, run: RunId) -> Bucket {
        self.runs.get(&run).copied().unwrap_or(Bucket { tokens: 0.0, at: self.since })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded below, and saturating")]
fn whole(tokens: f64) -> u64 {
    tokens.max(0.0).floor() as u64
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use uuid::Uuid;

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn run(n: u128) -> RunId {
        RunId::from_uuid(Uuid::from_u128(n))
    }

    fn at(ms: i64) -> OffsetDateTime {
        START + Duration::milliseconds(ms)
    }

    #[test]
    fn it_fills_with_time_up_to_a_seconds_worth() {
        let budget = Budget::new(100.0, START);
        let allowed = [0, 10, 500, 60_000].map(|ms| budget.allows(run(1), None, at(ms)));
        assert_eq!(allowed, [0, 1, 50, 100]);
        assert_eq!(budget.allows(run(1), None, at(-5_000)), 0, "a clock that went back");
    }

    #[test]
    fn what_is_spent_is_gone_for_all() {
        let mut budget = Budget::new(100.0, START);
        budget.spend(run(1), None, 80, at(1_000));
        assert_eq!(budget.allows(run(2), None, at(1_000)), 20);
        assert_eq!(budget.allows(run(2), None, at(1_300)), 50);
    }

    #[test]
    fn a_runs_own_rate_binds_it_alone() {
        let mut budget = Budget::new(100.0, START);
        assert_eq!(budget.allows(run(1), Some(2.0), at(10_000)), 2);
        budget.spend(run(1), Some(2.0), 2, at(10_000));
        assert_eq!(budget.allows(run(1), Some(2.0), at(10_400)), 0);
        assert_eq!(budget.allows(run(2), None, at(10_400)), 100);
        budget.keep(|open| open == run(2));
        assert_eq!(budget.runs.len(), 0);
    }

    #[test]
    fn a_rate_below_one_a_second_lets_one_through_in_its_time() {
        let budget = Budget::new(0.5, START);
        assert_eq!([1_000, 2_000, 60_000].map(|ms| budget.allows(run(1), None, at(ms))), [0, 1, 1]);
        assert_eq!(budget.burst(None), 1);
    }
}
