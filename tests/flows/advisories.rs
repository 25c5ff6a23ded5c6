//! What the feeds said, and the proof of it, as an operator at a shell sees them.

use std::fs;

use serde_json::Value;
use tests::clients::SOON;
use tests::{Cli, FeedFolder, TestCluster, eventually};

const RANGE: &str = "SEMVER";

fn operator(cluster: &TestCluster) -> Cli {
    Cli::new(cluster.folder(), &cluster.nodes()[0].address(), cluster.operator_token())
}

fn field(items: &Value, name: &str) -> Vec<String> {
    let items = items["items"].as_array().unwrap_or_else(|| panic!("no list: {items}"));
    items.iter().map(|item| item[name].to_string().trim_matches('"').to_owned()).collect()
}

/// The snapshots that a feed made, newest first.
async fn snapshots(operator: &Cli, feed: &str) -> Vec<String> {
    let listed = operator.run(&["advisories", "snapshots", "--feed", feed, "-o", "json"]).await;
    field(&listed.json(), "snapshot")
}

/// Has the feed read again, and waits for as many snapshots.
async fn refreshed(operator: &Cli, feed: &str, snapshots_then: usize) -> Vec<String> {
    assert_eq!(operator.run(&["feeds", "refresh", feed]).await.code, 0);
    eventually(SOON, "a snapshot is made", || async {
        snapshots(operator, feed).await.len() == snapshots_then
    })
    .await;
    snapshots(operator, feed).await
}

#[tokio::test]
async fn an_operator_sees_what_changed_and_proves_what_was_taken_in() {
    let cluster = TestCluster::shared().await;
    let operator = operator(&cluster);
    let folder = FeedFolder::empty();
    folder.put("STARLING-2026-0501", "npm", RANGE, "told-npm", "1.1.0");
    folder.put("STARLING-2026-0502", "npm", RANGE, "told-npm", "2.0.0");
    let derived = r#"{"id":"STARLING-2026-0503","effective_status":"fixed"}"#;
    fs::write(folder.path().join("STARLING-2026-0503.json"), derived).unwrap();
    cluster.create_feed("told", &folder).await;
    cluster.feed_is_read("told").await;

    let aside = operator.run(&["feeds", "quarantine", "told", "-o", "json"]).await.json();
    assert!(field(&aside, "reason")[0].contains("effective_status"), "{aside}");
    folder.put("STARLING-2026-0501", "npm", RANGE, "told-npm", "1.2.0");
    folder.put("STARLING-2026-0503", "npm", RANGE, "told-npm", "3.0.0");
    let made = refreshed(&operator, "told", 2).await;
    let aside = operator.run(&["feeds", "quarantine", "told", "-o", "json"]).await.json();
    assert_eq!(field(&aside, "reason"), Vec::<String>::new(), "it can be read now");
    let retried = operator.run(&["feeds", "quarantine", "told", "retry"]).await;
    assert_eq!(retried.code, 0, "{retried:?}");

    let diff = ["advisories", "diff", &made[1], &made[0], "--feed", "told", "-o", "json"];
    let diff = operator.run(&diff).await.json();
    assert_eq!(field(&diff, "advisory_id"), ["STARLING-2026-0501", "STARLING-2026-0503"]);
    assert_eq!(field(&diff, "kind"), ["modified", "added"]);
    assert_eq!(field(&diff, "parts")[0], r#"["ranges","fix"]"#);

    let get = operator.run(&["advisories", "get", "STARLING-2026-0501", "-o", "json"]).await.json();
    let revisions = get["revisions"].as_array().unwrap();
    let supersedes: Vec<_> = revisions.iter().map(|r| r["supersedes"].as_i64().unwrap()).collect();
    assert_eq!((supersedes, revisions[0]["source_uri"].as_str()), (vec![1, 0], Some(folder.uri().as_str())));
    let document = operator.run(&["advisories", "get", "STARLING-2026-0501", "--document"]).await;
    let written = fs::read_to_string(folder.path().join("STARLING-2026-0501.json")).unwrap();
    assert_eq!(document.out, format!("{written}\n"));
    let at = ["advisories", "get", "STARLING-2026-0501", "--at", &made[1], "--document"];
    assert!(operator.run(&at).await.out.contains("1.1.0"));
    let linkset = operator.run(&["advisories", "linkset", "CVE-2026-90501", "-o", "json"]).await.json();
    assert_eq!(linkset["members"][0]["source"]["advisory_id"], "STARLING-2026-0501");
    assert_eq!(operator.run(&["advisories", "get", "NO-SUCH-1"]).await.code, 3);

    let proof = operator.run(&["aoc", "verify", "-o", "json"]).await;
    assert_eq!((proof.code, &proof.json()["violations"]), (0, &serde_json::json!([])), "{proof:?}");
    let broken = "set session_replication_role = replica;
                  update vuln.observation set document = 'no' where feed_id = 'told' and revision = 2";
    cluster.truth().run(broken).await;
    let proof = operator.run(&["aoc", "verify"]).await;
    assert_eq!(proof.code, 1, "{proof:?}");
    assert!(proof.out.contains("digest: told STARLING-2026-0501 revision 2: it is sha256:"), "{proof:?}");
    let tenant = cluster.tenant("curious").await;
    let user = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), tenant.token());
    assert_eq!(user.run(&["aoc", "verify"]).await.code, 2, "who may not look has proved nothing");
    assert_eq!(user.run(&["advisories", "snapshots"]).await.code, 0, "what was published is for everybody");
}
