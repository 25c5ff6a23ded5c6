//! What cannot be scanned, and what is given up: the job says why, and nobody else feels it.

use futures::future::join_all;
use proto_api::common::v1::ErrorReason;
use proto_api::job::v1::{CancelJobRequest, JobState};
use tests::clients::{Clients, SOON, request_id};
use tests::images::Image;
use tests::{Point, TestCluster, eventually, refusals};
use tonic::Code;

#[tokio::test]
async fn an_image_that_cannot_be_read_fails_with_the_reason_and_disturbs_nobody() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("unreadable").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let good: Vec<_> = (0..6).map(|_| Image::tiny()).collect();
    let bad = [Image::unreadable(), Image::with_wrong_diff_id()];

    let mut jobs = Vec::new();
    for image in good[..3].iter().chain(&bad).chain(&good[3..]) {
        jobs.push((image, client.put_and_submit(image).await));
    }
    for (image, job) in jobs {
        let job = client.finished(&job, SOON).await;
        if bad.iter().any(|bad| bad.digest() == image.digest()) {
            assert_eq!(job.state(), JobState::Failed, "{job:?}");
            let failure = job.failure.expect("a failed job says why");
            assert!(!failure.code.is_empty() && !failure.code.contains(' '), "{failure:?}");
            let layer = &image.layers[0].digest;
            assert!(
                failure.reason.contains(layer.as_str()),
                "the reason names the layer {layer}: {failure:?}"
            );
        } else {
            assert_eq!(job.state(), JobState::Done, "{job:?}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled_wherever_it_was() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("cancel").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    for (point, while_state) in [
        (Point::TenantBeforeAdmit, JobState::Accepted),
        (Point::WorkerAfterClaim, JobState::Extracting),
        (Point::ImageBeforeSave, JobState::Evaluating),
    ] {
        let hold = cluster.hold(point);
        let job = client.put_and_submit(&Image::tiny()).await;
        reaches(&client, &job, while_state).await;
        hold.reached(SOON).await;
        let cancelled = cancel(&mut client, &job).await;
        assert_eq!(cancelled, JobState::Cancelled, "held at {point:?}");
        drop(hold);

        // A job submitted afterwards overtakes nothing: once it is done, what was held had its chance.
        let after = client.put_and_submit(&Image::tiny()).await;
        client.done(&after, SOON).await;
        assert_eq!(client.job(&job).await.unwrap().state(), JobState::Cancelled, "held at {point:?}");

        assert_eq!(cancel(&mut client, &job).await, JobState::Cancelled, "once more says the same");
        let request = CancelJobRequest { request_id: request_id(), job_id: after };
        let refused = refusals::refusal(client.jobs.cancel_job(request).await);
        assert_eq!(refused, (Code::FailedPrecondition, ErrorReason::JobFinished));
    }
}

#[tokio::test]
async fn cancelling_one_of_two_jobs_of_an_image_leaves_the_other_alone() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("cancel-one").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    let hold = cluster.hold(Point::WorkerAfterClaim);
    client.put(&image).await.unwrap();
    let jobs = [client.put_and_submit(&image).await, client.put_and_submit(&image).await];
    join_all(jobs.iter().map(|job| reaches(&client, job, JobState::Extracting))).await;
    cancel(&mut client, &jobs[0]).await;
    drop(hold);
    client.done(&jobs[1], SOON).await;
    assert_eq!(client.job(&jobs[0]).await.unwrap().state(), JobState::Cancelled);
}

async fn cancel(client: &mut Clients, job: &str) -> JobState {
    let request = CancelJobRequest { request_id: request_id(), job_id: job.to_owned() };
    client.jobs.cancel_job(request).await.unwrap().into_inner().job.unwrap().state()
}

async fn reaches(client: &Clients, job: &str, state: JobState) {
    eventually(SOON, &format!("job {job} is {state:?}"), || {
        let mut client = client.clone();
        async move { client.job(job).await.unwrap().state() == state }
    })
    .await;
}
