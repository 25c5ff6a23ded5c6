//! One kind of question that is asked again and again, as the pure machines keep track of it.

use std::time::Duration;

/// A question without any answer for so long is lost: ask again.
const LOST: Duration = Duration::from_secs(15);

/// At most one question under way, and when the next is due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    pub(crate) due: Duration,
    under_way: Option<Duration>,
}

impl Asking {
    /// Nothing is under way; the first is due then.
    pub(crate) const fn due(due: Duration) -> Self {
        Self { due, under_way: None }
    }

    /// Whether to ask now.
    pub(crate) fn start(&mut self, now: Duration, period: Duration) -> bool {
        let free = self.under_way.is_none_or(|sent| now.saturating_sub(sent) > LOST);
        let start = free && now >= self.due;
        if start {
            self.under_way = Some(now);
            self.due = now + period;
        }
        start
    }

    /// The question sent then has come back, with or without an answer.
    pub(crate) fn answered(&mut self, sent: Duration) {
        if self.under_way == Some(sent) {
            self.under_way = None;
        }
    }
}
