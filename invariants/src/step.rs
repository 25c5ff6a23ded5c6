//! Of single steps: cheap enough to be asked at each of them.

use std::time::Duration;

/// Whether a tenant that had so many jobs in flight may be let in so many more. What was in flight before its quota
/// was lowered may stay.
pub const fn is_within_quota(inflight: u32, admitted: u32, max_inflight: u32) -> bool {
    admitted == 0 || inflight.saturating_add(admitted) <= max_inflight
}

/// Whether a node stops acting before others may take it for dead: they need to see its heartbeat of `beaten` stand
/// still for longer than `ttl`.
pub fn ends_before_death(until: Duration, beaten: Duration, ttl: Duration) -> bool {
    until <= beaten + ttl
}

/// Whether a node acts for a partition only as its owner.
pub const fn acts_as_owner(acts: bool, is_owner: bool) -> bool {
    !acts || is_owner
}

/// Whether an effect may be accepted: it names the present epoch.
pub const fn is_current(epoch: i64, named: i64) -> bool {
    epoch == named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_quota_lets_nobody_in_and_throws_nobody_out() {
        assert!(is_within_quota(9, 0, 4));
        assert!(is_within_quota(3, 1, 4));
        assert!(!is_within_quota(3, 2, 4));
    }
}
