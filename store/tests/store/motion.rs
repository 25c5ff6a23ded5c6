//! A job's way from accepted to its one end.

use std::time::Duration;

use ::evaluation::Written;
use model::{Coverage, ImageDigest, JobId, JobState, Lane, Severity, Stage, TenantId};
use sqlx::PgPool;
use store::effects::{self, Effect, SavedVerdict};
use store::jobs::{self, Cancelled, Timeline};
use store::tenants::Quota;
use store::work::{self, Claim, Failed, Failure, Keep, StopReason};
use store::{Error, Fence, admission, dead_letters, evaluations, findings, images, lanes, sweep, verdicts};
use uuid::Uuid;

use crate::fixture::{GENEROUS, World, digest, evaluation, finding, sbom, submission};

struct Scene {
    world: World,
    tenant: TenantId,
    node: i64,
    fence: Fence,
}

impl Scene {
    async fn new(owner: PgPool) -> Self {
        let world = World::new(owner).await;
        let tenant = world.tenant("a").await;
        let node = world.node("n1").await;
        let fence = world.claim(node, 7).await;
        Self { world, tenant, node, fence }
    }

    async fn timeline(&self, job: JobId) -> Timeline {
        let mut tx = self.world.store.tenant(self.tenant).await.unwrap();
        jobs::timeline(&mut tx, job).await.unwrap()
    }

    async fn save(&self, image: &ImageDigest, revision: i64, count: usize, jobs: Vec<JobId>) -> SavedVerdict {
        let saved = evaluation(self.tenant, image, self.fence, revision, count, jobs);
        let saved = self.world.following(saved).await;
        self.world.apply(Effect::SaveEvaluation(Box::new(saved))).await.unwrap().verdict.unwrap()
    }

    /// Open jobs and admitted ones, as the counters say and as the rows say.
    async fn load(&self) -> [i64; 4] {
        let mut load = [0; 4];
        for (place, query) in [
            "select open_jobs::bigint from orchestrator.tenant_load where tenant_id = $",
            "select inflight::bigint from orchestrator.tenant_load where tenant_id = $",
            "select count(*) from orchestrator.job where ended_at is null and tenant_id = $",
            "select count(*) from orchestrator.job where ended_at is null and admitted_at is not null and tenant_id = $",
        ]
        .into_iter()
        .enumerate()
        {
            load[place] = self.world.number(&query.replace('$', &format!("'{}'", self.tenant))).await;
        }
        load
    }

    /// As if the back-off were over.
    async fn make_due(&self) {
        self.world.sql("update orchestrator.work set due_at = '-infinity'").await;
    }
}

