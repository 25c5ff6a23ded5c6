//! A node that is asked to leave: it hands over what it has and ends well; nobody notices but the log.

use std::time::Duration;

use tests::invariants;
use tests::{Settings, TestCluster};

use crate::alone;
use crate::load::Load;

/// `coordinator::cli::server` gives up after so many.
const CALLS_OF_THE_COMMAND_LINE: usize = 6;

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

/// As the release before, node after node becomes this one; clients of several tenants see nothing of it.
#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node_and_no_request_needs_more_calls_than_the_command_line_makes() {
    let _alone = alone().await;
    let before = vec![("cluster.wire-max".to_owned(), "1".to_owned())];
    let mut cluster = TestCluster::start(Settings { settings: before, ..Settings::default() }).await;
    let loads = [Load::begin(&cluster, "first", 90).await, Load::begin(&cluster, "second", 90).await];
    for number in 0..3 {
        for load in &loads {
            load.reaches(10 + number * 20).await;
        }
        let node = &mut cluster.nodes_mut()[number];
        node.ask_to_leave();
        let ended = node.end(Duration::from_secs(15)).await;
        assert_eq!(ended.code(), Some(0), "{}: {}", node.name(), node.last_words());
        node.set("cluster.wire-max", "2");
        node.start();
        cluster.settled().await;
        let spoken = cluster
            .truth()
            .number("select count(*) from cluster.node where ended_at is null and proto_max = 2");
        assert_eq!(spoken.await, i64::try_from(number + 1).unwrap(), "nodes of both releases are up");
    }
    for load in loads {
        let calls = load.calls_max();
        assert!(calls <= CALLS_OF_THE_COMMAND_LINE, "a request took {calls} calls");
        let ledger = load.done(&cluster, Duration::from_secs(60)).await;
        assert_eq!(ledger.len(), 90);
        invariants::check_at_rest(cluster.truth(), &ledger).await;
    }
}
