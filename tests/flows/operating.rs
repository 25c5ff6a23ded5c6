//! Taking nodes out and giving them other shares, as an operator does it at a shell: what was foretold happens.

use std::collections::BTreeMap;

use serde_json::Value;

use tests::clients::SOON;
use tests::{Cli, Outcome, Settings, TestCluster, eventually_ok};

/// An operator who asks this node.
fn operator(cluster: &TestCluster, node: usize) -> Cli {
    Cli::new(cluster.folder(), &cluster.nodes()[node].address(), cluster.operator_token())
}

/// How many partitions each node owns.
async fn owned(operator: &Cli) -> BTreeMap<String, i64> {
    let ring = operator.run(&["cluster", "ring", "-o", "json"]).await.json();
    let share = |share: &Value| (text(&share["name"]), share["owned"].as_i64().unwrap_or_default());
    ring["shares"].as_array().expect("shares").iter().map(share).collect()
}

/// What a preview says that each node gains or loses.
fn foretold(preview: &Value) -> BTreeMap<String, i64> {
    let mut change = BTreeMap::new();
    for moved in preview["moves"].as_array().expect("moves") {
        let partitions = moved["partitions"].as_i64().expect("a number");
        *change.entry(text(&moved["from"])).or_default() -= partitions;
        *change.entry(text(&moved["to"])).or_default() += partitions;
    }
    change
}

#[track_caller]
fn check_came_true(
    before: &BTreeMap<String, i64>,
    change: &BTreeMap<String, i64>,
    after: &BTreeMap<String, i64>,
) {
    let mut expected = before.clone();
    for (node, change) in change {
        *expected.entry(node.clone()).or_default() += change;
    }
    expected.retain(|_, partitions| *partitions > 0);
    assert_eq!(&expected, after);
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[track_caller]
fn well(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome
}

async fn node(operator: &Cli, name: &str) -> Value {
    let nodes = operator.run(&["cluster", "nodes", "-o", "json"]).await.json();
    let all = nodes["items"].as_array().or(nodes.as_array()).expect("nodes").clone();
    all.into_iter().find(|node| node["name"] == name).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_drain_is_foretold_followed_and_can_be_taken_back() {
    let mut cluster = TestCluster::start(Settings::default()).await;
    let operator = operator(&cluster, 0);
    let before = owned(&operator).await;

    let preview = well(operator.run(&["cluster", "drain", "node-3", "--preview", "-o", "json"]).await).json();
    assert_eq!(preview["partitions"].as_i64(), Some(before["node-3"]), "{preview}");
    assert_eq!(owned(&operator).await, before, "a preview does nothing");

    let told = well(operator.run(&["cluster", "drain", "node-3"]).await);
    assert!(told.err.contains("node node-3 has left"), "{told:?}");
    let ended = cluster.nodes_mut()[2].end(SOON).await;
    assert_eq!(ended.code(), Some(0), "{}", cluster.nodes()[2].last_words());
    cluster.settled().await;
    check_came_true(&before, &foretold(&preview), &owned(&operator).await);

    cluster.nodes_mut()[2].start();
    cluster.settled().await;
    let preview = operator.run(&["cluster", "drain", "node-3", "--preview", "-o", "json"]).await.json();
    assert!(preview["estimate"].is_string(), "a hand-over was seen: {preview}");

    let generation = node(&operator, "node-3").await["generation"].clone();
    well(operator.run(&["cluster", "drain", "node-3", "--no-wait"]).await);
    well(operator.run(&["cluster", "drain", "node-3", "--cancel"]).await);
    cluster.settled().await;
    assert_eq!(owned(&operator).await, before, "all came back");
    let stays = node(&operator, "node-3").await;
    assert_eq!((&stays["generation"], &stays["state"]), (&generation, &"NODE_STATE_UP".into()));
    let again = operator.run(&["cluster", "drain", "node-3", "--cancel"]).await;
    assert!(again.code == 3 && again.err.contains("NODE_STATE"), "it does not drain: {again:?}");

    // Without any time for it, the others take what it had.
    let pid = cluster.nodes()[2].pid();
    well(operator.run(&["cluster", "drain", "node-3", "--within", "1ms"]).await);
    let ended = cluster.nodes_mut()[2].end(SOON).await;
    assert_eq!(ended.code(), Some(0), "process {pid}: {}", cluster.nodes()[2].last_words());
    cluster.settled().await;
    let query = format!(
        "select count(*)::text from cluster.partition_log l join cluster.node n on n.gen = l.from_gen
         where n.gen = {generation} and l.why = 'release' and l.at > n.ended_at - interval '2 s'",
    );
    let released: i64 = cluster.truth().texts(&query).await[0].parse().unwrap();
    assert!(released < before["node-3"], "it did not hand over all {released}");
}

#[tokio::test]
async fn another_weight_moves_what_was_foretold_and_outlives_the_process_until_the_node_is_removed() {
    let mut cluster = TestCluster::start(Settings::default()).await;
    let operator = operator(&cluster, 0);
    let before = owned(&operator).await;
    let preview = ["cluster", "weight", "node-3", "2", "--preview", "-o", "json"];
    let preview = well(operator.run(&preview).await).json();
    well(operator.run(&["cluster", "weight", "node-3", "2"]).await);
    eventually_ok(SOON, "the ring knows the weight", || async {
        let weight = node(&operator, "node-3").await["weight"].clone();
        if weight.as_f64() == Some(2.0) { Ok(()) } else { Err(weight) }
    })
    .await;
    cluster.settled().await;
    let after = owned(&operator).await;
    check_came_true(&before, &foretold(&preview), &after);
    assert!(after["node-3"] > 450, "{after:?}");

    let alive = operator.run(&["cluster", "remove", "node-3"]).await;
    assert!(alive.code == 3 && alive.err.contains("node node-3 lives"), "{alive:?}");
    let unknown = operator.run(&["cluster", "remove", "node-9"]).await;
    assert!(unknown.code == 3 && unknown.err.contains("NODE_NOT_FOUND"), "{unknown:?}");

    cluster.nodes_mut()[2].start();
    cluster.settled().await;
    assert_eq!(node(&operator, "node-3").await["weight"].as_f64(), Some(2.0), "it came back with it");

    cluster.nodes_mut()[2].kill();
    well(operator.run(&["cluster", "remove", "node-3"]).await);
    eventually_ok(SOON, "it is not among the live ones", || async {
        let found = node(&operator, "node-3").await;
        if found.is_null() { Ok(()) } else { Err(found) }
    })
    .await;
    cluster.nodes_mut()[2].start();
    cluster.settled().await;
    assert_eq!(node(&operator, "node-3").await["weight"].as_f64(), Some(1.0), "its weight was forgotten");
    assert_eq!(owned(&operator).await, before);
}