#[sqlx::test]
async fn a_scan_goes_from_accepted_to_done_and_every_step_leaves_an_event(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let Scene { world, tenant, node, fence } = &scene;
    let (tenant, node, fence) = (*tenant, *node, *fence);
    let image = world.image(tenant, "x").await;
    let job = world.submit(tenant, &image).await;

    let view = admission::view(&world.store, tenant, 10).await.unwrap();
    assert_eq!((view.open_jobs, view.inflight, view.share, view.capacity), (1, 0, 1.0, 4));
    assert_eq!(view.lanes[1].waiting[0].job, job);
    world.apply(Effect::Admit { tenant, fence, jobs: vec![job] }).await.unwrap();
    let view = admission::view(&world.store, tenant, 10).await.unwrap();
    assert_eq!((view.inflight, view.lanes[1].waiting.len(), view.lanes[1].inflight), (1, 0, 1));

    let behind = |expected: fn(&images::Behind) -> bool| {
        let image = image.clone();
        async move {
            let mut tx = world.store.tenant(tenant).await.unwrap();
            let asked = [image.clone(), ImageDigest::new(digest("nobody's"))];
            let mut behind = images::behind(&mut tx, &asked).await.unwrap();
            assert_eq!(behind.len(), 1, "one that is not there is left out");
            let behind = behind.remove(&image).unwrap();
            assert!(expected(&behind), "{behind:?}");
        }
    };
    behind(|b| b.admitted.len() == 1 && b.sbom.is_none() && !b.open_work && b.revision == 0).await;
    world.apply(Effect::Dispatch { tenant, image: image.clone(), fence, jobs: vec![job] }).await.unwrap();
    behind(|b| b.extracting.len() == 1 && b.admitted.is_empty() && b.open_work).await;
    let claimed = world.claimed(tenant, world.work_of(&image).await, node).await;
    assert_eq!((claimed.hold.attempt, &claimed.image, claimed.lane), (1, &image, Lane::Bulk));
    assert_eq!(claimed.layers.len(), 1);
    work::complete(&world.store, &claimed.hold, &sbom("x")).await.unwrap();
    behind(|b| b.evaluating.len() == 1 && b.revision == 1 && b.evaluated_revision == 0).await;

    let mut tx = world.store.tenant(tenant).await.unwrap();
    let inputs = evaluations::inputs(&mut tx, &image).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        (inputs.revision, &inputs.sbom, &inputs.sbom_digest),
        (1, &sbom("x").document, &sbom("x").digest)
    );
    let saved = scene.save(&image, 1, 7, vec![job]).await;
    assert_eq!(saved, SavedVerdict { version: 1, changed: true });
    behind(|b| b.evaluated_revision == 1 && b.last_verdict == 1 && b.evaluating.is_empty()).await;

    let timeline = scene.timeline(job).await;
    assert_eq!((timeline.job.state, timeline.job.verdict), (JobState::Done, Some(1)));
    let steps: Vec<_> = timeline.events.iter().map(|e| (e.seq, e.stage, e.state)).collect();
    assert_eq!(
        steps,
        [
            (1, Stage::Queued, JobState::Accepted),
            (2, Stage::Dispatched, JobState::Extracting),
            (3, Stage::Dispatched, JobState::Extracting),
            (4, Stage::Extracting, JobState::Evaluating),
            (5, Stage::Evaluating, JobState::Done),
        ]
    );
    let mut last = timeline.job.accepted_at;
    for event in &timeline.events[1..] {
        assert!(event.started_at >= last && event.ended_at >= event.started_at, "{event:?}");
        last = event.ended_at;
    }
    assert_eq!(Some(last), timeline.job.ended_at);
    assert_eq!(timeline.events[3].node.as_deref(), Some("n1"));
    assert_eq!(scene.load().await, [0; 4]);
    let kinds: Vec<_> = world.bells().await.into_iter().map(|b| b.kind).collect();
    assert_eq!(kinds.iter().filter(|k| *k == "work").count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|k| *k == "image").count(), 2, "admitted, and extracted: {kinds:?}");
    assert_eq!(kinds.iter().filter(|k| *k == "tenant").count(), 2, "accepted, and room again: {kinds:?}");
}

#[sqlx::test]
async fn findings_are_listed_worst_first_page_by_page(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    world.scanned(tenant, "x", scene.node, scene.fence).await;
    let image = ImageDigest::new(digest("x"));
    scene.save(&image, 1, 20, vec![]).await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page =
            findings::of_verdict(&mut tx, &image, 2, &findings::Filter::default(), after, 6).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor);
        listed.extend(page.into_iter().map(|l| l.finding));
    }
    let mut expected: Vec<_> = (0..20).map(finding).collect();
    expected.sort_by_key(|f| std::cmp::Reverse(f.severity)); // stable, so the verdict's order within
    assert_eq!(listed, expected);
    let bad =
        findings::Filter { min_severity: Severity::High, fixed_only: true, ..findings::Filter::default() };
    let bad = findings::of_verdict(&mut tx, &image, 2, &bad, None, 50).await.unwrap();
    assert_eq!(bad.len(), expected.iter().filter(|f| f.severity == Severity::High).count(), "4 is even");
    let one = findings::Filter { exactly: Some("GHSA-3".into()), ..findings::Filter::default() };
    assert_eq!(
        findings::of_verdict(&mut tx, &image, 2, &one, None, 50).await.unwrap()[0].finding,
        finding(3)
    );
    let verdict = verdicts::last(&mut tx, &image).await.unwrap().unwrap();
    let counted = |s: &Severity| u32::try_from(expected.iter().filter(|f| f.severity == *s).count()).unwrap();
    assert_eq!(verdict.counts, Severity::ALL.map(|s| (s, counted(&s))));
    assert_eq!(findings::all(&mut tx, &image, 2).await.unwrap(), (0..20).map(finding).collect::<Vec<_>>());
    assert_eq!(verdict.version, 2);
}

