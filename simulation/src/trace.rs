//! What happened: always as one number, and in lines for whoever wants to read them.

use std::time::Duration;

use crate::world::Happening;

/// A run's trace.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(tell: bool) -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, lines: tell.then(Vec::new) }
    }

    /// Everything that happened, folded into one number.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    /// Folds in what happens. When and to whom is enough: whatever else differs shows in the times that follow.
    pub(crate) fn mix(&mut self, now: Duration, node: usize, what: &Happening) {
        let kind = match what {
            Happening::Asked(question, _) => question << 3,
            Happening::Answered(question, _) => question << 3 | 1,
            Happening::Told(_) => 2,
            Happening::Client(_) => 3,
            Happening::Feeds => 4,
            Happening::Person => 5,
        };
        let nanos = now.subsec_nanos();
        for word in [now.as_secs(), u64::from(nanos), node as u64, kind] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    pub(crate) fn tell(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>11.6} {}", now.as_secs_f64(), line()));
        }
    }
}
