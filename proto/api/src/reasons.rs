//! What each error reason means: its gRPC status, a sentence for people, and what to do next.
//!
//! The server takes the status from here, the command line its last line, and `docs/errors.md` its table,
//! so the three cannot disagree.

use tonic::Code;

use crate::common::v1::ErrorReason;

/// The domain of every `google.rpc.ErrorInfo` that the server sends.
pub const DOMAIN: &str = "starling";

const PREFIX: &str = "ERROR_REASON_";

/// What there is to know about an error reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// The gRPC status that goes with it.
    pub code: Code,
    /// What it means.
    pub meaning: &'static str,
    /// What the caller does next.
    pub next: &'static str,
}

const fn guide(code: Code, meaning: &'static str, next: &'static str) -> Guide {
    Guide { code, meaning, next }
}

impl ErrorReason {
    /// Every reason that the server sends, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..100).filter_map(|number| Self::try_from(number).ok())
    }

    /// The name as `ErrorInfo.reason` carries it, without the enum's prefix.
    pub fn name(self) -> &'static str {
        self.as_str_name().trim_start_matches(PREFIX)
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_str_name(&format!("{PREFIX}{name}"))
    }

    /// Its status, its meaning, and what to do.
    pub const fn guide(self) -> Guide {
        match self {
            Self::Unspecified
            | Self::RequestInvalid
            | Self::PageTokenInvalid
            | Self::PageTokenMismatch
            | Self::ResumeTokenInvalid
            | Self::ResumeTokenExpired
            | Self::RequestIdReused => self.request_guide(),
            Self::TokenMissing
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::TokenRevoked
            | Self::ScopeMissing
            | Self::TenantMismatch
            | Self::TenantSuspended => self.access_guide(),
            Self::TenantNotFound
            | Self::JobNotFound
            | Self::ImageNotFound
            | Self::VerdictNotFound
            | Self::FeedNotFound
            | Self::AdvisoryNotFound
            | Self::NodeNotFound
            | Self::DeadLetterNotFound
            | Self::RunNotFound
            | Self::ScheduleNotFound
            | Self::RunFinished
            | Self::TenantExists
            | Self::FeedExists
            | Self::JobFinished
            | Self::NodeState
            | Self::FeedState
            | Self::Conflict => self.state_guide(),
            Self::BlobMissing
            | Self::BlobDigestMismatch
            | Self::BlobSizeMismatch
            | Self::BlobTooLarge
            | Self::ManifestInvalid
            | Self::ConfigInvalid => self.image_guide(),
            Self::VexNotFound
            | Self::VexExists
            | Self::VexInvalid
            | Self::IssuerNotFound
            | Self::IssuerExists
            | Self::IssuerState
            | Self::KeyInvalid => self.vex_guide(),
            Self::QueueFull
            | Self::RateExceeded
            | Self::NodeBusy
            | Self::StoreUnavailable
            | Self::ObjectsUnavailable
            | Self::NodeLeaving
            | Self::DeadlineExceeded
            | Self::MethodUnknown
            | Self::DataCorrupt
            | Self::Internal => self.server_guide(),
        }
    }

    const fn request_guide(self) -> Guide {
        match self {
            Self::PageTokenInvalid => guide(
                Code::InvalidArgument,
                "The page token was not made by this server, or is damaged.",
                "start again from the first page",
            ),
            Self::PageTokenMismatch => guide(
                Code::InvalidArgument,
                "The page token belongs to another tenant, method or filter.",
                "ask for the next page with the same request, or start again from the first page",
            ),
            Self::ResumeTokenInvalid => guide(
                Code::InvalidArgument,
                "The resume token was not made by this server, or belongs to another watch.",
                "watch again without a resume token",
            ),
            Self::ResumeTokenExpired => guide(
                Code::OutOfRange,
                "The resume token is too old: the changes since then are no longer known.",
                "watch again without a resume token",
            ),
            Self::RequestIdReused => guide(
                Code::AlreadyExists,
                "The request id was used before for a request with another body.",
                "use a new request id for a new request",
            ),
            _ => guide(
                Code::InvalidArgument,
                "A field is missing or malformed; BadRequest names it.",
                "correct the field and send the request again",
            ),
        }
    }

    const fn access_guide(self) -> Guide {
        match self {
            Self::TokenMissing => guide(
                Code::Unauthenticated,
                "The call carries no bearer token.",
                "name a file that holds a token: --token-file or STARLING_TOKEN_FILE",
            ),
            Self::TokenExpired => guide(
                Code::Unauthenticated,
                "The token's time is over.",
                "ask your operator for a new one: starling admin token create",
            ),
            Self::TokenRevoked => guide(
                Code::Unauthenticated,
                "The token was revoked.",
                "ask your operator for a new one: starling admin token create",
            ),
            Self::ScopeMissing => guide(
                Code::PermissionDenied,
                "The token lacks the scope that the method needs.",
                "use a token with that scope",
            ),
            Self::TenantMismatch => guide(
                Code::PermissionDenied,
                "The request names a tenant that the token does not speak for.",
                "use a token of that tenant",
            ),
            Self::TenantSuspended => guide(
                Code::PermissionDenied,
                "The tenant is suspended: it may read but not start work.",
                "ask your operator",
            ),
            _ => guide(
                Code::Unauthenticated,
                "The token is malformed or unknown.",
                "check that the token file holds one whole token, beginning with stl_",
            ),
        }
    }

    const fn state_guide(self) -> Guide {
        match self {
            Self::TenantNotFound => {
                guide(Code::NotFound, "No such tenant.", "list them: starling tenants list")
            }
            Self::JobNotFound => {
                guide(Code::NotFound, "No such job of this tenant.", "list them: starling jobs list")
            }
            Self::ImageNotFound => guide(
                Code::NotFound,
                "No such image of this tenant.",
                "list them: starling images list, or bring it: starling submit IMAGE",
            ),
            Self::VerdictNotFound => guide(
                Code::NotFound,
                "The image was never evaluated, or has no verdict of this version.",
                "evaluate it: starling submit IMAGE --wait",
            ),
            Self::FeedNotFound => guide(Code::NotFound, "No such feed.", "list them: starling feeds list"),
            Self::AdvisoryNotFound => guide(
                Code::NotFound,
                "No feed has such an advisory, or speaks of such a vulnerability.",
                "see what the feeds hold: starling feeds list",
            ),
            Self::NodeNotFound => guide(Code::NotFound, "No such node.", "list them: starling cluster nodes"),
            Self::DeadLetterNotFound => guide(
                Code::NotFound,
                "No such dead letter; perhaps it was requeued or discarded.",
                "list them: starling queue dead-letters list",
            ),
            Self::RunNotFound => guide(Code::NotFound, "No such run.", "list them: starling runs list"),
            Self::ScheduleNotFound => {
                guide(Code::NotFound, "No such schedule.", "list them: starling schedules list")
            }
            Self::RunFinished => guide(
                Code::FailedPrecondition,
                "The run has ended and cannot be changed.",
                "look at its result: starling runs get RUN",
            ),
            Self::TenantExists => {
                guide(Code::AlreadyExists, "Another tenant has this name.", "choose another name")
            }
            Self::FeedExists => {
                guide(Code::AlreadyExists, "Another feed has this name.", "choose another name")
            }
            Self::JobFinished => guide(
                Code::FailedPrecondition,
                "The job is finished and cannot be changed.",
                "look at its result: starling jobs get JOB",
            ),
            Self::NodeState => guide(
                Code::FailedPrecondition,
                "The node's state does not allow this.",
                "look at it: starling cluster nodes",
            ),
            Self::FeedState => guide(
                Code::FailedPrecondition,
                "The feed's state does not allow this: it is paused or pinned, or lives of bundles alone.",
                "look at it: starling feeds get FEED; resume or unpin it first",
            ),
            _ => guide(
                Code::Aborted,
                "Somebody else changed it at the same moment.",
                "read it again and repeat the request",
            ),
        }
    }

    const fn image_guide(self) -> Guide {
        match self {
            Self::BlobMissing => guide(
                Code::FailedPrecondition,
                "The image refers to blobs that were not uploaded; PreconditionFailure names them.",
                "upload them, then put the image again",
            ),
            Self::BlobDigestMismatch => guide(
                Code::InvalidArgument,
                "The uploaded bytes have another digest than announced.",
                "the source is damaged: export the image again",
            ),
            Self::BlobSizeMismatch => guide(
                Code::InvalidArgument,
                "The uploaded bytes are more or fewer than announced.",
                "the source is damaged: export the image again",
            ),
            Self::BlobTooLarge => guide(
                Code::InvalidArgument,
                "The blob is larger than this server takes.",
                "ask your operator to raise objects.blob-bytes-max",
            ),
            Self::ManifestInvalid => guide(
                Code::InvalidArgument,
                "The manifest cannot be read, or is not an image's.",
                "check that it is the manifest of one image, not an index or an artifact",
            ),
            _ => guide(
                Code::InvalidArgument,
                "The image configuration cannot be read, or does not belong to the manifest.",
                "send the configuration that the manifest names",
            ),
        }
    }

    const fn vex_guide(self) -> Guide {
        match self {
            Self::VexNotFound => guide(
                Code::NotFound,
                "No such VEX document, or it is another tenant's.",
                "list them: starling vex list",
            ),
            Self::VexExists => guide(
                Code::AlreadyExists,
                "The same document is attached to the same images already.",
                "see what is attached: starling vex list",
            ),
            Self::VexInvalid => guide(
                Code::InvalidArgument,
                "Nothing can be read in it as VEX, or it is larger than this server takes.",
                "look at it without a server: starling vex test FILE --image IMAGE",
            ),
            Self::IssuerNotFound => {
                guide(Code::NotFound, "No such issuer.", "list them: starling issuers list")
            }
            Self::IssuerExists => {
                guide(Code::AlreadyExists, "Another issuer has this id.", "choose another id")
            }
            Self::IssuerState => guide(
                Code::FailedPrecondition,
                "The issuer's state does not allow this.",
                "look at it: starling issuers show ISSUER",
            ),
            _ => guide(
                Code::InvalidArgument,
                "The bytes are no key that can be used, or one that is over, or an issuer has it already.",
                "give a public key (Ed25519, P-256) or an X.509 certificate that is good now, in PEM or DER",
            ),
        }
    }

    const fn server_guide(self) -> Guide {
        match self {
            Self::QueueFull => guide(
                Code::ResourceExhausted,
                "The tenant has as many unfinished jobs as its quota allows.",
                "try again after the time in RetryInfo",
            ),
            Self::RateExceeded => guide(
                Code::ResourceExhausted,
                "The tenant submits faster than its quota allows.",
                "try again after the time in RetryInfo",
            ),
            Self::NodeBusy => guide(
                Code::ResourceExhausted,
                "The node has as many calls or watches open as it takes.",
                "try again after the time in RetryInfo, or on another node",
            ),
            Self::StoreUnavailable => guide(
                Code::Unavailable,
                "The database does not answer.",
                "try again after the time in RetryInfo; /readyz?verbose of the node tells more",
            ),
            Self::ObjectsUnavailable => guide(
                Code::Unavailable,
                "The object store does not answer.",
                "try again after the time in RetryInfo; /readyz?verbose of the node tells more",
            ),
            Self::NodeLeaving => guide(
                Code::Unavailable,
                "The node is leaving: another one takes the call.",
                "try again on another node",
            ),
            Self::DeadlineExceeded => guide(
                Code::DeadlineExceeded,
                "The call took longer than the server allows.",
                "ask for less at once, or try again",
            ),
            Self::MethodUnknown => guide(
                Code::Unimplemented,
                "The server has no such method.",
                "compare versions: starling version",
            ),
            Self::DataCorrupt => guide(
                Code::DataLoss,
                "A stored row or document is not what it should be.",
                "tell your operator; the node's log names it",
            ),
            _ => guide(
                Code::Internal,
                "The server failed in a way it did not foresee.",
                "tell your operator; the node's log has the details",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_what_they_were() {
        assert_eq!(ErrorReason::QueueFull.name(), "QUEUE_FULL");
        for reason in ErrorReason::all() {
            assert_eq!(ErrorReason::from_name(reason.name()), Some(reason));
        }
    }

    #[test]
    fn each_reason_has_a_meaning_of_its_own() {
        let mut meanings: Vec<_> = ErrorReason::all().map(|reason| reason.guide().meaning).collect();
        let all = meanings.len();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), all, "two reasons share a meaning");
    }
}
