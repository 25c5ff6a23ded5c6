//! Accepting jobs: once for each request, never more than the tenant may have.

use std::time::Duration;

use model::{ImageDigest, JobState, Lane, TenantId};
use sqlx::PgPool;
use store::images::NewImage;
use store::jobs::{self, Filter, SubmitRefusal, Submitted};
use store::tenants::{self, Quota};
use store::{Bell, Error, images};
use uuid::Uuid;

use crate::fixture::{GENEROUS, World, digest, new_image, submission};

#[sqlx::test]
async fn the_same_request_is_the_same_job_and_another_body_is_refused(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let image = world.image(tenant, "x").await;
    let first = submission(tenant, &image);
    let made = world.submit_one(first.clone()).await.unwrap();
    assert!(made.created);
    let again = world.submit_one(first.clone()).await;
    assert_eq!(again, Ok(Submitted { job_id: made.job_id, created: false }));
    let mut other = first;
    other.lane = Lane::Interactive;
    assert_eq!(world.submit_one(other).await, Err(SubmitRefusal::RequestIdReused));
    assert_eq!(world.number("select count(*) from orchestrator.job").await, 1);
    let job = world.job(tenant, made.job_id).await;
    assert_eq!((job.state, job.lane, job.admitted_at, job.events), (JobState::Accepted, Lane::Bulk, None, 0));
}

#[sqlx::test]
async fn concurrent_retries_of_one_request_make_one_job(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let image = world.image(tenant, "x").await;
    let one = submission(tenant, &image);
    let tries = (0..8).map(|_| jobs::submit_many(&world.store, vec![one.clone(), one.clone()]));
    let answers = futures::future::try_join_all(tries).await.unwrap().concat();
    let created = answers.iter().filter(|a| a.as_ref().unwrap().created).count();
    assert_eq!((created, world.number("select count(*) from orchestrator.job").await), (1, 1));
}

#[sqlx::test]
async fn each_of_a_batch_gets_its_own_answer_in_the_order_asked(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let image = world.image(a, "x").await;
    let elsewhere = ImageDigest::new(digest("elsewhere"));
    let nobody = TenantId::from_uuid(Uuid::now_v7());
    let batch = vec![
        submission(b, &image), // It is a's: for b it does not exist.
        submission(a, &image),
        submission(nobody, &image),
        submission(a, &elsewhere),
        submission(a, &image),
    ];
    let rung = world.store.bell_rung();
    let answers = jobs::submit_many(&world.store, batch).await.unwrap();
    let shapes: Vec<_> = answers.iter().map(|a| a.map(|s| s.created)).collect();
    assert_eq!(
        shapes,
        [
            Err(SubmitRefusal::ImageNotFound),
            Ok(true),
            Err(SubmitRefusal::UnknownTenant),
            Err(SubmitRefusal::ImageNotFound),
            Ok(true)
        ]
    );
    tokio::time::timeout(Duration::from_secs(5), rung.notified()).await.expect("the relay was not told");
    let bells: Vec<_> = world.bells().await.into_iter().map(|b| Bell { id: 0, ..b }).collect();
    let bell = Bell { id: 0, kind: "tenant".into(), tenant: a, key: "-".into(), lane: Lane::Bulk };
    assert_eq!(bells, [bell], "one commit leaves one bell for each entity");
}

#[sqlx::test]
async fn a_full_queue_a_fast_client_and_a_suspended_tenant_are_turned_away(owner: PgPool) {
    let world = World::new(owner).await;
    let full = world.tenant_with("full", Quota { max_queued: 2, ..GENEROUS }).await;
    let image = world.image(full, "x").await;
    let batch = (0..3).map(|_| submission(full, &image)).collect();
    let answers = jobs::submit_many(&world.store, batch).await.unwrap();
    assert!(matches!(answers[2], Err(SubmitRefusal::QueueFull { .. })), "{answers:?}");
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 2);

    let fast = world.tenant_with("fast", Quota { rate_per_s: 0.01, burst: 2, ..GENEROUS }).await;
    let image = world.image(fast, "x").await;
    let batch = (0..3).map(|_| submission(fast, &image)).collect();
    let answers = jobs::submit_many(&world.store, batch).await.unwrap();
    let Err(SubmitRefusal::TooFast { retry_after }) = answers[2] else { panic!("{answers:?}") };
    assert!((90..=100).contains(&retry_after.as_secs()), "{retry_after:?}");

    let mut tx = world.store.fleet().await.unwrap();
    tenants::set_active(&mut tx, full, false).await.unwrap();
    tx.commit().await.unwrap();
    let image = world.image(full, "y").await;
    assert_eq!(world.submit_one(submission(full, &image)).await, Err(SubmitRefusal::TenantSuspended));
}

#[sqlx::test]
async fn an_image_needs_its_blobs_and_is_found_by_name_and_digest(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let image = new_image("x");
    let mut tx = world.store.tenant(tenant).await.unwrap();
    images::record_blob(&mut tx, &image.config, 2, "application/json").await.unwrap();
    let refused = images::put(&mut tx, &image).await;
    assert!(
        matches!(&refused, Err(Error::MissingBlob { digest }) if *digest == image.layers[0].digest),
        "{refused:?}"
    );
    images::record_blob(&mut tx, &image.layers[0].digest, 10, "application/x-tar").await.unwrap();
    assert!(images::put(&mut tx, &image).await.unwrap());
    assert!(!images::put(&mut tx, &image).await.unwrap(), "the second time it is not new");
    assert_eq!(images::resolve(&mut tx, &image.names[0]).await.unwrap(), image.digest);
    assert_eq!(images::resolve(&mut tx, image.digest.as_str()).await.unwrap(), image.digest);
    let stored = images::get(&mut tx, &image.digest).await.unwrap();
    assert_eq!((stored.layers, stored.names, stored.summary.size), (image.layers, image.names, 10));
}

