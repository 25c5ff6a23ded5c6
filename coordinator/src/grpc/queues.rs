//! QueueService: what waits, what is worked on, and what was given up.

use std::sync::Arc;
use std::time::Duration;

use model::{RequestId, TenantId, TraceId};
use proto_api::queue::v1::queue_service_server::QueueService;
use proto_api::queue::v1::{
    self as wire, DiscardDeadLetterRequest, DiscardDeadLetterResponse, GetDeadLetterRequest,
    GetDeadLetterResponse, LaneStatus, ListDeadLettersRequest, ListDeadLettersResponse, ListLanesRequest,
    ListLanesResponse, RequeueDeadLetterRequest, RequeueDeadLetterResponse,
};
use store::dead_letters::{self, DeadLetter};
use store::jobs::Submission;
use store::lanes::{self, LaneLoad};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, named};
use super::idempotent::{Asked, once};
use super::paging::Page;
use super::sealed::{BadSeal, Binding};
use super::submissions::refused;
use super::tenants;
use super::trace::trace_of;

/// The service.
pub(super) struct Queues(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;

#[tonic::async_trait]
impl QueueService for Queues {
    async fn list_lanes(
        &self,
        request: Request<ListLanesRequest>,
    ) -> Result<Response<ListLanesResponse>, Status> {
        let caller = caller_of(&request)?;
        let tenant = match request.get_ref().tenant.as_str() {
            "" if caller.is_operator() => None,
            text => Some(tenants::find(&self.0, &caller, text).await?.id),
        };
        let mut tx = self.0.store.fleet().await.map_err(Refusal::from)?;
        let lanes = lanes::load(&mut tx, tenant).await.map_err(Refusal::from)?;
        Ok(Response::new(ListLanesResponse { lanes: lanes.iter().map(lane_message).collect() }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let tenant = self.whose(&caller, &request.tenant).await?;
        let letter = self.read(tenant, &request.dead_letter_id).await?;
        Ok(Response::new(GetDeadLetterResponse { dead_letter: Some(message(tenant, &letter)) }))
    }

    async fn requeue_dead_letter(
        &self,
        request: Request<RequeueDeadLetterRequest>,
    ) -> Result<Response<RequeueDeadLetterResponse>, Status> {
        let caller = caller_of(&request)?;
        let trace = trace_of(&request);
        let request = request.get_ref();
        let tenant = self.whose(&caller, &request.tenant).await?;
        let asked = Asked { tenant, method: "RequeueDeadLetter", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            self.requeue(tenant, trace, &request.dead_letter_id).await
        });
        Ok(Response::new(answer.await?))
    }

    async fn discard_dead_letter(
        &self,
        request: Request<DiscardDeadLetterRequest>,
    ) -> Result<Response<DiscardDeadLetterResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let tenant = self.whose(&caller, &request.tenant).await?;
        let asked = Asked { tenant, method: "DiscardDeadLetter", id: &request.request_id };
        let answer =
            once(&self.0.store, asked, request, async || self.discard(tenant, &request.dead_letter_id).await);
        Ok(Response::new(answer.await?))
    }
}

impl Queues {
    /// Whose dead letters: a tenant's own, or those of the tenant that an operator names.
    async fn whose(&self, caller: &Caller, tenant: &str) -> Result<TenantId, Refusal> {
        if tenant.is_empty() && caller.is_operator() {
            return Err(invalid("tenant", "must be set by operators"));
        }
        Ok(tenants::find(&self.0, caller, tenant).await?.id)
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, Refusal> {
        let tenant = self.whose(caller, &request.tenant).await?;
        let binding = Binding::of("ListDeadLetters", tenant, &[]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let before = page.after.as_deref().map(Uuid::from_slice).transpose();
        let before = before.map_err(|_| BadSeal::Broken.of_page())?;
        let mut tx = self.0.store.tenant(tenant).await?;
        let found = dead_letters::list(&mut tx, before, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |letter| letter.id.as_bytes().to_vec());
        let dead_letters = found.iter().map(|letter| message(tenant, letter)).collect();
        Ok(ListDeadLettersResponse { dead_letters, next_page_token })
    }

    async fn read(&self, tenant: TenantId, id: &str) -> Result<DeadLetter, Refusal> {
        let mut tx = self.0.store.tenant(tenant).await?;
        dead_letters::get(&mut tx, parse_id(id)?).await.map_err(|error| named(error, id))
    }

    async fn requeue(
        &self,
        tenant: TenantId,
        trace: Option<TraceId>,
        id: &str,
    ) -> Result<RequeueDeadLetterResponse, Refusal> {
        let letter = self.read(tenant, id).await?;
        let outcome = dead_letters::requeue(&self.0.store, tenant, letter.id, trace)
            .await
            .map_err(|error| named(error, id))?;
        let job = outcome.map_err(|refusal| {
            refused(
                refusal,
                &Submission {
                    tenant,
                    request: RequestId::from_uuid(letter.id),
                    kind: model::JobKind::Scan,
                    lane: letter.lane,
                    image: letter.image.clone(),
                    time_limit: None,
                    trace,
                },
            )
        })?;
        Ok(RequeueDeadLetterResponse { job_id: job.to_string() })
    }

    async fn discard(&self, tenant: TenantId, id: &str) -> Result<DiscardDeadLetterResponse, Refusal> {
        let mut tx = self.0.store.tenant(tenant).await?;
        dead_letters::discard(&mut tx, parse_id(id)?).await.map_err(|error| named(error, id))?;
        tx.commit().await?;
        Ok(DiscardDeadLetterResponse {})
    }
}

fn parse_id(text: &str) -> Result<Uuid, Refusal> {
    text.parse().map_err(|_| invalid("dead_letter_id", "must be a dead letter's id (a UUID)"))
}

fn message(tenant: TenantId, letter: &DeadLetter) -> wire::DeadLetter {
    wire::DeadLetter {
        dead_letter_id: letter.id.to_string(),
        tenant_id: tenant.to_string(),
        image_digest: letter.image.to_string(),
        lane: convert::lane(letter.lane).into(),
        attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
        first_reason: letter.first_reason.clone(),
        last_reason: letter.last_reason.clone(),
        job_ids: letter.jobs.iter().map(ToString::to_string).collect(),
        create_time: Some(convert::timestamp(letter.at)),
    }
}

fn lane_message(load: &LaneLoad) -> LaneStatus {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let oldest = Duration::try_from_secs_f64(load.oldest_s).unwrap_or_default();
    LaneStatus {
        lane: convert::lane(load.lane).into(),
        waiting: count(load.waiting),
        inflight: count(load.inflight),
        oldest_age: (load.waiting > 0).then(|| convert::duration(oldest)),
        dead_letters: count(load.dead_letters),
    }
}

#[cfg(test)]
mod tests {
    use model::Lane;

    use super::*;

    #[test]
    fn an_empty_lane_has_no_oldest_job() {
        let load = LaneLoad { lane: Lane::Bulk, waiting: 0, oldest_s: 0.0, inflight: 3, dead_letters: 1 };
        let message = lane_message(&load);
        assert_eq!((message.oldest_age, message.inflight, message.dead_letters), (None, 3, 1));
        let message = lane_message(&LaneLoad { waiting: 2, oldest_s: 1.5, ..load });
        assert_eq!(message.oldest_age, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
    }
}
