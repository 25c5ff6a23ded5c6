//! JobService: accept work, tell how far it is, give it up.

use std::sync::Arc;
use std::time::Duration;

use model::{Digest, JobId, JobKind, Lane, RequestId, TraceId};
use proto_api::common::v1 as common;
use proto_api::common::v1::ErrorReason;
use proto_api::job::v1::job_service_server::JobService;
use proto_api::job::v1::{
    self as wire, CancelJobRequest, CancelJobResponse, GetJobRequest, GetJobResponse, GetJobTimelineRequest,
    GetJobTimelineResponse, ListJobsRequest, ListJobsResponse, SubmitJobRequest, SubmitJobResponse,
    WatchJobRequest, WatchJobsRequest,
};
use store::TenantTx;
use store::jobs::{self, Cancelled, Filter, Job, JobEvent, Submission};
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, named, refuse};
use super::idempotent::request_id;
use super::images::image_to_be;
use super::paging::Page;
use super::sealed::Binding;
use super::submissions::{accepted, count};
use super::trace::trace_of;
use super::watch::{JobStream, JobsStream, watch_job, watch_jobs};

/// The service.
pub(super) struct Jobs(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;
/// Longer limits are a mistake in units.
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[tonic::async_trait]
impl JobService for Jobs {
    type WatchJobStream = JobStream;
    type WatchJobsStream = JobsStream;

    async fn submit_job(
        &self,
        request: Request<SubmitJobRequest>,
    ) -> Result<Response<SubmitJobResponse>, Status> {
        let caller = caller_of(&request)?;
        let submission = self.submission(&caller, trace_of(&request), request.get_ref()).await?;
        let image_digest = submission.image.to_string();
        let outcome = self.0.submissions.accept(submission.clone()).await;
        count(&submission, &outcome);
        if let Some(job) = accepted(&outcome) {
            tracing::Span::current().record("job.id", job.to_string());
            tracing::info!(image = image_digest, "job accepted");
        }
        let submitted = outcome?;
        let job_id = submitted.job_id.to_string();
        Ok(Response::new(SubmitJobResponse { job_id, created: submitted.created, image_digest }))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        let caller = caller_of(&request)?;
        let job = self.read(&caller, &request.get_ref().job_id).await?;
        Ok(Response::new(GetJobResponse { job: Some(job_message(&caller, &job)) }))
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<CancelJobResponse>, Status> {
        let caller = caller_of(&request)?;
        let CancelJobRequest { request_id: id, job_id } = request.get_ref();
        request_id(id)?;
        let job = self.cancel(&caller, job_id).await?;
        Ok(Response::new(CancelJobResponse { job: Some(job_message(&caller, &job)) }))
    }

    async fn watch_job(&self, request: Request<WatchJobRequest>) -> Result<Response<JobStream>, Status> {
        let caller = caller_of(&request)?;
        let WatchJobRequest { job_id, resume_token } = request.get_ref();
        let stream = watch_job(&self.0, &caller, parse_id(job_id)?, resume_token).await?;
        Ok(unbuffered(stream))
    }

    async fn watch_jobs(&self, request: Request<WatchJobsRequest>) -> Result<Response<JobsStream>, Status> {
        let caller = caller_of(&request)?;
        let WatchJobsRequest { filter, resume_token } = request.into_inner();
        let filter = self.filter(&caller, filter.as_ref()).await?;
        let stream = watch_jobs(&self.0, &caller, filter, &resume_token).await?;
        Ok(unbuffered(stream))
    }

    async fn get_job_timeline(
        &self,
        request: Request<GetJobTimelineRequest>,
    ) -> Result<Response<GetJobTimelineResponse>, Status> {
        let caller = caller_of(&request)?;
        let id = &request.get_ref().job_id;
        let mut tx = self.tx(&caller).await?;
        let timeline = jobs::timeline(&mut tx, parse_id(id)?).await.map_err(|error| named(error, id))?;
        Ok(Response::new(GetJobTimelineResponse {
            job: Some(job_message(&caller, &timeline.job)),
            events: timeline.events.iter().map(event_message).collect(),
        }))
    }
}

/// Proxies that gather answers must not gather these.
fn unbuffered<T>(stream: T) -> Response<T> {
    let mut response = Response::new(stream);
    response.metadata_mut().insert("x-accel-buffering", tonic::metadata::MetadataValue::from_static("no"));
    response
}

impl Jobs {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    async fn submission(
        &self,
        caller: &Caller,
        trace: Option<TraceId>,
        request: &SubmitJobRequest,
    ) -> Result<Submission, Refusal> {
        let request_id: RequestId = request_id(&request.request_id)?;
        // Whether it exists is checked where the job is stored.
        let image = image_to_be(&self.0.store, caller.tenant, &request.image).await?;
        Ok(Submission {
            tenant: caller.tenant,
            request: request_id,
            kind: parse_kind(request.kind)?,
            lane: parse_lane(request.lane)?.unwrap_or(Lane::Interactive),
            image,
            time_limit: request.timeout.map(parse_timeout).transpose()?,
            trace,
        })
    }

    async fn read(&self, caller: &Caller, id: &str) -> Result<Job, Refusal> {
        let mut tx = self.tx(caller).await?;
        jobs::get(&mut tx, parse_id(id)?).await.map_err(|error| named(error, id))
    }

    async fn list(&self, caller: &Caller, request: &ListJobsRequest) -> Result<ListJobsResponse, Refusal> {
        let filter = self.filter(caller, request.filter.as_ref()).await?;
        let binding = Binding::of("ListJobs", caller.tenant, &[&filter_bytes(&filter)]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after_text()?.map(|text| parse_id(&text)).transpose()?;
        let mut tx = self.tx(caller).await?;
        let found = jobs::list(&mut tx, &filter, after, page.limit()).await?;
        let (found, next_page_token) = page.cut(seals, binding, found, |job| job.id.to_string().into_bytes());
        Ok(ListJobsResponse {
            jobs: found.iter().map(|job| job_message(caller, job)).collect(),
            next_page_token,
        })
    }

    async fn filter(&self, caller: &Caller, filter: Option<&wire::JobFilter>) -> Result<Filter, Refusal> {
        let Some(filter) = filter else { return Ok(Filter::default()) };
        let image = match filter.image_digest.as_str() {
            "" => None,
            image => Some(image_to_be(&self.0.store, caller.tenant, image).await?),
        };
        Ok(Filter { image, ..parse_filter(filter)? })
    }

    async fn cancel(&self, caller: &Caller, id: &str) -> Result<Job, Refusal> {
        let job_id = parse_id(id)?;
        let mut tx = self.tx(caller).await?;
        let cancelled = jobs::cancel(&mut tx, job_id).await.map_err(|error| named(error, id))?;
        let job = jobs::get(&mut tx, job_id).await?;
        tx.commit().await?;
        // Asked a second time, the job is what the first time made it.
        if cancelled == Cancelled::HadEnded && job.state != model::JobState::Cancelled {
            let state = job.state;
            return Err(refuse(ErrorReason::JobFinished)
                .saying(format!("the job is {state} already"))
                .precondition("JOB_STATE", id, "the job must not be finished")
                .with("state", state));
        }
        Ok(job)
    }
}

/// A job's id as it comes in a request.
pub(super) fn parse_id(text: &str) -> Result<JobId, Refusal> {
    text.parse().map_err(|_| invalid("job_id", "must be a job's id (a UUID)"))
}

fn parse_kind(kind: i32) -> Result<JobKind, Refusal> {
    let kind = wire::JobKind::try_from(kind).map_err(|_| invalid("kind", "is not known to this server"))?;
    Ok(convert::kind_of(kind))
}

fn parse_lane(lane: i32) -> Result<Option<Lane>, Refusal> {
    let lane = common::Lane::try_from(lane).map_err(|_| invalid("lane", "is not known to this server"))?;
    Ok(convert::lane_of(lane))
}

fn parse_timeout(timeout: prost_types::Duration) -> Result<Duration, Refusal> {
    match Duration::try_from(timeout) {
        Ok(timeout) if !timeout.is_zero() && timeout <= TIMEOUT_MAX => Ok(timeout),
        _ => Err(invalid("timeout", "must be above zero and at most 30 days")),
    }
}

/// All but the image, which is looked for.
fn parse_filter(filter: &wire::JobFilter) -> Result<Filter, Refusal> {
    let state = |state: &i32| {
        let state = wire::JobState::try_from(*state).ok().and_then(convert::state_of);
        state.ok_or_else(|| invalid("filter.states", "holds a state that is not known to this server"))
    };
    let mut states = filter.states.iter().map(state).collect::<Result<Vec<_>, _>>()?;
    states.sort_unstable();
    states.dedup();
    Ok(Filter { states, lane: parse_lane(filter.lane)?, image: None })
}

/// The same filter gives the same bytes, whatever order its states came in.
pub(super) fn filter_bytes(filter: &Filter) -> Vec<u8> {
    let words: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
    let lane = filter.lane.map_or("", Lane::as_str);
    let image = filter.image.as_ref().map_or("", |image| image.as_str());
    Digest::of(format!("{}\n{lane}\n{image}", words.join(",")).as_bytes()).as_str().as_bytes().to_vec()
}

/// A job as the contract writes it.
pub(super) fn job_message(caller: &Caller, job: &Job) -> wire::Job {
    let failed = job.state == model::JobState::Failed;
    wire::Job {
        job_id: job.id.to_string(),
        tenant_id: caller.tenant.to_string(),
        kind: convert::kind(job.kind).into(),
        lane: convert::lane(job.lane).into(),
        state: convert::state(job.state).into(),
        image_digest: job.image.to_string(),
        failure: failed.then(|| failure(job.reason.as_deref().unwrap_or_default())),
        create_time: Some(convert::timestamp(job.accepted_at)),
        stage: convert::stage(job.stage).into(),
        stage_time: Some(convert::timestamp(job.stage_since)),
        end_time: job.ended_at.map(convert::timestamp),
        expire_time: job.deadline_at.map(convert::timestamp),
        verdict_version: job.verdict.map(number).unwrap_or_default(),
        trace_id: job.trace.map(|trace| trace.to_string()).unwrap_or_default(),
    }
}

/// A reason is kept as `CODE: words`, or as words alone.
fn failure(reason: &str) -> wire::JobFailure {
    let is_code = |code: &str| !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let (code, reason) = match reason.split_once(": ") {
        Some((code, words)) if is_code(code) => (code, words),
        _ => ("FAILED", reason),
    };
    wire::JobFailure { code: code.to_owned(), reason: reason.to_owned() }
}

/// A stretch of a job's life as the contract writes it.
pub(super) fn event_message(event: &JobEvent) -> wire::JobEvent {
    wire::JobEvent {
        sequence: event.seq.into(),
        stage: convert::stage(event.stage).into(),
        node: event.node.clone().unwrap_or_default(),
        attempt: number(event.attempt),
        start_time: Some(convert::timestamp(event.started_at)),
        end_time: Some(convert::timestamp(event.ended_at)),
        reason: event.reason.clone().unwrap_or_default(),
        state: convert::state(event.state).into(),
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_a_code_and_words() {
        let parts = |reason| {
            let wire::JobFailure { code, reason } = failure(reason);
            (code, reason)
        };
        let owned = |code: &str, words: &str| (code.to_owned(), words.to_owned());
        assert_eq!(parts("DIGEST_MISMATCH: layer x: 3 of 9"), owned("DIGEST_MISMATCH", "layer x: 3 of 9"));
        assert_eq!(parts("given up after 5 attempts: x"), owned("FAILED", "given up after 5 attempts: x"));
    }

    #[test]
    fn the_order_of_states_makes_no_other_filter() {
        let filter = |states: [wire::JobState; 2]| {
            let states = states.map(i32::from).to_vec();
            filter_bytes(&parse_filter(&wire::JobFilter { states, ..Default::default() }).unwrap())
        };
        use wire::JobState::{Done, Failed};
        assert_eq!(filter([Done, Failed]), filter([Failed, Done]));
        assert_ne!(filter([Done, Failed]), filter([Done, Done]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        assert!(parse_timeout(seconds(1)).is_ok());
        for bad in [0, -1, 31 * 24 * 3600] {
            assert_eq!(
                parse_timeout(seconds(bad)).unwrap_err().reason(),
                ErrorReason::RequestInvalid,
                "{bad}"
            );
        }
        assert!(parse_lane(99).is_err() && parse_kind(99).is_err() && parse_id("x").is_err());
    }
}
