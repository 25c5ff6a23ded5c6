//! How much a node takes at once, and how long a call may last.
//!
//! Watches are counted where they are made (`watch.rs`): they last, and the deadline is not for them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto_api::common::v1::ErrorReason;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tonic::Status;

use super::errors::{RETRY_SOON, refuse};
use crate::node::Phase;

/// Calls that are on their way, and how many may be.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    places: Arc<Semaphore>,
    deadline: Duration,
    streaming: Arc<HashSet<String>>,
    watching: Arc<HashSet<String>>,
    phase: Receiver<Phase>,
}

impl Calls {
    /// At most `max` at once, each at most `deadline` long, and none once the node leaves.
    pub(super) fn new(max: usize, deadline: Duration, phase: Receiver<Phase>) -> Self {
        let methods = |streams: fn(&prost_types::MethodDescriptorProto) -> bool| Arc::new(methods(streams));
        Self {
            places: Arc::new(Semaphore::new(max)),
            deadline,
            streaming: methods(|method| method.client_streaming()),
            watching: methods(|method| method.server_streaming()),
            phase,
        }
    }
}

/// Paths of the contract's methods that are of a kind.
fn methods(of_kind: fn(&prost_types::MethodDescriptorProto) -> bool) -> HashSet<String> {
    let contract = FileDescriptorSet::decode(proto_api::DESCRIPTORS).expect("the build made the descriptors");
    let mut paths = HashSet::new();
    for file in &contract.file {
        for service in &file.service {
            for method in service.method.iter().filter(|method| of_kind(method)) {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

/// The layer: holds a place for the call while it lasts, and ends it when it lasts too long.
pub(super) async fn bound(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/starling.") {
        return next.run(request).await;
    }
    if *calls.phase.borrow() == Phase::Leaving {
        return Status::from(refuse(ErrorReason::NodeLeaving).retry_after(RETRY_SOON)).into_http();
    }
    if calls.watching.contains(path) {
        return next.run(request).await;
    }
    let Ok(_place) = calls.places.try_acquire() else {
        let busy = refuse(ErrorReason::NodeBusy).retry_after(RETRY_SOON);
        return Status::from(busy).into_http();
    };
    // An upload may take long; it ends itself when nothing comes any more.
    if calls.streaming.contains(path) {
        return next.run(request).await;
    }
    match tokio::time::timeout(calls.deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::from(refuse(ErrorReason::DeadlineExceeded)).into_http(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_and_uploads_are_told_from_the_rest() {
        let (_phase, phase) = tokio::sync::watch::channel(Phase::Serving);
        let calls = Calls::new(1, Duration::from_secs(1), phase);
        let watching: Vec<_> = calls.watching.iter().map(String::as_str).collect();
        assert_eq!(watching.len(), 4, "{watching:?}");
        assert!(calls.watching.contains("/starling.job.v1.JobService/WatchJob"));
        assert!(calls.streaming.contains("/starling.image.v1.ImageService/UploadBlob"));
        assert!(!calls.streaming.contains("/starling.job.v1.JobService/GetJob"));
    }
}
