//! What works without a server: the same engine, on this machine, on an image and advisories that lie here.

pub(super) mod advisories;
mod bill;
pub(super) mod explain;
pub(super) mod image;
pub(super) mod pack;
pub(super) mod sbom;
pub(super) mod scan;
pub(super) mod versions;
pub(super) mod vex;

use super::failure::{Exit, Failure};

/// Does what blocks away from the threads that wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(Exit::Failed, error))?
}
