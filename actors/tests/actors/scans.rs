//! From a submission to its verdict.

use cluster::EntityKey;
use cluster::streams::Bell;
use model::{Coverage, JobState, Lane, Stage};
use sqlx::PgPool;

use crate::demo::{advisory, image_of, image_with_layer};
use crate::world::{World, eventually};

fn pair(vulnerability: &str, package: &str) -> (String, String) {
    (vulnerability.to_owned(), package.to_owned())
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_submitted_image_gets_its_findings(owner: PgPool) {
    let world = World::new(owner).await;
    std::fs::write(world.feed_folder().join("npm.jsonl"), advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 2).await;
    world.feed("osv").await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0"), ("right-pad", "1.0.0")]);
    world.put(tenant, &image).await;

    let job = world.submit(tenant, &image).await;
    let ended = world.end_of(tenant, job).await;
    assert_eq!((ended.state, ended.verdict), (JobState::Done, Some(1)));
    assert_eq!(world.findings(tenant, &image).await, [pair("GHSA-1", "left-pad")]);

    let mut tx = world.store.tenant(tenant).await.unwrap();
    let stages: Vec<_> =
        store::jobs::events_after(&mut tx, job, 0).await.unwrap().iter().map(|event| event.stage).collect();
    assert_eq!(
        stages,
        [Stage::Queued, Stage::Dispatched, Stage::Dispatched, Stage::Extracting, Stage::Evaluating]
    );
    let verdict = store::verdicts::last(&mut tx, &image.image.digest).await.unwrap().unwrap();
    // The image names no distribution, so nobody can say that nothing of it was missed.
    assert_eq!((verdict.snapshot.0, verdict.coverage), (1, Coverage::Partial));
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn without_feeds_a_verdict_is_provisional(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    world.scan(tenant, &image).await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let verdict = store::verdicts::last(&mut tx, &image.image.digest).await.unwrap().unwrap();
    assert_eq!((verdict.snapshot.0, verdict.coverage), (0, Coverage::Provisional));
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn scanned_again_nothing_is_read_or_written_anew(owner: PgPool) {
    let world = World::new(owner).await;
    std::fs::write(world.feed_folder().join("npm.jsonl"), advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 1).await;
    world.feed("osv").await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    assert_eq!(world.scan(tenant, &image).await, 1);
    // Were it read again, the scan could not end.
    world.lose_layer(tenant, &image);
    assert_eq!(world.scan(tenant, &image).await, 1);
    assert_eq!(world.number("select count(*) from scanner.verdict").await, 1);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_newer_snapshot_is_seen_by_the_next_scan(owner: PgPool) {
    let world = World::new(owner).await;
    let file = world.feed_folder().join("npm.jsonl");
    std::fs::write(&file, advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 1).await;
    let feed = world.feed("osv").await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0"), ("right-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    world.scan(tenant, &image).await;

    let both = [advisory("GHSA-1", "left-pad", "1.3.0"), advisory("GHSA-2", "right-pad", "2.0.0")];
    std::fs::write(&file, both.join("\n")).unwrap();
    world.refresh(&feed.id).await;
    assert_eq!(world.scan(tenant, &image).await, 2);
    let mut findings = world.findings(tenant, &image).await;
    findings.sort();
    assert_eq!(findings, [pair("GHSA-1", "left-pad"), pair("GHSA-2", "right-pad")]);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn an_unreadable_layer_fails_its_jobs_at_once_with_the_reason(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image_with_layer(vec![b'x'; 2048]);
    world.put(tenant, &image).await;
    let job = world.submit(tenant, &image).await;
    let ended = world.end_of(tenant, job).await;
    let reason = ended.reason.unwrap_or_default();
    assert_eq!((ended.state, ended.attempt), (JobState::Failed, 1));
    assert!(reason.starts_with("NOT_A_TAR: layer sha256:"), "{reason}");
    assert_eq!(world.number("select count(*) from orchestrator.dead_letter").await, 0);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn after_five_passing_failures_work_becomes_a_dead_letter(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    world.lose_layer(tenant, &image);
    let job = world.submit(tenant, &image).await;
    // The back-off is the store's; here it is over as soon as it begins.
    eventually(async || {
        world.sql("update orchestrator.work set due_at = '-infinity' where state = 'ready'").await;
        world.sql("update orchestrator.outbox set due_at = '-infinity'").await;
        Some(world.job(tenant, job).await).filter(|job| job.state.is_final())
    })
    .await;
    let ended = world.job(tenant, job).await;
    assert_eq!((ended.state, ended.attempt), (JobState::Failed, 5));
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let letters = store::dead_letters::list(&mut tx, None, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts, &letters[0].jobs), (1, 5, &vec![job]));
    assert!(letters[0].last_reason.contains("object not found"), "{}", letters[0].last_reason);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn bells_that_ring_a_hundred_times_do_no_harm(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    let keys = [
        EntityKey::new("tenant", tenant.as_uuid(), "-"),
        EntityKey::new("image", tenant.as_uuid(), image.image.digest.as_str()),
        EntityKey::new("system", uuid::Uuid::nil(), "sweeper"),
        EntityKey::new("image", tenant.as_uuid(), "no digest"),
    ];
    let bells: Vec<_> = keys
        .iter()
        .cycle()
        .take(400)
        .map(|key| Bell { key: key.clone(), lane: Lane::Bulk as usize, outbox_id: 0 })
        .collect();
    node.cluster.bells().ring(&bells).await.unwrap();
    let job = world.submit(tenant, &image).await;
    node.cluster.bells().ring(&bells).await.unwrap();
    let ended = world.end_of(tenant, job).await;
    assert_eq!((ended.state, ended.verdict, ended.events), (JobState::Done, Some(1), 5));
    node.cluster.bells().ring(&bells).await.unwrap();
    assert_eq!(world.scan(tenant, &image).await, 1);
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn three_nodes_share_the_work_of_two_tenants(owner: PgPool) {
    let world = World::new(owner).await;
    let nodes = [world.node("a", 2).await, world.node("b", 1).await, world.node("c", 1).await];
    let tenants = [world.tenant("t").await, world.tenant("u").await];
    let mut jobs = Vec::new();
    for n in 0..10 {
        let image = image_of(&[("left-pad", &format!("1.0.{n}"))]);
        for tenant in tenants {
            world.put(tenant, &image).await;
            jobs.push((tenant, world.submit_with(tenant, &image, Lane::ALL[n % 3], None).await));
        }
    }
    for (tenant, job) in jobs {
        let ended = world.end_of(tenant, job).await;
        assert_eq!((ended.state, ended.verdict), (JobState::Done, Some(1)), "{ended:?}");
    }
    assert_eq!(world.number("select count(*) from scanner.verdict").await, 20);
    assert_eq!(world.number("select count(*) from orchestrator.work").await, 0);
    for node in nodes {
        node.shutdown().await;
    }
}

#[sqlx::test(migrations = "../store/migrations")]
async fn images_of_an_older_build_come_into_the_bom_index(owner: PgPool) {
    let world = World::new(owner).await;
    let node = world.node("a", 1).await;
    let tenant = world.tenant("t").await;
    let image = image_of(&[("left-pad", "1.0.0"), ("right-pad", "1.0.0")]);
    world.put(tenant, &image).await;
    world.scan(tenant, &image).await;
    node.shutdown().await;
    let indexed = "select coalesce(sum(cardinality(components)), 0) from scanner.image_component";
    let packages_and_npm = world.number(indexed).await;
    assert_eq!(packages_and_npm, 3);
    world.sql("delete from scanner.image_component").await;

    let successor = world.node("b", 1).await;
    let caught_up = async || (world.number(indexed).await == packages_and_npm).then_some(());
    eventually(caught_up).await;
    successor.shutdown().await;
}