#[sqlx::test]
async fn an_unchanged_evaluation_writes_no_verdict_and_no_fact(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    world.scanned(tenant, "x", scene.node, scene.fence).await;
    let image = ImageDigest::new(digest("x"));
    let rows =
        "select (select count(*) from scanner.verdict) + sum(xmin::text::bigint)::bigint from scanner.fact";
    let before = world.number(rows).await;
    // The image has an SBOM, so a second job needs no extraction.
    let job = world.submit(tenant, &image).await;
    let fence = scene.fence;
    world.apply(Effect::Admit { tenant, fence, jobs: vec![job] }).await.unwrap();
    let skip = Effect::SkipExtraction { tenant, image: image.clone(), fence, jobs: vec![job] };
    assert_eq!(world.apply(skip.clone()).await.unwrap().moved, 1);
    assert_eq!(world.apply(skip).await.unwrap().moved, 0, "the second time there is nothing to do");
    let saved = scene.save(&image, 1, 2, vec![job]).await;
    assert_eq!(saved, SavedVerdict { version: 1, changed: false });
    assert_eq!(world.number(rows).await, before, "rows were written again");
    assert_eq!(world.job(tenant, job).await.state, JobState::Done);
    // Other coverage is another verdict, but the same findings stay.
    let mut partial = evaluation(tenant, &image, fence, 1, 2, vec![]);
    partial.coverage = Coverage::Partial;
    let partial = world.following(partial).await;
    let applied = world.apply(Effect::SaveEvaluation(Box::new(partial))).await.unwrap();
    assert_eq!(applied.verdict, Some(SavedVerdict { version: 2, changed: true }));
    assert_eq!(world.number(rows).await, before + 1);
}

#[sqlx::test]
async fn an_evaluation_of_an_older_revision_is_refused(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    world.scanned(tenant, "x", scene.node, fence).await;
    let image = ImageDigest::new(digest("x"));
    world.sql("update scanner.image set revision = revision + 1").await;
    let old = evaluation(tenant, &image, fence, 1, 5, vec![]);
    let refused = world.apply(Effect::SaveEvaluation(Box::new(old))).await;
    assert!(matches!(refused, Err(Error::Stale { entity: "image" })), "{refused:?}");
    assert_eq!(world.number("select count(*) from scanner.fact").await, 2);
}

#[sqlx::test]
async fn one_refused_effect_does_not_disturb_the_others(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    world.scanned(tenant, "x", scene.node, fence).await;
    let image = ImageDigest::new(digest("x"));
    let (one, two) = (world.submit(tenant, &image).await, world.submit(tenant, &image).await);
    let old = Fence { epoch: fence.epoch - 1, ..fence };
    let mut odd = evaluation(tenant, &image, fence, 1, 1, vec![]);
    let mut found = vec![finding(1), finding(2)];
    found[1].vulnerability = "nul \0 is kept".to_owned();
    odd.findings = Written::of(found);
    let odd = world.following(odd).await;
    let answers = effects::apply(
        &world.store,
        vec![
            Effect::Admit { tenant, fence, jobs: vec![one] },
            Effect::Admit { tenant, fence: old, jobs: vec![two] },
            Effect::SaveEvaluation(Box::new(evaluation(tenant, &image, fence, 99, 1, vec![]))),
            Effect::SaveEvaluation(Box::new(odd.clone())),
            Effect::Admit { tenant, fence, jobs: vec![two, one] },
        ],
    )
    .await
    .unwrap();
    assert_eq!(answers[0].as_ref().unwrap().moved, 1);
    assert!(matches!(answers[1], Err(Error::Fenced { entity: "tenant" })), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::Stale { .. })), "{answers:?}");
    assert!(answers[3].as_ref().unwrap().verdict.unwrap().changed);
    assert_eq!(answers[4].as_ref().unwrap().moved, 1, "one had been admitted, two had not");
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let kept = findings::all(&mut tx, &image, 2).await.unwrap();
    assert!(odd.findings.findings().eq(&kept), "{kept:?}");
}

