//! The drill: a backup is taken under load, everything is destroyed, and what had been accepted before comes back.

use std::time::Duration;

use tests::invariants;
use tests::{Cli, Settings, TestCluster, eventually_ok};
use uuid::Uuid;

use crate::alone;
use crate::load::Load;

/// What the verdicts of a tenant say, without when they were made.
async fn verdicts(cluster: &TestCluster, tenant: Uuid) -> Vec<String> {
    let query = format!(
        "select concat_ws(' ', image_digest, version, findings_digest, counts, suppressed) from scanner.verdict
         where tenant_id = '{tenant}' order by 1"
    );
    cluster.truth().texts(&query).await
}

#[tokio::test]
async fn what_was_accepted_before_a_backup_ends_once_after_everything_was_destroyed() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings::default()).await;
    cluster.with_small_feed().await;
    let before = Load::begin(&cluster, "before", 60).await;
    let tenant = before.tenant();
    let during = Load::begin(&cluster, "during", 2000).await;
    let ledger = before.accepted().await;

    let operator = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), cluster.operator_token());
    let folder = cluster.folder().join("backup").display().to_string();
    let owner_url = cluster.servers.postgres.owner_url("starling");
    let objects = format!("file://{}", cluster.folder().join("objects").display());
    let place =
        [("STARLING_DATABASE_OWNER_URL", owner_url.as_str()), ("STARLING_OBJECTS_URL", objects.as_str())];
    let backup = operator.run_with(&place, &["backup", &folder]).await;
    assert_eq!(backup.code, 0, "{backup:?}");
    let there = operator.run_with(&place, &["restore", &folder]).await;
    assert!(there.code == 3 && there.err.contains("nothing is restored over"), "{there:?}");

    // What these verdicts are once all of it is done, is what they have to be once it was restored.
    let client = cluster.nodes()[0].client(&tenant);
    for job in ledger.jobs() {
        client.done(&job, Duration::from_secs(60)).await;
    }
    let expected = verdicts(&cluster, tenant.id()).await;
    assert_eq!(expected.len(), 60);
    during.abandon();

    for node in cluster.nodes_mut() {
        node.kill();
    }
    cluster.destroy_database().await;
    std::fs::remove_dir_all(cluster.folder().join("objects")).unwrap();
    cluster.servers.valkey.kill();
    cluster.servers.valkey.restart().await;

    let verified = operator.run(&["restore", &folder, "--verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    let restored = operator.run_with(&place, &["restore", &folder]).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    for node in cluster.nodes_mut() {
        node.start();
    }
    cluster.settled().await;
    let client = cluster.nodes()[0].client(&tenant);
    for job in ledger.jobs() {
        client.done(&job, Duration::from_secs(60)).await;
    }
    eventually_ok(Duration::from_secs(60), "nothing is left to do", || async {
        let open = "select count(*) from orchestrator.job where state not in ('done', 'failed', 'cancelled')";
        match cluster.truth().number(open).await {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
    assert_eq!(
        verdicts(&cluster, tenant.id()).await,
        expected,
        "byte for byte: their digests are of all bytes"
    );
    invariants::check_at_rest(cluster.truth(), &ledger).await;
}
