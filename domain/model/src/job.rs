//! Jobs: what is accepted, how urgent, and how far it is.

use std::fmt;
use std::str::FromStr;

/// A word that names no state, lane or kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a {what}")]
pub struct UnknownWord {
    /// What was looked for.
    pub what: &'static str,
    /// What was found.
    pub word: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it in rows, messages, metrics and tables.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.to_owned() }),
                }
            }
        }
    };
}

pub(crate) use words;

words! {
    /// A priority class of jobs. Ordered: the first is served first.
    Lane, "lane", {
        /// A person or a pipeline waits for it.
        Interactive = "interactive",
        /// Many at once; nobody waits for a single one.
        Bulk = "bulk",
        /// The system's own rounds.
        Sweep = "sweep",
    }
}

words! {
    /// What a job does.
    JobKind, "job kind", {
        /// Extract an image's components, if need be, and evaluate it.
        Scan = "scan",
        /// Evaluate an image again from its stored SBOM.
        Reevaluate = "reevaluate",
    }
}

words! {
    /// How far a job is. `attesting` joins between evaluating and done when there is a signer.
    JobState, "job state", {
        /// Committed in the database; nothing done yet.
        Accepted = "accepted",
        /// Its image's layers are being read.
        Extracting = "extracting",
        /// Its components are matched against the advisories.
        Evaluating = "evaluating",
        /// Finished, with a verdict.
        Done = "done",
        /// Finished without one; the reason is kept.
        Failed = "failed",
        /// Given up on request.
        Cancelled = "cancelled",
    }
}

words! {
    /// A stretch of a job's life, as the waterfall shows it.
    Stage, "stage", {
        /// From accepted until the tenant's turn.
        Queued = "queued",
        /// From admitted until a worker takes it.
        Dispatched = "dispatched",
        /// Reading layers.
        Extracting = "extracting",
        /// Matching.
        Evaluating = "evaluating",
    }
}

impl JobState {
    /// Whether nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Accepted | Self::Extracting | Self::Evaluating => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_what_they_were() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert_eq!(
            "urgent".parse::<Lane>().map_err(|e| e.to_string()),
            Err(r#""urgent" is not a lane"#.to_owned())
        );
    }
}
