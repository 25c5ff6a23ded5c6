//! Steering feeds: what people did holds until they undo it, and nothing that was observed is lost by it.

use std::time::Duration;

use model::{Digest, SnapshotId};
use sqlx::PgPool;
use store::feed_control::{self, By, Fault, State};
use store::feed_orders::{self, Bundle, Order, Task};
use store::feeds::{self, Finished, NewFeed, Refresh};
use store::{Error, sweep};

use crate::feeds::{Scene, batch, pairs};

const ANNA: By<'static> = By { who: "anna", reason: "because" };

impl Scene {
    async fn order(&self, task: Task) -> Order {
        let mut tx = self.world.store.fleet().await.unwrap();
        let order = feed_orders::order(&mut tx, &self.feed, task, ANNA).await.unwrap();
        tx.commit().await.unwrap();
        order
    }

    async fn next(&self) -> Option<Order> {
        let mut tx = self.world.store.fleet().await.unwrap();
        feed_orders::next_order(&mut tx, &self.feed).await.unwrap()
    }

    async fn take_up(&self, order: &Order) -> Refresh {
        feed_orders::begin(&self.world.store, self.fence, &self.feed, order).await.unwrap()
    }

    /// As the feed's entity does it.
    async fn say_again(&self, order: &Order, listed: &[(&str, &str)]) -> Finished {
        let (store, refresh) = (&self.world.store, self.take_up(order).await);
        feeds::ingest(store, &refresh, &batch(listed)).await.unwrap();
        let ids: Vec<String> = listed.iter().map(|(id, _)| (*id).to_owned()).collect();
        feeds::finish(store, &refresh, None, Some(&ids)).await.unwrap()
    }
}

macro_rules! steer {
    ($scene:expr, $what:ident) => {{
        let mut tx = $scene.world.store.fleet().await.unwrap();
        let answer = feed_control::$what(&mut tx, &$scene.feed, ANNA).await.unwrap();
        tx.commit().await.unwrap();
        answer
    }};
}

fn bundle(text: &str) -> Task {
    let digest = Digest::of(text.as_bytes());
    Task::Import(Bundle { name: "all.zip".to_owned(), digest, bytes: text.len() as u64, whole: true })
}

#[sqlx::test]
async fn a_paused_feed_writes_nothing_more_and_goes_on_when_resumed(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let refresh = scene.begin().await;
    steer!(scene, pause);
    let store = &scene.world.store;
    let refused = feeds::ingest(store, &refresh, &batch(&[("A-1", "one")])).await;
    assert!(matches!(refused, Err(Error::Stale { .. })), "{refused:?}");
    assert!(feed_control::steered(store, &refresh).await.unwrap());
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.reason.as_deref(), feed.due), (State::Paused, Some("because"), false));
    steer!(scene, pause);
    steer!(scene, resume);
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.due), (State::Late, true), "it was never read");
    scene.refresh(&[("A-1", "one")]).await;
    assert_eq!(scene.stored().await.state, State::Fresh);
    let mut tx = store.fleet().await.unwrap();
    let steers = feed_orders::history(&mut tx, &scene.feed, 10).await.unwrap();
    let said: Vec<_> = steers.iter().map(|s| (s.kind.as_str(), s.asked_by.as_str())).collect();
    assert_eq!(said, [("resume", "anna"), ("pause", "anna")], "pausing what is paused is no steer");
}

#[sqlx::test]
async fn a_pinned_feed_keeps_its_snapshot_until_it_is_unpinned(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    assert_eq!(steer!(scene, pin), SnapshotId(1));
    scene.world.sql("update vuln.feed set due_at = clock_timestamp() - interval '1 day'").await;
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.pinned, feed.due), (State::Pinned, Some(SnapshotId(1)), false));
    let import = scene.order(bundle("x")).await;
    assert_eq!(scene.next().await, None, "nothing new comes in");
    assert!(!scene.stored().await.due);
    steer!(scene, unpin);
    assert_eq!(scene.next().await, Some(import));
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.pinned, feed.due), (State::Fresh, None, true));
}

#[sqlx::test]
async fn rolling_back_says_again_what_was_said_and_pins(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let then = [("A-1", "one"), ("A-2", "two")];
    scene.refresh(&then).await;
    scene.refresh(&[("A-1", "uno"), ("A-3", "tre")]).await;
    scene.world.sql("update vuln.feed set succeeded_at = succeeded_at - interval '2 days'").await;
    // Somebody was just reading.
    let cut = scene.begin().await;
    feeds::ingest(&scene.world.store, &cut, &batch(&[("A-2", "due"), ("A-4", "quattro")])).await.unwrap();
    let order = scene.order(Task::RollBack(SnapshotId(1))).await;
    assert_eq!(scene.next().await.as_ref(), Some(&order));
    let finished = scene.say_again(&order, &then).await;
    assert_eq!(finished.snapshot, Some(SnapshotId(3)));
    assert_eq!(scene.as_of(3).await, pairs(&then));
    assert_eq!(scene.as_of(2).await, pairs(&[("A-1", "uno"), ("A-3", "tre")]), "what was said stays said");
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.pinned, feed.due), (State::Pinned, Some(SnapshotId(3)), false));
    assert_eq!((feed.late, feed.advisories), (true, 2), "old words are no younger for being said again");
    assert_eq!(scene.next().await, None);
    steer!(scene, unpin);
    let refresh = scene.begin().await;
    assert_eq!(refresh.cursor, None, "the source is to be read whole");
}

