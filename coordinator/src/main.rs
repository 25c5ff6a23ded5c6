//! The binary `starling`: everything it does is in the library.

use std::process::ExitCode;
use std::time::Duration;

use coordinator::config::Environment;
use coordinator::{cli, install_tls_provider};

/// A node makes and drops documents of all sizes on all its threads: with the system's allocator a sixth of its time goes
/// into tidying up (docs/benchmarks.md, a fleet).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    install_tls_provider();
    // Tests hold and break the node at the places that FAILPOINTS names.
    #[cfg(feature = "failpoints")]
    let _armed = actors::failpoint::arm();
    let env = Environment::read();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(&env));
            // A layer that is still being read must not hold up the end: others go on with it.
            runtime.shutdown_timeout(Duration::from_secs(1));
            code
        }
        Err(_) => ExitCode::from(3),
    }
}
