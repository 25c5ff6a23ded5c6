//! The binary `starling`: everything it does is in the library.

use std::process::ExitCode;

use coordinator::config::Environment;
use coordinator::{cli, install_tls_provider};

fn main() -> ExitCode {
    install_tls_provider();
    // Tests hold and break the node at the places that FAILPOINTS names.
    #[cfg(feature = "failpoints")]
    let _armed = actors::failpoint::arm();
    let env = Environment::read();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(&env)),
        Err(_) => ExitCode::from(3),
    }
}
