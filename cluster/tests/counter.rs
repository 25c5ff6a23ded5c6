//! A counter hosted by several nodes in this process, over a real PostgreSQL and a real Valkey: nothing
//! added is lost or counted twice. `scripts/with-servers cargo test -p cluster`.

#[path = "counter/authority.rs"]
mod authority;
#[path = "counter/entity.rs"]
mod entity;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use authority::Postgres;
use bytes::Bytes;
use cluster::streams::{Bell, Delivery, StreamError, WorkItem};
use cluster::{Cluster, Config, EntityFactory, Exit};
use entity::{Counters, create_tables, key};
use sqlx::PgPool;
use store::Store;
use uuid::Uuid;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const KEYS: u32 = 24;

struct World {
    database: PgPool,
    prefix: String,
    fenced: Arc<AtomicU64>,
    /// The sum of all that was added, and the last id.
    added: AtomicI64,
    ids: AtomicI64,
}

struct Node {
    cluster: Cluster,
    authority: Arc<Postgres>,
}

impl World {
    async fn new(database: PgPool) -> Self {
        create_tables(&database).await;
        Self {
            database,
            prefix: format!("test-{}:", Uuid::now_v7()),
            fenced: Arc::default(),
            added: AtomicI64::new(0),
            ids: AtomicI64::new(0),
        }
    }

    async fn node(&self, name: &str) -> Node {
        let options = (*self.database.connect_options()).clone();
        let store = Store::connect_with(options, 8, name).await.expect("the database answers");
        let authority = Arc::new(Postgres::new(store));
        let mut config =
            Config::new(name, "127.0.0.1:0".parse().expect("an address"), valkey()).test_profile();
        config.valkey_prefix.clone_from(&self.prefix);
        let counters = Counters { database: self.database.clone(), fenced: self.fenced.clone() };
        let counters: Arc<dyn EntityFactory> = Arc::new(counters);
        let cluster = Cluster::start(config, authority.clone(), vec![counters]).await.expect("it joins");
        Node { cluster, authority }
    }

    fn next_add(&self) -> (i64, i64) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let amount = 1 + id % 7;
        self.added.fetch_add(amount, Ordering::Relaxed);
        (id, amount)
    }

    /// Adds by a question, asked again under the same id until it is answered.
    async fn add_by_ask(&self, node: &Cluster, n: u32) {
        let (id, amount) = self.next_add();
        let body = Bytes::from(format!("{id} {amount}"));
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = node.ask(&key(n), body.clone(), Duration::from_secs(5)).await {
            assert!(Instant::now() < deadline, "add {id} is not answered: {error}");
            tokio::task::yield_now().await;
        }
    }

    /// Adds by a row and a bell, which rings twice now and then.
    async fn add_by_bell(&self, node: &Cluster, n: u32) {
        let (id, amount) = self.next_add();
        sqlx::query("insert into addition (id, key, amount) values ($1, $2, $3)")
            .bind(id)
            .bind(n.to_string())
            .bind(amount)
            .execute(&self.database)
            .await
            .expect("it is written");
        let lane = usize::try_from(id % 3).expect("small");
        let bell = Bell { key: key(n), lane, outbox_id: id };
        let bells = if id % 10 == 0 { vec![bell.clone(), bell] } else { vec![bell] };
        node.bells().ring(&bells).await.expect("valkey answers");
    }

    /// Adds both ways, at all nodes in turn.
    async fn add_much(&self, nodes: &[&Node], rounds: u32) {
        for round in 0..rounds {
            let node = &nodes[usize::try_from(round).expect("small") % nodes.len()].cluster;
            let n = round % KEYS;
            tokio::join!(self.add_by_ask(node, n), self.add_by_bell(node, (n + 7) % KEYS));
        }
    }

    async fn counted(&self) -> i64 {
        sqlx::query_scalar("select coalesce(sum(sum), 0)::bigint from counter")
            .fetch_one(&self.database)
            .await
            .expect("the database answers")
    }

    async fn all_counted_once(&self) {
        let added = self.added.load(Ordering::Relaxed);
        eventually("all is counted", async || self.counted().await >= added).await;
        assert_eq!(self.counted().await, added, "nothing is counted twice");
    }

    async fn valkey<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let client = redis::Client::open(valkey()).expect("a url");
        let mut connection = client.get_multiplexed_async_connection().await.expect("valkey answers");
        command.query_async(&mut connection).await.expect("valkey answers")
    }

    /// The keys of this test.
    async fn keys(&self) -> Vec<String> {
        self.valkey(redis::cmd("KEYS").arg(format!("{}*", self.prefix))).await
    }

    /// Entries left in the streams of this test.
    async fn left(&self) -> i64 {
        let mut lengths = redis::pipe();
        for stream in self.keys().await.iter().filter(|key| key.contains('{')) {
            lengths.cmd("XLEN").arg(stream);
        }
        let client = redis::Client::open(valkey()).expect("a url");
        let mut connection = client.get_multiplexed_async_connection().await.expect("valkey answers");
        let lengths: Vec<i64> = lengths.query_async(&mut connection).await.expect("valkey answers");
        lengths.into_iter().sum()
    }
}

