//! The actors against a real PostgreSQL and a real Valkey: `scripts/with-servers cargo test -p actors`.
//!
//! With the feature `failpoints`, also what happens when they are held or killed at a named place.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod demo;
mod feeds;
#[cfg(feature = "failpoints")]
mod held;
mod impact;
mod scans;
mod world;
