//! The postmaster is killed: what was accepted is there afterwards, and what got no answer is one job.

use std::time::Duration;

use tests::invariants;
use tests::{Settings, TestCluster};

use crate::alone;
use crate::load::Load;

const JOBS: usize = 60;

#[tokio::test]
async fn accepted_jobs_outlive_the_postmaster_and_unanswered_ones_become_one_job_each() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let load = Load::begin(&cluster, "postmaster", JOBS).await;
    for count in [10, 30] {
        load.reaches(count).await;
        cluster.servers.postgres.kill();
        cluster.servers.postgres.restart().await;
        invariants::check_now(cluster.truth()).await;
    }
    let unanswered = load.unanswered();
    let ledger = load.done(&cluster, Duration::from_secs(60)).await;
    assert_eq!(ledger.len(), JOBS);
    assert!(unanswered > 0, "no submission was under way while the database was down");
    let sql = "select count(*) from orchestrator.job";
    assert_eq!(cluster.truth().number(sql).await, i64::try_from(JOBS).unwrap(), "one job for each request");
    invariants::check_at_rest(cluster.truth(), &ledger).await;

    // An outage of the database is nobody's death.
    let died = cluster.truth().texts("select name from cluster.node where state = 'dead'").await;
    assert_eq!(died, [""; 0]);
    cluster.settled().await;
}
