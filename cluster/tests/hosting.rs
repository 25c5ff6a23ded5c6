//! Nodes in this process that host entities, over an authority in memory and without a Valkey: what is
//! started, woken, asked, passivated, started again, handed over and ended.

#[path = "../../simulation/src/authority.rs"]
#[expect(dead_code, reason = "the simulation asks more of it")]
mod authority;
#[path = "hosting/memory.rs"]
mod memory;
#[path = "hosting/probe.rs"]
mod probe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Cluster, Config, EntityFactory, EntityKey, Exit, StartError, Steer, Undelivered, Wire};
use memory::Memory;
use probe::{Diary, Habit, Probes, key};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const NO_VALKEY: &str = "redis://127.0.0.1:9";

struct World {
    memory: Arc<Memory>,
    diary: Arc<Diary>,
}

impl World {
    fn new() -> Self {
        Self { memory: Arc::new(Memory::new()), diary: Arc::default() }
    }

    async fn node(&self, name: &str, change: impl FnOnce(&mut Config)) -> Cluster {
        self.node_with(name, change, Vec::new()).await
    }

    async fn node_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut Config),
        residents: Vec<EntityKey>,
    ) -> Cluster {
        let mut config = config(name);
        change(&mut config);
        let probes: Arc<dyn EntityFactory> = Arc::new(Probes { diary: self.diary.clone(), residents });
        Cluster::start(config, self.memory.clone(), vec![probes]).await.expect("it joins")
    }
}

fn config(name: &str) -> Config {
    Config::new(name, "127.0.0.1:0".parse().expect("an address"), NO_VALKEY).test_profile()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ask(node: &Cluster, id: &str, body: &'static str) -> Result<Bytes, Undelivered> {
    node.ask(&key(id), Bytes::from_static(body.as_bytes()), PATIENCE).await
}

/// Nothing sent before is still on its way to the host: it takes messages in order.
async fn host_has_caught_up(node: &Cluster) {
    assert_eq!(ask(node, "bystander", "hello").await, Ok(Bytes::from_static(b"hello")));
}

/// The node serves everything.
async fn serves_all(node: &Cluster) {
    let all = usize::from(cluster::PARTITIONS);
    eventually("it owns everything", || node.placement().owned_by(node.generation()) == all).await;
    host_has_caught_up(node).await;
}

#[tokio::test]
async fn an_entity_starts_on_demand_answers_and_is_passivated_when_idle() {
    let world = World::new();
    let node = world.node("one", |c| c.entities.idle = Duration::from_millis(200)).await;
    assert_eq!(ask(&node, "a", "hello").await, Ok(Bytes::from_static(b"hello")));
    eventually("it is passivated", || world.diary.alive() == 0).await;
    assert_eq!(ask(&node, "a", "again").await, Ok(Bytes::from_static(b"again")));
    assert_eq!(world.diary.life("a").starts.len(), 2);
    assert!(world.diary.never_twice());
}

#[tokio::test]
async fn above_the_bound_those_idle_for_longest_are_passivated() {
    let world = World::new();
    let node = world.node("one", |c| c.entities.live_max = 10).await;
    for n in 0..40 {
        assert!(ask(&node, &n.to_string(), "hello").await.is_ok());
    }
    eventually("only the bound is left", || world.diary.alive() == 10).await;
    assert_eq!((world.diary.life("0").alive, world.diary.life("39").alive), (0, 1));
}

#[tokio::test]
async fn one_that_fails_starts_again_later_and_later_until_it_settles() {
    let world = World::new();
    let node = world.node("one", |_| {}).await;
    serves_all(&node).await;
    world.diary.set("a", Habit::Fail);
    node.wake(&key("a")).await.expect("it is here");
    eventually("four starts", || world.diary.life("a").starts.len() >= 4).await;
    let starts = world.diary.life("a").starts;
    for (gap, least) in starts.windows(2).zip([100, 200, 400]) {
        let gap = gap[1] - gap[0];
        assert!(gap >= Duration::from_millis(least), "{gap:?}, at least {least} ms");
    }
    world.diary.set("a", Habit::Settle);
    let failed = world.diary.life("a").wakes;
    eventually("it settles", || world.diary.life("a").wakes > failed && world.diary.life("a").alive == 1)
        .await;
    assert!(world.diary.never_twice());
}

#[tokio::test]
async fn wakes_that_come_during_one_make_up_one_more() {
    let world = World::new();
    let node = world.node("one", |_| {}).await;
    serves_all(&node).await;
    let gate = world.diary.set("a", Habit::Wait);
    node.wake(&key("a")).await.expect("it is here");
    eventually("the first has begun", || world.diary.life("a").wakes == 1).await;
    for _ in 0..100 {
        node.wake(&key("a")).await.expect("it is here");
    }
    host_has_caught_up(&node).await;
    gate.add_permits(10);
    eventually("the second is over", || gate.available_permits() == 8).await;
    host_has_caught_up(&node).await;
    assert_eq!(world.diary.life("a").wakes, 2);
}

#[tokio::test]
async fn a_wake_dropped_undone_comes_again_after_a_while() {
    let world = World::new();
    let node = world.node("one", |_| {}).await;
    serves_all(&node).await;
    world.diary.set("a", Habit::Drop);
    let begun = Instant::now();
    node.wake(&key("a")).await.expect("it is here");
    eventually("it comes thrice", || world.diary.life("a").wakes >= 3).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "after 0.1 and then 0.2 seconds");
    assert_eq!(world.diary.life("a").starts.len(), 1, "it lives on");
}

