//! The pace of one watcher: what it hears is merged, so that it sends at most four messages a second. What ends the
//! watch does not wait: somebody does, and nothing comes behind it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::age_max;
use super::hub::{Changes, Heard, Listener};

/// Between two messages of changes.
const GAP: Duration = Duration::from_millis(250);
/// After so long without a message, a heartbeat.
const SILENCE: Duration = Duration::from_secs(15);

/// What a watcher does next.
pub(super) enum Next {
    /// It tells of these.
    Changes(Changes),
    /// It has missed something: it reads up from the database.
    Behind,
    /// Nothing happened for a while: it sends a heartbeat.
    Silence,
    /// Its time is over, or the node leaves.
    Over,
}

/// When the last message was sent, and when the watch is over.
pub(super) struct Pace {
    last: Instant,
    over: Instant,
}

impl Pace {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { last: now, over: now + age_max() }
    }

    /// A message was sent. Hearing what concerns others is none: their noise must not hold up heartbeats.
    pub(super) fn sent(&mut self) {
        self.last = Instant::now();
    }

    /// Waits for the next thing to do. It is due: the caller sends it at once. `ends`: whether these changes are the
    /// last that this watcher tells of.
    pub(super) async fn next(&self, listener: &mut Listener, ends: impl Fn(&Changes) -> bool) -> Next {
        tokio::select! {
            heard = listener.hear() => match heard {
                Heard::Changes(changes) => {
                    gather(Changes::clone(&changes), listener, self.last + GAP, ends).await
                }
                Heard::Behind => Next::Behind,
                Heard::Over => Next::Over,
            },
            () = sleep_until(self.last + SILENCE) => Next::Silence,
            () = sleep_until(self.over) => Next::Over,
        }
    }
}

/// Adds what else is heard until a message may be sent again.
async fn gather(
    mut changes: Changes,
    listener: &mut Listener,
    due: Instant,
    ends: impl Fn(&Changes) -> bool,
) -> Next {
    loop {
        if ends(&changes) {
            return Next::Changes(changes);
        }
        tokio::select! {
            biased;
            heard = listener.hear() => match heard {
                Heard::Changes(more) => changes.merge(&more),
                Heard::Behind => return Next::Behind,
                // What was gathered is still sent; the next call hears the end again.
                Heard::Over => return Next::Changes(changes),
            },
            () = sleep_until(due) => return Next::Changes(changes),
        }
    }
}
