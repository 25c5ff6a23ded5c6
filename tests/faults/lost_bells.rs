//! Valkey loses everything: that costs time, never a job.

use std::time::Duration;

use tests::invariants;
use tests::{Settings, TestCluster};

use crate::alone;
use crate::load::Load;

const JOBS: usize = 60;
/// All bells are rung again by the relay or the sweep within a few seconds.
const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_job_is_done_though_valkey_forgets_everything_under_load() {
    let _alone = alone().await;
    let cluster = TestCluster::start(Settings::default()).await;
    let load = Load::begin(&cluster, "flushed", JOBS).await;
    for count in [10, 25, 40] {
        load.reaches(count).await;
        cluster.servers.valkey.flush_all().await;
    }
    let ledger = load.done(&cluster, WITHIN).await;
    assert_eq!(ledger.len(), JOBS);
    invariants::check_at_rest(cluster.truth(), &ledger).await;
}

#[tokio::test]
async fn every_job_is_done_though_valkey_is_killed_and_comes_back_empty() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let load = Load::begin(&cluster, "valkey-killed", JOBS).await;
    load.reaches(15).await;
    cluster.servers.valkey.kill();
    // Jobs are accepted without it: the database alone says what is accepted.
    load.reaches(40).await;
    cluster.servers.valkey.restart().await;
    let ledger = load.done(&cluster, WITHIN).await;
    assert_eq!(ledger.len(), JOBS);
    invariants::check_at_rest(cluster.truth(), &ledger).await;
}
