//! Runs of the scheduler: chosen once, asked for once, and followed to their end.

use std::time::Duration;

use model::{ImageDigest, RunId, RunImageState, RunKind, RunState, SnapshotId, TenantId};
use sqlx::PgPool;
use store::effects::Effect;
use store::runs::effects::{self as steps, Planned};
use store::runs::{self, NewRun, Run, Said, Selector};
use store::schedules::{self, NewSchedule};
use store::webhooks::{self, Event};
use store::{Error, Fence, feeds};
use time::OffsetDateTime;

use crate::fixture::{World, evaluation};

const PATIENCE: Duration = Duration::from_secs(600);

fn sweep(key: Option<&str>, selector: Selector) -> NewRun {
    NewRun {
        key: key.map(str::to_owned),
        kind: RunKind::Sweep,
        cause: "a test".to_owned(),
        selector,
        rate_per_s: None,
        schedule: None,
    }
}

struct Scene {
    world: World,
    fence: Fence,
    generation: i64,
    tenant: TenantId,
}

impl Scene {
    async fn new(owner: PgPool) -> Self {
        let world = World::new(owner).await;
        let tenant = world.tenant("a").await;
        let generation = world.node("n1").await;
        let fence = world.claim(generation, 7).await;
        Self { world, fence, generation, tenant }
    }

    /// An image that was scanned, and so is evaluated.
    async fn image(&self, seed: &str) -> ImageDigest {
        self.world.scanned(self.tenant, seed, self.generation, self.fence).await;
        crate::fixture::new_image(seed).digest
    }

