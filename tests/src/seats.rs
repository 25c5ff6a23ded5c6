//! Not more than a few clusters alive at once: two cores carry two of them.

use std::sync::{Condvar, Mutex, PoisonError};

const SEATS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to have a cluster alive; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat(());

impl Seat {
    /// Waits for its turn.
    pub(crate) async fn take() -> Self {
        tokio::task::spawn_blocking(|| {
            let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            let mut taken =
                FREED.wait_while(taken, |taken| *taken >= SEATS).unwrap_or_else(PoisonError::into_inner);
            *taken += 1;
            Self(())
        })
        .await
        .expect("waiting for a seat does not panic")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}
