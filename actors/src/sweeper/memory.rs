//! What was rung for lately: who stands still for a good reason, such as a long queue, is not rung for
//! at every sweep, but less and less often.

use std::collections::HashMap;
use std::time::Duration;

use store::Bell;

use super::SweepTiming;

/// Who is meant by a bell.
type Who = (String, model::TenantId, String, model::Lane);

#[derive(Debug, Clone, Copy)]
struct Rung {
    at: Duration,
    times: u32,
}

/// The bells that the sweeper rang and that are still found missing.
#[derive(Debug, Default)]
pub struct Memory(HashMap<Who, Rung>);

impl Memory {
    /// Those of the bells whose time has come, on whatever clock the caller has. What is not among them any more is
    /// forgotten.
    pub fn due(&mut self, found: Vec<Bell>, now: Duration, timing: &SweepTiming) -> Vec<Bell> {
        let mut next = HashMap::with_capacity(found.len());
        let mut due = Vec::new();
        for bell in found {
            let who = who(&bell);
            let rung = match self.0.get(&who) {
                Some(rung) if now.saturating_sub(rung.at) < pause(rung.times, timing) => *rung,
                known => {
                    due.push(bell);
                    Rung { at: now, times: known.map_or(1, |rung| rung.times.saturating_add(1)) }
                }
            };
            next.insert(who, rung);
        }
        self.0 = next;
        due
    }

    /// These have not been rung after all.
    pub fn forget(&mut self, bells: &[Bell]) {
        for bell in bells {
            self.0.remove(&who(bell));
        }
    }

    /// Forgets everything: nothing that was rung has arrived.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn who(bell: &Bell) -> Who {
    (bell.kind.clone(), bell.tenant, bell.key.clone(), bell.lane)
}

fn pause(times: u32, timing: &SweepTiming) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    timing.older_than.saturating_mul(1 << doublings).min(timing.longest)
}

#[cfg(test)]
mod tests {
    use model::{Lane, TenantId};

    use super::*;

    fn bell(key: &str) -> Bell {
        let (kind, key) = ("image".to_owned(), key.to_owned());
        Bell { id: 0, kind, tenant: TenantId::SYSTEM, key, lane: Lane::Bulk }
    }

    /// At which of these seconds a bell that is found at each of them is rung.
    fn rung_at(seconds: impl Iterator<Item = u64>) -> Vec<u64> {
        let timing = SweepTiming {
            older_than: Duration::from_secs(10),
            longest: Duration::from_secs(40),
            ..SweepTiming::default()
        };
        let mut memory = Memory::default();
        let at = Duration::from_secs;
        seconds.filter(|second| !memory.due(vec![bell("a")], at(*second), &timing).is_empty()).collect()
    }

    #[test]
    fn the_same_is_rung_for_less_and_less_often() {
        assert_eq!(rung_at(0..160), [0, 10, 30, 70, 110, 150]);
    }

    #[test]
    fn what_has_moved_meanwhile_is_new_again() {
        let (now, timing) = (Duration::ZERO, SweepTiming::default());
        let mut memory = Memory::default();
        assert_eq!(memory.due(vec![bell("a"), bell("b")], now, &timing), [bell("a"), bell("b")]);
        assert_eq!(memory.due(vec![bell("b")], now, &timing), []);
        assert_eq!(memory.due(vec![bell("a"), bell("b")], now, &timing), [bell("a")]);
    }

    #[test]
    fn what_was_not_rung_after_all_is_due_at_once() {
        let (now, timing) = (Duration::ZERO, SweepTiming::default());
        let mut memory = Memory::default();
        memory.due(vec![bell("a"), bell("b")], now, &timing);
        memory.forget(&[bell("a")]);
        assert_eq!(memory.due(vec![bell("a"), bell("b")], now, &timing), [bell("a")]);
        memory.clear();
        assert_eq!(memory.due(vec![bell("a"), bell("b")], now, &timing), [bell("a"), bell("b")]);
    }
}
