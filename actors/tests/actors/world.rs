//! Nodes in this process over a database of the test's own, and short ways to ask it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actors::{Config, Deps, NodeActors, StoreAuthority, factories, spawn_node_actors};
use cluster::Cluster;
use model::{FeedId, JobId, JobKind, JobState, Lane, RequestId, TenantId};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use store::feeds::{Feed, NewFeed};
use store::jobs::{Job, Submission};
use store::tenants::Quota;
use store::{Objects, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::demo::Image;

/// Longer than anything here takes, even when the machine is busy.
const PATIENCE: Duration = Duration::from_secs(60);

const GENEROUS: Quota =
    Quota { weight: 1.0, max_queued: 10_000, max_inflight: 1_000, rate_per_s: 1e6, burst: 10_000 };

/// One test's servers and folders.
pub(crate) struct World {
    owner: PgPool,
    pub(crate) store: Store,
    objects: Objects,
    folder: TempDir,
    prefix: String,
}

/// A node that takes part.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) actors: NodeActors,
}

impl World {
    pub(crate) async fn new(owner: PgPool) -> Self {
        // Another test of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("feed")).expect("a fresh folder");
        let store = connect(&owner, "test").await;
        let objects = open_objects(&folder);
        Self { owner, store, objects, folder, prefix: format!("test-{}:", Uuid::now_v7()) }
    }

    /// Starts a node with so many worker slots.
    #[expect(clippy::disallowed_methods, reason = "the servers of the tests are named by the environment")]
    pub(crate) async fn node(&self, name: &str, worker_slots: usize) -> Node {
        let store = connect(&self.owner, name).await;
        let deps = self.deps(store.clone(), worker_slots);
        let valkey = std::env::var("STARLING_TEST_VALKEY_URL").expect("run by scripts/with-servers");
        let mut settings =
            cluster::Config::new(name, "127.0.0.1:0".parse().expect("an address"), valkey).test_profile();
        settings.valkey_prefix.clone_from(&self.prefix);
        let slots = u32::try_from(worker_slots).expect("few");
        let authority = Arc::new(StoreAuthority::new(store, "127.0.0.1:1".to_owned(), slots));
        let cluster = Cluster::start(settings, authority, factories(&deps)).await.expect("it joins");
        let actors = spawn_node_actors(&deps, &cluster).await.expect("they start");
        Node { cluster, actors }
    }

    /// What the actors of a node on this store are handed.
    pub(crate) fn deps(&self, store: Store, worker_slots: usize) -> Deps {
        let config = Config { worker_slots, ..Config::default() }.test_profile();
        Deps::new(config, store, self.objects.clone()).expect("the settings are right")
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let mut tx = self.store.fleet().await.unwrap();
        let tenant = store::tenants::create(&mut tx, name, GENEROUS).await.unwrap();
        tx.commit().await.unwrap();
        tenant.id
    }

