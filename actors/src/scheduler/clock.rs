//! Wakes the scheduler at each tick: windows pass, images are done, schedules come.

use std::time::Duration;

use cluster::{EntityMessage, Receipt};
use ractor::ActorRef;

/// Ticks until the actor is gone. One wake at a time: a slow look is not followed by a queue of them.
pub(super) fn start(tick: Duration, scheduler: ActorRef<EntityMessage>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(tick).await;
            let (receipt, settled) = Receipt::watched();
            if scheduler.cast(EntityMessage::Wake(receipt)).is_err() {
                return;
            }
            // Dropped undone means that the scheduler failed; then the next cast does.
            let _ = settled.await;
        }
    });
}
