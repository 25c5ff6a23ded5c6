//! One tenant knows nothing of another: whatever it asks about the other's jobs, images and results, the
//! answer is the one for things that do not exist, word for word.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1::{CountFindingsRequest, GetVerdictRequest, ListFindingsRequest};
use proto_api::image::v1::{
    FindMissingBlobsRequest, GetImageRequest, ListImagesRequest, ResolveImageRequest,
};
use proto_api::job::v1::{
    CancelJobRequest, GetJobRequest, GetJobTimelineRequest, JobFilter, ListJobsRequest, SubmitJobRequest,
    WatchJobRequest, WatchJobsRequest,
};
use proto_api::queue::v1::{
    DiscardDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, ListLanesRequest,
    RequeueDeadLetterRequest,
};
use proto_api::tenant::v1::{GetQuotaRequest, GetTenantRequest};
use proto_api::verdict::v1::{DiffVerdictsRequest, ListVerdictsRequest, RecallVerdictRequest};
use tests::clients::{Clients, SOON, request_id};
use tests::images::Image;
use tests::{TestCluster, refusals};
use tonic::{Code, Response, Status};

/// What one tenant may learn of another: the ids, never what is behind them.
#[derive(Debug, Clone)]
struct Ids {
    tenant: String,
    job: String,
    image: String,
    name: String,
    dead_letters: [String; 2],
}

type Call = fn(Clients, Ids) -> BoxFuture<'static, Result<String, Status>>;

fn said<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Result<String, Status> {
    answer.map(|answer| format!("{:?}", answer.into_inner()))
}

macro_rules! call {
    ($name:literal, |$client:ident, $ids:ident| $call:expr) => {{
        let call: Call = |mut $client, $ids| async move { said($call.await) }.boxed();
        ($name, call)
    }};
}

/// Every call that names a thing.
fn calls_about_a_thing() -> Vec<(&'static str, Call)> {
    vec![
        call!("SubmitJob", |c, ids| c.jobs.submit_job(SubmitJobRequest {
            request_id: request_id(),
            image: ids.image,
            ..Default::default()
        })),
        call!("SubmitJob by name", |c, ids| c.jobs.submit_job(SubmitJobRequest {
            request_id: request_id(),
            image: ids.name,
            ..Default::default()
        })),
        call!("GetJob", |c, ids| c.jobs.get_job(GetJobRequest { job_id: ids.job })),
        call!("CancelJob", |c, ids| c
            .jobs
            .cancel_job(CancelJobRequest { request_id: request_id(), job_id: ids.job })),
        call!("GetJobTimeline", |c, ids| c.jobs.get_job_timeline(GetJobTimelineRequest { job_id: ids.job })),
        call!("WatchJob", |c, ids| c
            .jobs
            .watch_job(WatchJobRequest { job_id: ids.job, resume_token: String::new() })),
        call!("GetImage", |c, ids| c.images.get_image(GetImageRequest { image: ids.image })),
        call!("GetImage by name", |c, ids| c.images.get_image(GetImageRequest { image: ids.name })),
        call!("ResolveImage", |c, ids| c.images.resolve_image(ResolveImageRequest { image: ids.image })),
        call!("ResolveImage by name", |c, ids| c
            .images
            .resolve_image(ResolveImageRequest { image: ids.name })),
        call!("ListFindings", |c, ids| c
            .findings
            .list_findings(ListFindingsRequest { image: ids.image, ..Default::default() })),
        call!("ListFindings by name", |c, ids| c
            .findings
            .list_findings(ListFindingsRequest { image: ids.name, ..Default::default() })),
        call!("CountFindings", |c, ids| c
            .findings
            .count_findings(CountFindingsRequest { image: ids.image, verdict_version: 0 })),
        call!("GetVerdict", |c, ids| c
            .findings
            .get_verdict(GetVerdictRequest { image: ids.image, version: 0 })),
        call!("GetVerdict 1", |c, ids| c
            .findings
            .get_verdict(GetVerdictRequest { image: ids.image, version: 1 })),
        call!("ListVerdicts", |c, ids| c
            .verdicts
            .list_verdicts(ListVerdictsRequest { image: ids.image, ..Default::default() })),
        call!("DiffVerdicts", |c, ids| c.verdicts.diff_verdicts(DiffVerdictsRequest {
            image: ids.image,
            from_version: 1,
            ..Default::default()
        })),
        call!("DiffVerdicts by name", |c, ids| c.verdicts.diff_verdicts(DiffVerdictsRequest {
            image: ids.name,
            from_version: 1,
            ..Default::default()
        })),
        call!("RecallVerdict", |c, ids| c.verdicts.recall_verdict(RecallVerdictRequest {
            image: ids.image,
            time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 })
        })),
        call!("GetDeadLetter", |c, ids| c.queues.get_dead_letter(GetDeadLetterRequest {
            dead_letter_id: ids.dead_letters[0].clone(),
            ..Default::default()
        })),
        call!("RequeueDeadLetter", |c, ids| c.queues.requeue_dead_letter(RequeueDeadLetterRequest {
            request_id: request_id(),
            dead_letter_id: ids.dead_letters[0].clone(),
            ..Default::default()
        })),
        call!("DiscardDeadLetter", |c, ids| c.queues.discard_dead_letter(DiscardDeadLetterRequest {
            request_id: request_id(),
            dead_letter_id: ids.dead_letters[1].clone(),
            ..Default::default()
        })),
    ]
}

