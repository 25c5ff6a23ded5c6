//! How bad a vulnerability is.

use std::fmt;

/// The five words of CVSS v3.1 §5 and "unknown". Ordered: unknown is the lowest, critical the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Severity {
    /// Nobody said.
    #[default]
    Unknown,
    /// Score 0.0, or called negligible.
    None,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// 9.0 to 10.0.
    Critical,
}

impl Severity {
    /// Every severity, lowest first.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for a CVSS base score (CVSS v3.1 §5).
    pub fn from_score(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::None,
        }
    }

    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_fall_on_the_published_borders() {
        for (score, word) in [
            (0.0, "none"),
            (0.1, "low"),
            (3.9, "low"),
            (4.0, "medium"),
            (7.0, "high"),
            (8.9, "high"),
            (9.0, "critical"),
        ] {
            assert_eq!(Severity::from_score(score).as_str(), word, "score {score}");
        }
    }

    #[test]
    fn unknown_is_below_everything_and_critical_above() {
        assert!(Severity::ALL.is_sorted());
    }
}
