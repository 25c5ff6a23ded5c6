//! What a refused call says.

use std::time::Duration;

use proto_api::common::v1::ErrorReason;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// Status and reason of a call that must have been refused.
///
/// # Panics
/// When it was not, or when the refusal has no reason of ours.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (Code, ErrorReason) {
    match answer {
        Ok(answer) => panic!("not refused: {:?}", answer.into_inner()),
        Err(status) => (status.code(), reason(&status)),
    }
}

/// The reason that a refusal carries.
///
/// # Panics
/// When it carries none, or one that the contract does not know.
#[track_caller]
pub fn reason(status: &Status) -> ErrorReason {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, proto_api::DOMAIN, "{status:?}");
    ErrorReason::from_name(&info.reason).unwrap_or_else(|| panic!("unknown reason in {status:?}"))
}

/// After what time a refusal says to try again.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether nobody knows what became of the call: the node or its database went away meanwhile.
pub fn is_unanswered(status: &Status) -> bool {
    match status.get_details_error_info() {
        // The transport's own word: the connection broke.
        None => true,
        Some(_) => matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted),
    }
}
