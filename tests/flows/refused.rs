//! Calls that must be refused, each with its documented status and reason.

use std::time::Duration;

use proto_api::common::v1::ErrorReason;
use proto_api::finding::v1::{GetVerdictRequest, ListFindingsRequest};
use proto_api::image::v1::GetImageRequest;
use proto_api::job::v1::{GetJobRequest, ListJobsRequest, SubmitJobRequest, WatchJobRequest};
use proto_api::tenant::v1::Quota;
use tests::clients::{Clients, SOON, request_id};
use tests::images::Image;
use tests::{TestCluster, Token, refusals};
use tonic::{Code, Status};

#[tokio::test]
async fn an_upload_that_is_not_what_it_says_leaves_nothing_behind() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("bad-upload").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    let layer = &image.layers[0];
    let size = layer.bytes.len();

    let mut changed = layer.clone();
    changed.bytes[20] ^= 1;
    let refused = client.upload(&changed, size).await.unwrap_err();
    assert_eq!(
        (refused.code(), refusals::reason(&refused)),
        (Code::InvalidArgument, ErrorReason::BlobDigestMismatch)
    );
    for announced in [size - 1, size + 1] {
        let refused = client.upload(layer, announced).await.unwrap_err();
        let said = (refused.code(), refusals::reason(&refused));
        assert_eq!(
            said,
            (Code::InvalidArgument, ErrorReason::BlobSizeMismatch),
            "announced {announced} of {size}"
        );
    }

    let refused = client.put_manifest(&image, &[]).await.unwrap_err();
    assert_eq!(
        (refused.code(), refusals::reason(&refused)),
        (Code::FailedPrecondition, ErrorReason::BlobMissing)
    );
    assert!(format!("{:?}", tonic_types::StatusExt::get_error_details(&refused)).contains(&layer.digest));

    client.put(&image).await.expect("the right bytes are taken after all");
}

#[tokio::test]
async fn a_manifest_or_configuration_that_is_none_is_refused() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("bad-manifest").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let good = Image::tiny();
    client.put(&good).await.unwrap();

    let not_json = Image { manifest: b"{".to_vec(), ..good.clone() };
    let index = Image { manifest: br#"{"schemaVersion":2,"manifests":[]}"#.to_vec(), ..good.clone() };
    for bad in [not_json, index] {
        check_refused(
            client.put_manifest(&bad, &[]).await,
            Code::InvalidArgument,
            ErrorReason::ManifestInvalid,
        );
    }
    let foreign = Image { config: Image::tiny().config, ..good };
    check_refused(
        client.put_manifest(&foreign, &[]).await,
        Code::InvalidArgument,
        ErrorReason::ConfigInvalid,
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("not-found").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let missing = Image::tiny().digest();
    let job_id = request_id();

    let submitted = client.submit(&missing, &request_id()).await;
    check_refused(submitted, Code::NotFound, ErrorReason::ImageNotFound);
    let by_name = client.submit("registry.example/nothing:1", &request_id()).await;
    check_refused(by_name, Code::NotFound, ErrorReason::ImageNotFound);
    let image = client.images.get_image(GetImageRequest { image: missing.clone() }).await;
    check_refused(image, Code::NotFound, ErrorReason::ImageNotFound);
    let job = client.jobs.get_job(GetJobRequest { job_id: job_id.clone() }).await;
    check_refused(job, Code::NotFound, ErrorReason::JobNotFound);
    let request = WatchJobRequest { job_id, resume_token: String::new() };
    check_refused(client.jobs.watch_job(request).await, Code::NotFound, ErrorReason::JobNotFound);
    let request = ListFindingsRequest { image: missing, ..Default::default() };
    let findings = client.findings.list_findings(request).await;
    check_refused(findings, Code::NotFound, ErrorReason::ImageNotFound);

    let image = Image::tiny();
    client.put(&image).await.unwrap();
    let request = GetVerdictRequest { image: image.digest(), version: 0 };
    let verdict = client.findings.get_verdict(request).await;
    check_refused(verdict, Code::NotFound, ErrorReason::VerdictNotFound);
}

#[tokio::test]
async fn malformed_requests_name_the_field() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("malformed").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    client.put(&image).await.unwrap();

    for (field, request) in [
        (
            "request_id",
            SubmitJobRequest { request_id: "one".into(), image: image.digest(), ..Default::default() },
        ),
        ("image", SubmitJobRequest { request_id: request_id(), ..Default::default() }),
    ] {
        let refused = client.jobs.submit_job(request).await.unwrap_err();
        let said = (refused.code(), refusals::reason(&refused));
        assert_eq!(said, (Code::InvalidArgument, ErrorReason::RequestInvalid), "{field}");
        let details = tonic_types::StatusExt::get_details_bad_request(&refused).expect("BadRequest");
        assert_eq!(details.field_violations[0].field, field);
    }
    let request = ListJobsRequest { page_token: "made up".into(), ..Default::default() };
    check_refused(client.jobs.list_jobs(request).await, Code::InvalidArgument, ErrorReason::PageTokenInvalid);
}

