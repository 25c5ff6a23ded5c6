//! What must always hold, said once: predicates over plain rows.
//!
//! Three ask them: the simulation of its model's tables after every run, the faults over real processes of the real
//! tables (`tests/src/invariants.rs`), and the product itself of single steps in `debug_assert!` ([`step`]).
//! Pure, and without any dependency, so that every part may use it.

mod always;
mod at_rest;
mod history;
mod rows;
pub mod step;

pub use always::ALWAYS;
pub use at_rest::AT_REST;
pub use rows::{
    Act, Answer, Bell, Change, DeadLetter, Event, Id, Image, ImageId, Job, Load, Node, Partition, Read, Rows,
    RunImage, Verdict, Work, Write,
};

/// One of them: its name, and what breaks it.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// What holds, in words.
    pub name: &'static str,
    /// Its violations, in words.
    pub violations: fn(&Rows) -> Vec<String>,
}

/// The violations of these invariants, each with its name.
pub fn violations(rows: &Rows, invariants: &[Invariant]) -> Vec<String> {
    let of = |invariant: &Invariant| {
        let name = invariant.name;
        (invariant.violations)(rows).into_iter().map(move |what| format!("{name}: {what}"))
    };
    invariants.iter().flat_map(of).collect()
}
