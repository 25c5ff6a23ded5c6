//! `kill -9` of the node that works on a job, at every stage: another one finishes it, soon and once.

use std::time::{Duration, Instant};

use tests::clients::{SOON, request_id};
use tests::images::Image;
use tests::invariants::{self, Ledger};
use tests::{Point, Settings, Tenant, TestCluster};

use crate::alone;
use crate::load::Load;

/// From the kill to the finished job: the dead node's second to live and its second of lease, side by side,
/// and a second for the rest.
const RECOVERY: Duration = Duration::from_secs(3);

const STAGES: [Point; 7] = [
    Point::TenantBeforeAdmit,
    Point::ImageBeforeDispatch,
    Point::WorkerAfterClaim,
    Point::WorkerMidExtraction,
    Point::WorkerBeforeComplete,
    Point::ImageBeforeSave,
    Point::RelayBeforeCommit,
];

#[tokio::test]
async fn a_job_outlives_the_node_that_works_on_it_at_every_stage() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let tenant = cluster.tenant("kills").await;
    let mut ledger = Ledger::of(&tenant);
    let mut late = Vec::new();
    for point in STAGES {
        let took = kill_at(&mut cluster, &tenant, &mut ledger, point).await;
        println!("killed at {point:?}: done after {took:?}");
        if took > RECOVERY {
            late.push((point, took));
        }
        invariants::check_at_rest(cluster.truth(), &ledger).await;
        cluster.settled().await;
    }
    assert!(late.is_empty(), "more than {RECOVERY:?} from the kill to the finished job: {late:?}");
}

async fn kill_at(cluster: &mut TestCluster, tenant: &Tenant, ledger: &mut Ledger, point: Point) -> Duration {
    let (image, id) = (Image::small(), request_id());
    let mut client = cluster.nodes()[0].client(tenant);
    client.put(&image).await.unwrap();
    let hold = cluster.hold(point);
    let job = client.submit(&image.digest(), &id).await.unwrap().job_id;
    ledger.note(&id, &job);
    let victim = hold.reached(SOON).await;

    let begin = Instant::now();
    cluster.nodes_mut()[victim].kill();
    drop(hold);
    let survivor = &cluster.nodes()[(victim + 1) % cluster.nodes().len()];
    survivor.client(tenant).done(&job, SOON).await;
    let took = begin.elapsed();
    cluster.nodes_mut()[victim].start();
    took
}

#[tokio::test]
async fn all_nodes_killed_under_load_go_on_where_they_were() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let load = Load::begin(&cluster, "all-killed", 60).await;
    load.reaches(20).await;
    cluster.nodes_mut().iter_mut().for_each(|node| node.kill());
    invariants::check_now(cluster.truth()).await;
    cluster.nodes_mut().iter_mut().for_each(|node| node.start());
    let ledger = load.done(&cluster, Duration::from_secs(60)).await;
    assert_eq!(ledger.len(), 60);
    invariants::check_at_rest(cluster.truth(), &ledger).await;
    cluster.settled().await;
}
