//! RunService: what the scheduler does, and what it is told.

mod watch;
mod words;

use std::sync::Arc;

use model::{RunId, RunKind, TenantId};
use proto_api::common::v1::ErrorReason;
use proto_api::run::v1::run_service_server::RunService;
use proto_api::run::v1::{
    CancelRunRequest, CancelRunResponse, CreateRunRequest, CreateRunResponse, DeleteScheduleRequest,
    DeleteScheduleResponse, GetRunRequest, GetRunResponse, GetScheduleRequest, GetScheduleResponse,
    ListRunImagesRequest, ListRunImagesResponse, ListRunsRequest, ListRunsResponse, ListSchedulesRequest,
    ListSchedulesResponse, ReleaseRunRequest, ReleaseRunResponse, Selector as WireSelector,
    SetScheduleRequest, SetScheduleResponse, WatchRunRequest,
};
use store::runs::{self, NewRun, Run, Said, Selector};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Door;
use super::auth::{Caller, caller_of};
use super::errors::{Refusal, invalid, named, refuse};
use super::idempotent::{Asked, once};
use super::images::image_to_be;
use super::paging::Page;
use super::schedules;
use super::sealed::{BadSeal, Binding};
use super::tenants;
use watch::RunStream;
use words::{image_message, image_state_of, message, state_of};
pub(super) use words::{rate, rate_of, selector_message};

/// The service.
pub(super) struct Runs(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;
/// Package URLs of one request.
const PACKAGES_MAX: usize = 1_000;
const TEXT_MAX: usize = 500;

#[tonic::async_trait]
impl RunService for Runs {
    type WatchRunStream = RunStream;

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(caller.tenant, request.get_ref()).await?))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        let run = self.read(parse_id(&request.get_ref().run_id)?).await?;
        Ok(Response::new(GetRunResponse { run: Some(message(&run)) }))
    }

    async fn list_run_images(
        &self,
        request: Request<ListRunImagesRequest>,
    ) -> Result<Response<ListRunImagesResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.images(caller.tenant, request.get_ref()).await?))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let id = parse_id(&request.get_ref().run_id)?;
        let first = self.read(id).await?;
        Ok(Response::new(watch::follow(&self.0, first)?))
    }

    async fn create_run(
        &self,
        request: Request<CreateRunRequest>,
    ) -> Result<Response<CreateRunResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "CreateRun", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.create(&caller, request).await);
        Ok(Response::new(answer.await?))
    }

    async fn release_run(
        &self,
        request: Request<ReleaseRunRequest>,
    ) -> Result<Response<ReleaseRunResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "ReleaseRun", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let run = self.tell(&request.run_id, Word::Release).await?;
            Ok(ReleaseRunResponse { run: Some(message(&run)) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "CancelRun", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let run = self.tell(&request.run_id, Word::Cancel).await?;
            Ok(CancelRunResponse { run: Some(message(&run)) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn list_schedules(
        &self,
        _: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        Ok(Response::new(schedules::list(&self.0).await?))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<GetScheduleResponse>, Status> {
        let schedule = schedules::get(&self.0, &request.get_ref().schedule_id).await?;
        Ok(Response::new(GetScheduleResponse { schedule: Some(schedule) }))
    }

    async fn set_schedule(
        &self,
        request: Request<SetScheduleRequest>,
    ) -> Result<Response<SetScheduleResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "SetSchedule", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let selector = parse_selector(&self.0, &caller, request.selector.as_ref()).await?;
            schedules::set(&self.0, request, selector).await
        });
        Ok(Response::new(answer.await?))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<DeleteScheduleResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "DeleteSchedule", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            schedules::remove(&self.0, &request.schedule_id).await
        });
        Ok(Response::new(answer.await?))
    }
}

/// What a person says of a run.
enum Word {
    Release,
    Cancel,
}

impl Runs {
    async fn read(&self, id: RunId) -> Result<Run, Refusal> {
        let mut tx = self.0.store.fleet().await?;
        runs::get(&mut tx, id).await.map_err(|error| named(error, &id.to_string()))
    }

    async fn list(&self, tenant: TenantId, request: &ListRunsRequest) -> Result<ListRunsResponse, Refusal> {
        let states: Vec<_> = request.states().filter_map(state_of).collect();
        let filter: Vec<&[u8]> = states.iter().map(|state| state.as_str().as_bytes()).collect();
        let binding = Binding::of("ListRuns", tenant, &filter);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let before = page.after.as_deref().map(Uuid::from_slice).transpose();
        let before = before.map_err(|_| BadSeal::Broken.of_page())?.map(RunId::from_uuid);
        let mut tx = self.0.store.fleet().await?;
        let found = runs::list(&mut tx, &states, before, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |run| run.id.as_uuid().as_bytes().to_vec());
        Ok(ListRunsResponse { runs: found.iter().map(message).collect(), next_page_token })
    }

