//! Membership and ownership: the rules of who may end whom and own what.

use sqlx::PgPool;
use std::time::Duration;

use store::members::{self, Joined, NodeState, Removed, Seen};
use store::{Error, Fence, Store};

use crate::fixture::{World, new_node};

#[sqlx::test]
async fn a_name_has_one_live_incarnation_and_a_restart_is_a_new_one(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let first = world.node("n1").await;
    let taken = members::join(store, &new_node("n1"), None).await.unwrap();
    let Joined::NameTaken(seen) = taken else { panic!("two live nodes of one name") };
    assert_eq!(seen, Seen { generation: first, heartbeat: 0 });
    // It beats meanwhile, so it cannot be replaced with what was seen before.
    assert!(members::beat(store, first).await.unwrap());
    let still = members::join(store, &new_node("n1"), Some(seen)).await.unwrap();
    assert_eq!(still, Joined::NameTaken(Seen { generation: first, heartbeat: 1 }));
    let stands = Seen { generation: first, heartbeat: 1 };
    let Joined::As(second) = members::join(store, &new_node("n1"), Some(stands)).await.unwrap() else {
        panic!("a predecessor that stands still is replaced");
    };
    assert!(second > first);
    assert!(!members::beat(store, first).await.unwrap(), "the one replaced learns of it");
    assert!(!members::up(store, first).await.unwrap());
    assert!(members::up(store, second).await.unwrap());
}

#[sqlx::test]
async fn a_view_counts_every_change_of_membership(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let version = || async { members::observe(store).await.unwrap().version };
    assert_eq!(version().await, 0);
    let node = world.node("n1").await;
    assert_eq!(version().await, 1);
    members::cordon(store, "n1", true).await.unwrap();
    members::cordon(store, "n1", true).await.unwrap();
    let view = members::observe(store).await.unwrap();
    assert_eq!((view.version, view.nodes[0].cordoned), (2, true), "the second time nothing changed");
    assert!(members::set_state(store, node, NodeState::Draining).await.unwrap());
    assert!(members::set_state(store, node, NodeState::Left).await.unwrap());
    assert!(!members::set_state(store, node, NodeState::Draining).await.unwrap(), "who has left stays left");
    let view = members::observe(store).await.unwrap();
    assert_eq!((view.version, view.nodes.len()), (4, 0));
    let unknown = members::cordon(store, "n1", false).await;
    assert!(matches!(unknown, Err(Error::NotFound { entity: "node" })), "{unknown:?}");
}

#[sqlx::test]
async fn a_drain_has_a_time_and_whoever_was_told_to_stay_does_not_leave(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let node = world.node("n1").await;
    assert!(!members::undrain(store, node).await.unwrap(), "it does not drain");
    let within = Some(Duration::from_secs(60));
    for again in 0..2 {
        assert!(members::drain(store, node, within).await.unwrap());
        let view = members::observe(store).await.unwrap();
        assert_eq!((view.version, view.nodes[0].drain_within), (2, within), "asked {again} times before");
    }
    assert!(members::drain(store, node, None).await.unwrap(), "with another time");
    assert!(members::undrain(store, node).await.unwrap());
    let view = members::observe(store).await.unwrap();
    assert_eq!((view.version, view.nodes[0].state, view.nodes[0].drain_within), (4, NodeState::Up, None));
    assert!(!members::set_state(store, node, NodeState::Left).await.unwrap(), "it was about to leave");
    assert!(members::drain(store, node, None).await.unwrap());
    assert!(members::set_state(store, node, NodeState::Left).await.unwrap());
    assert!(!members::drain(store, node, None).await.unwrap());
    assert!(!members::undrain(store, node).await.unwrap(), "it has left");
}