#[tokio::test]
async fn page_tokens_lead_to_every_job_once_and_only_for_the_same_question() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("pages").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    client.put(&image).await.unwrap();
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(client.submit(&image.digest(), &request_id()).await.unwrap().job_id);
    }
    submitted.reverse();

    let mut listed = Vec::new();
    let mut page_token = String::new();
    let mut second = String::new();
    loop {
        let request = ListJobsRequest { page_size: 2, page_token, ..Default::default() };
        let page = client.jobs.list_jobs(request).await.unwrap().into_inner();
        listed.extend(page.jobs.into_iter().map(|job| job.job_id));
        page_token = page.next_page_token;
        if second.is_empty() {
            second.clone_from(&page_token);
        }
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, submitted, "newest first");

    let other = cluster.tenant("pages-other").await;
    let request = ListJobsRequest { page_size: 2, page_token: second, ..Default::default() };
    let mut foreign = cluster.nodes()[0].client(&other);
    check_refused(
        foreign.jobs.list_jobs(request).await,
        Code::InvalidArgument,
        ErrorReason::PageTokenMismatch,
    );
}

#[tokio::test]
async fn callers_without_a_good_token_are_turned_away_by_every_node() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("tokens").await;
    let expired = cluster.token(&tenant, Token { expires_in: Some(Duration::ZERO) }).await;
    let revoked = cluster.token(&tenant, Token::default()).await;
    cluster.revoke(&tenant, &revoked).await;
    let tampered = format!("{}x", tenant.token());

    for node in cluster.nodes() {
        for (token, reason) in [
            (None, ErrorReason::TokenMissing),
            (Some("nonsense"), ErrorReason::TokenInvalid),
            (Some("stl_00000000000000000000000000000000_secret"), ErrorReason::TokenInvalid),
            (Some(tampered.as_str()), ErrorReason::TokenInvalid),
            (Some(expired.as_str()), ErrorReason::TokenExpired),
            (Some(revoked.as_str()), ErrorReason::TokenRevoked),
        ] {
            let mut client = Clients::new(&node.address(), token);
            let answer = client.jobs.list_jobs(ListJobsRequest::default()).await;
            check_refused(answer, Code::Unauthenticated, reason);
        }
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back_and_has_room_again_later() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("full-queue").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let mut operator = cluster.nodes()[0].operator();
    let images: Vec<_> = (0..3).map(|_| Image::tiny()).collect();
    for image in &images {
        client.put(image).await.unwrap();
    }
    let id = request_id();
    // Nothing is let in, so that what is accepted waits.
    operator.change_quota(tenant.name(), |quota| (quota.max_queued, quota.max_inflight) = (2, 0)).await;
    let first = client.submit(&images[0].digest(), &request_id()).await.unwrap().job_id;
    let second = client.submit(&images[1].digest(), &request_id()).await.unwrap().job_id;
    let refused = client.submit(&images[2].digest(), &id).await.unwrap_err();
    assert_eq!(
        (refused.code(), refusals::reason(&refused)),
        (Code::ResourceExhausted, ErrorReason::QueueFull)
    );
    assert!(refusals::retry_after(&refused).is_some_and(|after| after > Duration::ZERO), "{refused:?}");

    operator.change_quota(tenant.name(), |quota| quota.max_inflight = 2).await;
    client.done(&first, SOON).await;
    client.done(&second, SOON).await;
    let third = client.submit(&images[2].digest(), &id).await.expect("there is room again");
    assert!(third.created, "a refused request was never accepted");
    client.done(&third.job_id, SOON).await;
}

#[tokio::test]
async fn who_submits_too_fast_is_slowed_down() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("too-fast").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let image = Image::tiny();
    client.put(&image).await.unwrap();
    let slow = |quota: &mut Quota| (quota.rate_per_second, quota.burst) = (0.01, 2);
    cluster.nodes()[0].operator().change_quota(tenant.name(), slow).await;

    let mut refused = None;
    for _ in 0..4 {
        match client.submit(&image.digest(), &request_id()).await {
            Ok(_) => {}
            Err(status) => refused = Some(status),
        }
    }
    let refused = refused.expect("four at once are more than a burst of two");
    assert_eq!(
        (refused.code(), refusals::reason(&refused)),
        (Code::ResourceExhausted, ErrorReason::RateExceeded)
    );
    assert!(refusals::retry_after(&refused).is_some_and(|after| after > Duration::ZERO), "{refused:?}");
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: ErrorReason) {
    let refused = answer.map(|answer| format!("{answer:?}")).expect_err("this is refused");
    assert_eq!((refused.code(), refusals::reason(&refused)), (code, reason), "{refused:?}");
}
