//! Scopes: what a tenant's token, a reader's and an operator's may do, and that none does the other's work.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proto_api::cluster::v1::{
    CancelDrainRequest, CordonNodeRequest, DrainNodeRequest, GetRingRequest, ListNodesRequest,
    LocateKeyRequest, PreviewNodeRequest, RemoveNodeRequest, SetNodeWeightRequest, UncordonNodeRequest,
};
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::{
    CreateFeedRequest, GetFreshnessRequest, ListFeedSteersRequest, PauseFeedRequest, PinFeedRequest,
    RefreshFeedRequest, ResumeFeedRequest, RollBackFeedRequest, UnpinFeedRequest, UnregisterFeedRequest,
};
use proto_api::tenant::v1::{CreateTenantRequest, ListTenantsRequest, Quota, SetQuotaRequest};
use tests::clients::{Clients, request_id};
use tests::{TestCluster, refusals};
use tonic::{Code, Response, Status};

type Call = fn(Clients) -> BoxFuture<'static, Result<String, Status>>;

fn said<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Result<String, Status> {
    answer.map(|answer| format!("{:?}", answer.into_inner()))
}

macro_rules! call {
    ($name:literal, |$client:ident| $call:expr) => {{
        let call: Call = |mut $client| async move { said($call.await) }.boxed();
        ($name, call)
    }};
}

/// Every call that only an operator may make.
fn operators_calls() -> Vec<(&'static str, Call)> {
    vec![
        call!("ListNodes", |c| c.cluster.list_nodes(ListNodesRequest::default())),
        call!("GetRing", |c| c.cluster.get_ring(GetRingRequest::default())),
        call!("LocateKey", |c| c.cluster.locate_key(LocateKeyRequest {
            kind: "feed".to_owned(),
            id: "none".to_owned(),
            ..Default::default()
        })),
        call!("CordonNode", |c| c
            .cluster
            .cordon_node(CordonNodeRequest { request_id: request_id(), node: "no-such-node".to_owned() })),
        call!("UncordonNode", |c| c.cluster.uncordon_node(UncordonNodeRequest {
            request_id: request_id(),
            node: "no-such-node".to_owned()
        })),
        call!("DrainNode", |c| c.cluster.drain_node(DrainNodeRequest {
            request_id: request_id(),
            node: "no-such-node".to_owned(),
            within: None
        })),
        call!("CancelDrain", |c| c
            .cluster
            .cancel_drain(CancelDrainRequest { request_id: request_id(), node: "no-such-node".to_owned() })),
        call!("SetNodeWeight", |c| c.cluster.set_node_weight(SetNodeWeightRequest {
            request_id: request_id(),
            node: "no-such-node".to_owned(),
            weight: 1.0
        })),
        call!("PreviewNode", |c| c
            .cluster
            .preview_node(PreviewNodeRequest { node: "no-such-node".to_owned(), change: None })),
        call!("RemoveNode", |c| c
            .cluster
            .remove_node(RemoveNodeRequest { request_id: request_id(), node: "no-such-node".to_owned() })),
        call!("CreateTenant", |c| c.tenants.create_tenant(CreateTenantRequest {
            request_id: request_id(),
            name: format!("made-{}", request_id()),
            quota: None
        })),
        call!("ListTenants", |c| c.tenants.list_tenants(ListTenantsRequest::default())),
        call!("SetQuota", |c| c.tenants.set_quota(SetQuotaRequest {
            request_id: request_id(),
            tenant: "no-such-tenant".to_owned(),
            quota: Some(Quota {
                weight: 1.0,
                max_queued: 10,
                max_inflight: 10,
                rate_per_second: 10.0,
                burst: 10
            })
        })),
        call!("CreateFeed", |c| c.feeds.create_feed(CreateFeedRequest {
            request_id: request_id(),
            feed_id: format!("feed-{}", request_id()),
            source_uri: "file:///nowhere".to_owned(),
            ..Default::default()
        })),
        call!("RefreshFeed", |c| c.feeds.refresh_feed(RefreshFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("PauseFeed", |c| c.feeds.pause_feed(PauseFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("ResumeFeed", |c| c.feeds.resume_feed(ResumeFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("PinFeed", |c| c.feeds.pin_feed(PinFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("UnpinFeed", |c| c.feeds.unpin_feed(UnpinFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("RollBackFeed", |c| c.feeds.roll_back_feed(RollBackFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("UnregisterFeed", |c| c.feeds.unregister_feed(UnregisterFeedRequest {
            request_id: request_id(),
            feed_id: "no-such-feed".to_owned(),
            ..Default::default()
        })),
        call!("ListFeedSteers", |c| c
            .feeds
            .list_feed_steers(ListFeedSteersRequest { feed_id: "no-such-feed".to_owned(), page_size: 0 })),
    ]
}

#[tokio::test]
async fn what_is_for_operators_is_refused_to_tenants() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("not-an-operator").await;
    for node in cluster.nodes() {
        for (name, call) in operators_calls() {
            let refused = call(node.client(&tenant)).await.expect_err(name);
            let said = (refused.code(), refusals::reason(&refused));
            assert_eq!(said, (Code::PermissionDenied, ErrorReason::ScopeMissing), "{name}");
            // The calls above would be refused to everybody, were they malformed.
            if let Err(refused) = call(node.operator()).await {
                assert_eq!(refused.code(), Code::NotFound, "{name}: {refused:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_token_may_read_how_fresh_the_feeds_are() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("freshness").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let answer = client.feeds.get_freshness(GetFreshnessRequest {}).await.unwrap().into_inner();
    assert!(answer.snapshot > 0, "{answer:?}");
}

#[tokio::test]
async fn every_node_tells_the_same_ring_and_it_is_whole() {
    let cluster = TestCluster::shared().await;
    for node in cluster.nodes() {
        let mut operator = node.operator();
        let nodes = operator.cluster.list_nodes(ListNodesRequest::default()).await.unwrap().into_inner();
        let names: Vec<_> = nodes.nodes.iter().map(|node| node.name.as_str()).collect();
        let expected: Vec<_> = cluster.nodes().iter().map(|node| node.name()).collect();
        assert_eq!(names, expected);
        let answering: Vec<_> = nodes.nodes.iter().filter(|n| n.answering).map(|n| n.name.as_str()).collect();
        assert_eq!(answering, [node.name()]);

        let request = GetRingRequest { include_partitions: true };
        let ring = operator.cluster.get_ring(request).await.unwrap().into_inner();
        assert_eq!((ring.total, ring.unowned, ring.moving), (1024, 0, 0), "asked {}", node.name());
        assert_eq!(ring.partitions.len(), 1024);
        assert!(ring.partitions.iter().all(|p| p.epoch > 0 && p.owner_generation == p.wanted_generation));
        assert_eq!(ring.shares.iter().map(|share| share.owned).sum::<i32>(), 1024);
        assert!(ring.shares.iter().all(|share| share.owned > 250), "{:?}", ring.shares);
    }
}