#[sqlx::test]
async fn a_weight_stays_with_the_name_until_that_is_removed_and_nobody_alive_is(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let first = world.node("n1").await;
    let weight = || async { members::observe(store).await.unwrap().nodes[0].weight };
    assert!(members::weigh(store, first, 2.5).await.unwrap());
    assert_eq!((weight().await, members::observe(store).await.unwrap().version), (2.5, 2));
    assert_eq!(members::remove(store, "n9", None).await.unwrap(), Removed::Unknown);
    let Removed::Lives(seen) = members::remove(store, "n1", None).await.unwrap() else { panic!("it lives") };
    members::beat(store, first).await.unwrap();
    let still = members::remove(store, "n1", Some(seen)).await.unwrap();
    assert_eq!(still, Removed::Lives(Seen { generation: first, heartbeat: 1 }), "it has beaten since");
    assert!(members::drain(store, first, None).await.unwrap());
    assert!(members::set_state(store, first, NodeState::Left).await.unwrap());
    assert!(!members::weigh(store, first, 3.0).await.unwrap());

    let second = world.node("n1").await;
    assert_eq!(weight().await, 2.5, "also after a restart");
    let standing = Seen { generation: second, heartbeat: 0 };
    assert_eq!(members::remove(store, "n1", Some(standing)).await.unwrap(), Removed::Gone);
    assert!(!members::beat(store, second).await.unwrap(), "it learns of it");
    assert_eq!(members::remove(store, "n1", None).await.unwrap(), Removed::Gone, "once more says the same");
    world.node("n1").await;
    assert_eq!(weight().await, 1.0);
}

#[sqlx::test]
async fn the_pace_of_hand_overs_is_that_of_the_last_ones(owner: PgPool) {
    let world = World::new(owner).await;
    assert_eq!(members::hand_over_pace(&world.store).await.unwrap(), None);
    world
        .sql(
            "insert into cluster.partition_log (partition, epoch, from_gen, why, at)
             select n, 1, 7, 'release', now() + n * interval '200 ms' + (n / 10) * interval '1 hour'
             from generate_series(0, 19) n",
        )
        .await;
    let pace = members::hand_over_pace(&world.store).await.unwrap();
    assert_eq!(pace, Some(Duration::from_millis(200)), "what lies an hour between is not one hand-over");
    assert_eq!(members::work_held(&world.store, 7).await.unwrap(), 0);
}

#[sqlx::test]
async fn votes_end_a_node_that_stands_still_and_never_one_that_beats(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let [a, b, c] = [world.node("a").await, world.node("b").await, world.node("c").await];
    assert!(!members::declare_dead(store, c, Some(0), a, 2).await.unwrap(), "one vote of two");
    assert!(!members::declare_dead(store, c, Some(0), a, 2).await.unwrap(), "the same voter again");
    members::beat(store, c).await.unwrap();
    assert!(!members::declare_dead(store, c, Some(0), b, 2).await.unwrap(), "it has beaten since");
    assert!(members::beat(store, c).await.unwrap(), "it lives");
    assert!(!members::declare_dead(store, c, Some(2), a, 2).await.unwrap());
    assert!(members::declare_dead(store, c, Some(2), b, 2).await.unwrap());
    assert!(!members::beat(store, c).await.unwrap());
    assert!(!members::declare_dead(store, a, Some(0), c, 1).await.unwrap(), "the dead have no vote");
    // Two are left. One that cannot be reached but beats is ended by nobody alone.
    assert!(!members::declare_dead(store, b, None, a, 1).await.unwrap());
    assert!(!members::declare_dead(store, a, None, b, 1).await.unwrap());
    // One that stands still is: the database itself is the second witness.
    assert!(members::declare_dead(store, b, Some(0), a, 2).await.unwrap());
}

#[sqlx::test]
async fn two_that_stand_still_together_are_ended_by_the_third(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let [a, b, c] = [world.node("a").await, world.node("b").await, world.node("c").await];
    assert!(!members::declare_dead(store, a, Some(0), c, 2).await.unwrap(), "b may yet say the same");
    members::beat(store, a).await.unwrap();
    assert!(!members::declare_dead(store, b, Some(0), c, 2).await.unwrap(), "a beats, so it is waited for");
    assert!(
        members::declare_dead(store, a, Some(1), c, 2).await.unwrap(),
        "b stands still and cannot say it"
    );
    assert!(members::declare_dead(store, b, Some(0), c, 2).await.unwrap());
}

