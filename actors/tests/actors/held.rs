//! Held or killed at a named place, nothing is lost and nothing is done twice.
//!
//! Failpoints belong to the whole process, so these tests take turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use actors::failpoint::Point;
use model::{JobState, Lane, Stage};
use sqlx::PgPool;
use tokio::sync::{Mutex, MutexGuard};

use crate::demo::{Image, image_of};
use crate::world::{World, eventually};

static TURN: Mutex<()> = Mutex::const_new(());

/// Holds whoever passes a point, until it is dropped.
struct Hold {
    point: Point,
    file: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Hold {
    async fn at(point: Point) -> Self {
        let turn = TURN.lock().await;
        let file = std::env::temp_dir().join(format!("starling-hold-{}", uuid::Uuid::now_v7()));
        std::fs::write(&file, "").unwrap();
        fail::cfg(point.as_str(), &format!("return({})", file.display())).unwrap();
        Self { point, file, _turn: turn }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        fail::remove(self.point.as_str());
        let _ = std::fs::remove_file(&self.file);
    }
}

fn image(seed: &str) -> Image {
    image_of(&[(seed, "1.0.0")])
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_killed_worker_is_taken_over_from(owner: PgPool) {
    let world = World::new(owner).await;
    let hold = Hold::at(Point::WorkerMidExtraction).await;
    let first = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image("taken-over");
    world.put(tenant, &image).await;
    let job = world.submit(tenant, &image).await;
    eventually(async || Some(world.job(tenant, job).await).filter(|job| job.stage == Stage::Extracting))
        .await;
    let second = world.node("b", 1).await;
    first.actors.kill().await;
    drop(hold);
    let ended = world.end_of(tenant, job).await;
    assert_eq!((ended.state, ended.verdict), (JobState::Done, Some(1)), "{ended:?}");
    assert!(ended.attempt > 1, "{ended:?}");
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let events = store::jobs::events_after(&mut tx, job, 0).await.unwrap();
    let readers: Vec<_> =
        events.iter().filter(|e| e.stage == Stage::Extracting).map(|e| e.node.as_deref()).collect();
    assert_eq!(readers, [Some("a"), Some("b")]);
    first.cluster.shutdown(Duration::from_secs(5)).await;
    second.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_stopping_worker_gives_back_what_it_holds(owner: PgPool) {
    let world = World::new(owner).await;
    let hold = Hold::at(Point::WorkerMidExtraction).await;
    let first = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image("given-back");
    world.put(tenant, &image).await;
    let job = world.submit(tenant, &image).await;
    eventually(async || Some(world.job(tenant, job).await).filter(|job| job.stage == Stage::Extracting))
        .await;
    let second = world.node("b", 1).await;
    first.shutdown().await;
    drop(hold);
    let ended = world.end_of(tenant, job).await;
    assert_eq!((ended.state, ended.attempt), (JobState::Done, 2), "{ended:?}");
    second.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_cancelled_or_overdue_job_stops_running_work_within_a_second(owner: PgPool) {
    let world = World::new(owner).await;
    let hold = Hold::at(Point::WorkerMidExtraction).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let [cancelled, overdue] = [image("cancelled"), image("overdue")];
    world.put(tenant, &cancelled).await;
    world.put(tenant, &overdue).await;

    let job = world.submit(tenant, &cancelled).await;
    eventually(async || Some(world.job(tenant, job).await).filter(|job| job.stage == Stage::Extracting))
        .await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    store::jobs::cancel(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    let since = Instant::now();
    // The only slot is free again only once the first attempt has ended.
    let limit = Some(Duration::from_millis(1500));
    let next = world.submit_with(tenant, &overdue, Lane::Interactive, limit).await;
    eventually(async || {
        Some(world.job(tenant, next).await)
            .filter(|job| job.stage == Stage::Extracting || job.state.is_final())
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    let ended = world.end_of(tenant, next).await;
    assert_eq!((ended.state, ended.reason.as_deref()), (JobState::Failed, Some("deadline exceeded")));
    drop(hold);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_relay_killed_before_its_commit_rings_again(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("t").await;
    let image = image("rung-twice");
    world.put(tenant, &image).await;
    let turn = TURN.lock().await;
    // The first two rounds panic after the bells have rung: they ring again, and nothing is done twice.
    fail::cfg(Point::RelayBeforeCommit.as_str(), "2*panic").unwrap();
    let node = world.node("a", 1).await;
    let verdict = world.scan(tenant, &image).await;
    fail::remove(Point::RelayBeforeCommit.as_str());
    drop(turn);
    assert_eq!((verdict, world.number("select count(*) from scanner.verdict").await), (1, 1));
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn entities_that_panic_before_saving_are_started_again(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("t").await;
    let image = image("panics");
    world.put(tenant, &image).await;
    let turn = TURN.lock().await;
    let points = [Point::TenantBeforeAdmit, Point::ImageBeforeDispatch, Point::ImageBeforeSave];
    for point in points {
        fail::cfg(point.as_str(), "1*panic").unwrap();
    }
    let node = world.node("a", 1).await;
    let verdict = world.scan(tenant, &image).await;
    for point in points {
        fail::remove(point.as_str());
    }
    drop(turn);
    assert_eq!((verdict, world.number("select count(*) from scanner.verdict").await), (1, 1));
    node.shutdown().await;
}
