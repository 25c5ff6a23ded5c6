//! How evenly the ring places partitions, and how many move when a node joins or leaves.
//!
//! `cargo run --release -p bench --no-default-features --features moving --bin ring`

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use bench::{median, timed};
use cluster::PARTITIONS;
use cluster::placement::{Seat, place};

fn main() {
    println!(
        "| nodes | max/mean | min/mean | moved by a join | 1/(n+1) | moved by a leave | 1/n | placing, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for nodes in [2, 3, 5, 10, 20, 30, 50, 100, 250, 1_000] {
        row(nodes);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of at most a thousand")]
fn row(nodes: usize) {
    let now = place(&seats(0..nodes), PARTITIONS);
    let load = |at: usize| now.iter().filter(|owner| **owner == Some(generation(at))).count() as f64;
    let mean = f64::from(PARTITIONS) / nodes as f64;
    let loads: Vec<f64> = (0..nodes).map(load).collect();
    let joined = place(&seats(0..nodes + 1), PARTITIONS);
    let left: Vec<f64> =
        (0..nodes).map(|gone| moved(&now, &place(&without(nodes, gone), PARTITIONS))).collect();
    let times: Vec<f64> =
        (0..5).map(|_| timed(|| place(&seats(0..nodes), PARTITIONS)).0.as_secs_f64()).collect();
    println!(
        "| {nodes} | {:.3} | {:.3} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} |",
        loads.iter().copied().fold(0.0, f64::max) / mean,
        loads.iter().copied().fold(f64::MAX, f64::min) / mean,
        100.0 * moved(&now, &joined),
        100.0 / (nodes + 1) as f64,
        100.0 * median(&left),
        100.0 / nodes as f64,
        1e3 * median(&times),
    );
}

fn seats(nodes: std::ops::Range<usize>) -> Vec<Seat> {
    nodes.map(seat).collect()
}

fn without(nodes: usize, gone: usize) -> Vec<Seat> {
    (0..nodes).filter(|at| *at != gone).map(seat).collect()
}

fn seat(at: usize) -> Seat {
    Seat { name: format!("node-{at}"), generation: generation(at), weight: 1.0 }
}

fn generation(at: usize) -> cluster::Gen {
    cluster::Gen(i64::try_from(at).expect("a small number") + 1)
}

#[expect(clippy::cast_precision_loss, reason = "counts of at most a thousand")]
fn moved(before: &[Option<cluster::Gen>], after: &[Option<cluster::Gen>]) -> f64 {
    before.iter().zip(after).filter(|(a, b)| a != b).count() as f64 / before.len() as f64
}