#[sqlx::test]
async fn a_value_the_schema_refuses_takes_only_itself_down(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    world.scanned(tenant, "x", scene.node, fence).await;
    let image = ImageDigest::new(digest("x"));
    let job = world.submit(tenant, &image).await;
    world.sql("alter table scanner.fact add check (package <> 'poison')").await;
    let mut poisoned = evaluation(tenant, &image, fence, 1, 5, vec![]);
    let mut found: Vec<_> = (0..5).map(finding).collect();
    found[4].package = "poison".to_owned();
    poisoned.findings = Written::of(found);
    poisoned.before.version = 1;
    let batch =
        vec![Effect::SaveEvaluation(Box::new(poisoned)), Effect::Admit { tenant, fence, jobs: vec![job] }];
    let answers = effects::apply(&world.store, batch).await.unwrap();
    assert!(matches!(answers[0], Err(Error::Conflict { .. })), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap().moved, 1);
    assert_eq!(world.number("select count(*) from scanner.fact").await, 2, "the old findings stay");
}

#[sqlx::test]
async fn several_jobs_on_an_image_share_one_piece_of_work(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    let image = world.image(tenant, "x").await;
    let (first, work_id) = world.dispatched(tenant, &image, fence).await;
    world.bells().await;
    let mut urgent = submission(tenant, &image);
    urgent.lane = Lane::Interactive;
    let second = world.submit_one(urgent).await.unwrap().job_id;
    world.apply(Effect::Admit { tenant, fence, jobs: vec![second] }).await.unwrap();
    world.apply(Effect::Dispatch { tenant, image: image.clone(), fence, jobs: vec![second] }).await.unwrap();
    let again: Vec<_> = world.bells().await.into_iter().filter(|b| b.kind == "work").collect();
    assert_eq!((again.len(), again[0].lane), (1, Lane::Interactive), "it is urgent now: {again:?}");
    let claimed = world.claimed(tenant, work_id, scene.node).await;
    assert_eq!(claimed.lane, Lane::Interactive);
    // A third joins while it is being read.
    let (third, same) = world.dispatched(tenant, &image, fence).await;
    assert_eq!(same, work_id);
    assert_eq!(world.job(tenant, third).await.stage, Stage::Extracting);
    work::complete(&world.store, &claimed.hold, &sbom("x")).await.unwrap();
    scene.save(&image, 1, 1, vec![first, second, third]).await;
    for job in [first, second, third] {
        assert_eq!(world.job(tenant, job).await.state, JobState::Done);
    }
    assert_eq!(scene.load().await, [0; 4]);
}

