//! Refusals: every error that leaves this server, as `google.rpc.Status` with its details.
//!
//! An `ErrorInfo` with a reason is always there, and a `Help` that says what to do next. Whoever refuses
//! adds what else is known: which field, which resource, when to try again.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use proto_api::DOMAIN;
use proto_api::common::v1::ErrorReason;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// A refusal on its way to becoming a `Status`.
#[derive(Debug, Clone)]
pub struct Refusal(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

/// Begins a refusal. The message is for people; without one it is the reason's meaning.
pub fn refuse(reason: ErrorReason) -> Refusal {
    let meaning = reason.guide().meaning.trim_end_matches('.').to_owned();
    let parts = Parts { reason, message: meaning, metadata: HashMap::new(), details: ErrorDetails::new() };
    Refusal(Box::new(parts))
}

/// A field of the request that is missing or malformed.
pub fn invalid(field: &str, problem: impl fmt::Display) -> Refusal {
    let mut refusal = refuse(ErrorReason::RequestInvalid).saying(format!("{field}: {problem}"));
    refusal.0.details.add_bad_request_violation(field, problem.to_string());
    refusal
}

/// Something that is not there.
pub fn not_found(reason: ErrorReason, kind: &str, name: &str) -> Refusal {
    let mut refusal = refuse(reason).saying(format!("no {kind} {name:?}"));
    refusal.0.details.set_resource_info(kind, name, "", "it does not exist, or belongs to another tenant");
    refusal
}

impl Refusal {
    /// Says it in these words.
    #[must_use]
    pub fn saying(mut self, message: impl fmt::Display) -> Self {
        self.0.message = message.to_string();
        self
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.details.set_retry_info(Some(delay));
        self
    }

    /// Names the quota that is used up.
    #[must_use]
    pub fn quota(mut self, subject: impl fmt::Display, description: impl fmt::Display) -> Self {
        self.0.details.add_quota_failure_violation(subject.to_string(), description.to_string());
        self
    }

    /// Names a condition that does not hold.
    #[must_use]
    pub fn precondition(mut self, kind: &str, subject: impl fmt::Display, description: &str) -> Self {
        self.0.details.add_precondition_failure_violation(kind, subject.to_string(), description);
        self
    }

    /// Names the resource it is about.
    #[must_use]
    pub fn about(mut self, kind: &str, name: impl fmt::Display) -> Self {
        self.0.details.set_resource_info(kind, name.to_string(), "", "");
        self
    }

    /// The reason.
    pub const fn reason(&self) -> ErrorReason {
        self.0.reason
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let Parts { reason, message, metadata, mut details } = *refusal.0;
        let guide = reason.guide();
        details.set_error_info(reason.name(), DOMAIN, metadata);
        details.add_help_link(guide.next, format!("docs/errors.md#{}", reason.name().to_lowercase()));
        Self::with_error_details(guide.code, message, details)
    }
}

/// How long a client waits when the server cannot know better.
pub(super) const RETRY_SOON: Duration = Duration::from_millis(500);

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        use store::Error;
        match &error {
            Error::NotFound { entity } => refuse(reason_of_missing(entity)).about(entity, ""),
            Error::Fenced { .. } | Error::Stale { .. } => {
                refuse(ErrorReason::Conflict).retry_after(RETRY_SOON)
            }
            Error::MissingBlob { digest } => refuse(ErrorReason::BlobMissing)
                .saying(format!("blob {digest} was not uploaded"))
                .precondition("BLOB", digest, "it was not uploaded"),
            Error::AlreadyExists { .. } => refuse(ErrorReason::RequestInvalid).saying(&error),
            Error::Conflict { what } => refuse(ErrorReason::RequestInvalid).saying(what),
            Error::WrongContent { expected, found } => {
                refuse(ErrorReason::BlobDigestMismatch).with("expected", expected).with("found", found)
            }
            Error::Reading(_) => refuse(ErrorReason::RequestInvalid).saying("the upload broke off"),
            Error::Corrupt { .. } => logged(ErrorReason::DataCorrupt, &error),
            Error::Schema(_) => logged(ErrorReason::Internal, &error),
            Error::Unavailable(_) => logged(ErrorReason::StoreUnavailable, &error).retry_after(RETRY_SOON),
            Error::ObjectsUnavailable(_) => {
                logged(ErrorReason::ObjectsUnavailable, &error).retry_after(RETRY_SOON)
            }
        }
    }
}

/// A refusal whose cause is for operators: it goes to the log, and the caller hears the reason alone.
fn logged(reason: ErrorReason, error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, reason = reason.name(), "call failed");
    refuse(reason)
}

fn reason_of_missing(entity: &str) -> ErrorReason {
    match entity {
        "tenant" => ErrorReason::TenantNotFound,
        "job" => ErrorReason::JobNotFound,
        "image" => ErrorReason::ImageNotFound,
        "verdict" => ErrorReason::VerdictNotFound,
        "feed" => ErrorReason::FeedNotFound,
        "advisory" => ErrorReason::AdvisoryNotFound,
        "node" => ErrorReason::NodeNotFound,
        "dead letter" => ErrorReason::DeadLetterNotFound,
        "run" => ErrorReason::RunNotFound,
        "schedule" => ErrorReason::ScheduleNotFound,
        "vex document" => ErrorReason::VexNotFound,
        "issuer" => ErrorReason::IssuerNotFound,
        _ => ErrorReason::DataCorrupt,
    }
}

impl From<cluster::AuthorityUnavailable> for Refusal {
    fn from(error: cluster::AuthorityUnavailable) -> Self {
        logged(ErrorReason::StoreUnavailable, &error).retry_after(RETRY_SOON)
    }
}

/// Says which one it was that is missing.
pub fn named(error: store::Error, name: &str) -> Refusal {
    match error {
        store::Error::NotFound { entity } => not_found(reason_of_missing(entity), entity, name),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn every_refusal_carries_its_reason_and_what_to_do() {
        for reason in ErrorReason::all() {
            let status = Status::from(refuse(reason).with("k", "v"));
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.name(), "starling"));
            assert_eq!(info.metadata["k"], "v");
            assert_eq!(details.help().expect("help").links[0].description, reason.guide().next);
            assert_ne!(status.code(), Code::Ok);
        }
    }

    #[test]
    fn details_say_which_field_and_when_to_try_again() {
        let status = Status::from(invalid("page_size", "must not be negative"));
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "page_size: must not be negative")
        );
        let violations = &status.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(violations[0].field, "page_size");

        let full = refuse(ErrorReason::QueueFull)
            .retry_after(Duration::from_secs(2))
            .quota("tenant:t", "max_queued");
        let status = Status::from(full);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
    }
}
