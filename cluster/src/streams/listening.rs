//! What a node asks the streams of bells for next: what the former owner of a partition left, what was read and lies
//! there for too long, what is new.
//!
//! Pure.

use std::collections::BTreeSet;
use std::time::Duration;

/// A question to the streams of the partitions that are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Make the groups of these partitions where there are none, and take what was read and not acknowledged for so
    /// long. At once for a partition just claimed: there is one owner, and it is this node.
    TakeOver {
        /// Which partitions.
        partitions: Vec<u16>,
        /// For how long.
        idle: Duration,
    },
    /// What has come.
    Read,
}

/// What to ask for next.
#[derive(Debug, Clone)]
pub struct Listening {
    idle_max: Duration,
    /// Partitions whose leftovers are taken over.
    known: BTreeSet<u16>,
    looked_back: Duration,
}

impl Listening {
    /// Of a node that begins now. What is in hand for longer than `idle_max` is looked at again.
    pub const fn new(idle_max: Duration, now: Duration) -> Self {
        Self { idle_max, known: BTreeSet::new(), looked_back: now }
    }

    /// The next question, while these partitions are served.
    pub fn next(&mut self, serving: &BTreeSet<u16>, now: Duration) -> Ask {
        self.known.retain(|partition| serving.contains(partition));
        let fresh: Vec<u16> = serving.difference(&self.known).copied().collect();
        if !fresh.is_empty() {
            return Ask::TakeOver { partitions: fresh, idle: Duration::ZERO };
        }
        if now.saturating_sub(self.looked_back) > self.idle_max {
            self.looked_back = now;
            return Ask::TakeOver { partitions: serving.iter().copied().collect(), idle: self.idle_max };
        }
        Ask::Read
    }

    /// What was left in these partitions is taken over.
    pub fn has_taken_over(&mut self, partitions: &[u16]) {
        self.known.extend(partitions);
    }

    /// A question has failed, or may not be asked now: what was read may have got lost, and Valkey may have forgotten
    /// everything.
    pub fn begin_again(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn take_over(partitions: &[u16], idle: Duration) -> Ask {
        Ask::TakeOver { partitions: partitions.to_vec(), idle }
    }

    #[test]
    fn what_is_left_in_a_new_partition_comes_first_and_again_when_it_comes_back() {
        let mut listening = Listening::new(IDLE, Duration::ZERO);
        let both = BTreeSet::from([3, 5]);
        assert_eq!(listening.next(&both, Duration::ZERO), take_over(&[3, 5], Duration::ZERO));
        listening.has_taken_over(&[3, 5]);
        assert_eq!(listening.next(&both, Duration::ZERO), Ask::Read);
        assert_eq!(listening.next(&BTreeSet::from([3]), Duration::ZERO), Ask::Read);
        assert_eq!(listening.next(&both, Duration::ZERO), take_over(&[5], Duration::ZERO));
    }

    #[test]
    fn a_failure_makes_everything_new() {
        let mut listening = Listening::new(IDLE, Duration::ZERO);
        listening.has_taken_over(&[3]);
        listening.begin_again();
        assert_eq!(listening.next(&BTreeSet::from([3]), Duration::ZERO), take_over(&[3], Duration::ZERO));
    }

    #[test]
    fn what_lies_for_long_is_looked_at_again() {
        let mut listening = Listening::new(IDLE, Duration::ZERO);
        let serving = BTreeSet::from([3]);
        listening.has_taken_over(&[3]);
        let later = IDLE + Duration::from_secs(1);
        assert_eq!(listening.next(&serving, later), take_over(&[3], IDLE));
        assert_eq!(listening.next(&serving, later), Ask::Read);
    }
}