#[sqlx::test]
async fn the_beginning_of_a_digest_stands_for_the_one_image_that_has_it(owner: PgPool) {
    let world = World::new(owner).await;
    let (tenant, other) = (world.tenant("a").await, world.tenant("b").await);
    let called = |beginning: &str| format!("sha256:{beginning:0<63}f").parse::<ImageDigest>().unwrap();
    let several = ["ffffffff1", "ffffffff2", "ffffffff3", "ffffffff4", "ffffffff5"];
    for beginning in
        ["00000000a", "abcdef01", "abcdef02", "eeeeeeee1", "eeeeeeee2"].into_iter().chain(several)
    {
        world.put(tenant, NewImage { digest: called(beginning), ..new_image(beginning) }).await;
    }
    world.put(tenant, NewImage { names: vec!["deadbeef".to_owned()], ..new_image("named") }).await;
    world.put(tenant, NewImage { digest: called("deadbeef"), ..new_image("beginning") }).await;
    world.put(other, NewImage { digest: called("abcdef03"), ..new_image("other's") }).await;

    let mut tx = world.store.tenant(tenant).await.unwrap();
    for (reference, beginning) in
        [("sha256:00000000", "00000000a"), ("00000000a0", "00000000a"), ("abcdef01", "abcdef01")]
    {
        assert_eq!(images::resolve(&mut tx, reference).await.unwrap(), called(beginning), "{reference}");
    }
    let whole = called("abcdef02");
    assert_eq!(images::resolve(&mut tx, whole.digest().hex()).await.unwrap(), whole);
    assert_eq!(images::resolve(&mut tx, "deadbeef").await.unwrap(), new_image("named").digest, "names first");

    let longer = format!("{}0", whole.digest().hex());
    for missing in ["abcdef03", "abcdef0", "ABCDEF01", "sha256:abcdef0g", "sha512:abcdef01", &longer] {
        let refused = images::resolve(&mut tx, missing).await;
        assert!(matches!(refused, Err(Error::NotFound { entity: "image" })), "{missing}: {refused:?}");
    }
    for (reference, words) in [
        ("sha256:abc", r#""sha256:abc" is too little of a digest: give 8 of its digits or more"#.to_owned()),
        (
            "eeeeeeee",
            format!(
                r#""eeeeeeee" is the beginning of several images' digests, {}, {}: give more of the one you mean"#,
                called("eeeeeeee1"),
                called("eeeeeeee2")
            ),
        ),
    ] {
        assert_eq!(images::resolve(&mut tx, reference).await.unwrap_err().to_string(), words);
    }
    let many = images::resolve(&mut tx, "sha256:ffffffff").await.unwrap_err().to_string();
    assert!(
        many.contains("ffffffff4") && !many.contains("ffffffff5") && many.contains(" and others: "),
        "{many}"
    );
}

#[sqlx::test]
async fn lists_go_page_by_page_and_by_filter(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let (x, y) = (world.image(tenant, "x").await, world.image(tenant, "y").await);
    let mut made = Vec::new();
    for image in [&x, &y, &x, &y, &x] {
        made.push(world.submit(tenant, image).await);
    }
    made.reverse();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let first = jobs::list(&mut tx, &Filter::default(), None, 3).await.unwrap();
    let rest = jobs::list(&mut tx, &Filter::default(), Some(first[2].id), 3).await.unwrap();
    let listed: Vec<_> = first.iter().chain(&rest).map(|j| j.id).collect();
    assert_eq!(listed, made);
    let only = Filter { image: Some(x), states: vec![JobState::Accepted], lane: Some(Lane::Bulk) };
    assert_eq!(jobs::list(&mut tx, &only, None, 10).await.unwrap().len(), 3);
    let done = Filter { states: vec![JobState::Done], ..only };
    assert_eq!(jobs::list(&mut tx, &done, None, 10).await.unwrap(), []);
    let newest = images::list(&mut tx, None, 1).await.unwrap();
    let next = images::list(&mut tx, Some(&newest[0].digest), 5).await.unwrap();
    assert_eq!((&newest[0].digest, next.len()), (&y, 1));
}

#[sqlx::test]
async fn what_an_image_was_called_stays_and_another_repository_asks_for_an_evaluation(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let generation = world.node("n1").await;
    let fence = world.claim(generation, 1).await;
    world.scanned(tenant, "x", generation, fence).await;
    let image = new_image("x");
    let revision = "select revision from scanner.image";
    let before = world.number(revision).await;

    let mut tx = world.store.tenant(tenant).await.unwrap();
    let again = images::NewImage { names: vec!["registry.example/x:1.2".to_owned()], ..image.clone() };
    images::put(&mut tx, &again).await.unwrap();
    assert_eq!(images::called(&mut tx, &image.digest, before).await.unwrap(), ["registry.example/x"]);
    let other = images::NewImage { names: vec!["debian:12".to_owned()], ..image.clone() };
    images::put(&mut tx, &other).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.number(revision).await, before + 1, "a tag of a known repository says nothing new");
    let mut tx = world.store.tenant(tenant).await.unwrap();
    assert_eq!(images::called(&mut tx, &image.digest, before).await.unwrap(), ["registry.example/x"]);
    let called = images::called(&mut tx, &image.digest, before + 1).await.unwrap();
    assert_eq!(called, ["docker.io/library/debian", "registry.example/x"]);
}