/// Every call that lists what is the caller's own.
fn calls_about_everything() -> Vec<(&'static str, Call)> {
    vec![
        call!("ListJobs", |c, _ids| c.jobs.list_jobs(ListJobsRequest::default())),
        call!("ListJobs of the image", |c, ids| c.jobs.list_jobs(ListJobsRequest {
            filter: Some(JobFilter { image_digest: ids.image, ..Default::default() }),
            ..Default::default()
        })),
        call!("ListImages", |c, _ids| c.images.list_images(ListImagesRequest::default())),
        call!("ListDeadLetters", |c, _ids| c.queues.list_dead_letters(ListDeadLettersRequest::default())),
        call!("ListLanes", |c, _ids| c.queues.list_lanes(ListLanesRequest::default())),
        call!("GetTenant", |c, _ids| c.tenants.get_tenant(GetTenantRequest::default())),
        call!("GetQuota", |c, _ids| c.tenants.get_quota(GetQuotaRequest::default())),
    ]
}

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let (alice, bob) = (cluster.tenant("alice").await, cluster.tenant("bob").await);
    let mut of_bob = cluster.nodes()[0].client(&bob);

    let image = Image::with_canary("canary-of-bob");
    of_bob.put(&image).await.unwrap();
    of_bob.put_manifest(&image, &["registry.example/bob:1"]).await.unwrap();
    let job = of_bob.put_and_submit(&image).await;
    of_bob.done(&job, SOON).await;
    let real = Ids {
        tenant: bob.id().to_string(),
        job,
        image: image.digest(),
        name: "registry.example/bob:1".to_owned(),
        dead_letters: [
            cluster.truth().bury(bob.id(), &image.digest()).await,
            cluster.truth().bury(bob.id(), &image.digest()).await,
        ],
    };
    let missing = Ids {
        tenant: request_id(),
        job: request_id(),
        image: Image::tiny().digest(),
        name: "registry.example/nobody:1".to_owned(),
        dead_letters: [request_id(), request_id()],
    };

    for node in cluster.nodes() {
        for (name, call) in calls_about_a_thing() {
            let of_missing = call(node.client(&alice), missing.clone()).await.expect_err(name);
            let of_real = call(node.client(&alice), real.clone()).await.expect_err(name);
            assert_eq!(of_missing.code(), Code::NotFound, "{name}: {of_missing:?}");
            assert_eq!(unnamed(&of_real, &real), unnamed(&of_missing, &missing), "{name}");
        }
        for (name, call) in calls_about_everything() {
            let answer = call(node.client(&alice), real.clone()).await;
            let answer = answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));
            for secret in [&real.tenant, &real.job, &real.image, &real.name, &"canary-of-bob".to_owned()] {
                assert!(!answer.contains(secret.as_str()), "{name} tells {secret}: {answer}");
            }
        }
    }

    // The checks above would pass for a server that finds nothing at all.
    for (name, call) in calls_about_a_thing() {
        let answer = call(of_bob.clone(), real.clone()).await;
        let found = answer.as_ref().map_or_else(|status| status.code() != Code::NotFound, |_| true);
        assert!(found, "{name} does not find it for its owner either: {answer:?}");
    }
}