    async fn asked(&self, run: &NewRun) -> RunId {
        let mut tx = self.world.store.fleet().await.unwrap();
        let (id, _) = runs::request(&mut tx, run).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn run(&self, id: RunId) -> Run {
        let mut tx = self.world.store.fleet().await.unwrap();
        runs::get(&mut tx, id).await.unwrap()
    }

    async fn select_all(&self, id: RunId, selector: &Selector, page: u32) {
        let mut after = None;
        loop {
            after = steps::select_by(&self.world.store, self.fence, id, selector, after, page).await.unwrap();
            if after.is_none() {
                return;
            }
        }
    }

    async fn running(&self, selector: Selector) -> RunId {
        let id = self.asked(&sweep(None, selector.clone())).await;
        self.select_all(id, &selector, 10).await;
        steps::end_planning(&self.world.store, self.fence, id, &Planned::default()).await.unwrap();
        steps::move_to(&self.world.store, self.fence, id, RunState::Running, None).await.unwrap();
        id
    }

    async fn dispatch(&self, id: RunId, limit: u32) -> u64 {
        steps::dispatch(&self.world.store, self.fence, id, limit).await.unwrap()
    }

    async fn settle(&self, id: RunId, patience: Duration) -> u64 {
        steps::settle(&self.world.store, self.fence, id, patience).await.unwrap()
    }

    /// What the image's entity does: so many findings at its present revision.
    async fn evaluate(&self, image: &ImageDigest, findings: usize) {
        let query = format!("select revision from scanner.image where digest = '{image}'");
        let revision = self.world.number(&query).await;
        let evaluation = evaluation(self.tenant, image, self.fence, revision, findings, vec![]);
        self.world.apply(Effect::SaveEvaluation(Box::new(evaluation))).await.unwrap();
    }

    async fn states(&self, id: RunId) -> Vec<RunImageState> {
        let mut tx = self.world.store.fleet().await.unwrap();
        runs::images(&mut tx, id, None, None, 100).await.unwrap().into_iter().map(|i| i.state).collect()
    }
}

/// A run that has one image of this tenant, for tests of the walls.
pub(crate) async fn sweep_of(world: &World, fence: Fence, tenant: TenantId) {
    let mut tx = world.store.fleet().await.unwrap();
    let selector = Selector { tenant: Some(tenant), ..Selector::default() };
    let (id, _) = runs::request(&mut tx, &sweep(None, selector.clone())).await.unwrap();
    tx.commit().await.unwrap();
    steps::select_by(&world.store, fence, id, &selector, None, 10).await.unwrap();
}

#[sqlx::test]
async fn images_are_chosen_once_however_often_planning_begins_again(owner: PgPool) {
    let scene = Scene::new(owner).await;
    for seed in ["one", "two", "three"] {
        scene.image(seed).await;
    }
    scene.world.image(scene.tenant, "without-sbom").await;
    let id = scene.asked(&sweep(None, Selector::default())).await;
    scene.select_all(id, &Selector::default(), 2).await;
    scene.select_all(id, &Selector::default(), 1).await;
    let same = [(scene.tenant, crate::fixture::new_image("one").digest.to_string())];
    assert_eq!(steps::select(&scene.world.store, scene.fence, id, &same, true).await.unwrap(), 0);
    assert_eq!(scene.run(id).await.counts.images, 3);
    let found = Planned { delta_records: 5, withdrawn: 2, package_versions: 7, published: None };
    steps::end_planning(&scene.world.store, scene.fence, id, &found).await.unwrap();
    let counts = scene.run(id).await.counts;
    assert_eq!((counts.images_known, counts.delta_records, counts.withdrawn), (3, 5, 2));
    let late = steps::select(&scene.world.store, scene.fence, id, &same, false).await;
    assert!(matches!(late, Err(Error::Stale { entity: "run" })), "{late:?}");
}

#[sqlx::test]
async fn a_selector_says_tenant_image_name_and_staleness(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let one = scene.image("one").await;
    scene.image("one_more").await;
    let other = scene.world.tenant("b").await;
    scene.world.scanned(other, "theirs", scene.generation, scene.fence).await;
    let count = async |selector: Selector| {
        let id = scene.asked(&sweep(None, selector.clone())).await;
        scene.select_all(id, &selector, 1).await;
        scene.run(id).await.counts.images
    };
    let any = Selector::default;
    assert_eq!(count(any()).await, 3);
    assert_eq!(count(Selector { tenant: Some(other), ..any() }).await, 1);
    assert_eq!(count(Selector { image: Some(one), ..any() }).await, 1);
    assert_eq!(count(Selector { name: Some("registry.example/one*".to_owned()), ..any() }).await, 2);
    assert_eq!(count(Selector { name: Some("registry.example/one_:*".to_owned()), ..any() }).await, 0);
    assert_eq!(count(Selector { stale_only: true, ..any() }).await, 0, "all are of the newest snapshot");
    scene.world.sql("update vuln.latest set snapshot_id = 9").await;
    assert_eq!(count(Selector { stale_only: true, ..any() }).await, 3);
}

#[sqlx::test]
async fn each_image_is_asked_once_and_followed_to_its_verdict(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (one, two) = (scene.image("one").await, scene.image("two").await);
    let id = scene.running(Selector::default()).await;
    scene.world.bells().await;
    assert_eq!(
        [scene.dispatch(id, 1).await, scene.dispatch(id, 10).await, scene.dispatch(id, 10).await],
        [1, 1, 0]
    );
    let bells = scene.world.bells().await;
    assert_eq!(bells.len(), 2);
    assert!(bells.iter().all(|bell| bell.kind == "image" && bell.lane == model::Lane::Sweep), "{bells:?}");
    assert_eq!(scene.world.number("select count(*) from scanner.image where revision = 2").await, 2);
    assert_eq!(scene.settle(id, PATIENCE).await, 0);
    scene.evaluate(&one, 2).await; // As before: see `World::scanned`.
    assert_eq!([scene.settle(id, PATIENCE).await, scene.settle(id, PATIENCE).await], [1, 0]);
    scene.evaluate(&two, 3).await;
    assert_eq!(scene.settle(id, PATIENCE).await, 1);
    let counts = scene.run(id).await.counts;
    assert_eq!((counts.dispatched, counts.evaluated, counts.changed, counts.failed), (2, 2, 1, 0));
    assert_eq!((counts.outstanding(), counts.waiting()), (0, 0));
    let mut states = scene.states(id).await;
    states.sort();
    assert_eq!(states, [RunImageState::Unchanged, RunImageState::Changed]);
}

#[sqlx::test]
async fn what_cannot_be_evaluated_or_takes_too_long_has_failed(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let one = scene.image("one").await;
    scene.image("two").await;
    let id = scene.running(Selector::default()).await;
    scene.dispatch(id, 10).await;
    let store = &scene.world.store;
    let give_up = async |revision| {
        runs::give_up(store, scene.tenant, &one, scene.fence, revision, "its sbom is broken").await.unwrap()
    };
    assert_eq!([give_up(1).await, give_up(2).await, give_up(2).await], [0, 1, 0]);
    assert_eq!(scene.settle(id, PATIENCE).await, 1);
    let mut tx = store.fleet().await.unwrap();
    let first = steps::first_failure(&mut tx, id).await.unwrap();
    assert_eq!(first, Some((one.to_string(), "its sbom is broken".to_owned())));
    drop(tx);
    assert_eq!(scene.settle(id, Duration::ZERO).await, 1);
    let counts = scene.run(id).await.counts;
    assert_eq!((counts.failed, counts.outstanding()), (2, 0));
    let stranger = scene.world.tenant("b").await;
    let theirs = runs::give_up(store, stranger, &one, scene.fence, 9, "not mine").await.unwrap();
    assert_eq!(theirs, 0);
}

#[sqlx::test]
async fn an_image_that_others_are_changing_comes_with_the_next_page(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let one = scene.image("one").await;
    scene.image("two").await;
    let id = scene.running(Selector::default()).await;
    let mut other = scene.world.owner.begin().await.unwrap();
    let locked = format!("select 1 from scanner.image where digest = '{one}' for update");
    sqlx::query(sqlx::AssertSqlSafe(locked)).execute(&mut *other).await.unwrap();
    assert_eq!(scene.dispatch(id, 10).await, 1);
    other.rollback().await.unwrap();
    assert_eq!(scene.dispatch(id, 10).await, 1);
}

#[sqlx::test]
async fn a_change_belongs_to_one_run_and_what_is_evaluated_on_it_is_spared(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let one = scene.image("one").await;
    scene.image("two").await;
    scene.world.sql("update vuln.latest set snapshot_id = 3").await;
    let (store, fence) = (&scene.world.store, scene.fence);
    let id = steps::take_changes(store, fence, SnapshotId(0), SnapshotId(3)).await.unwrap();
    let again = steps::take_changes(store, fence, SnapshotId(0), SnapshotId(3)).await;
    assert!(matches!(again, Err(Error::Stale { .. })), "{again:?}");
    let mut tx = store.fleet().await.unwrap();
    let at = steps::situation(&mut tx).await.unwrap();
    drop(tx);
    assert_eq!((at.cursor, at.latest, at.taken_at.is_some()), (SnapshotId(3), SnapshotId(3), true));
    assert_eq!(
        at.open.iter().map(|run| (run.id, run.kind, run.state)).collect::<Vec<_>>(),
        [(id, RunKind::Delta, RunState::Planned)]
    );
    scene.select_all(id, &Selector::default(), 10).await;
    steps::end_planning(store, fence, id, &Planned::default()).await.unwrap();
    steps::move_to(store, fence, id, RunState::Running, None).await.unwrap();
    let evaluated = format!("update scanner.image set evaluated_snapshot = 3 where digest = '{one}'");
    scene.world.sql(&evaluated).await;
    assert_eq!(scene.dispatch(id, 10).await, 2);
    let counts = scene.run(id).await.counts;
    assert_eq!((counts.dispatched, counts.evaluated, counts.outstanding()), (2, 1, 1));
    let untouched = format!("select revision from scanner.image where digest = '{one}'");
    assert_eq!(scene.world.number(&untouched).await, 1);
}

#[sqlx::test]
async fn an_old_scheduler_takes_no_step(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.image("one").await;
    let id = scene.running(Selector::default()).await;
    let old = Fence { epoch: scene.fence.epoch - 1, ..scene.fence };
    let store = &scene.world.store;
    for outcome in [
        steps::dispatch(store, old, id, 10).await.map(|_| ()),
        steps::settle(store, old, id, PATIENCE).await.map(|_| ()),
        steps::move_to(store, old, id, RunState::Completed, None).await,
        steps::take_changes(store, old, SnapshotId(0), SnapshotId(1)).await.map(|_| ()),
        steps::select(store, old, id, &[], false).await.map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(Error::Fenced { .. })), "{outcome:?}");
    }
    assert_eq!(scene.run(id).await.state, RunState::Running);
}

