//! Wakes the sweeper at each tick, and at once when a node has died or Valkey has lost everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use cluster::{Cluster, EntityMessage, Receipt};
use ractor::ActorRef;

/// How urgent a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Haste {
    /// When its time comes.
    None,
    /// Now: a node has died, and its work waits.
    Look,
    /// Now, for everything that is unfinished: the streams are gone.
    Everything,
}

/// Remembers, until the sweeper asks, how urgent it is.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU8);

impl Clock {
    /// How urgent it is; asking takes it back.
    pub(super) fn haste(&self) -> Haste {
        match self.0.swap(Haste::None as u8, Ordering::Relaxed) {
            0 => Haste::None,
            1 => Haste::Look,
            _ => Haste::Everything,
        }
    }

    fn raise(&self, haste: Haste) {
        self.0.fetch_max(haste as u8, Ordering::Relaxed);
    }

    /// Ticks until the actor is gone. One wake at a time: a slow sweep is not followed by a queue of them.
    pub(super) fn start(
        self: &Arc<Self>,
        cluster: &Cluster,
        tick: Duration,
        sweeper: ActorRef<EntityMessage>,
    ) {
        let clock = self.clone();
        let (mut died, mut lost) = (cluster.died(), cluster.valkey_lost());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(tick) => {}
                    // One that lags behind has missed a death all the same.
                    _ = died.recv() => clock.raise(Haste::Look),
                    Ok(()) = lost.changed() => clock.raise(Haste::Everything),
                }
                let (receipt, settled) = Receipt::watched();
                if sweeper.cast(EntityMessage::Wake(receipt)).is_err() {
                    return;
                }
                // Dropped undone means that the sweeper failed; then the next cast does.
                let _ = settled.await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_haste_counts_once() {
        let clock = Clock::default();
        clock.raise(Haste::Everything);
        clock.raise(Haste::Look);
        assert_eq!([clock.haste(), clock.haste()], [Haste::Everything, Haste::None]);
    }
}
