//! A node stands still for longer than it may and goes on as if nothing had happened: meanwhile others did
//! its work, and it ends itself as soon as it hears of that.

use std::time::Duration;

use futures::future::join_all;
use tests::clients::{SOON, request_id};
use tests::images::Image;
use tests::invariants::{self, Ledger};
use tests::{Point, Settings, TestCluster, eventually};

use crate::alone;

/// The exit code of a node that was declared dead.
const DECLARED_DEAD: i32 = 3;

#[tokio::test]
async fn a_node_frozen_in_the_middle_of_its_work_is_replaced_and_ends_itself_when_it_thaws() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let tenant = cluster.tenant("frozen").await;
    let mut ledger = Ledger::of(&tenant);
    for point in [Point::ImageBeforeSave, Point::WorkerBeforeComplete, Point::RelayBeforeCommit] {
        let hold = cluster.nodes()[0].hold(point);
        let mut client = cluster.nodes()[1].client(&tenant);
        for _ in 0..12 {
            let (image, id) = (Image::tiny(), request_id());
            client.put(&image).await.unwrap();
            let job = client.submit(&image.digest(), &id).await.unwrap().job_id;
            ledger.note(&id, &job);
        }
        hold.reached(SOON).await;
        cluster.nodes()[0].freeze();
        let jobs: Vec<_> = ledger.jobs().collect();
        join_all(jobs.iter().map(|job| client.done(job, SOON))).await;
        is_dead(&cluster, "node-1").await;

        drop(hold);
        let frozen = &mut cluster.nodes_mut()[0];
        frozen.thaw();
        let ended = frozen.end(Duration::from_secs(5)).await;
        assert_eq!(ended.code(), Some(DECLARED_DEAD), "held at {point:?}: {}", frozen.last_words());
        invariants::check_at_rest(cluster.truth(), &ledger).await;

        cluster.nodes_mut()[0].start();
        cluster.settled().await;
    }
}

#[tokio::test]
async fn the_third_node_carries_everything_while_two_stand_still() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let tenant = cluster.tenant("two-frozen").await;
    let mut ledger = Ledger::of(&tenant);
    let mut client = cluster.nodes()[2].client(&tenant);
    for node in &cluster.nodes()[..2] {
        node.freeze();
    }
    for _ in 0..12 {
        let (image, id) = (Image::tiny(), request_id());
        client.put(&image).await.unwrap();
        let job = client.submit(&image.digest(), &id).await.unwrap().job_id;
        ledger.note(&id, &job);
    }
    for job in ledger.jobs() {
        client.done(&job, SOON).await;
    }
    for node in &mut cluster.nodes_mut()[..2] {
        node.thaw();
        let ended = node.end(Duration::from_secs(5)).await;
        assert_eq!(ended.code(), Some(DECLARED_DEAD), "{}: {}", node.name(), node.last_words());
        node.start();
    }
    cluster.settled().await;
    invariants::check_at_rest(cluster.truth(), &ledger).await;
}

/// Waits until the others have declared the node dead.
async fn is_dead(cluster: &TestCluster, name: &str) {
    let sql = format!("select count(*) from cluster.node where name = '{name}' and ended_at is null");
    eventually(SOON, &format!("{name} is declared dead"), || async {
        cluster.truth().number(&sql).await == 0
    })
    .await;
}
