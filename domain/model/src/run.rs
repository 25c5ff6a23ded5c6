//! Runs of the scheduler: why many images are evaluated again, and how far that is.

use std::fmt;
use std::str::FromStr;

use crate::job::{UnknownWord, words};

words! {
    /// Why a run is.
    RunKind, "run kind", {
        /// Feeds have changed: the images that the change touches.
        Delta = "delta",
        /// Somebody said which packages have changed: the images that hold them.
        Packages = "packages",
        /// Images that were chosen by other marks, by a schedule or a person.
        Sweep = "sweep",
    }
}

words! {
    /// How far a run is.
    RunState, "run state", {
        /// Its images are being chosen.
        Planned = "planned",
        /// It would change so much that a person has to agree first.
        Held = "held",
        /// Its images are evaluated again, page by page.
        Running = "running",
        /// All its images are evaluated.
        Completed = "completed",
        /// It ended, and some of its images could not be evaluated; the reason is kept.
        Failed = "failed",
        /// Given up on request.
        Cancelled = "cancelled",
    }
}

words! {
    /// What became of one image of a run.
    RunImageState, "state of a run's image", {
        /// It waits for its turn.
        Selected = "selected",
        /// Its evaluation is asked for.
        Dispatched = "dispatched",
        /// It was evaluated on the run's snapshot by other means before its turn came.
        Current = "current",
        /// Evaluated; its verdict is as it was.
        Unchanged = "unchanged",
        /// Evaluated, with a new verdict.
        Changed = "changed",
        /// It could not be evaluated.
        Failed = "failed",
    }
}

impl RunState {
    /// Whether nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Planned | Self::Held | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_what_they_were() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for kind in RunKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for state in RunImageState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert_eq!("paused".parse::<RunState>().unwrap_err().to_string(), "\"paused\" is not a run state");
    }

    #[test]
    fn three_states_are_final() {
        let open: Vec<_> = RunState::ALL.iter().filter(|state| !state.is_final()).collect();
        assert_eq!(open, [&RunState::Planned, &RunState::Held, &RunState::Running]);
    }
}
