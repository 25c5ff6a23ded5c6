//! The public API: one file for each service, and around them what holds for every call.
//!
//! ```text
//! observe ─► limits ─► auth ─► a service ─► store, objects, cluster
//! ```
//!
//! Services parse requests into the model's types, refuse early, make one or two calls of the store, and turn
//! rows into messages. They decide nothing.

mod advisories;
pub mod auth;
mod cluster;
pub mod convert;
pub mod errors;
mod feeds;
mod findings;
pub mod idempotent;
mod images;
mod impact;
pub(crate) mod issuers;
mod jobs;
mod limits;
mod observe;
mod paging;
mod queues;
mod runs;
mod schedules;
pub mod scopes;
mod sealed;
mod submissions;
mod tenants;
pub mod trace;
mod uploads;
mod verdicts;
pub(crate) mod vex;
mod watch;

use std::sync::Arc;

use actors::blast_radius::BlastRadius;
use actors::vex_hearing::VexHearing;
use actors::{Deps, Recall};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use proto_api::advisory::v1::advisory_service_server::AdvisoryServiceServer;
use proto_api::cluster::v1::cluster_service_server::ClusterServiceServer;
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::feed_service_server::FeedServiceServer;
use proto_api::finding::v1::finding_service_server::FindingServiceServer;
use proto_api::image::v1::image_service_server::ImageServiceServer;
use proto_api::impact::v1::impact_service_server::ImpactServiceServer;
use proto_api::issuer::v1::issuer_service_server::IssuerServiceServer;
use proto_api::job::v1::job_service_server::JobServiceServer;
use proto_api::queue::v1::queue_service_server::QueueServiceServer;
use proto_api::run::v1::run_service_server::RunServiceServer;
use proto_api::tenant::v1::tenant_service_server::TenantServiceServer;
use proto_api::verdict::v1::verdict_service_server::VerdictServiceServer;
use proto_api::vex::v1::vex_service_server::VexServiceServer;
use store::{Objects, Store};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tonic::Status;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::Api;
use crate::node::Phase;
use errors::refuse;
pub(crate) use runs::is_purl;
use sealed::Seals;
use submissions::Submissions;
use watch::Watches;

/// What the services share.
#[derive(Clone)]
pub struct Door {
    /// The database.
    pub store: Store,
    /// Where blobs are kept.
    pub objects: Objects,
    /// The cluster this node is part of.
    pub cluster: ::cluster::Cluster,
    blast_radius: BlastRadius,
    /// Hears what VEX says.
    vex: VexHearing,
    /// Evaluates again what was evaluated before.
    pub recall: Recall,
    watches: Watches,
    submissions: Submissions,
    seals: Seals,
    blob_bytes_max: u64,
    /// Documents that are held in memory on their way in.
    attaching: Arc<Semaphore>,
    /// Images whose statements are explained.
    explaining: Arc<Semaphore>,
    phase: Receiver<Phase>,
}

impl Door {
    /// Puts them together, with what answers questions on this node. Watches end when the node leaves.
    pub fn new(
        api: &Api,
        store: Store,
        objects: Objects,
        cluster: ::cluster::Cluster,
        deps: &Deps,
        phase: &Receiver<Phase>,
    ) -> Self {
        Self {
            blast_radius: BlastRadius::of_node(deps),
            vex: deps.vex().clone(),
            recall: Recall::new(deps),
            watches: Watches::start(store.clone(), api.watches_max, phase.clone()),
            submissions: Submissions::start(store.clone()),
            seals: Seals::new(api.signing_key),
            blob_bytes_max: api.blob_bytes_max,
            attaching: Arc::new(Semaphore::new(vex::ATTACHING_MAX)),
            explaining: Arc::new(Semaphore::new(vex::EXPLAINING_MAX)),
            phase: phase.clone(),
            store,
            objects,
            cluster,
        }
    }
}

/// The whole API as a router. `health` is told what becomes of it by [`set_serving`].
pub fn router(door: Door, api: &Api, health: Routes) -> anyhow::Result<Router> {
    let gate = auth::Gate::new(door.store.clone());
    let calls = limits::Calls::new(api.calls_max, api.deadline, door.phase.clone());
    let size = api.message_bytes_max;
    let door = Arc::new(door);
    let mut routes = health
        .add_service(JobServiceServer::new(jobs::Jobs(door.clone())).max_decoding_message_size(size))
        .add_service(ImageServiceServer::new(images::Images(door.clone())).max_decoding_message_size(size))
        .add_service(
            FindingServiceServer::new(findings::Findings(door.clone())).max_decoding_message_size(size),
        )
        .add_service(ImpactServiceServer::new(impact::Impact(door.clone())).max_decoding_message_size(size))
        .add_service(
            VerdictServiceServer::new(verdicts::Verdicts(door.clone())).max_decoding_message_size(size),
        )
        .add_service(FeedServiceServer::new(feeds::Feeds(door.clone())).max_decoding_message_size(size))
        .add_service(
            AdvisoryServiceServer::new(advisories::Advisories(door.clone())).max_decoding_message_size(size),
        )
        .add_service(TenantServiceServer::new(tenants::Tenants(door.clone())).max_decoding_message_size(size))
        .add_service(ClusterServiceServer::new(cluster::Nodes(door.clone())).max_decoding_message_size(size))
        .add_service(QueueServiceServer::new(queues::Queues(door.clone())).max_decoding_message_size(size))
        .add_service(VexServiceServer::new(vex::Vex(door.clone())).max_decoding_message_size(size))
        .add_service(IssuerServiceServer::new(issuers::Issuers(door.clone())).max_decoding_message_size(size))
        .add_service(RunServiceServer::new(runs::Runs(door)).max_decoding_message_size(size));
    if api.reflection {
        routes = with_reflection(routes)?;
    }
    Ok(routes
        .into_axum_router()
        .reset_fallback()
        .fallback(unknown)
        .layer(from_fn_with_state(gate, auth::guard))
        .layer(from_fn_with_state(calls, limits::bound))
        .layer(from_fn(observe::observe)))
}

/// Both versions: older clients know v1alpha alone.
fn with_reflection(routes: Routes) -> anyhow::Result<Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto_api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}

/// A path that is no method: a gRPC client is told in its own language, a browser in plain words.
async fn unknown(headers: HeaderMap) -> Response {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content.is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Status::from(refuse(ErrorReason::MethodUnknown)).into_http();
    }
    (StatusCode::NOT_FOUND, "there is nothing here; this port speaks gRPC, see docs/api.md\n").into_response()
}

/// Tells health clients whether the node serves: for each service, and for the whole under the empty name.
pub async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// Ends the watches of health clients.
pub async fn forget_services(health: &mut HealthReporter) {
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}

/// What health clients may ask about.
const SERVICES: [&str; 14] = [
    "",
    JobServiceServer::<jobs::Jobs>::NAME,
    ImageServiceServer::<images::Images>::NAME,
    FindingServiceServer::<findings::Findings>::NAME,
    ImpactServiceServer::<impact::Impact>::NAME,
    VerdictServiceServer::<verdicts::Verdicts>::NAME,
    FeedServiceServer::<feeds::Feeds>::NAME,
    AdvisoryServiceServer::<advisories::Advisories>::NAME,
    TenantServiceServer::<tenants::Tenants>::NAME,
    ClusterServiceServer::<cluster::Nodes>::NAME,
    QueueServiceServer::<queues::Queues>::NAME,
    RunServiceServer::<runs::Runs>::NAME,
    VexServiceServer::<vex::Vex>::NAME,
    IssuerServiceServer::<issuers::Issuers>::NAME,
];