#[sqlx::test]
async fn an_order_stands_until_it_is_carried_out_or_given_up(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let order = scene.order(bundle("x")).await;
    let mut tx = scene.world.store.fleet().await.unwrap();
    let rung = sweep::find(&mut tx, Duration::ZERO).await.unwrap();
    assert!(rung.iter().any(|bell| bell.kind == "feed"), "a lost bell is found: {rung:?}");
    drop(tx);
    let cut = scene.take_up(&order).await;
    feeds::ingest(&scene.world.store, &cut, &batch(&[("A-2", "two")])).await.unwrap();
    assert_eq!(scene.next().await.as_ref(), Some(&order), "its node died");
    let refresh = scene.take_up(&order).await;
    assert_eq!(refresh.number, cut.number);
    feed_orders::give_up(&scene.world.store, &refresh, &order, "no zip\0").await.unwrap();
    assert_eq!(scene.next().await, None);
    let mut tx = scene.world.store.fleet().await.unwrap();
    let steers = feed_orders::history(&mut tx, &scene.feed, 10).await.unwrap();
    assert_eq!(steers[0].failure.as_deref(), Some("no zip\u{fffd}"));
    assert!(steers[0].ended_at.is_some());
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "one")]));
}

#[sqlx::test]
async fn an_order_does_not_count_as_the_refresh_that_was_asked_for(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let order = scene.order(bundle("x")).await;
    let mut tx = scene.world.store.fleet().await.unwrap();
    feeds::request_refresh(&mut tx, &scene.feed, true).await.unwrap();
    tx.commit().await.unwrap();
    scene.say_again(&order, &[("A-1", "one"), ("A-2", "two")]).await;
    let feed = scene.stored().await;
    assert!(feed.done_revision < feed.revision && feed.due);
    assert_eq!(feed.cursor, None);
}

#[sqlx::test]
async fn an_unregistered_feed_says_nothing_more_and_may_come_back(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let order = scene.order(Task::Unregister).await;
    let finished = scene.say_again(&order, &[]).await;
    assert_eq!((finished.snapshot, finished.removed), (Some(SnapshotId(2)), 1));
    assert_eq!(scene.as_of(2).await, []);
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "one")]));
    let feed = scene.stored().await;
    assert_eq!((feed.enabled, feed.state, feed.due), (false, State::Unregistered, false));
    let new = NewFeed {
        id: feed.id,
        source: feed.source,
        format: feed.format,
        interval: feed.interval,
        promise: feed.promise,
    };
    let mut tx = scene.world.store.fleet().await.unwrap();
    let feed = feeds::register(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((feed.enabled, feed.due, feed.cursor), (true, true, None));
    scene.refresh(&[("A-1", "one")]).await;
    assert_eq!(scene.as_of(3).await, pairs(&[("A-1", "one")]));
}

#[sqlx::test]
async fn the_kind_of_failure_is_the_feeds_state_since_it_began(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let mut since = None;
    for (fault, state) in [
        (Fault::Failed, State::Failed),
        (Fault::Failed, State::Failed),
        (Fault::Blocked, State::Blocked),
        (Fault::Unsupported, State::Unsupported),
    ] {
        let refresh = scene.begin().await;
        feeds::failed(&scene.world.store, &refresh, fault, "why").await.unwrap();
        let feed = scene.stored().await;
        assert_eq!((feed.state, feed.reason.as_deref(), feed.late), (state, Some("why"), false));
        let same = since == Some((state, feed.since));
        assert_eq!(same, feed.failures == 2, "{state:?}");
        since = Some((state, feed.since));
    }
    scene.refresh(&[("A-1", "one")]).await;
    let feed = scene.stored().await;
    assert_eq!((feed.state, feed.reason), (State::Fresh, None));
    scene.world.sql("update vuln.feed set succeeded_at = succeeded_at - interval '2 days'").await;
    assert_eq!(scene.stored().await.state, State::Late);
}

#[sqlx::test]
async fn a_feed_of_bundles_is_never_due_by_itself(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.world.sql("update vuln.feed set source = 'bundle:'").await;
    assert!(!scene.stored().await.due);
    scene.order(bundle("x")).await;
    assert!(scene.stored().await.due);
}

#[sqlx::test]
async fn what_was_steered_cannot_be_rewritten(owner: PgPool) {
    let scene = Scene::new(owner).await;
    steer!(scene, pause);
    let options = (*scene.world.owner.connect_options()).clone().username("starling_app");
    let app = PgPool::connect_with(options).await.unwrap();
    for statement in ["update vuln.feed_order set asked_by = 'nobody'", "delete from vuln.feed_order"] {
        let mut tx = app.begin_with("begin; set local role starling_fleet").await.unwrap();
        let refused = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
}
