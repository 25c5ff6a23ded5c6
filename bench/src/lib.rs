//! What the measurements share. Each is a program of its own under `src/bin`; `docs/benchmarks.md` has
//! their results with the command that repeats them.
//!
//! The machines are shared and noisy: what is compared runs in turns within one process, and medians and
//! ratios are told rather than single times.

#[cfg(feature = "fleet")]
pub mod fleet;
#[cfg(any(feature = "finding", feature = "fleet"))]
pub mod records;

use std::time::{Duration, Instant};

/// How long one call takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

/// The middle of the values; of an even number, the lower of the two in the middle.
///
/// # Panics
///
/// Without values.
pub fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("measurements are numbers"));
    sorted[(sorted.len() - 1) / 2]
}

/// The value below which this share of the values lies (nearest rank).
///
/// # Panics
///
/// Without values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index below the number of values"
)]
pub fn percentile<T: PartialOrd + Copy>(values: &[T], share: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("measurements are numbers"));
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The most memory this process has had resident so far, in bytes (`VmHWM`); `None` where the system does
/// not say.
pub fn peak_memory() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The memory this process has resident now, in bytes (`VmRSS`).
pub fn resident_memory() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// How much more the second is than the first, in MB; what the system did not say counts as nothing.
pub fn grown(before: Option<u64>, after: Option<u64>) -> u64 {
    after.unwrap_or_default().saturating_sub(before.unwrap_or_default()) / 1_000_000
}

fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_percentiles_are_values_that_were_measured() {
        assert_eq!(median(&[3, 1, 2]), 2);
        assert_eq!(median(&[4, 1, 2, 3]), 2);
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            (percentile(&hundred, 0.5), percentile(&hundred, 0.99), percentile(&hundred, 1.0)),
            (50, 99, 100)
        );
    }
}
