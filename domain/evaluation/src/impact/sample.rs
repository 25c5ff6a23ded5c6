//! Delta equals full: whether a result that was kept is what matching everything anew gives.

use std::collections::BTreeSet;
use std::fmt;

use model::{Coverage, Digest, Gap};

use crate::Matched;

/// Chooses up to so many of the places from 1 to `last`, by a seed: the same ones for the same seed.
pub fn sampled(seed: u64, last: i32, count: u32) -> BTreeSet<i32> {
    let Some(all) = u64::try_from(last).ok().filter(|all| *all > 0) else { return BTreeSet::new() };
    let place = |turn| 1 + spread(seed ^ spread(turn)) % all;
    let places = (0..u64::from(count)).map(place).filter_map(|place| i32::try_from(place).ok());
    places.collect()
}

/// The last step of SplitMix64: neighbours end far from each other.
const fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A result as a verdict keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of the findings.
    pub findings: Digest,
    /// How far they could be trusted.
    pub coverage: Coverage,
    /// Why no further; not kept with verdicts of before.
    pub gaps: Option<Vec<Gap>>,
}

/// What differs between a kept result and the full one of the same advisories: a fault of ours, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was kept.
    pub kept: Kept,
    /// What it should be.
    pub full: Kept,
}

/// Holds a kept result against everything matched anew, with the same SBOM and the same advisories.
pub fn compare(kept: Kept, full: Matched) -> Result<(), Box<Difference>> {
    let gaps = kept.gaps.as_ref().map(|_| full.gaps);
    let full = Kept { findings: full.findings.digest().clone(), coverage: full.coverage, gaps };
    if kept == full { Ok(()) } else { Err(Box::new(Difference { kept, full })) }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, full } = self;
        let coverage = |kept: &Kept| {
            let gaps = kept.gaps.as_ref().map_or(0, Vec::len);
            format!("{}, for {gaps} reasons", kept.coverage.as_str())
        };
        let (kept_coverage, full_coverage) = (coverage(kept), coverage(full));
        let (kept, full) = (&kept.findings, &full.findings);
        write!(f, "kept are {kept} ({kept_coverage}), matching everything gives {full} ({full_coverage})")
    }
}