#[sqlx::test]
async fn people_cancel_and_release_what_has_not_ended(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.image("one").await;
    let id = scene.running(Selector::default()).await;
    scene.world.bells().await;
    let store = &scene.world.store;
    let mut tx = store.fleet().await.unwrap();
    assert_eq!(runs::release(&mut tx, id).await.unwrap(), Said::Noted);
    assert_eq!(runs::ask_cancel(&mut tx, id).await.unwrap(), Said::Noted);
    tx.commit().await.unwrap();
    let bells = scene.world.bells().await;
    assert_eq!(bells.iter().map(|bell| bell.key.as_str()).collect::<Vec<_>>(), ["scheduler"]);
    assert_eq!(scene.dispatch(id, 10).await, 0, "nothing more is asked for");
    steps::move_to(store, scene.fence, id, RunState::Cancelled, Some("cancelled on request")).await.unwrap();
    let ended = scene.run(id).await;
    assert!(ended.marks.ended.is_some() && ended.released.is_some() && ended.cancel_asked);
    let mut tx = store.fleet().await.unwrap();
    assert_eq!(runs::ask_cancel(&mut tx, id).await.unwrap(), Said::HadEnded);
    let unknown = runs::release(&mut tx, RunId::from_uuid(uuid::Uuid::nil())).await;
    assert!(matches!(unknown, Err(Error::NotFound { entity: "run" })), "{unknown:?}");
    drop(tx);
    assert_eq!(steps::forget_images(store, scene.fence, PATIENCE).await.unwrap(), 0);
    assert_eq!(steps::forget_images(store, scene.fence, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(scene.run(id).await.counts.images, 1, "the run itself is remembered");
}

#[sqlx::test]
async fn the_same_request_makes_one_run_and_an_event_all_or_nothing(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let mut tx = scene.world.store.fleet().await.unwrap();
    let first = runs::request(&mut tx, &sweep(Some("k"), Selector::default())).await.unwrap();
    let second = runs::request(&mut tx, &sweep(Some("k"), Selector::default())).await.unwrap();
    assert_eq!((first.0, first.1, second), (second.0, true, (first.0, false)));
    let mut event = Event {
        id: "advisories/e-1".to_owned(),
        cause: "an aggregator".to_owned(),
        feeds: vec![],
        packages: vec!["pkg:npm/a".to_owned()],
    };
    let run = webhooks::take(&mut tx, &event).await.unwrap().run.unwrap();
    assert_eq!(webhooks::take(&mut tx, &event).await.unwrap().run, Some(run));
    let run = runs::get(&mut tx, run).await.unwrap();
    assert_eq!((run.kind, run.selector.packages), (RunKind::Packages, event.packages.clone()));
    event.feeds.push("nobody".parse().unwrap());
    let unknown = webhooks::take(&mut tx, &event).await;
    assert!(matches!(unknown, Err(Error::NotFound { entity: "feed" })), "{unknown:?}");
    assert!(feeds::list(&mut tx).await.unwrap().is_empty());
    let listed = runs::list(&mut tx, &[RunState::Planned], None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [run.id, first.0]);
    assert_eq!(runs::list(&mut tx, &[RunState::Held], None, 10).await.unwrap(), []);
}

#[sqlx::test]
async fn a_schedule_comes_once_for_each_time(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let store = &scene.world.store;
    let past = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let set = NewSchedule {
        id: "nightly".to_owned(),
        cron: "0 3 * * *".to_owned(),
        selector: Selector::default(),
        rate_per_s: Some(5.0),
        next: Some(past),
    };
    let mut tx = store.fleet().await.unwrap();
    assert!(schedules::set(&mut tx, &set).await.unwrap());
    assert!(!schedules::set(&mut tx, &set).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.fleet().await.unwrap();
    assert_eq!(steps::situation(&mut tx).await.unwrap().due, ["nightly"]);
    let schedule = schedules::get(&mut tx, "nightly").await.unwrap();
    drop(tx);
    let next = Some(past + time::Duration::days(20_000));
    let come = async || {
        let run = sweep(Some("schedule/nightly/1700000000"), Selector::default());
        schedules::come(store, scene.fence, &schedule, &run, next).await
    };
    let run = come().await.unwrap();
    let twice = come().await;
    assert!(matches!(twice, Err(Error::Stale { entity: "schedule" })), "{twice:?}");
    let mut tx = store.fleet().await.unwrap();
    let after = schedules::get(&mut tx, "nightly").await.unwrap();
    assert_eq!((after.next, after.last.map(|(_, run)| run)), (next, Some(run)));
    assert_eq!(steps::situation(&mut tx).await.unwrap().due, Vec::<String>::new());
    schedules::remove(&mut tx, "nightly").await.unwrap();
    assert!(matches!(schedules::remove(&mut tx, "nightly").await, Err(Error::NotFound { .. })));
}
