//! The actors.

pub mod clients;
pub mod failpoint;
pub mod metrics;
pub mod tenant;