#[sqlx::test]
async fn a_partition_has_one_owner_and_its_epoch_only_rises(owner: PgPool) {
    let world = World::new(owner).await;
    let store = &world.store;
    let (a, b) = (world.node("a").await, world.node("b").await);
    let wanted: Vec<Fence> = [8, 3, 5].map(|partition| Fence { partition, epoch: 0 }).to_vec();
    let (of_a, of_b) = tokio::join!(members::claim(store, a, &wanted), members::claim(store, b, &wanted));
    let (of_a, of_b) = (of_a.unwrap(), of_b.unwrap());
    assert_eq!(of_a.len() + of_b.len(), 3, "each went to exactly one: {of_a:?} {of_b:?}");
    let (owner, other, owned) = if of_a.is_empty() { (b, a, of_b) } else { (a, b, of_a) };
    assert!(owned.iter().all(|f| f.epoch == 1));
    assert_eq!(members::claim(store, other, &owned).await.unwrap(), [], "its owner lives");
    assert_eq!(members::release(store, other, &owned).await.unwrap(), 0, "only the owner gives it back");
    assert_eq!(members::release(store, owner, &owned[..1]).await.unwrap(), 1);
    assert_eq!(members::partitions_of(store, owner).await.unwrap().len(), owned.len() - 1);
    let freed = Fence { epoch: 2, ..owned[0] };
    let taken = members::claim(store, other, &[freed]).await.unwrap();
    assert_eq!(taken, [Fence { epoch: 3, ..freed }]);
    let all = members::partitions(store).await.unwrap();
    assert_eq!((all.len(), all[usize::from(freed.partition)].owner), (1024, Some(other)));
}

#[sqlx::test]
async fn a_node_that_is_not_up_claims_nothing(owner: PgPool) {
    let world = World::new(owner).await;
    let Joined::As(joining) = members::join(&world.store, &new_node("n1"), None).await.unwrap() else {
        panic!("taken");
    };
    let wanted = [Fence { partition: 1, epoch: 0 }];
    assert_eq!(members::claim(&world.store, joining, &wanted).await.unwrap(), []);
    members::up(&world.store, joining).await.unwrap();
    members::set_state(&world.store, joining, NodeState::Draining).await.unwrap();
    assert_eq!(members::claim(&world.store, joining, &wanted).await.unwrap(), []);
}

#[sqlx::test]
async fn a_dead_nodes_open_transaction_does_not_hold_up_the_takeover(owner: PgPool) {
    let world = World::new(owner).await;
    let options = (*world.owner.connect_options()).clone().username("starling_app");
    let dying = Store::connect_with(options.clone(), 2, "dying").await.unwrap();
    let Joined::As(victim) = members::join(&dying, &new_node("dying"), None).await.unwrap() else {
        panic!("taken");
    };
    members::up(&dying, victim).await.unwrap();
    let survivor = world.node("survivor").await;
    let fence = world.claim(victim, 4).await;
    // The victim is stopped inside a transaction that has passed the fence.
    let name: String = sqlx::query_scalar("select application_name from cluster.node where gen = $1")
        .bind(victim)
        .fetch_one(&world.owner)
        .await
        .unwrap();
    let stopped = PgPool::connect_with(options.application_name(&name)).await.unwrap();
    let mut effect = stopped.begin_with("begin; set local role starling_fleet").await.unwrap();
    sqlx::query("select cluster.fence(4, $1)").bind(fence.epoch).execute(&mut *effect).await.unwrap();
    assert!(members::declare_dead(&world.store, victim, Some(0), survivor, 1).await.unwrap());
    let taken = members::claim(&world.store, survivor, &[fence]).await.unwrap();
    assert_eq!(taken, [Fence { epoch: fence.epoch + 1, ..fence }]);
    assert!(effect.commit().await.is_err(), "its connection is cut");
    assert_eq!(members::cut_off(&world.store, survivor).await.unwrap(), 0, "nobody alive is cut off");
    assert!(members::beat(&world.store, survivor).await.unwrap());
}
