//! A scan from the submission to its findings.

use futures::future::join_all;
use proto_api::common::v1::{Coverage, ErrorReason, Lane};
use proto_api::finding::v1::GetVerdictRequest;
use proto_api::job::v1::{GetJobTimelineRequest, Stage, SubmitJobRequest};
use tests::clients::{SOON, request_id};
use tests::images::Image;
use tests::{TestCluster, eventually, feeds, refusals};
use tonic::{Code, Request};

#[tokio::test]
async fn a_scan_submitted_to_any_node_is_done_and_finds_what_the_feed_says() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("any-node").await;
    for node in cluster.nodes() {
        let mut client = node.client(&tenant);
        let image = Image::small();
        let job = client.put_and_submit(&image).await;
        client.done(&job, SOON).await;

        let found = client.all_findings(&image.digest()).await;
        let found: Vec<_> = found
            .iter()
            .map(|f| (f.package.as_str(), f.version.as_str(), f.advisories[0].advisory.as_str()))
            .collect();
        assert_eq!(found, feeds::SMALL_FINDINGS, "asked {}", node.name());

        let request = GetVerdictRequest { image: image.digest(), version: 0 };
        let verdict = client.findings.get_verdict(request).await.unwrap().into_inner().verdict.unwrap();
        assert_eq!((verdict.version, verdict.findings), (1, 3));
        assert_eq!(verdict.coverage(), Coverage::Complete);
        assert!(verdict.snapshot > 0, "{verdict:?}");
    }
}

#[tokio::test]
async fn a_request_id_stands_for_one_job_however_often_and_wherever_it_is_sent() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("same-request").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let (image, other) = (Image::tiny(), Image::tiny());
    client.put(&image).await.unwrap();
    client.put(&other).await.unwrap();

    let id = request_id();
    let clients: Vec<_> = (0..12).map(|n| cluster.nodes()[n % 3].client(&tenant)).collect();
    let answers = join_all(clients.into_iter().map(|mut client| {
        let (image, id) = (image.digest(), id.clone());
        async move { client.submit(&image, &id).await.unwrap() }
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.job_id == answers[0].job_id), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1, "{answers:?}");

    client.done(&answers[0].job_id, SOON).await;
    let again = client.submit(&image.digest(), &id).await.unwrap();
    assert_eq!((&again.job_id, again.created), (&answers[0].job_id, false));

    for (image, lane) in [(other.digest(), Lane::Bulk), (image.digest(), Lane::Interactive)] {
        let request =
            SubmitJobRequest { request_id: id.clone(), image, lane: lane.into(), ..Default::default() };
        let refused = refusals::refusal(client.jobs.submit_job(request).await);
        assert_eq!(refused, (Code::AlreadyExists, ErrorReason::RequestIdReused));
    }
}

#[tokio::test]
async fn a_timeline_accounts_for_every_moment() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("timeline").await;
    let mut client = cluster.nodes()[1].client(&tenant);
    let job = client.put_and_submit(&Image::tiny()).await;
    client.done(&job, SOON).await;

    let request = GetJobTimelineRequest { job_id: job.clone() };
    let timeline = client.jobs.get_job_timeline(request).await.unwrap().into_inner();
    let stages: Vec<_> = timeline.events.iter().map(|event| (event.stage(), event.attempt)).collect();
    // Dispatched twice: until the work is written down, and until a worker takes it.
    let expected = [
        (Stage::Queued, 0),
        (Stage::Dispatched, 0),
        (Stage::Dispatched, 1),
        (Stage::Extracting, 1),
        (Stage::Evaluating, 1),
    ];
    assert_eq!(stages, expected);
    let nodes: Vec<_> = cluster.nodes().iter().map(|node| node.name()).collect();
    assert!(nodes.contains(&timeline.events[3].node.as_str()), "{timeline:?}");
    let (created, mut from) = (timeline.job.unwrap().create_time.unwrap(), timeline.events[0].start_time);
    let first = from.unwrap();
    let gap = (first.seconds - created.seconds) * 1_000_000_000 + i64::from(first.nanos - created.nanos);
    assert!(gap.abs() < 1_000_000, "the first stage begins with the job: {gap} ns");
    for event in &timeline.events {
        assert_eq!(event.start_time, from, "no time is left out: {event:?}");
        from = event.end_time;
    }
}

#[tokio::test]
async fn the_callers_trace_is_found_on_the_job_and_in_the_logs_of_all_who_worked_on_it() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("traced").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    client.put(&image).await.unwrap();
    let trace = uuid::Uuid::now_v7().simple().to_string();
    let body = SubmitJobRequest { request_id: request_id(), image: image.digest(), ..Default::default() };
    let mut request = Request::new(body);
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    let job = client.jobs.submit_job(request).await.unwrap().into_inner().job_id;
    assert_eq!(client.done(&job, SOON).await.trace_id, trace);

    let said = || -> Vec<String> {
        let logs: Vec<_> = cluster.nodes().iter().map(|node| node.log()).collect();
        let lines = logs.iter().flat_map(|log| log.lines());
        let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let ours = lines.filter(|line| line["trace_id"] == *trace && line["job.id"] == *job);
        ours.filter_map(|line| Some(line["message"].as_str()?.to_owned())).collect()
    };
    for message in ["job accepted", "attempt ended", "evaluated"] {
        eventually(SOON, message, async || said().iter().any(|line| line == message)).await;
    }

    let untraced = client.put_and_submit(&Image::tiny()).await;
    let trace = client.done(&untraced, SOON).await.trace_id;
    assert_eq!(trace.len(), 32, "who brings no trace gets one: {trace}");
}

#[tokio::test]
async fn scanning_the_same_image_again_writes_no_finding_and_no_verdict() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("unchanged").await;
    let mut client = cluster.nodes()[2].client(&tenant);
    let image = Image::small();
    let job = client.put_and_submit(&image).await;
    client.done(&job, SOON).await;
    let before = cluster.truth().results(tenant.id()).await;
    assert_eq!(before.len(), 4, "three findings and a verdict: {before:?}");

    for node in cluster.nodes() {
        let mut client = node.client(&tenant);
        let job = client.put_and_submit(&image).await;
        client.done(&job, SOON).await;
    }
    assert_eq!(cluster.truth().results(tenant.id()).await, before);
}
