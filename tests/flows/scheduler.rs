//! A feed changes: the images it touches are evaluated again, soon and once, and no others.

use proto_api::run::v1::{
    CancelRunRequest, CreateRunRequest, DeleteScheduleRequest, GetScheduleRequest, ListRunImagesRequest,
    ReleaseRunRequest, RunImageState, RunKind, RunState, Selector, SetScheduleRequest, WatchRunRequest,
};
use tests::clients::{SOON, request_id};
use tests::fleet::Fleet;
use tests::{Settings, TestCluster, eventually};
use tonic::Code;

async fn cluster(settings: &[(&str, &str)]) -> TestCluster {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TestCluster::start(Settings { nodes: 2, settings, ..Settings::default() }).await
}

#[tokio::test]
async fn a_change_evaluates_what_it_touches_and_leaves_the_rest() {
    let cluster = cluster(&[]).await;
    let fleet = Fleet::scanned(&cluster, "touches", &["starling-a", "starling-b"]).await;
    assert_eq!(fleet.findings(&cluster, "starling-a").await, 1);
    let (a, b) =
        (fleet.evaluated(&cluster, "starling-a").await, fleet.evaluated(&cluster, "starling-b").await);

    fleet.folder.put("STARLING-2026-2000", "npm", "SEMVER", "starling-a", "1.5.0");
    let run = fleet.changed(&cluster).await;
    let counts = run.counts.unwrap();
    assert_eq!(run.kind(), RunKind::Delta);
    assert_eq!((counts.delta_records, counts.package_versions, counts.images), (1, 1, 1), "{run:?}");
    assert_eq!((counts.dispatched, counts.evaluated, counts.changed, counts.failed), (1, 1, 1, 0), "{run:?}");
    assert!(run.publish_time.is_some() && run.observe_time.is_some() && run.plan_time.is_some());
    assert_eq!(fleet.findings(&cluster, "starling-a").await, 2);
    assert_eq!(fleet.evaluated(&cluster, "starling-a").await, a + 1);
    assert_eq!(fleet.evaluated(&cluster, "starling-b").await, b, "nothing was said of it");

    // A record about a package that nobody has: a run, and no work.
    fleet.folder.put("STARLING-2026-2001", "npm", "SEMVER", "starling-nobody", "9.0.0");
    let run = fleet.changed(&cluster).await;
    assert_eq!((run.reason.as_str(), run.counts.unwrap().images), ("no_work", 0), "{run:?}");

    // Read again as it was: no run at all.
    let runs = fleet.operator(&cluster).newest_runs().await.len();
    fleet.refresh(&cluster).await;
    fleet.at_rest(&cluster).await;
    assert_eq!(fleet.operator(&cluster).newest_runs().await.len(), runs);
    assert_eq!(fleet.evaluated(&cluster, "starling-b").await, b);
}

#[tokio::test]
async fn mass_withdrawals_wait_for_a_persons_word() {
    let held = [("scheduler.hold-withdrawn-records", "2"), ("scheduler.hold-withdrawn-share", "0.5")];
    let cluster = cluster(&held).await;
    let fleet = Fleet::scanned(&cluster, "withdrawn", &["starling-a", "starling-b", "starling-c"]).await;
    for number in 0..2 {
        let record = fleet.folder.path().join(format!("STARLING-2026-1{number:03}.json"));
        std::fs::remove_file(record).unwrap();
    }
    fleet.refresh(&cluster).await;
    let mut operator = fleet.operator(&cluster);
    eventually(SOON, "a run is held", || {
        let mut operator = operator.clone();
        async move { operator.newest_runs().await.iter().any(|run| run.state() == RunState::Held) }
    })
    .await;
    let run = operator.newest_runs().await.remove(0);
    assert_eq!(run.reason, "2 advisories were taken back, which touches 2 of 3 images", "{run:?}");
    assert_eq!(fleet.findings(&cluster, "starling-a").await, 1, "its verdict stands");

    let request = ReleaseRunRequest { request_id: request_id(), run_id: run.run_id.clone() };
    operator.runs.release_run(request).await.unwrap();
    let run = operator.run_is(&run.run_id, RunState::Completed, SOON).await;
    assert_eq!(run.counts.unwrap().changed, 2, "{run:?}");
    assert_eq!(fleet.findings(&cluster, "starling-a").await, 0);
    assert_eq!(fleet.findings(&cluster, "starling-c").await, 1);
}

