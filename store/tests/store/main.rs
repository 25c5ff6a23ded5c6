//! The store against a real PostgreSQL: `scripts/with-servers cargo test -p store`.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod aoc;
mod deltas;
mod enrichment;
mod feed_control;
mod feeds;
mod fence;
mod fixture;
mod impact;
mod issuers;
mod layers;
mod members;
mod motion;
mod objects;
mod outbox;
mod replay;
mod runs;
mod schema;
mod submitting;
mod tokens;
mod verdicts;
mod vex;
mod walls;