/// A refusal with the ids that were asked about taken out of its words.
fn unnamed(status: &Status, ids: &Ids) -> (Code, ErrorReason, String) {
    let mut words = format!("{} {:?}", status.message(), tonic_types::StatusExt::get_error_details(status));
    let [first, second] = &ids.dead_letters;
    for id in [&ids.tenant, &ids.job, &ids.image, &ids.name, first, second] {
        words = words.replace(id.as_str(), "ID");
    }
    (status.code(), refusals::reason(status), words)
}

#[tokio::test]
async fn blobs_of_another_tenant_are_missing() {
    let cluster = TestCluster::shared().await;
    let (alice, bob) = (cluster.tenant("blobs-alice").await, cluster.tenant("blobs-bob").await);
    let image = Image::tiny();
    cluster.nodes()[0].client(&bob).put(&image).await.unwrap();

    let mut of_alice = cluster.nodes()[0].client(&alice);
    let digests = vec![image.layers[0].digest.clone()];
    let request = FindMissingBlobsRequest { digests: digests.clone() };
    let missing = of_alice.images.find_missing_blobs(request).await.unwrap().into_inner().missing_digests;
    assert_eq!(missing, digests, "that bob has them is nobody else's business");
    let refused = of_alice.put_manifest(&image, &[]).await.unwrap_err();
    assert_eq!(refusals::reason(&refused), ErrorReason::BlobMissing);
}

#[tokio::test]
async fn the_same_image_of_two_tenants_is_two_images() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let image = Image::small();
    let mut jobs = Vec::new();
    for name in ["twin-a", "twin-b"] {
        let tenant = cluster.tenant(name).await;
        let client = cluster.nodes()[0].client(&tenant);
        let job = client.clone().put_and_submit(&image).await;
        jobs.push((tenant, client, job));
    }
    for (tenant, client, job) in &mut jobs {
        client.done(job, SOON).await;
        assert_eq!(client.all_findings(&image.digest()).await.len(), 3, "{}", tenant.name());
        assert_eq!(cluster.truth().results(tenant.id()).await.len(), 4, "{}", tenant.name());
    }
}

#[tokio::test]
async fn a_watch_of_all_jobs_is_silent_about_other_tenants() {
    let cluster = TestCluster::shared().await;
    let (alice, bob) = (cluster.tenant("watch-alice").await, cluster.tenant("watch-bob").await);
    let mut of_alice = cluster.nodes()[0].client(&alice);
    let mut of_bob = cluster.nodes()[0].client(&bob);
    let mut stream = of_alice.jobs.watch_jobs(WatchJobsRequest::default()).await.unwrap().into_inner();

    let of_bob_job = of_bob.put_and_submit(&Image::tiny()).await;
    of_bob.done(&of_bob_job, SOON).await;
    let own = of_alice.put_and_submit(&Image::tiny()).await;

    let watch = async {
        loop {
            let message = stream.message().await.unwrap().expect("this watch does not end");
            let text = format!("{message:?}");
            assert!(!text.contains(&of_bob_job) && !text.contains(&bob.id().to_string()), "{text}");
            if text.contains(&own) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, watch).await.expect("the own job is reported");
}
