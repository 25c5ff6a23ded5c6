//! Verdicts keep what they found, why they were made and what they changed, and cost what differs.

use ::evaluation::{
    Cause, CauseKind, ChangeKind, DocumentSource, HeardDocument, RevisedAdvisory, Written, findings_digest,
};
use model::{Coverage, Finding, Gap, GapKind, ImageDigest, Severity, SnapshotId, TenantId, sha256};
use serde_json::json;
use sqlx::PgPool;
use store::effects::{self, Effect, Evaluation, SavedVerdict};
use store::evaluations::Before;
use store::verdicts::{self, Range};
use store::{Error, Fence, findings};

use crate::fixture::{World, digest, evaluation, finding};

struct Scene {
    world: World,
    tenant: TenantId,
    fence: Fence,
    node: i64,
}

impl Scene {
    async fn new(owner: PgPool) -> Self {
        let world = World::new(owner).await;
        let tenant = world.tenant("a").await;
        let node = world.node("n1").await;
        let fence = world.claim(node, 7).await;
        Self { world, tenant, fence, node }
    }

    /// An image with findings 0 and 1 in version 1.
    async fn scanned(&self, seed: &str) -> ImageDigest {
        self.world.scanned(self.tenant, seed, self.node, self.fence).await;
        ImageDigest::new(digest(seed))
    }

    fn found(&self, image: &ImageDigest, snapshot: i64, found: &[Finding]) -> Evaluation {
        Evaluation {
            snapshot: SnapshotId(snapshot),
            findings: Written::of(found.to_vec()),
            ..evaluation(self.tenant, image, self.fence, 1, 0, vec![])
        }
    }

    async fn save(&self, evaluation: Evaluation) -> Result<SavedVerdict, Error> {
        let applied = self.world.apply(Effect::SaveEvaluation(Box::new(evaluation))).await?;
        Ok(applied.verdict.expect("an evaluation answers with a verdict"))
    }

    async fn follow(&self, image: &ImageDigest, snapshot: i64, found: &[Finding]) -> SavedVerdict {
        let evaluation = self.world.following(self.found(image, snapshot, found)).await;
        self.save(evaluation).await.unwrap()
    }

    /// How many facts and verdicts there are.
    async fn rows(&self) -> (i64, i64) {
        let count = async |table| self.world.number(&format!("select count(*) from scanner.{table}")).await;
        (count("fact").await, count("verdict").await)
    }
}

/// The finding with this number, only worse.
fn worse(number: usize) -> Finding {
    Finding { severity: Severity::Critical, ..finding(number) }
}

#[sqlx::test]
async fn each_version_keeps_its_findings_its_cause_and_what_it_changed(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let second = [worse(0), finding(2)];
    let mut evaluation = scene.world.following(scene.found(&image, 5, &second)).await;
    let revised = |number: usize| RevisedAdvisory {
        feed: "osv-npm".parse().unwrap(),
        advisory: format!("GHSA-{number}"),
        before: (number > 0).then_some(1),
        after: Some(2),
    };
    let heard = |source| HeardDocument { source, document: "d\u{fffd}".to_owned(), version: "1".to_owned() };
    let sources =
        [DocumentSource::Feed("vexhub".parse().unwrap()), DocumentSource::Attached("0190".to_owned())];
    evaluation.cause = Cause {
        kinds: vec![CauseKind::Advisories, CauseKind::Vex],
        advisories: vec![revised(0), revised(1)],
        more_advisories: 3,
        documents: sources.map(heard).to_vec(),
        more_documents: 2,
    };
    let cause = evaluation.cause.clone();
    assert_eq!(scene.save(evaluation).await.unwrap(), SavedVerdict { version: 2, changed: true });
    scene.follow(&image, 6, &[]).await;

    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    for (version, expected) in [(1, vec![finding(0), finding(1)]), (2, second.to_vec()), (3, vec![])] {
        assert_eq!(findings::all(&mut tx, &image, version).await.unwrap(), expected, "{version}");
        let any = findings::Filter::default();
        let listed = findings::of_verdict(&mut tx, &image, version, &any, None, 10).await.unwrap();
        assert_eq!(listed.len(), expected.len(), "{version}");
    }
    let history = verdicts::list(&mut tx, &image, Range::default(), 10).await.unwrap();
    let told: Vec<_> = history.iter().map(|v| (v.version, v.snapshot.0, v.changes.clone())).collect();
    use ChangeKind::{Appeared, Resolved, SeverityChanged};
    assert_eq!(
        told,
        [
            (3, 6, vec![(Resolved, 2)]),
            (2, 5, vec![(Appeared, 1), (Resolved, 1), (SeverityChanged, 1)]),
            (1, 0, vec![]),
        ]
    );
    assert_eq!(history[1].cause, Some(cause));
    let changed = verdicts::changes(&mut tx, &image, 2).await.unwrap();
    let told: Vec<_> = changed.into_iter().map(|c| (c.kind, c.before, c.after)).collect();
    assert_eq!(
        told,
        [
            (Appeared, None, Some(finding(2))),
            (Resolved, Some(finding(1)), None),
            (SeverityChanged, Some(finding(0)), Some(worse(0))),
        ]
    );
}

