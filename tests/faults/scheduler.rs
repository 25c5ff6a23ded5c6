//! `kill -9` of the node that schedules, while it chooses images and while it asks for them, and of one that evaluates an
//! image again: the next one goes on, no image is missing and none counts twice.

use proto_api::run::v1::{CreateRunRequest, ListRunImagesRequest, RunImageState, RunState, Selector};
use tests::clients::{SOON, request_id};
use tests::fleet::Fleet;
use tests::{Point, Settings, TestCluster};

use crate::alone;

const PACKAGES: [&str; 6] =
    ["starling-a", "starling-b", "starling-c", "starling-d", "starling-e", "starling-f"];

#[tokio::test]
async fn a_run_outlives_the_nodes_that_schedule_and_evaluate() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let fleet = Fleet::scanned(&cluster, "killed", &PACKAGES).await;
    let points = [Point::SchedulerMidPlan, Point::SchedulerMidDispatch, Point::ImageBeforeSave];
    for (round, point) in points.into_iter().enumerate() {
        // One more finding for every image but the first, by a change of the feed.
        for package in &PACKAGES[1..] {
            let id = format!("STARLING-2026-{}{}", round + 3, &package[9..]);
            fleet.folder.put(&id, "npm", "SEMVER", package, "3.0.0");
        }
        let untouched = fleet.evaluated(&cluster, PACKAGES[0]).await;
        let hold = cluster.hold(point);
        fleet.refresh(&cluster).await;
        let victim = hold.reached(SOON).await;
        cluster.nodes_mut()[victim].kill();
        drop(hold);
        cluster.nodes_mut()[victim].start();
        cluster.settled().await;

        let run = fleet.at_rest(&cluster).await;
        let counts = run.counts.unwrap();
        assert_eq!(run.state(), RunState::Completed, "killed at {point:?}: {run:?}");
        assert_eq!((counts.images, counts.evaluated, counts.changed, counts.failed), (5, 5, 5, 0), "{run:?}");
        for package in &PACKAGES[1..] {
            assert_eq!(fleet.findings(&cluster, package).await, round + 2, "{package}, killed at {point:?}");
        }
        assert_eq!(fleet.evaluated(&cluster, PACKAGES[0]).await, untouched);
        let twice = "select count(*) from scanner.verdict v join scanner.verdict w
                     on w.tenant_id = v.tenant_id and w.image_digest = v.image_digest and w.version = v.version + 1
                     where w.findings_digest = v.findings_digest and w.coverage = v.coverage";
        assert_eq!(cluster.truth().number(twice).await, 0, "a verdict that says what the one before said");
    }
}

#[tokio::test]
async fn a_sweep_outlives_it_too_and_asks_each_image_once() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let fleet = Fleet::scanned(&cluster, "swept", &PACKAGES).await;
    let before = fleet.evaluated(&cluster, PACKAGES[0]).await;
    let hold = cluster.hold(Point::SchedulerMidDispatch);
    let request = CreateRunRequest {
        request_id: request_id(),
        selector: Some(Selector::default()),
        ..CreateRunRequest::default()
    };
    let made = fleet.operator(&cluster).runs.create_run(request).await.unwrap().into_inner().run.unwrap();
    let victim = hold.reached(SOON).await;
    cluster.nodes_mut()[victim].kill();
    drop(hold);
    cluster.nodes_mut()[victim].start();
    cluster.settled().await;
    let mut operator = fleet.operator(&cluster);
    operator.run_is(&made.run_id, RunState::Completed, SOON).await;
    let request = ListRunImagesRequest {
        run_id: made.run_id,
        state: RunImageState::Unchanged.into(),
        ..ListRunImagesRequest::default()
    };
    let images = operator.runs.list_run_images(request).await.unwrap().into_inner().images;
    assert_eq!(images.len(), PACKAGES.len());
    assert_eq!(fleet.evaluated(&cluster, PACKAGES[0]).await, before + 1, "it was asked for once");
}
