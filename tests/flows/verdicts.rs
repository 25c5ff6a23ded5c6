//! Verdicts over time: what each version found, why it was made, and what was known at a time.

use futures::future::join_all;
use proto_api::feed::v1::{Feed, RefreshFeedRequest};
use serde_json::Value;
use tests::clients::{SOON, request_id};
use tests::images::{Image, Layer};
use tests::{Cli, FeedFolder, Tenant, TestCluster, eventually};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const FEED: &str = "remembered";

/// Has the feed read anew, and the image evaluated after that; answers when this was done.
async fn renewed(cluster: &TestCluster, tenant: &Tenant, image: &Image) -> String {
    let mut operator = cluster.nodes()[0].operator();
    let request = RefreshFeedRequest { request_id: request_id(), feed_id: FEED.to_owned(), whole: false };
    let asked = operator.feeds.refresh_feed(request).await.unwrap().into_inner().feed.unwrap();
    let read = |feed: &Feed| feed.last_success_time.map(|time| (time.seconds, time.nanos));
    eventually(SOON, "the feed is read anew", || {
        let mut operator = operator.clone();
        let then = read(&asked);
        async move { read(&operator.feed(FEED).await) > then }
    })
    .await;
    evaluated(cluster, tenant, image).await
}

async fn evaluated(cluster: &TestCluster, tenant: &Tenant, image: &Image) -> String {
    let mut client = cluster.nodes()[0].client(tenant);
    let job = client.submit(&image.digest(), &request_id()).await.unwrap().job_id;
    client.done(&job, SOON).await;
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap()
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// The feed speaks of one ecosystem, so that findings are shown as not to be trusted whole (4).
async fn json(user: &Cli, arguments: &[&str]) -> Value {
    let outcome = user.run(arguments).await;
    assert_eq!(outcome.code, if arguments[0] == "findings" { 4 } else { 0 }, "{outcome:?}");
    outcome.json()
}

#[tokio::test]
async fn a_result_tells_how_it_became_what_it_is_and_what_was_known_before() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("remembering").await;
    let image = Image::of([Layer::new().npm("app", "remembered-npm", "1.0.0").unlike_any_other()]);
    let digest = image.digest();
    let folder = FeedFolder::empty();
    let put = |id: &str, fixed: &str| folder.put(id, "npm", "SEMVER", "remembered-npm", fixed);
    put("STARLING-2026-0101", "1.1.0");
    cluster.create_feed(FEED, &folder).await;
    cluster.feed_is_read(FEED).await;
    cluster.nodes()[0].client(&tenant).put(&image).await.unwrap();

    let first = evaluated(&cluster, &tenant, &image).await;
    let again = evaluated(&cluster, &tenant, &image).await;
    put("STARLING-2026-0102", "2.0.0");
    let second = renewed(&cluster, &tenant, &image).await;
    put("STARLING-2026-0102", "2.1.0");
    std::fs::remove_file(folder.path().join("STARLING-2026-0101.json")).unwrap();
    let third = renewed(&cluster, &tenant, &image).await;

    let user = Cli::new(cluster.folder(), &cluster.nodes()[1].address(), tenant.token());
    let history = json(&user, &["image", "history", &digest, "-o", "json"]).await;
    let versions = &history["items"];
    let told: Vec<_> = (0..3)
        .map(|at| {
            let verdict = &versions[at];
            let revised = texts(&verdict["cause"]["advisories"], "advisory");
            (verdict["version"].as_i64().unwrap(), texts(&verdict["changes"], "kind"), revised)
        })
        .collect();
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            (
                3,
                strings(&["withdrawn", "fix-changed"]),
                strings(&["STARLING-2026-0101", "STARLING-2026-0102"])
            ),
            (2, strings(&["appeared"]), strings(&["STARLING-2026-0102"])),
            (1, vec![], vec![]),
        ],
        "{history}"
    );
    let kinds: Vec<_> = (0..3).map(|at| versions[at]["cause"]["kinds"][0].as_str().unwrap()).collect();
    assert_eq!(kinds, ["advisories", "advisories", "scan"], "the one without change left no version");

    // Versions are compared, one after the other or from end to end.
    let last = json(&user, &["image", "diff", &digest, "-o", "json"]).await;
    assert_eq!(texts(&last["changes"], "kind"), ["withdrawn", "fix-changed"]);
    let whole = json(&user, &["image", "diff", &digest, "--from", "1", "--to", "3", "-o", "json"]).await;
    assert_eq!(texts(&whole["changes"], "kind"), ["appeared", "withdrawn"]);
    let dated = ["image", "diff", &digest, "--from-date", &first, "--to-date", &third, "-o", "json"];
    assert_eq!(json(&user, &dated).await["changes"], whole["changes"]);

    // What was known at each time, from each version and again from the advisories of that time.
    for (version, time, expected) in [
        (1, &first, &["CVE-2026-90101"][..]),
        (1, &again, &["CVE-2026-90101"]),
        (2, &second, &["CVE-2026-90101", "CVE-2026-90102"]),
        (3, &third, &["CVE-2026-90102"]),
    ] {
        let kept = json(&user, &["findings", &digest, "--verdict", &version.to_string(), "-o", "json"]).await;
        let then = json(&user, &["findings", &digest, "--at", time, "-o", "json"]).await;
        assert_eq!(texts(&kept["findings"], "vulnerability"), expected, "{kept}");
        assert_eq!((&then["findings"], &then["verdict"]["version"]), (&kept["findings"], &version.into()));
        assert_eq!(then["recall"]["agreement"], "AGREEMENT_SAME", "{then}");
        assert_eq!(then["recall"]["findings_digest"], kept["verdict"]["findings_digest"]);
        let until = json(&user, &["image", "history", &digest, "--at", time, "-o", "json"]).await;
        assert_eq!(until["items"][0]["version"], version, "{until}");
    }
    let people = user.run(&["image", "history", &digest]).await;
    for words in ["1 withdrawn, 1 fix changed", "advisories STARLING-2026-0102", "scan"] {
        assert!(people.out.contains(words), "no {words} in {people:?}");
    }
    let too_early = user.run(&["findings", &digest, "--at", "2001-01-01"]).await;
    assert_eq!(too_early.code, 3, "{too_early:?}");
}

#[tokio::test]
async fn two_images_are_compared_by_their_latest_results() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("comparing").await;
    let user = Cli::new(cluster.folder(), &cluster.nodes()[1].address(), tenant.token());
    let (small, tiny) = (Image::small(), Image::tiny());
    join_all([&small, &tiny].map(|image| async {
        let mut client = cluster.nodes()[0].client(&tenant);
        client.put(image).await.unwrap();
        evaluated(&cluster, &tenant, image).await
    }))
    .await;
    let diff = json(&user, &["image", "diff", &small.digest(), &tiny.digest(), "-o", "json"]).await;
    assert_eq!(texts(&diff["changes"], "kind"), ["resolved", "resolved"], "{diff}");
    let people = user.run(&["image", "diff", &tiny.digest(), &small.digest()]).await;
    assert!(people.out.contains("2 more"), "{people:?}");
    let same = user.run(&["image", "diff", &tiny.digest(), &tiny.digest()]).await;
    assert!(same.out.contains("no difference"), "{same:?}");
}
