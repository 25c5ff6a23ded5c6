//! The order of a relay's round: take, ring, commit; and how long to rest after it.
//!
//! Pure. Bells are taken from the outbox by a transaction that is committed only once they have rung, so whatever
//! fails on the way, they are either still owed or rung twice.

use std::time::Duration;

use crate::backoff::Backoff;

/// At most so many bells in one round.
pub const BATCH: u32 = 500;
/// Another node's commit does not notify us, and its own relay may be gone.
const POLL: Duration = Duration::from_millis(100);
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// What came of the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// A round begins.
    Begun,
    /// So many bells are taken, in a transaction that is open.
    Taken(usize),
    /// They are all in their streams.
    Rung,
    /// The transaction is committed.
    Committed,
    /// Something failed; the transaction is rolled back, or soon will be.
    Failed,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Take what is due.
    Take,
    /// Put what was taken into its streams.
    Ring,
    /// Commit.
    Commit,
    /// The round is over.
    Rest(Rest),
}

/// What comes between two rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing: there is more.
    No,
    /// A little, or until somebody here leaves a bell.
    UntilRung,
    /// More and more, after so many failures in a row.
    BackOff(u32),
}

/// The rounds of one relay.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    failures: u32,
    taken: usize,
}

impl Rounds {
    /// Rounds that failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The next step.
    pub fn next(&mut self, came: Came) -> Next {
        match came {
            Came::Begun => Next::Take,
            Came::Taken(0) => self.end(0),
            Came::Taken(taken) => {
                self.taken = taken;
                Next::Ring
            }
            Came::Rung => Next::Commit,
            Came::Committed => self.end(self.taken),
            Came::Failed => {
                self.failures = self.failures.saturating_add(1);
                Next::Rest(Rest::BackOff(self.failures))
            }
        }
    }

    const fn end(&mut self, carried: usize) -> Next {
        self.failures = 0;
        Next::Rest(if carried < BATCH as usize { Rest::UntilRung } else { Rest::No })
    }
}

impl Rest {
    /// How long at most; `luck` between 0 and 1.
    pub fn longest(self, luck: f64) -> Duration {
        match self {
            Self::No => Duration::ZERO,
            Self::UntilRung => POLL,
            Self::BackOff(failures) => BACKOFF.delay(failures, luck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_are_committed_only_once_they_have_rung() {
        let mut rounds = Rounds::default();
        let steps = [Came::Begun, Came::Taken(3), Came::Rung, Came::Committed].map(|came| rounds.next(came));
        assert_eq!(steps, [Next::Take, Next::Ring, Next::Commit, Next::Rest(Rest::UntilRung)]);
        assert_eq!(rounds.next(Came::Taken(0)), Next::Rest(Rest::UntilRung));
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_failures_wait_longer_and_longer() {
        let mut rounds = Rounds::default();
        rounds.next(Came::Taken(BATCH as usize));
        assert_eq!(rounds.next(Came::Committed), Next::Rest(Rest::No));
        let failed = [Came::Failed, Came::Failed].map(|came| rounds.next(came));
        assert_eq!(failed, [Next::Rest(Rest::BackOff(1)), Next::Rest(Rest::BackOff(2))]);
        rounds.next(Came::Taken(0));
        assert_eq!(rounds.failures(), 0);
    }
}
