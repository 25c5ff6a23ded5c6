//! Delta equals full: whether a result that was kept is what matching everything anew gives.

use std::fmt;

use model::{Coverage, Digest};

use crate::Evaluation;
use crate::digest::findings_digest;

/// A result as a verdict keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of the findings.
    pub findings: Digest,
    /// How far they could be trusted.
    pub coverage: Coverage,
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
pub fn compare(kept: Kept, full: &Evaluation) -> Result<(), Box<Difference>> {
    let full = Kept { findings: findings_digest(&full.findings), coverage: full.coverage };
    if kept == full { Ok(()) } else { Err(Box::new(Difference { kept, full })) }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, full } = self;
        let coverage = |kept: &Kept| kept.coverage.as_str();
        write!(
            f,
            "kept are {} ({}), matching everything gives {} ({})",
            kept.findings,
            coverage(kept),
            full.findings,
            coverage(full)
        )
    }
}
