//! A layer is read once for the whole cluster, also when several nodes want it at the same moment.

use futures::future::join_all;
use proto_api::finding::v1::GetVerdictRequest;
use tests::clients::{SOON, request_id};
use tests::images::{Image, Layer};
use tests::{Settings, TestCluster, eventually};

async fn requests(cluster: &TestCluster, result: &str) -> f64 {
    let line = format!("starling_layer_cache_requests_total{{result=\"{result}\"}}");
    join_all(cluster.nodes().iter().map(|node| node.metric(&line))).await.into_iter().sum()
}

#[tokio::test]
async fn images_that_share_a_base_cost_it_once() {
    // Of its own: it counts what the whole cluster reads.
    let cluster = TestCluster::start(Settings::default()).await;
    cluster.with_small_feed().await;
    let tenants = [cluster.tenant("first").await, cluster.tenant("second").await];
    let base = Layer::new().debian_12(&[("starling-deb", "1.0-1")]).unlike_any_other();
    let own = || Layer::new().npm("app", "starling-npm", "1.0.0").unlike_any_other();
    let images: Vec<Image> = (0..6).map(|_| Image::of([base.clone(), own()])).collect();

    let at = |number: usize| cluster.nodes()[number % 3].client(&tenants[number % 2]);
    join_all(images.iter().enumerate().map(|(number, image)| {
        let mut client = at(number);
        async move { client.put(image).await.unwrap() }
    }))
    .await;
    let found = join_all(images.iter().enumerate().map(|(number, image)| {
        let mut client = at(number);
        async move {
            let job = client.submit(&image.digest(), &request_id()).await.unwrap().job_id;
            client.done(&job, SOON).await;
            let request = GetVerdictRequest { image: image.digest(), version: 0 };
            let verdict = client.findings.get_verdict(request).await.unwrap().into_inner().verdict.unwrap();
            (verdict.findings, verdict.coverage())
        }
    }))
    .await;
    assert!(found.iter().all(|one| *one == found[0] && one.0 == 2), "{found:?}");

    // Six own layers and the base were read, and the base was known five times.
    eventually(SOON, "the metrics say so", async || requests(&cluster, "hit").await >= 5.0).await;
    let counted = (requests(&cluster, "miss").await, requests(&cluster, "hit").await);
    assert_eq!(counted, (7.0, 5.0));
    assert_eq!(requests(&cluster, "alone").await, 0.0);
    let saved =
        join_all(cluster.nodes().iter().map(|node| node.metric("starling_layer_cache_saved_bytes_total")));
    let saved: f64 = saved.await.into_iter().sum();
    assert_eq!(saved, 5.0 * images[0].layers[0].bytes.len() as f64);
}