#[sqlx::test]
async fn the_verdict_of_a_time_is_the_last_one_made_until_then(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    scene.follow(&image, 1, &[finding(2)]).await;
    scene.follow(&image, 2, &[finding(3)]).await;
    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    let history = verdicts::list(&mut tx, &image, Range::default(), 10).await.unwrap();
    for verdict in &history {
        let then = verdicts::at(&mut tx, &image, verdict.at).await.unwrap();
        assert_eq!(then.as_ref(), Some(verdict));
        assert_eq!(verdicts::version(&mut tx, &image, verdict.version).await.unwrap(), then);
    }
    let before = history[2].at - time::Duration::milliseconds(1);
    assert_eq!(verdicts::at(&mut tx, &image, before).await.unwrap(), None);
    assert_eq!(verdicts::version(&mut tx, &image, 4).await.unwrap(), None);
    assert_eq!(verdicts::last(&mut tx, &image).await.unwrap().unwrap(), history[0]);
}

#[sqlx::test]
async fn a_change_of_one_package_is_one_fact_however_many_images_have_it(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let mut images = Vec::new();
    for seed in ["x", "y", "z"] {
        images.push(scene.scanned(seed).await);
    }
    assert_eq!(scene.rows().await, (2, 3));
    for image in &images {
        scene.follow(image, 1, &[worse(0), finding(1)]).await;
    }
    assert_eq!(scene.rows().await, (3, 6), "one fact, and a verdict for each image");
    // Back to what it was: nothing new was found at all.
    for image in &images {
        scene.follow(image, 2, &[finding(0), finding(1)]).await;
    }
    assert_eq!(scene.rows().await, (3, 9));
    // A result that does not differ costs nothing.
    for image in &images {
        let saved = scene.follow(image, 3, &[finding(0), finding(1)]).await;
        assert_eq!(saved, SavedVerdict { version: 3, changed: false });
    }
    assert_eq!(scene.rows().await, (3, 9));
    // What one tenant was found tells another nothing, so it keeps its own.
    let other = scene.world.tenant("b").await;
    scene.world.scanned(other, "x", scene.node, scene.fence).await;
    assert_eq!(scene.rows().await, (5, 10));
}

#[sqlx::test]
async fn a_verdict_follows_the_one_it_was_compared_with_and_goes_to_no_older_snapshot(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let doubled = scene.world.following(scene.found(&image, 4, &[finding(2)])).await;
    assert_eq!(scene.save(doubled.clone()).await.unwrap().version, 2);
    assert_eq!(scene.save(doubled.clone()).await.unwrap(), SavedVerdict { version: 2, changed: false });
    let mut late = doubled.clone();
    late.coverage = Coverage::Partial;
    assert!(matches!(scene.save(late).await, Err(Error::Stale { entity: "image" })), "it follows version 1");
    let older = scene.world.following(scene.found(&image, 3, &[finding(3)])).await;
    assert!(matches!(scene.save(older).await, Err(Error::Stale { entity: "image" })));
    // Also when only an evaluation without a verdict has seen the newer one.
    scene.follow(&image, 9, &[finding(2)]).await;
    let older = scene.world.following(scene.found(&image, 8, &[finding(3)])).await;
    assert!(matches!(scene.save(older).await, Err(Error::Stale { entity: "image" })));
    assert_eq!(scene.rows().await, (3, 2));
}

