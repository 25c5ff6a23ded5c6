//! What tools ask a server that they meet for the first time: what it offers, and whether it is well.

use futures::StreamExt as _;
use tests::TestCluster;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

const SERVICES: [&str; 13] = [
    "starling.advisory.v1.AdvisoryService",
    "starling.cluster.v1.ClusterService",
    "starling.feed.v1.FeedService",
    "starling.finding.v1.FindingService",
    "starling.image.v1.ImageService",
    "starling.impact.v1.ImpactService",
    "starling.issuer.v1.IssuerService",
    "starling.job.v1.JobService",
    "starling.queue.v1.QueueService",
    "starling.run.v1.RunService",
    "starling.tenant.v1.TenantService",
    "starling.verdict.v1.VerdictService",
    "starling.vex.v1.VexService",
];

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions_of_the_protocol() {
    let cluster = TestCluster::shared().await;
    let channel = cluster.nodes()[0].anonymous().channel;

    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("{answer:?}") };
    check_lists_ours(listed.service.into_iter().map(|service| service.name).collect());

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    check_lists_ours(listed.service.into_iter().map(|service| service.name).collect());
}

#[track_caller]
fn check_lists_ours(mut listed: Vec<String>) {
    listed.retain(|name| name.starts_with("starling."));
    listed.sort();
    assert_eq!(listed, SERVICES);
}

#[tokio::test]
async fn health_is_told_for_each_service_and_without_a_token() {
    let cluster = TestCluster::shared().await;
    for node in cluster.nodes() {
        let mut client = HealthClient::new(node.anonymous().channel);
        for service in SERVICES.into_iter().chain([""]) {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = client.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service:?} of {}", node.name());
        }
    }
}
