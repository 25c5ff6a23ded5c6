//! How long to wait before the next try: doubling, bounded, and never the same for two who failed together.

use std::time::Duration;

/// A first delay that doubles with each failure in a row, up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// After the first failure.
    pub(crate) first: Duration,
    /// After many.
    pub(crate) max: Duration,
}

impl Backoff {
    /// What actors of a node use.
    pub(crate) const ACTORS: Self = Self { first: Duration::from_millis(100), max: Duration::from_secs(30) };

    /// The delay after this many failures in a row; `luck` between 0 and 1 spreads it over its upper half.
    pub(crate) fn delay(self, failures: u32, luck: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.max);
        whole.mul_f64(0.5 + luck.clamp(0.0, 1.0) / 2.0)
    }

    /// The same with luck of the moment.
    pub(crate) fn random_delay(self, failures: u32) -> Duration {
        self.delay(failures, rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let delays = [1, 2, 3, 4, 5, 100].map(|failures| backoff.delay(failures, 1.0).as_millis());
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn luck_never_takes_more_than_half_of_a_delay() {
        let delays = [0.0, 0.5, 1.0].map(|luck| Backoff::ACTORS.delay(1, luck).as_millis());
        assert_eq!(delays, [50, 75, 100]);
    }
}
