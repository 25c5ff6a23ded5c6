//! Every parser against inputs that nobody meant it to see.
//!
//! Each [`Target`](targets::Target) hands bytes to one parser through its public door, and says what has to hold for
//! every answer: more than "it does not panic". [`run`] tries the inputs kept in `corpus/`, then mutations of them for
//! a while. It runs on stable Rust, as a test; an input that fails is made smaller, kept in the corpus, and tried first
//! ever after.
//!
//! ```text
//! targets/    the parsers, and what must hold        mutate/   how inputs are changed
//! engine      the loop, its limits, what fails       corpus    what is kept
//! memory      what is allocated                      coverage  which code ran, in a guided run
//! ```
//!
//! `fuzz/guided` builds with the compiler's coverage counters; then an input that reaches new code is mutated in turn.

mod corpus;
mod coverage;
mod engine;
mod layers;
pub mod memory;
mod mutate;
mod random;
pub mod tar;
pub mod targets;

pub use engine::run;