#[tokio::test]
async fn more_asks_than_an_entity_has_places_for_are_busy_and_others_go_on() {
    let world = World::new();
    let node = world.node("one", |c| c.entities.asks_max = 4).await;
    serves_all(&node).await;
    let gate = world.diary.set("a", Habit::Wait);
    let asking = || {
        let node = node.clone();
        tokio::spawn(async move { ask(&node, "a", "wait").await })
    };
    let asks: Vec<_> = (0..10).map(|_| asking()).collect();
    eventually("six are refused", || asks.iter().filter(|ask| ask.is_finished()).count() == 6).await;
    host_has_caught_up(&node).await;
    gate.add_permits(10);
    let mut answered = 0;
    for ask in asks {
        match ask.await.expect("no panic") {
            Ok(_) => answered += 1,
            Err(refused) => assert_eq!(refused, Undelivered::Busy),
        }
    }
    assert_eq!(answered, 4);
}

#[tokio::test]
async fn one_that_starts_slowly_holds_up_nobody_else() {
    let world = World::new();
    let node = world.node("one", |_| {}).await;
    serves_all(&node).await;
    let gate = world.diary.set("slow", Habit::StartSlowly);
    let slow = tokio::spawn({
        let node = node.clone();
        async move { ask(&node, "slow", "hello").await }
    });
    for n in 0..20 {
        assert!(ask(&node, &n.to_string(), "hello").await.is_ok());
    }
    assert!(!slow.is_finished());
    gate.add_permits(1);
    assert_eq!(slow.await.expect("no panic"), Ok(Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn residents_live_without_a_bell_and_are_never_idle() {
    let world = World::new();
    let idle = |c: &mut Config| c.entities.idle = Duration::from_millis(100);
    let node = world.node_with("one", idle, vec![key("clock")]).await;
    eventually("it lives", || world.diary.life("clock").wakes == 1).await;
    assert!(ask(&node, "a", "hello").await.is_ok());
    eventually("another is passivated", || world.diary.life("a").alive == 0).await;
    assert_eq!((world.diary.life("clock").alive, world.diary.life("clock").starts.len()), (1, 1));
}

#[tokio::test]
async fn asks_find_the_owner_and_a_hand_over_leaves_no_key_alive_twice() {
    let world = World::new();
    let one = world.node("one", |_| {}).await;
    for n in 0..100 {
        assert!(ask(&one, &n.to_string(), "hello").await.is_ok());
    }
    let two = world.node("two", |_| {}).await;
    let three = world.node("three", |_| {}).await;
    let nodes = [&one, &two, &three];
    let thirds = |node: &Cluster| {
        let placement = node.placement();
        placement.moving() == 0 && nodes.iter().all(|n| placement.owned_by(n.generation()) > 250)
    };
    eventually("a third each", || nodes.iter().all(|node| thirds(node))).await;
    for n in 0..100 {
        for node in nodes {
            assert_eq!(ask(node, &n.to_string(), "hello").await, Ok(Bytes::from_static(b"hello")), "{n}");
        }
    }
    assert!(world.diary.never_twice());
    assert_eq!(one.shutdown(PATIENCE).await, Exit::Left);
    let halves = |node: &Cluster| {
        let placement = node.placement();
        let owned = placement.owned_by(two.generation()) + placement.owned_by(three.generation());
        owned == usize::from(cluster::PARTITIONS)
    };
    eventually("the others have it all", || halves(&two) && halves(&three)).await;
    assert!(ask(&two, "7", "hello").await.is_ok());
    assert!(world.diary.never_twice());
    assert_eq!(world.memory.deaths(), 0);
}

#[tokio::test]
async fn one_declared_dead_ends_what_it_hosts_and_says_so() {
    let world = World::new();
    let one = world.node("one", |_| {}).await;
    let mut died = one.died();
    let two = world.node("two", |_| {}).await;
    for n in 0..50 {
        assert!(ask(&two, &n.to_string(), "hello").await.is_ok());
    }
    eventually("they know each other", || one.members().member(two.generation()).is_some()).await;
    world.memory.kill(two.generation());
    let exit = tokio::time::timeout(PATIENCE, two.exited()).await.expect("it notices");
    assert_eq!((exit, exit.code()), (Exit::DeclaredDead, 3));
    assert!(!two.is_ready() && !two.may_act() && two.lease(1).is_none());
    assert_eq!(tokio::time::timeout(PATIENCE, died.recv()).await.expect("it is told"), Ok(two.generation()));
    serves_all(&one).await;
    assert!(ask(&one, "7", "hello").await.is_ok());
}

#[tokio::test]
async fn an_outage_of_the_authority_stops_acting_and_kills_nobody() {
    let world = World::new();
    let one = world.node("one", |_| {}).await;
    serves_all(&one).await;
    let two = world.node("two", |_| {}).await;
    eventually("all is settled", || {
        two.placement().owned_by(two.generation()) > 400 && one.placement().moving() == 0
    })
    .await;
    assert!(ask(&one, "a", "hello").await.is_ok());
    world.memory.set_down(true);
    eventually("neither may act", || !one.may_act() && !two.may_act()).await;
    let owner = if one.locate(&key("a")).here { &one } else { &two };
    owner.wake(&key("a")).await.expect("it is here");
    let short = Duration::from_millis(300);
    let refused = one.ask(&key("a"), Bytes::from_static(b"hello"), short).await;
    assert!(matches!(refused, Err(Undelivered::TimedOut(_) | Undelivered::Unavailable)), "{refused:?}");
    assert_eq!(world.diary.life("a").wakes, 0, "held back");
    world.memory.set_down(false);
    eventually("the wake is handed over", || world.diary.life("a").wakes == 1).await;
    assert!(ask(&one, "a", "hello").await.is_ok());
    assert_eq!(world.memory.deaths(), 0);
}

#[tokio::test]
async fn a_name_that_lives_is_refused_and_a_dead_predecessor_is_replaced() {
    let world = World::new();
    let one = world.node("one", |_| {}).await;
    let twin = Cluster::start(config("one"), world.memory.clone(), Vec::new()).await;
    let taken =
        |error| matches!(error, StartError::NameTaken { generation, .. } if generation == one.generation());
    assert!(twin.is_err_and(taken));
    world.memory.kill(one.generation());
    let next = world.node("one", |_| {}).await;
    assert!(next.generation() > one.generation());
}

#[tokio::test]
async fn a_cordoned_node_gives_everything_away_and_lives_on() {
    let world = World::new();
    let one = world.node("one", |_| {}).await;
    let two = world.node("two", |_| {}).await;
    assert!(one.steer(two.generation(), Steer::Cordon).await.expect("it answers"));
    serves_all(&one).await;
    assert!(one.members().member(two.generation()).is_some());
    assert!(one.steer(two.generation(), Steer::Uncordon).await.expect("it answers"));
    eventually("half of it comes back", || one.placement().owned_by(two.generation()) > 400).await;
}

#[tokio::test]
async fn nodes_of_two_releases_work_together_and_one_of_a_release_before_both_is_refused() {
    let world = World::new();
    let new = world.node("new", |_| {}).await;
    let before = Wire { max: Wire::default().min, ..Wire::default() };
    let old = world.node("old", |config| config.wire = before).await;
    eventually("each has its part", || new.placement().moving() == 0 && old.placement().moving() == 0).await;
    for id in ["a", "b", "c", "d", "e", "f"] {
        for node in [&new, &old] {
            assert_eq!(ask(node, id, "hello").await, Ok(Bytes::from_static(b"hello")), "{id}");
        }
    }
    let plan = new.plan(old.generation(), Steer::Drain { within: None }).await;
    assert_eq!(plan.entities, None, "it is not asked for what it does not know");
    assert!(plan.moves.iter().all(|moved| moved.from == Some(old.generation())), "{plan:?}");
    let plan = old.plan(new.generation(), Steer::Drain { within: None }).await;
    assert!(plan.entities.is_some_and(|entities| entities > 0), "{plan:?}");

    let mut ancient = config("ancient");
    ancient.wire = Wire { min: before.min - 1, max: before.min - 1 };
    let refused = Cluster::start(ancient, world.memory.clone(), Vec::new()).await;
    assert!(matches!(refused, Err(StartError::WireVersion { .. })), "{refused:?}");
}
