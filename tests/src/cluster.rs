//! A cluster under test: servers, nodes, tenants, and what they have in common.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actors::failpoint::Point;
use coordinator::dev::certificates::CertificateAuthority;
use model::TenantId;
use proto_api::cluster::v1::GetRingRequest;
use proto_api::feed::v1::{CreateFeedRequest, FeedFreshness};
use proto_api::tenant::v1::CreateTenantRequest;
use store::Store;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::clients::{Clients, SOON, request_id};
use crate::invariants::acts;
use crate::node::Common;
use crate::seats::Seat;
use crate::servers::Disks;
use crate::{FeedFolder, Hold, Node, Servers, Truth, eventually, eventually_ok, tokens};

const DATABASE: &str = "starling";

/// How a cluster is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many nodes.
    pub nodes: usize,
    /// Settings of the nodes that differ from those usual in tests: `section.name`, and the value.
    pub settings: Vec<(String, String)>,
    /// For measurements: PostgreSQL has room, and a commit waits for the disk.
    pub durable: bool,
    /// Nodes can be cut off and have their clocks set, and disks can be full, as far as the machine allows. And each
    /// effect is noted, with who did it.
    pub breakable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { nodes: 3, settings: Vec::new(), durable: false, breakable: false }
    }
}

/// A customer, with a token that may do what a customer does.
#[derive(Debug, Clone)]
pub struct Tenant {
    id: Uuid,
    name: String,
    token: String,
}

impl Tenant {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its token.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// A cluster of real processes. All of them end with it.
#[derive(Debug)]
pub struct TestCluster {
    // Dropped in this order: nodes before the servers they stand on, files last.
    nodes: Vec<Node>,
    /// The servers it stands on.
    pub servers: Servers,
    truth: Truth,
    small_feed: OnceCell<FeedFolder>,
    app_url: String,
    operator_token: String,
    home: TempDir,
    _seat: Seat,
}

/// What a token may be.
#[derive(Debug, Clone, Default)]
pub struct Token {
    /// After what time it runs out; `None` for never.
    pub expires_in: Option<Duration>,
}

impl TestCluster {
    /// Starts servers and nodes and waits until the ring is whole.
    pub async fn start(settings: Settings) -> Self {
        let seat = Seat::take().await;
        let home = tempfile::Builder::new().prefix("starling-test-").tempdir().expect("a folder can be made");
        let disks = settings.breakable.then(|| Disks::below(home.path())).flatten();
        let servers = Servers { disks, ..Servers::start(home.path(), settings.durable).await };
        let owner_url = servers.postgres.owner_url(DATABASE);
        let app_url = servers.postgres.url("starling_app", DATABASE);
        let truth = Truth::new(owner_url.clone());
        Truth::new(servers.postgres.owner_url("postgres")).run(&format!("create database {DATABASE}")).await;
        Store::migrate(&owner_url).await.expect("the schema can be made");
        acts::prepare(&truth).await;
        if settings.breakable {
            acts::record(&truth).await;
        }
        let operator_token = tokens::issue(&app_url, TenantId::SYSTEM, None).await;
        let common = Common {
            home: home.path().to_path_buf(),
            database_url: app_url.clone(),
            valkey_url: servers.valkey.url(),
            settings: settings.settings,
            operator_token: operator_token.clone(),
            breakable: settings.breakable.then(|| (servers.postgres.port(), servers.valkey.port())),
        };
        let authority = CertificateAuthority::open(&home.path().join("certificates")).expect("an authority");
        let mut nodes = Vec::new();
        for number in 1..=settings.nodes {
            let name = format!("node-{number}");
            let certificate = authority.node(&name).expect("a certificate");
            nodes.push(Node::new(&name, &common, &certificate).await);
        }
        let small_feed = OnceCell::new();
        let mut cluster =
            Self { nodes, servers, truth, small_feed, app_url, operator_token, home, _seat: seat };
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.settled().await;
        cluster
    }

    /// The cluster that all tests of this process share which do not break it. The last one that lets go
    /// ends it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<TestCluster>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let cluster = Arc::new(Self::start(Settings::default()).await);
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The operators' token.
    pub fn operator_token(&self) -> &str {
        &self.operator_token
    }

    /// The node that is asked when it does not matter which; tests break the others first.
    fn anyone(&self) -> &Node {
        self.nodes.last().expect("a cluster has nodes")
    }

