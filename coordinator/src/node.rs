//! A node: the one place where its parts are built and put together, and taken apart again in order.

mod gauges;
mod readiness;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actors::{Deps, NodeActors, StoreAuthority};
use anyhow::{Context as _, Result};
use axum::Router;
use cluster::{Cluster, Exit};
use store::{Objects, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::config::{Api, NodeConfig, Shutdown, Tls};
use crate::grpc::{self, Door};
use crate::http::{self, Check};
use readiness::Ready;

/// A running node.
pub struct Node {
    api: SocketAddr,
    shutdown: Shutdown,
    store: Store,
    cluster: Cluster,
    actors: NodeActors,
    /// How far it has come in leaving.
    phase: watch::Sender<Phase>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// How far a node has come in leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It says that it does not, and still does: load balancers need a moment.
    NotServing,
    /// It ends watches and takes no new connections.
    Leaving,
}

/// Runs a node until it is told to leave, drained, or declared dead. The exit code says which.
pub async fn run(config: NodeConfig) -> Result<ExitCode> {
    let node = Node::start(config).await?;
    Ok(ExitCode::from(node.until_ended(stop_signal()).await))
}

/// A request to end: from Ctrl-C or from whoever looks after the process.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

impl Node {
    /// Builds the parts and joins the cluster. Returns once the node serves.
    pub async fn start(config: NodeConfig) -> Result<Self> {
        // What is set once, by parts that start before the API does, is counted too.
        http::collect_metrics()?;
        // A port that is taken is found before anybody hears of this node.
        let listener = TcpListener::bind(config.api.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", config.api.listen))?;
        let api = listener.local_addr()?;
        warn_about_plain_text(&config.api);

        let store = Store::connect(&config.database).await.context("database")?;
        let objects = Objects::open(&config.objects).context("objects.url")?;
        let slots = u32::try_from(config.actors.worker_slots).context("worker.slots")?;
        let address = config.api.advertise.clone().unwrap_or_else(|| api.to_string());
        let authority = Arc::new(StoreAuthority::new(store.clone(), address, slots));
        let mut actors_config = config.actors.clone();
        actors_config.work_lease = config.cluster.streams.work_lease;
        let deps = Deps::new(actors_config, store.clone(), objects.clone()).context("feeds")?;
        let cluster = Cluster::start(config.cluster.clone(), authority, actors::factories(&deps));
        let cluster = cluster.await.context("cannot join the cluster")?;
        let actors = actors::spawn_node_actors(&deps, &cluster).await.context("cannot start the actors")?;

        let (phase, phases) = watch::channel(Phase::Serving);
        let (rows, blobs, ring) = (store.clone(), objects.clone(), cluster.clone());
        let door = Door::new(&config.api, rows, blobs, ring, &deps, &phases);
        let events = http::events(&config.webhooks, &store, cluster.windows());
        let server = serve(&config.api, listener, door, events, &phases)?;
        tokio::spawn(gauges::keep(store.clone(), cluster.clone(), phases));
        tracing::info!(api.address = %api, node.generation = %cluster.generation(), "node serves");
        Ok(Self { api, shutdown: config.shutdown, store, cluster, actors, phase, server })
    }

    /// Where its API listens.
    pub const fn api(&self) -> SocketAddr {
        self.api
    }

    /// The cluster as it knows it.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Runs until `stop` is done or the node has left by itself. Answers the exit code.
    pub async fn until_ended(self, stop: impl Future<Output = ()>) -> u8 {
        let ended = tokio::select! {
            () = stop => None,
            exit = self.cluster.exited() => Some(exit),
        };
        match ended {
            None => self.leave().await.code(),
            // Others may act for it by now: it must not go on with anything.
            Some(exit @ (Exit::DeclaredDead | Exit::Failed)) => {
                tracing::error!(?exit, "node ends at once");
                exit.code()
            }
            Some(Exit::Left) => {
                tracing::info!("node was drained");
                self.leave().await.code()
            }
        }
    }

    /// Leaves in order: says so, lets calls end, gives its work back, hands its partitions over.
    pub async fn leave(self) -> Exit {
        tracing::info!("node leaves");
        let deadline = Instant::now() + self.shutdown.wait + self.shutdown.deadline;
        self.phase.send_replace(Phase::NotServing);
        self.actors.take_no_more();
        tokio::time::sleep(self.shutdown.wait).await;
        self.phase.send_replace(Phase::Leaving);

        let left = deadline.saturating_duration_since(Instant::now());
        // Giving work back needs the streams, so actors first; and time must remain for the hand-over.
        self.actors.shutdown(left / 3).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let exit = self.cluster.shutdown(left).await;
        let mut server = self.server;
        if timeout_at(deadline.max(Instant::now() + Duration::from_millis(200)), &mut server).await.is_err() {
            tracing::warn!("calls were cut off: they did not end in time");
            server.abort();
        }
        // Waits for transactions that are still open; those of cut calls end with their connections.
        drop(timeout_at(deadline.max(Instant::now() + Duration::from_secs(1)), self.store.close()).await);
        tracing::info!(?exit, "node has left");
        exit
    }
}

fn warn_about_plain_text(api: &Api) {
    if api.tls.is_none() && !api.listen.ip().is_loopback() {
        tracing::warn!(api.listen = %api.listen, "tokens travel in plain text: set api.tls-certificate and api.tls-key");
    }
}

type Serving = JoinHandle<Result<(), tonic::transport::Error>>;

/// Serves API, probes, metrics and events on one port.
fn serve(
    api: &Api,
    listener: TcpListener,
    door: Door,
    events: Router,
    phases: &watch::Receiver<Phase>,
) -> Result<Serving> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let ready = Arc::new(Ready { door: door.clone(), phase: phases.clone() });
    let router = grpc::router(door.clone(), api, Routes::new(health_service))?;
    let router = router.merge(http::routes(ready, http::collect_metrics()?)).merge(events);
    tokio::spawn(readiness::report(health, door.cluster, phases.clone()));

    let mut leaving = phases.clone();
    let left = async move { drop(leaving.wait_for(|phase| *phase == Phase::Leaving).await) };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = server(api.tls.as_ref())?.add_routes(Routes::from(router));
    let serving = server.serve_with_incoming_shutdown(incoming, left);
    Ok(tokio::spawn(serving))
}

fn server(tls: Option<&Tls>) -> Result<Server> {
    let server = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_concurrent_streams(1024);
    let Some(tls) = tls else { return Ok(server) };
    let read = |path: &std::path::Path| std::fs::read(path).with_context(|| path.display().to_string());
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    server
        .tls_config(ServerTlsConfig::new().identity(identity))
        .context("api.tls-certificate and api.tls-key")
}

/// What must hold for the node to be sent calls, as a list of checks.
fn checks(phase: Phase, database: Option<String>, objects: Option<String>, cluster: bool) -> Vec<Check> {
    let leaving = (phase != Phase::Serving).then(|| "the node leaves".to_owned());
    let joined = (!cluster).then(|| "not in the view, or not able to renew".to_owned());
    vec![
        Check { name: "serving", fault: leaving },
        Check { name: "database", fault: database },
        Check { name: "objects", fault: objects },
        Check { name: "cluster", fault: joined },
    ]
}