#[sqlx::test]
async fn a_verdict_keeps_why_it_is_not_to_be_trusted_and_other_reasons_make_another_one(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let partial = |snapshot, gaps: &[Gap]| Evaluation {
        coverage: Coverage::Partial,
        gaps: gaps.to_vec(),
        ..scene.found(&image, snapshot, &[finding(0), finding(1)])
    };
    let gap = |kind, place: &str| Gap::new(kind, place, "nobody speaks of it");
    let (npm, part) = (gap(GapKind::MissingFeed, "npm"), gap(GapKind::PartialScan, "a"));
    let follow = async |evaluation| {
        let evaluation = scene.world.following(evaluation).await;
        scene.save(evaluation).await.unwrap()
    };
    assert_eq!(
        follow(partial(1, &[npm.clone(), part.clone()])).await,
        SavedVerdict { version: 2, changed: true }
    );
    assert_eq!(
        follow(partial(2, &[npm.clone(), part.clone()])).await,
        SavedVerdict { version: 2, changed: false }
    );
    assert_eq!(
        follow(partial(3, std::slice::from_ref(&part))).await,
        SavedVerdict { version: 3, changed: true }
    );
    assert_eq!(scene.rows().await.0, 2, "the findings are the same");

    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    let kept = verdicts::list(&mut tx, &image, Range::default(), 9).await.unwrap();
    let gaps: Vec<_> = kept.iter().map(|verdict| verdict.gaps.clone()).collect();
    assert_eq!(gaps, [Some(vec![part.clone()]), Some(vec![npm, part.clone()]), Some(vec![])]);
    let cause = kept[0].cause.as_ref().map(|cause| cause.kinds.clone());
    assert_eq!(cause, Some(vec![CauseKind::Coverage]));
    let last = store::evaluations::inputs(&mut tx, &image).await.unwrap().last.unwrap();
    assert_eq!(last.basis.gaps, Some(vec![part]));
    drop(tx);

    // One of before they were kept.
    let forget =
        "set session_replication_role = replica; update scanner.verdict set gaps = null where version = 3";
    scene.world.sql(&format!("{forget}; set session_replication_role = origin")).await;
    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    assert_eq!(verdicts::last(&mut tx, &image).await.unwrap().unwrap().gaps, None);
}

#[sqlx::test]
async fn a_place_that_the_verdict_before_does_not_have_is_refused(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let mut wrong = scene.world.following(scene.found(&image, 1, &[finding(0), finding(2)])).await;
    // It says that the third of two was the same.
    let found = wrong.before.findings[0].clone();
    wrong.before.findings.splice(0..0, [found.clone(), found]);
    wrong.before.findings[0].digest = sha256(b"a");
    wrong.before.findings[1].digest = sha256(b"b");
    wrong.changes.clear();
    let refused = effects::apply(&scene.world.store, vec![Effect::SaveEvaluation(Box::new(wrong))]).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(scene.rows().await, (2, 1));
}

/// A node of the release before sends all findings, those of the verdict before by their places, while others are newer.
#[sqlx::test]
async fn what_a_node_of_the_release_before_saves_is_kept_too(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let (kept, new) = (finding(0), finding(2));
    let found = [kept.clone(), new.clone()];
    let row = json!({
        "document": String::from_utf8(::evaluation::to_document(&new)).unwrap(),
        "vulnerability": new.vulnerability,
        "aliases": new.aliases,
        "package": new.package,
        "severity": new.severity as i16,
        "fixed": false,
        "suppressed": false,
    });
    let body = json!({
        "revision": 1,
        "snapshot": 1,
        "coverage": Coverage::Complete.as_str(),
        "gaps": [],
        "findings_digest": findings_digest(&found).as_str(),
        "counts": Severity::ALL.map(|_| 0),
        "before": 1,
        "facts": [0, row],
        "cause": { "kinds": ["advisories"], "advisories": [], "more": 0 },
        "changes": [["appeared", null, 1]],
    });
    let (code, version): (String, i32) = sqlx::query_as(
        "select code, version from orchestrator.apply('save_evaluation', $1, $2, $3, $4, '', null, null, $5)",
    )
    .bind(scene.tenant.as_uuid())
    .bind(i32::from(scene.fence.partition))
    .bind(scene.fence.epoch)
    .bind(image.as_str())
    .bind(body)
    .fetch_one(&scene.world.owner)
    .await
    .unwrap();
    assert_eq!((&*code, version), ("applied", 2));
    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    assert_eq!(findings::all(&mut tx, &image, 2).await.unwrap(), found);
}

