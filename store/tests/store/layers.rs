//! A layer has one reader at a time, and its content outlives it.

use std::time::Duration;

use sqlx::PgPool;
use store::layers::{self, Reader, Taken};
use store::members::{self, NodeState};
use uuid::Uuid;

use crate::fixture::World;

const KEY: &str = "sha256:1";

fn reader(generation: i64) -> Reader {
    Reader { generation, id: Uuid::now_v7() }
}

#[sqlx::test]
async fn one_reads_and_the_others_wait_until_it_is_known(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a").await;
    let (first, second) = (reader(node), reader(node));
    assert_eq!(layers::take(&world.store, KEY, first).await.unwrap(), Taken::Read);
    assert_eq!(layers::take(&world.store, KEY, second).await.unwrap(), Taken::Wait);
    layers::put(&world.store, KEY, second, Some(b"not its reader")).await.unwrap();
    assert_eq!(layers::take(&world.store, KEY, second).await.unwrap(), Taken::Wait);
    layers::put(&world.store, KEY, first, Some(b"content")).await.unwrap();
    assert_eq!(layers::take(&world.store, KEY, second).await.unwrap(), Taken::Known(b"content".to_vec()));
}

#[sqlx::test]
async fn a_reader_that_gives_up_or_dies_leaves_it_to_the_next(owner: PgPool) {
    let world = World::new(owner).await;
    let (node, other) = (world.node("a").await, world.node("b").await);
    let (first, second, third) = (reader(node), reader(node), reader(other));
    assert_eq!(layers::take(&world.store, KEY, first).await.unwrap(), Taken::Read);
    layers::leave(&world.store, KEY, second).await.unwrap();
    assert_eq!(
        layers::take(&world.store, KEY, second).await.unwrap(),
        Taken::Wait,
        "it was not its to leave"
    );
    layers::leave(&world.store, KEY, first).await.unwrap();
    assert_eq!(layers::take(&world.store, KEY, second).await.unwrap(), Taken::Read);
    assert!(members::set_state(&world.store, node, NodeState::Draining).await.unwrap());
    assert!(members::set_state(&world.store, node, NodeState::Left).await.unwrap());
    assert_eq!(layers::take(&world.store, KEY, third).await.unwrap(), Taken::Read, "its node has ended");
    layers::put(&world.store, KEY, second, Some(b"late")).await.unwrap();
    layers::put(&world.store, KEY, third, None).await.unwrap();
    assert_eq!(
        layers::take(&world.store, KEY, first).await.unwrap(),
        Taken::Alone,
        "it is not worth keeping"
    );
}

#[sqlx::test]
async fn what_nobody_asks_for_is_forgotten_but_not_what_is_read_now(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a").await;
    let reader = reader(node);
    for key in ["known", "read"] {
        assert_eq!(layers::take(&world.store, key, reader).await.unwrap(), Taken::Read);
    }
    layers::put(&world.store, "known", reader, Some(b"x")).await.unwrap();
    assert_eq!(layers::forget_unused(&world.store, Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(layers::forget_unused(&world.store, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(layers::take(&world.store, "known", reader).await.unwrap(), Taken::Read);
}
