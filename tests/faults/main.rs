//! Real processes are killed, frozen and cut off; what was promised must hold all the same.
//!
//! One fault at a time: each test has a cluster of its own and the machine to itself, since some of them
//! measure time.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; clippy knows only the functions marked as such"
)]

mod backup;
mod frozen;
mod kills;
mod leaving;
mod load;
mod lost_bells;
mod lost_database;
mod nemesis;
mod scheduler;
mod zombies;

use tokio::sync::{Mutex, MutexGuard};

/// Waits until no other fault is under way.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
