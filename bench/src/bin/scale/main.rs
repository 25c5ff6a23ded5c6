//! What a cluster of a size that no one machine has would need: measured costs, multiplied; queues, simulated.
//!
//! `cargo run --release -p bench --no-default-features --bin scale`; docs/scale.md says what follows from it.

#![expect(clippy::print_stdout, reason = "its output is the model's answer")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below what a float holds")]

mod costs;
mod fanout;
mod queue;

/// Days have a few hours in which most is built.
const PEAK: f64 = 5.0;
/// Scans a day, and the nodes that read them: as few as do without long queues, and a thousand.
const LOADS: [(f64, usize); 4] = [(1e5, 2), (1e6, 14), (1e7, 130), (1e7, 1_000)];
/// Advisories that change in meaning in a day.
const CHANGES: u32 = 5_000;
/// Images of the fleet.
const IMAGES: u32 = 1_000_000;

fn main() {
    println!("## Reading images at peak, {PEAK} times the mean\n");
    queue::tell(&LOADS, PEAK);
    println!("\n## The database and the nodes beside it\n");
    costs::tell(&LOADS, PEAK);
    println!("\n## {CHANGES} changes a day over {IMAGES} images\n");
    fanout::tell(IMAGES, CHANGES);
}