fn valkey() -> String {
    #[expect(clippy::disallowed_methods, reason = "the script that starts the servers says where they are")]
    let url = std::env::var("STARLING_TEST_VALKEY_URL");
    url.expect("run by scripts/with-servers")
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// These nodes own everything, each what it should, and serve.
async fn settled(nodes: &[&Node]) {
    eventually("all partitions are where they should be", async || {
        nodes.iter().all(|node| {
            let placement = node.cluster.placement();
            let owned: usize = nodes.iter().map(|n| placement.owned_by(n.cluster.generation())).sum();
            let ready = node.cluster.is_ready();
            ready && placement.moving() == 0 && owned == usize::from(cluster::PARTITIONS)
        })
    })
    .await;
}

async fn started(world: &World) -> [Node; 3] {
    let (one, two, three) = tokio::join!(world.node("one"), world.node("two"), world.node("three"));
    settled(&[&one, &two, &three]).await;
    [one, two, three]
}

#[sqlx::test(migrations = "../store/migrations")]
async fn asks_and_bells_from_any_node_count_once_while_nodes_come_and_go(database: PgPool) {
    let world = World::new(database).await;
    let [one, two, three] = Box::pin(started(&world)).await;
    world.add_much(&[&one, &two, &three], 120).await;

    let rest = [&one, &three];
    let (exit, ()) = tokio::join!(two.cluster.shutdown(PATIENCE), world.add_much(&rest, 120));
    assert_eq!(exit, Exit::Left);
    settled(&rest).await;

    let (four, ()) = tokio::join!(world.node("four"), world.add_much(&rest, 120));
    settled(&[&one, &three, &four]).await;
    world.add_much(&[&one, &three, &four], 60).await;

    world.all_counted_once().await;
    eventually("all bells are acknowledged", async || world.left().await == 0).await;
    assert_eq!(world.fenced.load(Ordering::Relaxed), 0, "a hand-over in good order writes nothing too late");
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_node_cut_off_from_the_database_is_replaced_and_nothing_is_lost_or_doubled(database: PgPool) {
    let world = World::new(database).await;
    let [one, two, three] = Box::pin(started(&world)).await;
    world.add_much(&[&one, &two, &three], 60).await;

    two.authority.set_cut(true);
    world.add_much(&[&one, &three], 120).await;
    eventually("it stops by its own clock", async || !two.cluster.may_act()).await;
    settled(&[&one, &three]).await;
    two.authority.set_cut(false);
    let exit = tokio::time::timeout(PATIENCE, two.cluster.exited()).await.expect("it learns that it is dead");
    assert_eq!(exit, Exit::DeclaredDead);

    world.add_much(&[&one, &three], 30).await;
    world.all_counted_once().await;
    eventually("all bells are acknowledged", async || world.left().await == 0).await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_valkey_that_loses_everything_is_noticed_and_goes_on(database: PgPool) {
    let world = World::new(database).await;
    let [one, two, three] = Box::pin(started(&world)).await;
    world.add_much(&[&one, &two, &three], 30).await;
    world.all_counted_once().await;
    let mut lost: Vec<_> = [&one, &two, &three].map(|node| node.cluster.valkey_lost()).into();
    let before: Vec<u64> = lost.iter().map(|lost| *lost.borrow()).collect();

    let keys = world.keys().await;
    assert!(keys.len() > 3000, "streams of all partitions and lanes, not {}", keys.len());
    world.valkey::<i64>(redis::cmd("DEL").arg(&keys)).await;
    for (lost, before) in lost.iter_mut().zip(before) {
        let noticed = lost.wait_for(|times| *times > before);
        tokio::time::timeout(PATIENCE, noticed).await.expect("in time").expect("the node lives");
    }
    world.add_much(&[&one, &two, &three], 30).await;
    world.all_counted_once().await;
}

fn work(id: &str, lane: usize) -> WorkItem {
    WorkItem { tenant: Uuid::from_u128(7), id: id.into(), lane }
}

async fn within(next: impl Future<Output = Result<Delivery, StreamError>>) -> Delivery {
    tokio::time::timeout(PATIENCE, next).await.expect("there is work").expect("the node lives")
}

#[sqlx::test(migrations = "../store/migrations")]
async fn work_goes_to_one_stays_while_renewed_and_moves_on_when_not(database: PgPool) {
    let world = World::new(database).await;
    let (one, two) = tokio::join!(world.node("one"), world.node("two"));
    let (a, b) = (one.cluster.work(), two.cluster.work());
    let given_up = tokio::time::timeout(Duration::from_millis(300), a.next(&[0, 1])).await;
    assert!(given_up.is_err(), "there is no work yet");

    a.push(&[work("urgent", 0), work("bulk", 1)]).await.expect("valkey answers");
    let mut taken = [within(b.next(&[0, 1, 2])).await, within(b.next(&[0, 1, 2])).await];
    taken.sort_by_key(|delivery| delivery.item.lane);
    // What was read at the very moment its demand gave up comes after a lease, and so as taken over.
    let items: Vec<_> = taken.iter().map(|delivery| delivery.item.clone()).collect();
    assert_eq!(items, [work("urgent", 0), work("bulk", 1)]);

    let renewing = async {
        loop {
            assert!(b.renew(&taken[0].entry).await.expect("valkey answers"), "it is still mine");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let over = tokio::select! { over = within(a.next(&[0, 1])) => over, never = renewing => never };
    assert_eq!((&over.item, over.reclaimed), (&work("bulk", 1), true), "the one that is not renewed");
    assert!(!b.renew(&taken[1].entry).await.expect("valkey answers"), "it is another's");
    a.done(over.entry).await.expect("valkey answers");
    b.done(taken[0].entry.clone()).await.expect("valkey answers");
    eventually("nothing is left", async || world.left().await == 0).await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn work_of_a_node_declared_dead_moves_on_though_its_lease_runs(database: PgPool) {
    let world = World::new(database).await;
    let [one, two, three] = Box::pin(started(&world)).await;
    let mut died = one.cluster.died();
    let (a, b) = (one.cluster.work(), two.cluster.work());
    three.cluster.work().push(&[work("urgent", 0)]).await.expect("valkey answers");
    let held = within(b.next(&[0])).await;

    two.authority.set_cut(true);
    let renewing = async {
        loop {
            let _ = b.renew(&held.entry).await; // It does not know yet.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let over = tokio::select! { over = within(a.next(&[0])) => over, never = renewing => never };
    assert_eq!((&over.item, over.reclaimed), (&held.item, true));
    assert_eq!(died.try_recv(), Ok(two.cluster.generation()));
    assert!(!b.renew(&held.entry).await.expect("valkey answers"), "it is another's");
    a.done(over.entry).await.expect("valkey answers");
    eventually("nothing is left", async || world.left().await == 0).await;
}