#[tokio::test]
async fn runs_are_asked_for_followed_and_cancelled() {
    let cluster = cluster(&[]).await;
    let fleet = Fleet::scanned(&cluster, "asked", &["starling-a", "starling-b", "starling-c"]).await;
    let mut operator = fleet.operator(&cluster);

    // All of one tenant, followed to the end.
    let selector = Selector { tenant: fleet.tenant.name().to_owned(), ..Selector::default() };
    let create = |selector: &Selector, rate_per_second| CreateRunRequest {
        request_id: request_id(),
        selector: Some(selector.clone()),
        rate_per_second,
        cause: "a test".to_owned(),
    };
    let made = operator.runs.create_run(create(&selector, 0.0)).await.unwrap().into_inner().run.unwrap();
    let watch = WatchRunRequest { run_id: made.run_id.clone() };
    let mut watch = operator.runs.watch_run(watch).await.unwrap().into_inner();
    let mut last = None;
    while let Some(answer) = watch.message().await.unwrap() {
        last = answer.run;
    }
    let run = last.unwrap();
    let counts = run.counts.unwrap();
    assert_eq!(
        (run.state(), counts.images, counts.evaluated, counts.changed),
        (RunState::Completed, 3, 3, 0)
    );
    let request = ListRunImagesRequest {
        run_id: run.run_id.clone(),
        state: RunImageState::Unchanged.into(),
        page_size: 2,
        ..ListRunImagesRequest::default()
    };
    let page = operator.runs.list_run_images(request.clone()).await.unwrap().into_inner();
    let rest = ListRunImagesRequest { page_token: page.next_page_token, ..request };
    let rest = operator.runs.list_run_images(rest).await.unwrap().into_inner();
    assert_eq!((page.images.len(), rest.images.len(), rest.next_page_token.as_str()), (2, 1, ""));

    // The images with one package, and a run that is cancelled while it is slow.
    let packages = Selector { packages: vec!["pkg:npm/starling-b".to_owned()], ..selector.clone() };
    let made = operator.runs.create_run(create(&packages, 0.0)).await.unwrap().into_inner().run.unwrap();
    let run = operator.run_is(&made.run_id, RunState::Completed, SOON).await;
    assert_eq!((run.kind(), run.counts.unwrap().images), (RunKind::Packages, 1), "{run:?}");
    let made = operator.runs.create_run(create(&selector, 0.01)).await.unwrap().into_inner().run.unwrap();
    operator.run_is(&made.run_id, RunState::Running, SOON).await;
    let cancel = || CancelRunRequest { request_id: request_id(), run_id: made.run_id.clone() };
    operator.runs.cancel_run(cancel()).await.unwrap();
    let run = operator.run_is(&made.run_id, RunState::Cancelled, SOON).await;
    assert!(run.counts.unwrap().dispatched < 3, "{run:?}");
    assert_eq!(operator.runs.cancel_run(cancel()).await.unwrap_err().code(), Code::FailedPrecondition);

    // A tenant's token has nothing to say here.
    let mut tenant = cluster.nodes()[0].client(&fleet.tenant);
    assert_eq!(
        tenant.runs.create_run(create(&selector, 0.0)).await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn a_schedule_makes_its_run() {
    let cluster = cluster(&[]).await;
    let fleet = Fleet::scanned(&cluster, "scheduled", &["starling-a"]).await;
    let mut operator = fleet.operator(&cluster);
    let set = |cron: &str| SetScheduleRequest {
        request_id: request_id(),
        schedule_id: "often".to_owned(),
        cron: cron.to_owned(),
        ..SetScheduleRequest::default()
    };
    assert_eq!(
        operator.runs.set_schedule(set("61 * * * *")).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let schedule = operator.runs.set_schedule(set("0 3 * * *")).await.unwrap().into_inner().schedule.unwrap();
    assert!(schedule.next_time.is_some() && schedule.last_run_id.is_empty());
    // Its time has come.
    cluster.truth().run("update scheduler.schedule set next_at = clock_timestamp() - interval '1 min'").await;
    eventually(SOON, "the schedule has made a run", || {
        let mut operator = operator.clone();
        async move {
            let request = GetScheduleRequest { schedule_id: "often".to_owned() };
            let schedule = operator.runs.get_schedule(request).await.unwrap().into_inner().schedule.unwrap();
            !schedule.last_run_id.is_empty()
        }
    })
    .await;
    let run = fleet.at_rest(&cluster).await;
    assert_eq!(
        (run.schedule_id.as_str(), run.kind(), run.counts.unwrap().evaluated),
        ("often", RunKind::Sweep, 1)
    );
    let delete = || DeleteScheduleRequest { request_id: request_id(), schedule_id: "often".to_owned() };
    operator.runs.delete_schedule(delete()).await.unwrap();
    assert_eq!(operator.runs.delete_schedule(delete()).await.unwrap_err().code(), Code::NotFound);
}