#[sqlx::test]
async fn work_is_held_until_its_holder_is_gone_and_then_the_old_attempt_is_refused(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let other = world.node("n2").await;
    let image = world.image(tenant, "x").await;
    let (job, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    let first = world.claimed(tenant, work_id, scene.node).await.hold;
    let second = work::claim(&world.store, work_id, tenant, other, None).await.unwrap();
    assert_eq!(second, Claim::HeldByLiveNode);
    assert_eq!(work::keep(&world.store, &first).await.unwrap(), Keep::Continue);
    let Claim::Claimed(second) =
        work::claim(&world.store, work_id, tenant, other, Some(Duration::ZERO)).await.unwrap()
    else {
        panic!("a reclaimed message may take over");
    };
    assert_eq!(second.hold.attempt, 2);
    assert_eq!(work::keep(&world.store, &first).await.unwrap(), Keep::Stop(StopReason::TakenOver));
    for refused in [
        work::complete(&world.store, &first, &sbom("x")).await,
        work::fail(&world.store, &first, &Failure::Passing { reason: "late".into() }).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::Stale { entity: "work" })), "{refused:?}");
    }
    // A dead holder needs no reclaiming.
    world.sql(&format!("update cluster.node set state = 'dead' where gen = {other}")).await;
    let third = world.claimed(tenant, work_id, scene.node).await.hold;
    work::complete(&world.store, &third, &sbom("x")).await.unwrap();
    let done = work::claim(&world.store, work_id, tenant, other, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(done, Claim::AlreadyDone);
    let timeline = scene.timeline(job).await;
    let reasons: Vec<_> = timeline
        .events
        .iter()
        .filter(|e| e.reason.is_some())
        .map(|e| (e.attempt, e.node.as_deref()))
        .collect();
    assert_eq!(reasons, [(1, Some("n1")), (2, Some("n2"))], "each attempt that was lost is told");
}

#[sqlx::test]
async fn a_decision_that_comes_late_lets_in_no_more_than_the_quota(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, fence) = (&scene.world, scene.fence);
    let tenant = world.tenant_with("small", Quota { max_inflight: 2, ..GENEROUS }).await;
    let image = world.image(tenant, "x").await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(world.submit(tenant, &image).await);
    }
    let admit = async |jobs| world.apply(Effect::Admit { tenant, fence, jobs }).await.unwrap().moved;
    assert_eq!(admit(vec![jobs[0]]).await, 1);
    // Decided when nothing was in flight yet.
    assert_eq!(admit(vec![jobs[1], jobs[2]]).await, 1);
    assert_eq!(world.job(tenant, jobs[2]).await.stage, Stage::Queued);
}

