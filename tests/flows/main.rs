//! What a client and an operator live through, on three real nodes over a real database.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this is tests; clippy knows only the functions marked as such"
)]

mod advisories;
mod command_line;
mod doors;
mod exploited;
mod failures;
mod feeds;
mod impact;
mod operating;
mod operators;
mod real_images;
mod refused;
mod registry;
mod replay;
mod scan;
mod scheduler;
mod shared_layers;
mod tenants;
mod trust;
mod verdicts;
mod vex;
mod vex_api;
mod watch;
mod webhooks;