    async fn images(
        &self,
        tenant: TenantId,
        request: &ListRunImagesRequest,
    ) -> Result<ListRunImagesResponse, Refusal> {
        let run = self.read(parse_id(&request.run_id)?).await?.id;
        let state = image_state_of(request.state());
        let word = state.map_or("", |state| state.as_str());
        let binding = Binding::of("ListRunImages", tenant, &[run.as_uuid().as_bytes(), word.as_bytes()]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let text = page.after_text()?;
        let after = match text.as_deref() {
            None => None,
            Some(text) => {
                let (tenant, digest) = text.split_once('/').ok_or_else(|| BadSeal::Broken.of_page())?;
                Some((tenant.parse::<TenantId>().map_err(|_| BadSeal::Broken.of_page())?, digest))
            }
        };
        let mut tx = self.0.store.fleet().await?;
        let found = runs::images(&mut tx, run, state, after, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |image| format!("{}/{}", image.tenant, image.image).into_bytes());
        Ok(ListRunImagesResponse { images: found.iter().map(image_message).collect(), next_page_token })
    }

    async fn create(
        &self,
        caller: &Caller,
        request: &CreateRunRequest,
    ) -> Result<CreateRunResponse, Refusal> {
        let selector = parse_selector(&self.0, caller, request.selector.as_ref()).await?;
        if request.cause.len() > TEXT_MAX {
            return Err(invalid("cause", format!("must have at most {TEXT_MAX} characters")));
        }
        let cause = if request.cause.is_empty() { "asked for" } else { &request.cause };
        let run = NewRun {
            key: Some(format!("request/{}", request.request_id)),
            kind: if selector.packages.is_empty() { RunKind::Sweep } else { RunKind::Packages },
            cause: cause.to_owned(),
            selector,
            rate_per_s: rate_of(request.rate_per_second)?,
            schedule: None,
        };
        let mut tx = self.0.store.fleet().await?;
        let (id, _) = runs::request(&mut tx, &run).await?;
        let run = runs::get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(CreateRunResponse { run: Some(message(&run)) })
    }

    async fn tell(&self, id: &str, word: Word) -> Result<Run, Refusal> {
        let run = parse_id(id)?;
        let mut tx = self.0.store.fleet().await?;
        let said = match word {
            Word::Release => runs::release(&mut tx, run).await,
            Word::Cancel => runs::ask_cancel(&mut tx, run).await,
        };
        if said.map_err(|error| named(error, id))? == Said::HadEnded {
            return Err(refuse(ErrorReason::RunFinished)
                .saying(format!("run {run} has ended"))
                .about("run", run));
        }
        let run = runs::get(&mut tx, run).await?;
        tx.commit().await?;
        Ok(run)
    }
}

fn parse_id(text: &str) -> Result<RunId, Refusal> {
    text.parse().map_err(|_| invalid("run_id", "must be a UUID"))
}

/// A selector of a request, with its tenant looked up.
async fn parse_selector(
    door: &Door,
    caller: &Caller,
    selector: Option<&WireSelector>,
) -> Result<Selector, Refusal> {
    let Some(selector) = selector else { return Ok(Selector::default()) };
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    if selector.name.len() > TEXT_MAX {
        return Err(invalid("selector.name", format!("must have at most {TEXT_MAX} characters")));
    }
    if selector.packages.len() > PACKAGES_MAX {
        return Err(invalid("selector.packages", format!("must be at most {PACKAGES_MAX}")));
    }
    if let Some(bad) = selector.packages.iter().find(|purl| !is_purl(purl)) {
        return Err(invalid("selector.packages", format!("{bad:?} is no package URL")));
    }
    let tenant = match selector.tenant.as_str() {
        "" => None,
        name => Some(tenants::find(door, caller, name).await?.id),
    };
    let image = match (selector.image.as_str(), tenant) {
        ("", _) => None,
        (image, Some(tenant)) => Some(image_to_be(&door.store, tenant, image).await?),
        (digest, None) => Some(digest.parse().map_err(|error| {
            invalid("selector.image", format!("{error}; with a tenant its beginning or a name do too"))
        })?),
    };
    Ok(Selector {
        tenant,
        image,
        name: text(&selector.name),
        stale_only: selector.stale_only,
        packages: selector.packages.clone(),
    })
}

/// Whether it can be a package URL: what it names is looked up, so an odd one finds nothing.
pub(crate) fn is_purl(text: &str) -> bool {
    text.len() <= 2048
        && text.strip_prefix("pkg:").is_some_and(|rest| rest.trim_matches('/').contains('/'))
        && !text.contains(char::is_control)
}
