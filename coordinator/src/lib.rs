//! The door: the one binary `starling`, as a library so that tests can use it.
//!
//! ```text
//! config.rs     flags, environment, file, defaults: the only reader of the environment
//! node.rs       all wiring of a node
//! grpc/         the public API, one file for each service
//! http.rs       probes and metrics, on the same port
//! telemetry.rs  logs
//! cli/          the command line
//! dev/          a whole cluster on one machine
//! ```

pub mod cli;
pub mod config;
pub mod dev;
pub mod grpc;
pub mod http;
pub mod node;
pub mod telemetry;

/// Installs the one TLS provider of the process. Call it first in `main` and in tests that use TLS; a second
/// call does nothing.
pub fn install_tls_provider() {
    // The only error is that one was installed before, and there is only this one.
    drop(rustls::crypto::ring::default_provider().install_default());
}