    /// Uploads an image's blobs and registers it.
    pub(crate) async fn put(&self, tenant: TenantId, image: &Image) {
        let mut tx = self.store.tenant(tenant).await.unwrap();
        let layer = &image.image.layers[0];
        for (digest, bytes) in [(&image.image.config, &image.config), (&layer.digest, &image.layer)] {
            let content = futures::stream::iter([Ok(bytes.clone().into())]);
            let size = bytes.len() as u64;
            self.objects.put_blob(tenant, digest, size, content).await.unwrap();
            store::images::record_blob(&mut tx, digest, size, "application/octet-stream").await.unwrap();
        }
        store::images::put(&mut tx, &image.image).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Makes a blob vanish from the object store, as if it had lost it.
    pub(crate) fn lose_layer(&self, tenant: TenantId, image: &Image) {
        let blobs = self.folder.path().join(format!("objects/tenants/{tenant}/blobs/sha256"));
        std::fs::remove_file(blobs.join(image.image.layers[0].digest.hex())).expect("it was put there");
    }

    pub(crate) async fn submit(&self, tenant: TenantId, image: &Image) -> JobId {
        self.submit_with(tenant, image, Lane::Interactive, None).await
    }

    pub(crate) async fn submit_with(
        &self,
        tenant: TenantId,
        image: &Image,
        lane: Lane,
        time_limit: Option<Duration>,
    ) -> JobId {
        let submission = Submission {
            tenant,
            request: RequestId::from_uuid(Uuid::now_v7()),
            kind: JobKind::Scan,
            lane,
            image: image.image.digest.clone(),
            time_limit,
            trace: None,
        };
        let answers = store::jobs::submit_many(&self.store, vec![submission]).await.unwrap();
        answers[0].as_ref().expect("it is accepted").job_id
    }

    pub(crate) async fn job(&self, tenant: TenantId, job: JobId) -> Job {
        let mut tx = self.store.tenant(tenant).await.unwrap();
        store::jobs::get(&mut tx, job).await.unwrap()
    }

    /// Waits until the job has ended.
    pub(crate) async fn end_of(&self, tenant: TenantId, job: JobId) -> Job {
        eventually(async || Some(self.job(tenant, job).await).filter(|job| job.state.is_final())).await
    }

    /// Scans an image to its end, which is to be `done`; the verdict's version.
    pub(crate) async fn scan(&self, tenant: TenantId, image: &Image) -> u32 {
        let job = self.submit(tenant, image).await;
        let ended = self.end_of(tenant, job).await;
        assert_eq!((ended.state, &ended.reason), (JobState::Done, &None), "{ended:?}");
        ended.verdict.expect("who is done has a verdict")
    }

    /// The vulnerabilities found in an image, with the package each is in.
    pub(crate) async fn findings(&self, tenant: TenantId, image: &Image) -> Vec<(String, String)> {
        let mut tx = self.store.tenant(tenant).await.unwrap();
        let (image, filter) = (&image.image.digest, store::findings::Filter::default());
        let version = store::verdicts::last(&mut tx, image).await.unwrap().map_or(0, |last| last.version);
        let listed = store::findings::of_verdict(&mut tx, image, version, &filter, None, 100).await.unwrap();
        listed.into_iter().map(|listed| (listed.finding.vulnerability, listed.finding.package)).collect()
    }

    /// The folder that the test's feed is read from.
    pub(crate) fn feed_folder(&self) -> PathBuf {
        self.folder.path().join("feed")
    }

    /// Registers a feed over the test's folder and waits until it was read.
    pub(crate) async fn feed(&self, id: &str) -> Feed {
        let feed = NewFeed {
            id: id.parse().expect("a feed's name"),
            source: format!("file://{}", self.feed_folder().display()),
            format: "osv".to_owned(),
            interval: Duration::from_secs(3600),
            promise: Duration::from_secs(7200),
        };
        let mut tx = self.store.fleet().await.unwrap();
        store::feeds::register(&mut tx, &feed).await.unwrap();
        tx.commit().await.unwrap();
        self.read_feed(&feed.id).await
    }

    /// Asks for another refresh and waits until it has succeeded.
    pub(crate) async fn refresh(&self, feed: &FeedId) -> Feed {
        let mut tx = self.store.fleet().await.unwrap();
        store::feeds::request_refresh(&mut tx, feed, false).await.unwrap();
        tx.commit().await.unwrap();
        self.read_feed(feed).await
    }

    async fn read_feed(&self, id: &FeedId) -> Feed {
        let read = |feed: &Feed| feed.done_revision == feed.revision && !feed.refreshing;
        eventually(async || Some(self.feed_row(id).await).filter(read)).await
    }

    pub(crate) async fn feed_row(&self, id: &FeedId) -> Feed {
        let mut tx = self.store.fleet().await.unwrap();
        store::feeds::get(&mut tx, id).await.unwrap()
    }

    /// A single number, read by the owner of the schema.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        sqlx::query(query).fetch_one(&self.owner).await.unwrap().get(0)
    }

    /// Runs statements as the owner of the schema.
    pub(crate) async fn sql(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&self.owner).await.unwrap();
    }
}

impl Node {
    pub(crate) async fn shutdown(self) {
        self.actors.shutdown(Duration::from_secs(5)).await;
        self.cluster.shutdown(Duration::from_secs(5)).await;
    }
}

async fn connect(owner: &PgPool, name: &str) -> Store {
    let options = (*owner.connect_options()).clone().username("starling_app");
    Store::connect_with(options, 8, name).await.expect("the schema is there")
}

fn open_objects(folder: &TempDir) -> Objects {
    let location = folder.path().join("objects").display().to_string();
    Objects::open(&store::objects::Config { location, ..Default::default() }).expect("a folder can be made")
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let seen = async {
        loop {
            again.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it happens in time")
}