#[sqlx::test]
async fn a_hold_that_is_not_kept_ends_by_itself(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let other = world.node("n2").await;
    let image = world.image(tenant, "x").await;
    let (_, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    // Its holder lives, but never heard that the claim was granted; and Valkey has lost the entry.
    let first = world.claimed(tenant, work_id, scene.node).await.hold;
    let found = async || {
        let mut tx = world.store.fleet().await.unwrap();
        let bells = sweep::find(&mut tx, Duration::ZERO).await.unwrap();
        bells.iter().filter(|bell| bell.kind == "work").count()
    };
    assert_eq!(found().await, 0);
    let silent = "update orchestrator.work set kept_at = kept_at - interval '31 s'";
    world.sql(silent).await;
    assert_eq!(found().await, 1);
    // One that asks for it is well.
    assert_eq!(work::keep(&world.store, &first).await.unwrap(), Keep::Continue);
    assert_eq!(found().await, 0);
    assert_eq!(work::claim(&world.store, work_id, tenant, other, None).await.unwrap(), Claim::HeldByLiveNode);
    // Neither is it taken from one that is at it because of another message of the same work.
    let other_message = work::claim(&world.store, work_id, tenant, other, Some(Duration::from_secs(5))).await;
    assert_eq!(other_message.unwrap(), Claim::HeldByLiveNode);
    world.sql(silent).await;
    assert_eq!(world.claimed(tenant, work_id, other).await.hold.attempt, 2);
    assert_eq!(work::keep(&world.store, &first).await.unwrap(), Keep::Stop(StopReason::TakenOver));
}

#[sqlx::test]
async fn work_that_fails_five_times_is_buried_with_its_first_and_last_reason(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let image = world.image(tenant, "x").await;
    let (job, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    for attempt in 1..=5 {
        let hold = world.claimed(tenant, work_id, scene.node).await.hold;
        assert_eq!(hold.attempt, attempt);
        let failure = Failure::Passing { reason: format!("reason {attempt}") };
        let expected = if attempt < 5 { Failed::Again } else { Failed::Buried };
        assert_eq!(work::fail(&world.store, &hold, &failure).await.unwrap(), expected);
        if attempt < 5 {
            let early = work::claim(&world.store, work_id, tenant, scene.node, None).await.unwrap();
            assert_eq!(early, Claim::NotYet, "it waits out its back-off");
            let pause = world
                .number(
                    "select (1000 * extract(epoch from due_at - clock_timestamp()))::bigint from orchestrator.work",
                )
                .await;
            let most = 1500 << (attempt - 1);
            assert!(pause > most / 6 && pause <= most, "attempt {attempt} waits {pause} ms");
        }
        scene.make_due().await;
    }
    let failed = world.job(tenant, job).await;
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.reason.as_deref(), Some("given up after 5 attempts: reason 5"));
    assert_eq!(scene.load().await, [0; 4]);
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let letter = dead_letters::list(&mut tx, None, 10).await.unwrap().remove(0);
    tx.commit().await.unwrap();
    assert_eq!(
        (letter.attempts, &*letter.first_reason, &*letter.last_reason, &letter.jobs),
        (5, "reason 1", "reason 5", &vec![job])
    );
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(lanes::load(&mut tx, None).await.unwrap()[1].dead_letters, 1);
    tx.commit().await.unwrap();

    let again = dead_letters::requeue(&world.store, tenant, letter.id, None).await.unwrap().unwrap();
    assert_eq!(world.job(tenant, again).await.state, JobState::Accepted);
    let gone = dead_letters::requeue(&world.store, tenant, letter.id, None).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    assert_eq!(world.job(tenant, job).await.state, JobState::Failed, "what has ended stays ended");
}

#[sqlx::test]
async fn an_image_that_ends_its_workers_is_buried_too(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let image = world.image(tenant, "x").await;
    let (job, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    for _ in 0..5 {
        let claim =
            work::claim(&world.store, work_id, tenant, scene.node, Some(Duration::ZERO)).await.unwrap();
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    }
    let sixth = work::claim(&world.store, work_id, tenant, scene.node, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(sixth, Claim::AlreadyDone);
    let failed = world.job(tenant, job).await;
    assert_eq!(failed.reason.as_deref(), Some("given up after 5 attempts: taken over from n1"));
    assert_eq!(scene.load().await, [0; 4]);
}

#[sqlx::test]
async fn an_unreadable_image_fails_at_once(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let image = world.image(tenant, "x").await;
    let (job, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    let hold = world.claimed(tenant, work_id, scene.node).await.hold;
    let failure = Failure::Permanent { code: "bad-layer".into(), reason: "layer 0: not a tar".into() };
    assert_eq!(work::fail(&world.store, &hold, &failure).await.unwrap(), Failed::ForGood);
    let failed = world.job(tenant, job).await;
    assert_eq!(
        (failed.state, failed.reason.as_deref()),
        (JobState::Failed, Some("bad-layer: layer 0: not a tar"))
    );
    assert_eq!(world.number("select count(*) from orchestrator.dead_letter").await, 0);
    assert_eq!(scene.load().await, [0; 4]);
}

#[sqlx::test]
async fn a_cancelled_job_ends_once_and_its_worker_learns_of_it(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let image = world.image(tenant, "x").await;
    let (one, work_id) = world.dispatched(tenant, &image, scene.fence).await;
    let (two, _) = world.dispatched(tenant, &image, scene.fence).await;
    let hold = world.claimed(tenant, work_id, scene.node).await.hold;
    let cancel = |job| async move {
        let mut tx = world.store.tenant(tenant).await.unwrap();
        let outcome = jobs::cancel(&mut tx, job).await;
        tx.commit().await.unwrap();
        outcome
    };
    assert_eq!(cancel(one).await.unwrap(), Cancelled::Now);
    assert_eq!(cancel(one).await.unwrap(), Cancelled::HadEnded);
    assert_eq!(work::keep(&world.store, &hold).await.unwrap(), Keep::Continue, "the other job still waits");
    assert_eq!(cancel(two).await.unwrap(), Cancelled::Now);
    assert_eq!(work::keep(&world.store, &hold).await.unwrap(), Keep::Stop(StopReason::Cancelled));
    let late = work::complete(&world.store, &hold, &sbom("x")).await;
    assert!(matches!(late, Err(Error::Stale { .. })), "{late:?}");
    let unknown = cancel(JobId::from_uuid(Uuid::now_v7())).await;
    assert!(matches!(unknown, Err(Error::NotFound { entity: "job" })), "{unknown:?}");
    assert_eq!(world.job(tenant, one).await.state, JobState::Cancelled);
    assert_eq!(scene.load().await, [0; 4]);
}

#[sqlx::test]
async fn a_job_past_its_deadline_fails_wherever_it_stands(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant) = (&scene.world, scene.tenant);
    let image = world.image(tenant, "x").await;
    let mut limited = submission(tenant, &image);
    limited.time_limit = Some(Duration::ZERO);
    let late = world.submit_one(limited.clone()).await.unwrap().job_id;
    limited.time_limit = Some(Duration::from_secs(3600));
    limited.request = submission(tenant, &image).request;
    let early = world.submit_one(limited).await.unwrap().job_id;
    assert_eq!(sweep::expire_overdue(&world.store).await.unwrap(), 1);
    assert_eq!(sweep::expire_overdue(&world.store).await.unwrap(), 0);
    let failed = world.job(tenant, late).await;
    assert_eq!((failed.state, failed.reason.as_deref()), (JobState::Failed, Some("deadline exceeded")));
    assert_eq!(world.job(tenant, early).await.state, JobState::Accepted);
    assert_eq!(scene.load().await, [1, 0, 1, 0]);
}

#[sqlx::test]
async fn a_watcher_misses_no_change_that_commits_late(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    let image = world.image(tenant, "x").await;
    let (one, two) = (world.submit(tenant, &image).await, world.submit(tenant, &image).await);
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let mark = jobs::mark_now(&mut tx).await.unwrap();
    drop(tx);
    // A transaction that began first and ends last.
    let mut slow = world.owner.begin().await.unwrap();
    sqlx::query("select pg_current_xact_id()").execute(&mut *slow).await.unwrap();
    world.apply(Effect::Admit { tenant, fence, jobs: vec![two] }).await.unwrap();
    let read = |mark| async move {
        let mut tx = world.store.tenant(tenant).await.unwrap();
        let (events, next) = jobs::changes_after(&mut tx, mark, 10).await.unwrap();
        (events.into_iter().map(|e| e.job).collect::<Vec<_>>(), next)
    };
    let (seen, mark) = read(mark).await;
    assert_eq!(seen, [], "an older transaction may still add something before it");
    sqlx::query(
        "insert into orchestrator.job_event (tenant_id, job_id, seq, stage, state, attempt, started_at, ended_at)
         values ($1, $2, 1, 'queued', 'accepted', 0, now(), now())",
    )
    .bind(tenant.as_uuid())
    .bind(one.as_uuid())
    .execute(&mut *slow)
    .await
    .unwrap();
    slow.commit().await.unwrap();
    // Other databases of this server run their own transactions, which hold the line back for a moment.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let (mut all, mut mark) = (Vec::new(), mark);
    while all.len() < 2 && tokio::time::Instant::now() < deadline {
        let (seen, next) = read(mark).await;
        all.extend(seen);
        mark = next;
    }
    assert_eq!(all, [one, two]);
    assert_eq!(read(mark).await.0, [], "nothing is told twice");
}
