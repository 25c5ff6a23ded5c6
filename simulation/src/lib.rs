//! The whole cluster in one thread, under virtual time and with every fault that can be thought of, from a seed.
//!
//! What decides is the product's own: [`cluster::membership`], [`cluster::ownership`] and [`cluster::placement`];
//! [`actors::tenant::admission`], [`actors::image::decide`] and [`actors::scheduler`]; the relay's rounds, the sweeper's
//! memory, and what becomes of a stream's entry. What is around them is a model: PostgreSQL with the functions of
//! `store/migrations` (`database`, `authority`), Valkey (`valkey`), the shells that carry decisions out (`node`, `host`,
//! `carrier`, `slot`), and clients. docs/reliability.md says what is modelled thinly, and what not at all.
//!
//! A run answers a [`Report`]. The same [`Plan`] gives the same run, to the last message.

mod authority;
mod carrier;
mod chance;
mod client;
mod database;
mod faults;
mod host;
mod keys;
#[cfg(test)]
mod membership_tests;
mod node;
mod plan;
mod question;
mod runs;
mod slot;
mod trace;
mod valkey;
mod world;

pub use plan::{Defences, Plan};
pub use runs::{Report, liveness, safety};