#[sqlx::test]
async fn what_no_job_waits_for_is_saved_beside_who_submits(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    // As a submission does until it commits.
    let mut submitting = scene.world.owner.begin().await.unwrap();
    sqlx::query("select from orchestrator.tenant_load where tenant_id = $1 for update")
        .bind(scene.tenant.as_uuid())
        .execute(&mut *submitting)
        .await
        .unwrap();
    assert!(scene.follow(&image, 1, &[worse(0)]).await.changed);
    submitting.commit().await.unwrap();
}

#[sqlx::test]
async fn verdicts_and_facts_cannot_be_changed_not_even_by_the_owner(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.scanned("x").await;
    for (table, what) in [("fact", "facts"), ("verdict", "verdicts"), ("image_called", "names")] {
        for change in
            ["update scanner.$ set tenant_id = tenant_id", "delete from scanner.$", "truncate scanner.$"]
        {
            let statement = change.replace('$', table);
            let refused =
                sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(&scene.world.owner).await;
            let error = refused.expect_err(&statement).to_string();
            assert!(error.contains(&format!("{what} are append-only")), "{statement}: {error}");
        }
    }
}

/// A sequence that looks arbitrary and is the same each time.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|n| n >> 33)
}

#[sqlx::test]
async fn whatever_is_saved_versions_rise_by_one_and_snapshots_never_fall(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let mut dice = numbers(11);
    let mut roll = |sides: u64| dice.next().unwrap() % sides;
    let mut remembered: Vec<(u32, Vec<Finding>)> = vec![(1, vec![finding(0), finding(1)])];
    for _ in 0..120 {
        let mask = roll(16);
        let found: Vec<_> = (0..4).filter(|bit| mask >> bit & 1 == 1).map(|n| finding(n as usize)).collect();
        let snapshot = i64::try_from(roll(40)).unwrap();
        let mut evaluation = scene.found(&image, snapshot, &found);
        if roll(4) > 0 {
            evaluation = scene.world.following(evaluation).await;
        } else {
            evaluation.before = Before { version: u32::try_from(roll(6)).unwrap(), ..Before::default() };
        }
        if let Ok(saved) = scene.save(evaluation).await
            && saved.changed
        {
            remembered.push((saved.version, found));
        }
    }
    assert!(remembered.len() > 3, "the dice are fair");
    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    let mut history = verdicts::list(&mut tx, &image, Range::default(), 1000).await.unwrap();
    history.reverse();
    let versions: Vec<_> = history.iter().map(|v| v.version).collect();
    assert_eq!(versions, (1..=u32::try_from(history.len()).unwrap()).collect::<Vec<_>>());
    assert!(history.iter().map(|v| v.snapshot).is_sorted());
    for ((version, found), verdict) in remembered.iter().zip(&history) {
        assert_eq!(*version, verdict.version);
        let kept = findings::all(&mut tx, &image, *version).await.unwrap();
        assert_eq!((&kept, findings_digest(&kept)), (found, verdict.findings_digest.clone()));
    }
}

#[sqlx::test]
async fn what_is_suppressed_is_kept_and_not_counted(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let image = scene.scanned("x").await;
    let word = |held| model::VexWord {
        status: model::VexStatus::NotAffected,
        held,
        justification: None,
        detail: None,
        issuer: "us".to_owned(),
        document: "d".to_owned(),
        statement: "s".to_owned(),
        score: 1,
    };
    let found = [
        Finding { vex: Some(word(false)), ..finding(0) },
        Finding { vex: Some(word(true)), ..finding(1) },
        finding(2),
    ];
    assert_eq!(scene.follow(&image, 5, &found).await, SavedVerdict { version: 2, changed: true });
    let mut tx = scene.world.store.tenant(scene.tenant).await.unwrap();
    let last = verdicts::last(&mut tx, &image).await.unwrap().unwrap();
    let counted: u32 = last.counts.iter().map(|(_, count)| count).sum();
    assert_eq!((counted, last.suppressed), (2, 1), "what is held is not suppressed");
    assert_eq!(findings::all(&mut tx, &image, 2).await.unwrap(), found);
    let kept = "select count(*) from scanner.fact where suppressed and vulnerability = 'CVE-2024-0000'";
    assert_eq!(scene.world.number(kept).await, 1);
    assert_eq!(scene.world.number("select count(*) from scanner.fact where suppressed").await, 1);
}
