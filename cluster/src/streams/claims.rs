//! What a node asks the streams of work for next: what a dead node holds, what was not renewed, what is new.
//!
//! Pure. Nothing is asked for that nobody waits for, so a node holds no more than it works on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::authority::Gen;

/// A question to the streams. Lanes are indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What a node that is gone holds of a lane, without waiting for its lease.
    TakeFrom {
        /// Which node.
        dead: Gen,
        /// Which lane.
        lane: usize,
        /// At most so many.
        count: usize,
    },
    /// What its holder did not renew for a lease, of these lanes.
    TakeExpired(Vec<usize>),
    /// What is new in these lanes.
    Read(Vec<usize>),
}

/// What to ask for next.
#[derive(Debug, Clone)]
pub struct Claims {
    lease: Duration,
    lanes: usize,
    /// Nodes that are gone, and the lanes in which they may still hold something.
    dead: BTreeMap<Gen, Vec<usize>>,
    looked_back: Duration,
}

impl Claims {
    /// Of a node that begins now. Work not renewed for `lease` is another's.
    pub const fn new(lease: Duration, lanes: usize, now: Duration) -> Self {
        Self { lease, lanes, dead: BTreeMap::new(), looked_back: now }
    }

    /// This node is gone.
    pub fn has_died(&mut self, generation: Gen) {
        self.dead.insert(generation, (0..self.lanes).collect());
    }

    /// The next question; `wanted`: how many wait for work of each lane. Nothing when nobody waits.
    pub fn next(&mut self, wanted: &[usize], now: Duration) -> Option<Ask> {
        let waits = |lane: &usize| wanted.get(*lane).copied().filter(|count| *count > 0);
        for (dead, left) in &self.dead {
            if let Some((lane, count)) = left.iter().find_map(|lane| Some((*lane, waits(lane)?))) {
                return Some(Ask::TakeFrom { dead: *dead, lane, count });
            }
        }
        let lanes: Vec<usize> = (0..self.lanes).filter(|lane| waits(lane).is_some()).collect();
        if lanes.is_empty() {
            return None;
        }
        if now.saturating_sub(self.looked_back) > self.lease / 4 {
            self.looked_back = now;
            return Some(Ask::TakeExpired(lanes));
        }
        Some(Ask::Read(lanes))
    }

    /// So many entries came of a question. Who is gone takes nothing more, so a lane that has given less than it was
    /// asked for is empty for good. Without an answer, the question is asked again.
    pub fn came(&mut self, ask: &Ask, entries: usize) {
        if let Ask::TakeFrom { dead, lane, count } = ask
            && entries < *count
            && let Some(left) = self.dead.get_mut(dead)
        {
            left.retain(|other| other != lane);
            if left.is_empty() {
                self.dead.remove(dead);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    fn begun() -> Claims {
        Claims::new(LEASE, 3, Duration::ZERO)
    }

    #[test]
    fn nothing_is_asked_for_that_nobody_waits_for() {
        let mut claims = begun();
        claims.has_died(Gen(1));
        assert_eq!(claims.next(&[0, 0, 0], LEASE), None);
        assert_eq!(claims.next(&[1, 0, 0], LEASE), Some(Ask::TakeFrom { dead: Gen(1), lane: 0, count: 1 }));
    }

    #[test]
    fn a_dead_node_is_asked_until_each_lane_gave_less_than_wanted() {
        let mut claims = begun();
        claims.has_died(Gen(1));
        let mut asked = Vec::new();
        for came in [2, 1, 0, 0] {
            let ask = claims.next(&[2, 2, 2], Duration::ZERO).unwrap();
            claims.came(&ask, came);
            asked.push(ask);
        }
        let from = |lane| Ask::TakeFrom { dead: Gen(1), lane, count: 2 };
        assert_eq!(asked, [from(0), from(0), from(1), from(2)]);
        assert_eq!(claims.next(&[2, 2, 2], Duration::ZERO), Some(Ask::Read(vec![0, 1, 2])));
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again() {
        let mut claims = begun();
        claims.has_died(Gen(1));
        let first = claims.next(&[1, 0, 0], Duration::ZERO);
        assert_eq!(claims.next(&[1, 0, 0], Duration::ZERO), first);
    }

    #[test]
    fn four_times_a_lease_it_looks_for_what_was_not_renewed() {
        let mut claims = begun();
        let asked: Vec<_> =
            (0..=5).map(|s| claims.next(&[0, 1, 0], Duration::from_secs(s)).unwrap()).collect();
        let (read, expired) = (Ask::Read(vec![1]), Ask::TakeExpired(vec![1]));
        assert_eq!(asked, [&read, &read, &read, &expired, &read, &read].map(Clone::clone));
    }
}