    /// The nodes, to be broken.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// The database behind them.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Leaves nothing of the database, nor of the roles that belong to it, and makes an empty one. No node may run.
    pub async fn destroy_database(&self) {
        let server = Truth::new(self.servers.postgres.owner_url("postgres"));
        server.run(&format!("drop database {DATABASE} with (force)")).await;
        server.run("drop role starling_app, starling_tenant, starling_fleet").await;
        server.run(&format!("create database {DATABASE}")).await;
    }

    /// The database as the nodes see it.
    pub async fn store(&self, max_connections: u32) -> Store {
        tokens::connect(&self.app_url, max_connections).await
    }

    /// Waits until every node whose process runs serves, and these own all partitions as the ring wants.
    pub async fn settled(&mut self) {
        let running: Vec<_> =
            self.nodes.iter_mut().filter_map(|node| node.runs().then(|| node.operator())).collect();
        let count = running.len();
        let what = format!("{count} nodes own all partitions");
        for operator in running {
            eventually_ok(Duration::from_secs(60), &what, || whole_ring(operator.clone(), count)).await;
        }
    }

    /// Whether all nodes own all partitions as the ring wants; if not, what one of them says.
    pub async fn whole(&self) -> Result<(), String> {
        for node in &self.nodes {
            whole_ring(node.operator(), self.nodes.len()).await?;
        }
        Ok(())
    }

    /// Whoever passes this place in any node waits there while the answer lives.
    pub fn hold(&self, point: Point) -> Hold {
        Hold::on(&self.nodes, point)
    }

    /// A new tenant with a token. Its name is made different from all others.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let name = format!("{name}-{}", &Uuid::now_v7().simple().to_string()[24..]);
        let request = CreateTenantRequest { request_id: request_id(), name: name.clone(), quota: None };
        let mut operator = self.anyone().operator();
        let made = operator.tenants.create_tenant(request).await.expect("the tenant is made").into_inner();
        let id: Uuid = made.tenant.expect("a tenant").tenant_id.parse().expect("an id");
        let mut tenant = Tenant { id, name, token: String::new() };
        tenant.token = self.token(&tenant, Token::default()).await;
        tenant
    }

    /// One more token of a tenant.
    pub async fn token(&self, tenant: &Tenant, token: Token) -> String {
        tokens::issue(&self.app_url, TenantId::from_uuid(tenant.id), token.expires_in).await
    }

    /// Takes a token of a tenant back.
    pub async fn revoke(&self, tenant: &Tenant, token: &str) {
        tokens::revoke(&self.app_url, TenantId::from_uuid(tenant.id), token).await;
    }

    /// Has the small feed read, once for all tests that need it.
    pub async fn with_small_feed(&self) {
        let read = || async {
            let folder = FeedFolder::small();
            self.create_feed("small", &folder).await;
            self.feed_is_read("small").await;
            folder
        };
        self.small_feed.get_or_init(read).await;
    }

    /// Registers this folder as a feed.
    pub async fn create_feed(&self, feed_id: &str, folder: &FeedFolder) {
        let request = CreateFeedRequest {
            request_id: request_id(),
            feed_id: feed_id.to_owned(),
            source_uri: folder.uri(),
            ..Default::default()
        };
        self.anyone().operator().feeds.create_feed(request).await.expect("the feed is taken");
    }

    /// Waits until the feed was read well.
    pub async fn feed_is_read(&self, feed_id: &str) {
        let operator = self.anyone().operator();
        eventually(SOON, &format!("feed {feed_id} is read"), || {
            let mut operator = operator.clone();
            async move { operator.feed(feed_id).await.freshness() == FeedFreshness::Fresh }
        })
        .await;
    }

    /// A folder for what a test writes; gone with the cluster.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }
}

/// The ring as this node tells it; `Err` while it is not whole.
async fn whole_ring(mut operator: Clients, nodes: usize) -> Result<(), String> {
    let ring = operator.cluster.get_ring(GetRingRequest::default()).await;
    let ring = ring.map_err(|status| format!("{status:?}"))?.into_inner();
    let owners = ring.shares.iter().filter(|share| share.owned > 0).count();
    let whole = ring.unowned == 0 && ring.moving == 0 && owners == nodes && ring.shares.len() == nodes;
    if whole { Ok(()) } else { Err(format!("{ring:?}")) }
}

impl Drop for TestCluster {
    #[expect(clippy::print_stderr, reason = "whoever looks at a failed test needs the nodes' last words")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            eprintln!("---- the last words of {} ----\n{}", node.name(), node.last_words());
        }
    }
}
