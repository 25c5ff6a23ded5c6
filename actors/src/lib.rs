//! Doing: the actors.

mod backoff;
pub mod clients;
pub mod failpoint;
pub mod image;
pub mod metrics;
mod scan_worker;
mod supervisor;
pub mod tenant;
