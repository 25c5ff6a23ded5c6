//! How a command ends: the exit code, what went wrong, and what to do next.

use std::fmt;

use proto_api::common::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::image_source::SourceError;

/// Exit codes; pipelines build on them, so they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It went well. For a result: evaluated, and the gate passed.
    Ok,
    /// Evaluated, and the gate of `--fail-on` failed.
    Gate,
    /// The command line or a setting is wrong.
    Usage,
    /// It could not be done: image, server, or node.
    Failed,
    /// Evaluated, but not to be trusted: coverage is not complete, or a feed is too old.
    Untrusted,
    /// The same, in a state that `--exit-code-map` gives this code.
    Mapped(u8),
    /// Gave up waiting; the job goes on.
    GaveUp,
    /// Not allowed, or a quota is used up.
    Refused,
    /// Interrupted by Ctrl-C.
    Interrupted,
    /// Nobody reads the data any more; as a shell says it of a program that a closed pipe ended.
    Closed,
}

impl Exit {
    /// What the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Gate => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Untrusted => 4,
            Self::Mapped(code) => code,
            Self::GaveUp => 5,
            Self::Refused => 6,
            Self::Interrupted => 130,
            Self::Closed => 141,
        }
    }
}

/// The exit codes as the help shows them.
pub(super) const EXIT_CODES: &str = "Exit codes:
  0    it went well; for a result: evaluated, and the gate passed
  1    evaluated, and the gate of --fail-on failed
  2    the command line or a setting is wrong
  3    it could not be done: image, server or node
  4    evaluated, but not to be trusted: no feeds, an unknown or ended distribution, a missing or late feed,
       packages of third parties, a part that could not be read; --exit-code-map tells them apart
  5    gave up waiting; the job goes on, its id is printed
  6    not allowed, or a quota is used up
  130  interrupted by Ctrl-C";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process exits with.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub next: Option<String>,
    /// The server's reason, where it was the server that refused.
    pub reason: Option<String>,
}

impl Failure {
    /// A failure in these words.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), next: None, reason: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match (&self.next, &self.reason) {
            (Some(next), Some(reason)) => write!(f, "\nnext: {next} ({reason})"),
            (Some(next), None) => write!(f, "\nnext: {next}"),
            (None, Some(reason)) => write!(f, " ({reason})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let known = reason.as_deref().and_then(ErrorReason::from_name);
        let help = details.help().and_then(|help| help.links.first()).map(|link| link.description.clone());
        let wait = details.retry_info().and_then(|info| info.retry_delay);
        let next = match wait {
            Some(wait) if status.code() == Code::ResourceExhausted => {
                Some(format!("try again in {:.1} s", wait.as_secs_f64()))
            }
            _ => help.or_else(|| known.map(|reason| reason.guide().next.to_owned())),
        };
        let next = next.or_else(|| (status.code() == Code::Unavailable).then(|| UNREACHABLE.to_owned()));
        let exit = exit_of(status.code(), known);
        Self { exit, message: message_of(&status), next, reason }
    }
}

const UNREACHABLE: &str = "check the address (--endpoint, STARLING_ENDPOINT) and that a node runs there";

/// A transport error hides what happened in its sources.
fn message_of(status: &Status) -> String {
    let mut message = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = error.source();
    }
    if message.is_empty() { status.code().description().to_owned() } else { message }
}

fn exit_of(code: Code, reason: Option<ErrorReason>) -> Exit {
    match code {
        Code::Unauthenticated | Code::PermissionDenied | Code::ResourceExhausted => Exit::Refused,
        Code::InvalidArgument if reason == Some(ErrorReason::RequestInvalid) => Exit::Usage,
        _ => Exit::Failed,
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let exit = if error.is_refusal() { Exit::Refused } else { Exit::Failed };
        Self::new(exit, &error).next(error.advice())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(if closed { Exit::Closed } else { Exit::Failed }, error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::grpc::errors::{invalid, refuse};

    #[test]
    fn the_last_line_says_what_to_do_and_why() {
        let failure = Failure::from(Status::from(refuse(ErrorReason::JobNotFound).saying("no job \"x\"")));
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.to_string(),
            "error: no job \"x\"\nnext: list them: starling jobs list (JOB_NOT_FOUND)"
        );
    }

    #[test]
    fn a_used_up_quota_says_when_to_come_back() {
        let full = refuse(ErrorReason::QueueFull).retry_after(Duration::from_millis(1500));
        let failure = Failure::from(Status::from(full));
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.to_string().ends_with("\nnext: try again in 1.5 s (QUEUE_FULL)"), "{failure}");
    }

    #[test]
    fn codes_tell_the_fault_of_the_caller_from_that_of_the_image() {
        let exit = |status: Status| Failure::from(status).exit;
        assert_eq!(exit(invalid("page_size", "too large").into()), Exit::Usage);
        assert_eq!(exit(refuse(ErrorReason::ManifestInvalid).into()), Exit::Failed);
        assert_eq!(exit(refuse(ErrorReason::ScopeMissing).into()), Exit::Refused);
        assert_eq!(exit(Status::unavailable("no route")), Exit::Failed);
    }
}
