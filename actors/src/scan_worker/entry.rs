//! What becomes of a stream's entry once its work was looked at.
//!
//! Pure. An entry that is not settled by us stays: when its lease runs out, somebody looks at it again.

use store::work::{Claim, StopReason};

/// Whether the work an entry stands for is settled in the store, as far as this entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Acknowledge it.
    Yes,
    /// Leave it to its lease.
    No,
}

/// After a claim that was refused: the live holder has an entry of its own, and work that waits gets another when it is
/// due. One that was granted is settled by what comes of it.
pub const fn after_claim(claim: &Claim) -> Settled {
    match claim {
        Claim::AlreadyDone | Claim::HeldByLiveNode | Claim::NotYet => Settled::Yes,
        Claim::Claimed(_) => Settled::No,
    }
}

/// After an attempt that is not wanted any more: an entry that was taken over is the other's now.
pub const fn after_stop(reason: StopReason) -> Settled {
    match reason {
        StopReason::Cancelled => Settled::Yes,
        StopReason::TakenOver => Settled::No,
    }
}
