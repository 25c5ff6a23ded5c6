//! The blast radius of a vulnerability: a tenant sees its own images, an operator those of all.

use proto_api::common::v1::ErrorReason;
use proto_api::impact::v1::{GetBlastRadiusRequest, GetBlastRadiusResponse};
use tests::clients::{Clients, SOON, request_id};
use tests::images::{Image, Layer};
use tests::{Cli, FeedFolder, Settings, TestCluster, refusals};

async fn radius(client: &mut Clients, page_size: i32, page_token: &str) -> GetBlastRadiusResponse {
    let vulnerability = "STARLING-TEST-9".to_owned();
    let request = GetBlastRadiusRequest { vulnerability, page_size, page_token: page_token.to_owned() };
    client.impact.get_blast_radius(request).await.unwrap().into_inner()
}

fn images(answer: &GetBlastRadiusResponse) -> Vec<&str> {
    answer.images.iter().map(|image| image.image_digest.as_str()).collect()
}

#[tokio::test]
async fn a_vulnerability_leads_to_the_images_that_it_concerns() {
    let cluster = TestCluster::start(Settings::default()).await;
    let folder = FeedFolder::empty();
    folder.put("STARLING-TEST-9", "npm", "SEMVER", "starling-left", "2.0.0");
    cluster.create_feed("impact", &folder).await;
    cluster.feed_is_read("impact").await;
    let tenants = [cluster.tenant("first").await, cluster.tenant("second").await];
    let image = |version: &str| {
        Image::of([Layer::new().debian_12(&[]).npm("app", "starling-left", version).unlike_any_other()])
    };
    let (mine, theirs, clean) = (image("1.0.0"), image("1.1.0"), image("2.0.0"));
    for (tenant, image) in [(&tenants[0], &mine), (&tenants[1], &theirs), (&tenants[0], &clean)] {
        let mut client = cluster.nodes()[0].client(tenant);
        client.put(image).await.unwrap();
        let job = client.submit(&image.digest(), &request_id()).await.unwrap().job_id;
        client.done(&job, SOON).await;
    }

    let mut first = cluster.nodes()[1].client(&tenants[0]);
    let own = radius(&mut first, 0, "").await;
    assert_eq!((own.images_total, own.tenants_total, images(&own)), (1, 1, vec![mine.digest().as_str()]));
    assert!(own.images[0].up_to_date && own.images[0].packages[0].affected_now);
    assert_eq!(own.images[0].packages[0].purl, "pkg:npm/starling-left@1.0.0");
    assert_eq!((own.advisories.len(), own.advisories[0].revision), (1, 1));

    let mut operator = cluster.nodes()[2].operator();
    let page = radius(&mut operator, 1, "").await;
    assert_eq!((page.images_total, page.tenants_total, images(&page)), (2, 2, vec![mine.digest().as_str()]));
    let rest = radius(&mut operator, 1, &page.next_page_token).await;
    assert_eq!((images(&rest), rest.next_page_token.as_str()), (vec![theirs.digest().as_str()], ""));
    assert!(rest.images[0].names.is_empty(), "names are the tenant's");
    let other = GetBlastRadiusRequest { page_token: page.next_page_token, ..Default::default() };
    let refused = first.impact.get_blast_radius(other).await.unwrap_err();
    assert_eq!(refusals::reason(&refused), ErrorReason::RequestInvalid);

    let cli = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), tenants[1].token());
    let shown = cli.run(&["blast-radius", "STARLING-TEST-9"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("pkg:npm/starling-left@1.1.0") && !shown.out.contains("@1.0.0"), "{shown:?}");
    let json = cli.run(&["blast-radius", "STARLING-TEST-9", "-o", "json"]).await.json();
    assert_eq!(json["images"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["images"][0]["image_digest"], theirs.digest());
}
