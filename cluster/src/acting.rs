//! Whether this node may act, by its own clock.
//!
//! Asked at the moment of acting, not told by a message: a process that was stopped and goes on must not
//! work through what had queued up before it has looked at the time. A courtesy to the next owner; the
//! epoch is the safety.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The node's clock, and until when its last counted heartbeat lets it act. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Acting {
    begun: Instant,
    until_nanos: Arc<AtomicU64>,
}

impl Acting {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), until_nanos: Arc::default() }
    }

    /// Time since the node began: what its machines take for the time.
    pub(crate) fn clock(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Effects may start until then.
    pub(crate) fn extend(&self, until: Duration) {
        self.until_nanos.fetch_max(nanos(until), Ordering::AcqRel);
    }

    /// Never again: this node is declared dead, or has left.
    pub(crate) fn end(&self) {
        // No later heartbeat raises it: whoever ends this sends no more of them.
        self.until_nanos.store(0, Ordering::Release);
    }

    pub(crate) fn may_act(&self) -> bool {
        nanos(self.clock()) < self.until_nanos.load(Ordering::Acquire)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_only_until_its_time_is_over() {
        let acting = Acting::new();
        assert!(!acting.may_act(), "not before the first heartbeat counts");
        acting.extend(acting.clock());
        assert!(!acting.may_act(), "a heartbeat that counted too late");
        acting.extend(acting.clock() + Duration::from_secs(60));
        acting.extend(acting.clock());
        assert!(acting.may_act(), "an older heartbeat takes nothing away");
        acting.end();
        assert!(!acting.may_act());
    }
}
