//! Bells: each is taken once, and none is lost.

use std::collections::HashSet;
use std::time::Duration;

use model::{Lane, TenantId};
use sqlx::PgPool;
use store::effects::Effect;
use store::{outbox, sweep};

use crate::fixture::World;

#[sqlx::test]
async fn relays_that_take_at_once_get_each_bell_once(owner: PgPool) {
    let world = World::new(owner).await;
    world
        .sql(
            "insert into orchestrator.outbox (tenant_id, kind, key, lane)
             select gen_random_uuid(), 'tenant', '-', i % 3 from generate_series(1, 500) i",
        )
        .await;
    let relay = || async {
        let mut mine = Vec::new();
        loop {
            let mut tx = world.store.fleet().await.unwrap();
            let bells = outbox::take(&mut tx, 7).await.unwrap();
            tx.commit().await.unwrap();
            // Nothing left, or the rest is just being taken by another who may still give up.
            if bells.is_empty() && world.number("select count(*) from orchestrator.outbox").await == 0 {
                return mine;
            }
            mine.extend(bells.into_iter().map(|b| b.id));
        }
    };
    let taken = futures::future::join_all((0..4).map(|_| relay())).await.concat();
    let distinct: HashSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (500, 500));
}

#[sqlx::test]
async fn bells_of_a_relay_that_dies_stay_and_urgent_ones_come_first(owner: PgPool) {
    let world = World::new(owner).await;
    let mut tx = world.store.fleet().await.unwrap();
    for lane in [Lane::Sweep, Lane::Bulk, Lane::Interactive] {
        outbox::ring(&mut tx, "feed", TenantId::SYSTEM, lane.as_str(), lane).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(outbox::take(&mut tx, 10).await.unwrap().len(), 3);
    // The connection rolls back in its own time, and until then holds the bells.
    drop(tx);
    let back = async {
        loop {
            let bells = world.bells().await;
            if !bells.is_empty() {
                return bells;
            }
        }
    };
    let bells = tokio::time::timeout(Duration::from_secs(20), back).await.expect("the bells come back");
    let lanes: Vec<_> = bells.into_iter().map(|b| b.lane).collect();
    assert_eq!(lanes, [Lane::Interactive, Lane::Bulk, Lane::Sweep]);
    assert_eq!(world.bells().await, []);
}

#[sqlx::test]
async fn the_sweep_rings_for_whatever_stands_still(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let generation = world.node("n1").await;
    let fence = world.claim(generation, 1).await;
    let [waiting, admitted, ready, held, evaluating] = [
        world.image(tenant, "waiting").await,
        world.image(tenant, "admitted").await,
        world.image(tenant, "ready").await,
        world.image(tenant, "held").await,
        world.image(tenant, "evaluating").await,
    ];
    world.submit(tenant, &waiting).await;
    let job = world.submit(tenant, &admitted).await;
    world.apply(Effect::Admit { tenant, fence, jobs: vec![job] }).await.unwrap();
    let (_, ready_work) = world.dispatched(tenant, &ready, fence).await;
    let (_, held_work) = world.dispatched(tenant, &held, fence).await;
    world.claimed(tenant, held_work, generation).await;
    let (_, work) = world.dispatched(tenant, &evaluating, fence).await;
    let claimed = world.claimed(tenant, work, generation).await;
    store::work::complete(&world.store, &claimed.hold, &crate::fixture::sbom("e")).await.unwrap();
    world.bells().await; // All lost, as if Valkey had been emptied.

    let found = |older_than| {
        let store = world.store.clone();
        async move {
            let mut tx = store.fleet().await.unwrap();
            let bells = sweep::find(&mut tx, older_than).await.unwrap();
            bells.into_iter().map(|b| (b.kind, b.key)).collect::<HashSet<_>>()
        }
    };
    let pair = |kind: &str, key: &str| (kind.to_owned(), key.to_owned());
    let mut expected = HashSet::from([
        pair("tenant", "-"),
        pair("image", admitted.as_str()),
        pair("work", &ready_work.to_string()),
        pair("image", evaluating.as_str()),
    ]);
    assert_eq!(found(Duration::ZERO).await, expected);
    assert_eq!(found(Duration::from_secs(3600)).await, HashSet::new(), "nothing is that old");
    world.sql("update cluster.node set state = 'dead'").await;
    expected.insert(pair("work", &held_work.to_string()));
    assert_eq!(found(Duration::ZERO).await, expected, "what a dead node held is found");
}
