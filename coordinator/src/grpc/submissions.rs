//! Jobs that are submitted at the same moment are accepted in one commit.

use ::cluster::{BatchError, Batcher};
use model::JobId;
use proto_api::common::v1::ErrorReason;
use store::Store;
use store::jobs::{Submission, SubmitRefusal, Submitted, submit_many};

use super::errors::{RETRY_SOON, Refusal, refuse};

type Outcome = Result<Submitted, Refusal>;

/// More waiting than this, and the door says that it is busy.
const QUEUE_MAX: usize = 4096;

/// Accepts jobs in batches.
#[derive(Clone)]
pub(super) struct Submissions(Batcher<Submission, Outcome>);

impl Submissions {
    /// Starts accepting into this store.
    pub(super) fn start(store: Store) -> Self {
        let commit = move |batch| accept(store.clone(), batch);
        Self(Batcher::start(Batcher::<Submission, Outcome>::USUAL_BATCH, QUEUE_MAX, commit))
    }

    /// Has a job accepted. When this answers, it is committed.
    pub(super) async fn accept(&self, submission: Submission) -> Outcome {
        self.0.try_submit(submission).await.map_err(|error| match error {
            BatchError::Busy => refuse(ErrorReason::NodeBusy).retry_after(RETRY_SOON),
            // It may have been accepted or not; asking again with the same request id is safe.
            BatchError::Lost => refuse(ErrorReason::StoreUnavailable).retry_after(RETRY_SOON),
        })?
    }
}

async fn accept(store: Store, batch: Vec<Submission>) -> Vec<Outcome> {
    match submit_many(&store, batch.clone()).await {
        Ok(outcomes) => {
            outcomes.into_iter().zip(&batch).map(|(outcome, s)| outcome.map_err(|r| refused(r, s))).collect()
        }
        Err(error) if error.is_passing() || batch.len() == 1 => {
            let refusal = Refusal::from(error);
            vec![Err(refusal); batch.len()]
        }
        // One of them cannot be stored; the others shall not suffer for it.
        Err(_) => {
            let mut outcomes = Vec::with_capacity(batch.len());
            for submission in batch {
                outcomes.extend(Box::pin(accept(store.clone(), vec![submission])).await);
            }
            outcomes
        }
    }
}

/// The refusal of a submission.
pub(super) fn refused(refusal: SubmitRefusal, submission: &Submission) -> Refusal {
    let subject = format!("tenant:{}", submission.tenant);
    match refusal {
        SubmitRefusal::QueueFull { retry_after } => refuse(ErrorReason::QueueFull)
            .retry_after(retry_after)
            .quota(subject, "max_queued unfinished jobs"),
        SubmitRefusal::TooFast { retry_after } => refuse(ErrorReason::RateExceeded)
            .retry_after(retry_after)
            .quota(subject, "rate_per_second and burst"),
        SubmitRefusal::UnknownTenant => {
            refuse(ErrorReason::TenantNotFound).about("tenant", submission.tenant)
        }
        SubmitRefusal::TenantSuspended => refuse(ErrorReason::TenantSuspended),
        SubmitRefusal::ImageNotFound => refuse(ErrorReason::ImageNotFound)
            .saying(format!("no image {}", submission.image))
            .about("image", &submission.image),
        SubmitRefusal::RequestIdReused => refuse(ErrorReason::RequestIdReused),
    }
}

/// Answers of the store about one job are counted by what was asked.
pub(super) fn count(submission: &Submission, outcome: &Outcome) {
    let result = match outcome {
        Ok(submitted) if submitted.created => "accepted",
        Ok(_) => "repeated",
        Err(refusal) => refusal.reason().name(),
    };
    let kind = submission.kind.as_str();
    let lane = submission.lane.as_str();
    metrics::counter!("starling_jobs_submitted_total", "kind" => kind, "lane" => lane, "result" => result)
        .increment(1);
}

/// The job's id, where it was accepted.
pub(super) fn accepted(outcome: &Outcome) -> Option<JobId> {
    outcome.as_ref().ok().map(|submitted| submitted.job_id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Digest, ImageDigest, JobKind, Lane, RequestId, TenantId};
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_full_queue_says_when_to_come_back_and_whose_quota_it_is() {
        let submission = Submission {
            tenant: TenantId::SYSTEM,
            request: RequestId::from_uuid(uuid::Uuid::nil()),
            kind: JobKind::Scan,
            lane: Lane::Bulk,
            image: ImageDigest::new(Digest::of(b"")),
            time_limit: None,
            trace: None,
        };
        let retry_after = Duration::from_secs(1);
        for (refusal, reason) in [
            (SubmitRefusal::QueueFull { retry_after }, "QUEUE_FULL"),
            (SubmitRefusal::TooFast { retry_after }, "RATE_EXCEEDED"),
        ] {
            let status = Status::from(refused(refusal, &submission));
            let details = status.get_error_details();
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(details.error_info().unwrap().reason, reason);
            assert_eq!(details.retry_info().unwrap().retry_delay, Some(retry_after));
            assert!(details.quota_failure().unwrap().violations[0].subject.starts_with("tenant:"));
        }
    }
}
