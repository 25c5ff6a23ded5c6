//! A node that is asked to leave: it hands over what it has and ends well; nobody notices but the log.

use std::time::Duration;

use tests::invariants;
use tests::{Settings, TestCluster};

use crate::alone;
use crate::load::Load;

#[tokio::test]
async fn nodes_leave_and_come_back_one_after_the_other_under_load() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    let load = Load::begin(&cluster, "rolling", 90).await;
    for number in 0..3 {
        load.reaches(10 + number * 20).await;
        let node = &mut cluster.nodes_mut()[number];
        node.ask_to_leave();
        let ended = node.end(Duration::from_secs(15)).await;
        assert_eq!(ended.code(), Some(0), "{}: {}", node.name(), node.last_words());
        node.start();
        cluster.settled().await;
    }
    let ledger = load.done(&cluster, Duration::from_secs(60)).await;
    assert_eq!(ledger.len(), 90);
    invariants::check_at_rest(cluster.truth(), &ledger).await;
    let gone = cluster.truth().texts("select state from cluster.node where ended_at is not null").await;
    assert_eq!(gone, ["left", "left", "left"], "nobody had to be declared dead");
}
