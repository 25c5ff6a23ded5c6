//! From a source to observations.

use sqlx::PgPool;

use crate::demo::advisory;
use crate::world::{World, eventually};

#[sqlx::test(migrations = "../store/migrations")]
async fn what_is_unchanged_is_not_written_again(owner: PgPool) {
    let world = World::new(owner).await;
    let file = world.feed_folder().join("npm.jsonl");
    let [first, second] = [advisory("GHSA-1", "left-pad", "1.3.0"), advisory("GHSA-2", "right-pad", "2.0.0")];
    std::fs::write(&file, [&*first, &*second].join("\n")).unwrap();
    let node = world.node("a", 0).await;
    let feed = world.feed("osv").await;
    assert_eq!((feed.advisories, feed.problems, feed.failures), (2, 0, 0));
    let rows = "select count(*) from vuln.observation";
    let snapshots = "select snapshot_id from vuln.latest";
    assert_eq!((world.number(rows).await, world.number(snapshots).await), (2, 1));

    world.refresh(&feed.id).await;
    assert_eq!((world.number(rows).await, world.number(snapshots).await), (2, 1));

    // One is changed, one is taken away.
    std::fs::write(&file, advisory("GHSA-1", "left-pad", "1.4.0")).unwrap();
    let feed = world.refresh(&feed.id).await;
    assert_eq!((world.number(rows).await, world.number(snapshots).await, feed.advisories), (4, 2, 1));
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn an_unreadable_record_is_kept_aside_and_does_not_stop_the_feed(owner: PgPool) {
    let world = World::new(owner).await;
    std::fs::write(world.feed_folder().join("a.jsonl"), advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    std::fs::write(world.feed_folder().join("b.json"), "{ not a record").unwrap();
    let node = world.node("a", 0).await;
    let feed = world.feed("osv").await;
    assert_eq!((feed.advisories, feed.problems, feed.failures), (1, 1, 0));
    let aside =
        "select count(*) from vuln.quarantine where entry = 'b.json' and reason like 'the record is not%'";
    assert_eq!(world.number(aside).await, 1);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_source_that_went_empty_takes_nothing_back(owner: PgPool) {
    let world = World::new(owner).await;
    let file = world.feed_folder().join("npm.jsonl");
    std::fs::write(&file, advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 0).await;
    let feed = world.feed("osv").await;
    std::fs::write(&file, "").unwrap();
    let mut tx = world.store.fleet().await.unwrap();
    store::feeds::request_refresh(&mut tx, &feed.id, false).await.unwrap();
    tx.commit().await.unwrap();
    let failed =
        eventually(async || Some(world.feed_row(&feed.id).await).filter(|row| row.failures > 0)).await;
    let reason = failed.last_error.unwrap_or_default();
    assert_eq!(reason, "none of its records can be read (0 were refused)");
    assert_eq!((failed.advisories, world.number("select count(*) from vuln.observation").await), (1, 1));

    std::fs::write(&file, advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let feed = world.refresh(&feed.id).await;
    assert_eq!((feed.advisories, feed.failures, feed.last_error), (1, 0, None));
    node.shutdown().await;
}
