//! Images come at random, are of all sizes, and wait for a slot: how long, simulated event by event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::costs::{IMAGE_MB, NEW_SHARE, READ_MB_S};

/// Slots of a node: one a core.
const SLOTS: usize = 4;
/// Seconds that are simulated; the first tenth only fills the queues.
const SPAN: f64 = 1_800.0;
/// One of so many jobs has a person waiting for it.
const ATTENDED: u64 = 10;

/// A job's time of arrival and how long it is read.
#[derive(Debug, Clone, Copy)]
struct Job {
    at: f64,
    takes: f64,
}

/// Waiting times, of those that people wait for and of the others.
#[derive(Default)]
struct Waits {
    attended: Vec<f64>,
    others: Vec<f64>,
    busy: f64,
}

pub(crate) fn tell(loads: &[(f64, usize)], peak: f64) {
    println!(
        "| scans/day | nodes of {SLOTS} cores | layers known to the fleet | busy cores | slots in use | attended wait, s: median | 99 % | others: median | 99 % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (scans, nodes) in loads {
        for (known, share) in [("none", 1.0), ("all but the last", NEW_SHARE)] {
            let rate = scans / 86_400.0 * peak;
            let mean = IMAGE_MB * share / READ_MB_S;
            let slots = nodes * SLOTS;
            let waits = simulate(rate, mean, slots);
            let row =
                [&waits.attended, &waits.others].map(|all| [0.5, 0.99].map(|part| percentile(all, part)));
            println!(
                "| {scans:.0e} | {nodes} | {known} | {:.1} | {:.0} % | {:.2} | {:.2} | {:.2} | {:.2} |",
                waits.busy / SPAN,
                100.0 * waits.busy / SPAN / slots as f64,
                row[0][0],
                row[0][1],
                row[1][0],
                row[1][1],
            );
        }
    }
}

/// Two queues, of which the attended one goes first; what is being read is not interrupted.
fn simulate(rate: f64, mean: f64, slots: usize) -> Waits {
    let mut random = Random(1);
    let mut waits = Waits::default();
    let mut free = slots;
    // Times of ends, in microseconds so that they have an order.
    let mut ends: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut queues: [VecDeque<Job>; 2] = Default::default();
    let mut next = random.exponential() / rate;
    while next < SPAN || !queues.iter().all(VecDeque::is_empty) {
        let end = ends.peek().map_or(f64::MAX, |Reverse(at)| *at as f64 / 1e6);
        let now = if next < SPAN { next.min(end) } else { end };
        if end <= now {
            ends.pop();
            free += 1;
        } else {
            let job = Job { at: now, takes: mean * random.size() };
            queues[usize::from(!random.next().is_multiple_of(ATTENDED))].push_back(job);
            next = now + random.exponential() / rate;
        }
        while free > 0 {
            let Some((kind, job)) = (0..2).find_map(|kind| Some((kind, queues[kind].pop_front()?))) else {
                break;
            };
            free -= 1;
            ends.push(Reverse(micros(now + job.takes)));
            if job.at < SPAN {
                waits.busy += job.takes;
            }
            if job.at > SPAN / 10.0 {
                [&mut waits.attended, &mut waits.others][kind].push(now - job.at);
            }
        }
    }
    waits
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive time of some hours")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
fn percentile(all: &[f64], part: f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or_default()
}

/// SplitMix64: the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, up to 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -self.share().ln()
    }

    /// Sizes of images: log-normal with a mean of 1, where one of forty is more than five times the mean.
    fn size(&mut self) -> f64 {
        let normal = (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos();
        (normal - 0.5).exp()
    }
}
