//! Following a job: the snapshot, the changes in order, signs of life, and going on after a broken line.

use std::time::Duration;

use proto_api::job::v1::watch_job_response::Message;
use proto_api::job::v1::{
    GetJobTimelineRequest, Job, JobEvent, JobState, Stage, WatchJobRequest, WatchJobResponse,
};
use tests::clients::{Clients, SOON, is_final};
use tests::images::Image;
use tests::{Point, TestCluster};
use tokio::time::timeout;
use tonic::Streaming;

async fn watch(client: &mut Clients, job: &str, resume_token: &str) -> Streaming<WatchJobResponse> {
    let request = WatchJobRequest { job_id: job.to_owned(), resume_token: resume_token.to_owned() };
    client.jobs.watch_job(request).await.unwrap().into_inner()
}

/// The next message; `None` at the end of the watch.
async fn next(stream: &mut Streaming<WatchJobResponse>) -> Option<WatchJobResponse> {
    timeout(SOON, stream.message()).await.expect("the watch says something").unwrap()
}

/// What one message brings: the job and its events.
fn news(message: &WatchJobResponse) -> Option<(Job, Vec<JobEvent>)> {
    match message.message.as_ref().expect("a message says something") {
        Message::Snapshot(snapshot) => Some((snapshot.job.clone()?, snapshot.events.clone())),
        Message::Change(change) => Some((change.job.clone()?, change.events.clone())),
        Message::Synced(_) | Message::Heartbeat(_) => None,
    }
}

#[tokio::test]
async fn a_watch_shows_the_states_in_order_and_ends_with_the_job() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("watch").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let hold = cluster.hold(Point::TenantBeforeAdmit);
    let job = client.put_and_submit(&Image::tiny()).await;

    let mut stream = watch(&mut cluster.nodes()[1].client(&tenant), &job, "").await;
    let first = next(&mut stream).await.unwrap();
    assert!(matches!(&first.message, Some(Message::Snapshot(_))), "{first:?}");
    assert_eq!(news(&first).unwrap().0.state(), JobState::Accepted);
    let second = next(&mut stream).await.unwrap();
    assert!(matches!(&second.message, Some(Message::Synced(_))), "{second:?}");
    drop(hold);

    let mut states = vec![JobState::Accepted];
    let mut sequences = Vec::new();
    while let Some(message) = next(&mut stream).await {
        let Some((job, events)) = news(&message) else { continue };
        states.push(job.state());
        sequences.extend(events.iter().map(|event| event.sequence));
    }
    assert!(states.is_sorted(), "{states:?}");
    assert_eq!(states.last(), Some(&JobState::Done), "{states:?}");
    let all: Vec<_> = (1..=sequences.len()).map(|n| i64::try_from(n).unwrap()).collect();
    assert_eq!(sequences, all, "each event once and in order");
}

#[tokio::test]
async fn a_watch_of_a_finished_job_is_a_snapshot_and_the_end() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("watch-finished").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let job = client.put_and_submit(&Image::tiny()).await;
    client.done(&job, SOON).await;

    let mut stream = watch(&mut client, &job, "").await;
    let first = next(&mut stream).await.unwrap();
    let (job_then, events) = news(&first).expect("a snapshot first");
    assert_eq!(job_then.state(), JobState::Done, "{first:?}");
    let request = GetJobTimelineRequest { job_id: job };
    assert_eq!(events, client.jobs.get_job_timeline(request).await.unwrap().into_inner().events);
    while let Some(message) = next(&mut stream).await {
        assert!(news(&message).is_none(), "{message:?}");
    }
}

#[tokio::test]
async fn a_broken_watch_goes_on_at_another_node_without_a_gap() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("resume").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let hold = cluster.hold(Point::WorkerAfterClaim);
    let job = client.put_and_submit(&Image::tiny()).await;

    let mut seen = Vec::new();
    let mut token = String::new();
    let mut stream = watch(&mut client, &job, "").await;
    loop {
        let message = next(&mut stream).await.expect("the job is held, so the watch does not end");
        token.clone_from(&message.resume_token);
        let Some((job, events)) = news(&message) else { continue };
        assert!(!is_final(&job), "{message:?}");
        seen.extend(events);
        if job.stage() == Stage::Extracting {
            break;
        }
    }
    drop(stream);
    drop(hold);
    client.done(&job, SOON).await;

    let mut stream = watch(&mut cluster.nodes()[2].client(&tenant), &job, &token).await;
    while let Some(message) = next(&mut stream).await {
        assert!(!matches!(&message.message, Some(Message::Snapshot(_))), "it goes on: {message:?}");
        seen.extend(news(&message).map(|(_, events)| events).unwrap_or_default());
    }
    let request = GetJobTimelineRequest { job_id: job };
    let timeline = client.jobs.get_job_timeline(request).await.unwrap().into_inner().events;
    assert_eq!(seen, timeline, "every event once and in order");
}

#[tokio::test]
async fn a_quiet_watch_gives_signs_of_life() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("heartbeat").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let mut operator = cluster.nodes()[0].operator();
    // Nothing is let in, so that nothing happens to the job.
    operator.change_quota(tenant.name(), |quota| quota.max_inflight = 0).await;
    let job = client.put_and_submit(&Image::tiny()).await;
    let mut stream = watch(&mut client, &job, "").await;
    let beat = async {
        while let Some(message) = stream.message().await.unwrap() {
            if matches!(&message.message, Some(Message::Heartbeat(_))) {
                return message;
            }
        }
        panic!("the job waits, so the watch does not end");
    };
    let beat = timeout(Duration::from_secs(20), beat).await.expect("a sign of life every 15 seconds");
    assert!(!beat.resume_token.is_empty());
    operator.change_quota(tenant.name(), |quota| quota.max_inflight = 1).await;
    while let Some(message) = next(&mut stream).await {
        if news(&message).is_some_and(|(job, _)| is_final(&job)) {
            return;
        }
    }
    panic!("the watch ended before the job");
}
