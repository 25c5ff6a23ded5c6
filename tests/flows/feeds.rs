//! Feeds over real processes: a bucket that is followed day by day, faults of its server, what people have feeds do,
//! and the death of the node that reads.

use std::collections::BTreeMap;
use std::time::Duration;

use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::{
    CreateFeedRequest, Feed, FeedState, GetFeedRequest, ImportBundleRequest, ListFeedSteersRequest,
    PauseFeedRequest, PinFeedRequest, RefreshFeedRequest, ResumeFeedRequest, RollBackFeedRequest,
    UnpinFeedRequest, import_bundle_request::Part,
};
use sqlx::Row as _;
use tests::bucket::Bucket;
use tests::clients::{Clients, request_id};
use tests::feed_server::Fault;
use tests::{Cli, FeedServer, Point, Settings, SharedData, TestCluster, eventually, eventually_ok, refusals};

/// Of reading some thousand real advisories, with others at work.
const WITHIN: Duration = Duration::from_secs(60);
const CRATES: &str = "crates.io";

async fn cluster(nodes: usize) -> TestCluster {
    let plain = ("feeds.plain-http".to_owned(), "on".to_owned());
    TestCluster::start(Settings { nodes, settings: vec![plain], ..Settings::default() }).await
}

async fn create(operator: &mut Clients, feed_id: &str, source_uri: &str) {
    let request = CreateFeedRequest {
        request_id: request_id(),
        feed_id: feed_id.to_owned(),
        source_uri: source_uri.to_owned(),
        ..Default::default()
    };
    operator.feeds.create_feed(request).await.unwrap();
}

async fn ask(operator: &mut Clients, feed_id: &str, whole: bool) {
    let request = RefreshFeedRequest { request_id: request_id(), feed_id: feed_id.to_owned(), whole };
    operator.feeds.refresh_feed(request).await.unwrap();
}

/// Waits until the feed is in this state and nothing is being done with it.
async fn settles(operator: &Clients, feed_id: &str, state: FeedState) -> Feed {
    eventually_ok(WITHIN, &format!("feed {feed_id} is {state:?}"), || {
        let mut operator = operator.clone();
        async move {
            let feed = operator.feed(feed_id).await;
            if feed.state() == state && !feed.refreshing { Ok(feed) } else { Err(feed) }
        }
    })
    .await
}

/// What a feed says as of its newest snapshot, by id, as the database's owner sees it.
async fn said(cluster: &TestCluster, feed_id: &str) -> BTreeMap<String, String> {
    let sql = format!(
        "select distinct on (o.advisory_id) o.advisory_id, convert_from(o.document, 'UTF8') as document
         from vuln.observation o join vuln.snapshot s using (feed_id, refresh)
         where o.feed_id = '{feed_id}' order by o.advisory_id, o.revision desc"
    );
    let listed = |row: &sqlx::postgres::PgRow| Some((row.get(0), row.get::<Option<String>, _>(1)?));
    cluster.truth().rows(&sql).await.iter().filter_map(listed).collect()
}

#[tokio::test]
async fn a_bucket_is_followed_day_by_day_through_faults_of_its_server() {
    let Some(data) = SharedData::find() else {
        return println!("skipped: the shared data are not part of the project");
    };
    let (cluster, server) = (cluster(1).await, FeedServer::start().await);
    let mut operator = cluster.nodes()[0].operator();
    let mut bucket = Bucket::new(CRATES);
    bucket.change(&data.records(CRATES, "2026-05-31"), None);
    bucket.publish(&server);

    // The first reading breaks off in the middle and goes on there.
    server.fault(&format!("{CRATES}/all.zip"), Some(Fault::BreaksOffOnce(200_000)));
    create(&mut operator, "crates", &format!("bucket+{}", server.url(CRATES))).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    assert_eq!(said(&cluster, "crates").await, bucket.documents());
    let asked = server.asked();
    let expected = ["200 /crates.io/all.zip", "200 /crates.io/modified_id.csv", "206 /crates.io/all.zip"];
    assert_eq!(asked, expected);

    // Nothing new: one question, no row.
    let rows = "select count(*) from vuln.observation";
    let before = cluster.truth().number(rows).await;
    ask(&mut operator, "crates", false).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    assert_eq!(server.asked(), ["304 /crates.io/modified_id.csv"]);
    assert_eq!(cluster.truth().number(rows).await, before);

    // Day by day: what changed, and nothing else, is fetched.
    for (date, lines) in data.replay(CRATES).days().take(4) {
        bucket.change(&lines, Some(&format!("{date}T12:00:00Z")));
        bucket.publish(&server);
        ask(&mut operator, "crates", false).await;
        settles(&operator, "crates", FeedState::Fresh).await;
        assert_eq!(said(&cluster, "crates").await, bucket.documents(), "{date}");
        let fetched = server.asked().iter().filter(|asked| asked.ends_with(".json")).count();
        // Beside the day's there may be those of the last hour before everything was read.
        assert!((lines.lines().count()..lines.lines().count() + 20).contains(&fetched), "{date}: {fetched}");
    }

    // A record that is listed and cannot be had costs itself, and comes when it can be had.
    let (id, document) = bucket.documents().into_iter().next().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&document).unwrap();
    record["summary"] = "said in other words".into();
    bucket.change(&record.to_string(), Some("2026-08-01T00:00:00Z"));
    bucket.publish(&server);
    let path = format!("{CRATES}/{id}.json");
    server.fault(&path, Some(Fault::Status(500)));
    ask(&mut operator, "crates", false).await;
    let feed = settles(&operator, "crates", FeedState::Fresh).await;
    assert_eq!(feed.quarantined, 1);
    assert_ne!(said(&cluster, "crates").await, bucket.documents());
    server.fault(&path, None);
    ask(&mut operator, "crates", false).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    assert_eq!(said(&cluster, "crates").await, bucket.documents());

    // A server that is down is a failed feed with its reason; then it is well again.
    server.fault(&format!("{CRATES}/modified_id.csv"), Some(Fault::Status(500)));
    ask(&mut operator, "crates", false).await;
    let feed = settles_failed(&operator, "crates", FeedState::Failed).await;
    assert!(feed.state_reason.ends_with("modified_id.csv answered 500"), "{feed:?}");
    server.fault(&format!("{CRATES}/modified_id.csv"), Some(Fault::Status(403)));
    ask(&mut operator, "crates", false).await;
    settles_failed(&operator, "crates", FeedState::Blocked).await;
    server.fault(&format!("{CRATES}/modified_id.csv"), None);

    // What is gone is seen when everything is read.
    bucket.remove(&id);
    bucket.publish(&server);
    ask(&mut operator, "crates", false).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    assert!(said(&cluster, "crates").await.contains_key(&id));
    ask(&mut operator, "crates", true).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    assert_eq!(said(&cluster, "crates").await, bucket.documents());
}

/// A feed that failed is still asked for, so only its state is waited for.
async fn settles_failed(operator: &Clients, feed_id: &str, state: FeedState) -> Feed {
    eventually_ok(WITHIN, &format!("feed {feed_id} is {state:?}"), || {
        let mut operator = operator.clone();
        async move {
            let feed = operator.feed(feed_id).await;
            if feed.state() == state { Ok(feed) } else { Err(feed) }
        }
    })
    .await
}

/// Records of our own making, one a line.
fn records(numbers: std::ops::Range<u32>, word: &str) -> String {
    numbers
        .map(|n| {
            format!(
                "{{\"id\":\"STARLING-2026-{n:04}\",\"modified\":\"2026-01-01T00:00:00Z\",\"summary\":\"{word}\",\
                 \"affected\":[{{\"package\":{{\"ecosystem\":\"npm\",\"name\":\"steered-{n}\"}},\"ranges\":[\
                 {{\"type\":\"SEMVER\",\"events\":[{{\"introduced\":\"0\"}},{{\"fixed\":\"1.0.{n}\"}}]}}]}}]}}\n"
            )
        })
        .collect()
}

fn by_id(lines: &str) -> BTreeMap<String, String> {
    let mut bucket = Bucket::new("any");
    bucket.change(lines, None);
    bucket.documents()
}

#[tokio::test]
async fn people_pause_pin_and_roll_feeds_back() {
    let (cluster, server) = (cluster(2).await, FeedServer::start().await);
    let mut operator = cluster.nodes()[0].operator();
    let (old, new) = (records(0..1500, "old"), records(100..1600, "new"));
    server.put("own.jsonl", old.clone().into_bytes());
    create(&mut operator, "own", &server.url("own.jsonl")).await;
    let first = settles(&operator, "own", FeedState::Fresh).await.snapshot;

    // Paused in the middle of an import: nothing of it shows, and nothing more comes.
    server.put("own.jsonl", new.clone().into_bytes());
    let hold = cluster.hold(Point::FeedMidIngest);
    ask(&mut operator, "own", false).await;
    hold.reached(WITHIN).await;
    let request =
        PauseFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), reason: "bad".to_owned() };
    operator.feeds.pause_feed(request).await.unwrap();
    let stopped = |node: &tests::Node| node.log().contains("stopped reading: somebody steers the feed");
    eventually(Duration::from_secs(1), "the reading has stopped", || async {
        cluster.nodes().iter().any(stopped)
    })
    .await;
    drop(hold);
    let feed = operator.feed("own").await;
    assert_eq!((feed.state(), feed.state_reason.as_str()), (FeedState::Paused, "bad"));
    assert_eq!(said(&cluster, "own").await, by_id(&old));
    let request = RefreshFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), whole: false };
    assert_eq!(refusals::refusal(operator.feeds.refresh_feed(request).await).1, ErrorReason::FeedState);
    let request =
        ResumeFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), reason: String::new() };
    operator.feeds.resume_feed(request).await.unwrap();
    let second = settles(&operator, "own", FeedState::Fresh).await.snapshot;
    assert_eq!(said(&cluster, "own").await, by_id(&new));

    // Back to what it said first, as a new snapshot, and it keeps to that.
    let request = RollBackFeedRequest {
        request_id: request_id(),
        feed_id: "own".to_owned(),
        reason: "wrong fixes".to_owned(),
        snapshot: first,
    };
    operator.feeds.roll_back_feed(request).await.unwrap();
    let feed = settles(&operator, "own", FeedState::Pinned).await;
    assert!(feed.snapshot > second && feed.pinned_snapshot == feed.snapshot, "{feed:?}");
    assert_eq!(said(&cluster, "own").await, by_id(&old));
    server.asked();
    let request = RefreshFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), whole: false };
    assert_eq!(refusals::refusal(operator.feeds.refresh_feed(request).await).1, ErrorReason::FeedState);
    assert_eq!(server.asked(), [""; 0]);
    let request =
        UnpinFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), reason: String::new() };
    operator.feeds.unpin_feed(request).await.unwrap();
    settles(&operator, "own", FeedState::Fresh).await;
    assert_eq!(said(&cluster, "own").await, by_id(&new), "it was read whole, though its ETag is known");
    let request =
        PinFeedRequest { request_id: request_id(), feed_id: "own".to_owned(), reason: "release".to_owned() };
    operator.feeds.pin_feed(request).await.unwrap();
    settles(&operator, "own", FeedState::Pinned).await;
    let request = ListFeedSteersRequest { feed_id: "own".to_owned(), page_size: 0 };
    let steers = operator.feeds.list_feed_steers(request).await.unwrap().into_inner().steers;
    let kinds: Vec<_> =
        steers.iter().map(|steer| steer.kind().as_str_name()["STEER_KIND_".len()..].to_lowercase()).collect();
    assert_eq!(kinds, ["pin", "unpin", "roll_back", "resume", "pause", "refresh", "register"]);
    assert!(steers.iter().all(|steer| !steer.asked_by.is_empty() && steer.end_time.is_some()));
}

#[tokio::test]
async fn a_pause_stops_a_download_that_hangs() {
    let (cluster, server) = (cluster(1).await, FeedServer::start().await);
    let mut operator = cluster.nodes()[0].operator();
    server.put("slow.jsonl", records(0..10, "slow").into_bytes());
    server.fault("slow.jsonl", Some(Fault::Stalls));
    create(&mut operator, "slow", &server.url("slow.jsonl")).await;
    eventually(WITHIN, "the download has begun", || async { !server.asked().is_empty() }).await;
    let request =
        PauseFeedRequest { request_id: request_id(), feed_id: "slow".to_owned(), reason: String::new() };
    operator.feeds.pause_feed(request).await.unwrap();
    eventually(Duration::from_secs(1), "the download has stopped", || async {
        cluster.nodes()[0].log().contains("stopped reading: somebody steers the feed")
    })
    .await;
}

#[tokio::test]
async fn a_bundle_comes_through_the_gateway_and_a_feed_can_be_unregistered() {
    let cluster = cluster(2).await;
    let operator = cluster.nodes()[0].operator();
    let cli = Cli::new(cluster.folder(), &cluster.nodes()[1].address(), cluster.operator_token());
    let run = async |arguments: &[&str], code: i32| {
        let outcome = cli.run(arguments).await;
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
        outcome
    };
    run(&["feeds", "create", "offline", "bundle:"], 0).await;
    let feed = settles(&operator, "offline", FeedState::Late).await;
    assert_eq!(feed.state_reason, "it was never read");
    let write = |name: &str, bytes: &[u8]| {
        let path = cli.home().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };

    let whole = write("all.jsonl", records(0..20, "whole").as_bytes());
    let outcome = run(&["feeds", "import", "offline", &whole, "--reason", "first"], 0).await;
    assert!(outcome.err.contains("has taken it in, in snapshot"), "{outcome:?}");
    assert_eq!(said(&cluster, "offline").await, by_id(&records(0..20, "whole")));
    settles(&operator, "offline", FeedState::Fresh).await;
    let outcome = run(&["feeds", "import", "offline", &whole], 0).await;
    assert!(outcome.err.contains("held all of it already"), "{outcome:?}");

    let more = write("day.jsonl", records(20..25, "whole").as_bytes());
    run(&["feeds", "import", "offline", &more, "--partial"], 0).await;
    assert_eq!(said(&cluster, "offline").await, by_id(&records(0..25, "whole")));
    run(&["feeds", "import", "offline", &more], 0).await;
    assert_eq!(
        said(&cluster, "offline").await,
        by_id(&records(20..25, "whole")),
        "what is not listed is gone"
    );

    // Broken ones are given up before anything of them is stored.
    let rows = "select count(*) from vuln.observation";
    let before = cluster.truth().number(rows).await;
    let broken = write("all.zip", b"PK\x03\x04 and no more");
    let outcome = run(&["feeds", "import", "offline", &broken], 3).await;
    assert!(outcome.err.contains("cannot read all.zip"), "{outcome:?}");
    let bzip = write("all.tar.bz2", b"BZh91AY&SY");
    let outcome = run(&["feeds", "import", "offline", &bzip], 3).await;
    assert!(outcome.err.contains("is bzip2, which is not read"), "{outcome:?}");
    assert_eq!(cluster.truth().number(rows).await, before);

    let history = run(&["feeds", "history", "offline", "-o", "json"], 0).await;
    assert!(history.out.contains("\"all.jsonl\"") && history.out.contains("first"), "{history:?}");
    let shown = run(&["feeds", "get", "offline"], 0).await;
    assert!(shown.out.contains("fresh, since"), "{shown:?}");
    run(&["feeds", "unregister", "offline", "--reason", "over"], 0).await;
    assert_eq!(said(&cluster, "offline").await, BTreeMap::new());
    let mut operator = operator;
    let request = GetFeedRequest { feed_id: "offline".to_owned() };
    assert_eq!(refusals::refusal(operator.feeds.get_feed(request).await).1, ErrorReason::FeedNotFound);
    // An upload that is not what it says is refused.
    run(&["feeds", "create", "offline", "bundle:"], 0).await;
    let header = tests::feeds::bundle_header("offline", "a.jsonl", b"announced");
    let parts = [Part::Header(header), Part::Chunk(b"different".to_vec())];
    let parts = parts.map(|part| ImportBundleRequest { part: Some(part) });
    let refused = refusals::refusal(operator.feeds.import_bundle(tokio_stream::iter(parts)).await);
    assert_eq!(refused.1, ErrorReason::BlobDigestMismatch);
}

#[tokio::test]
async fn the_node_that_reads_may_die_in_the_middle() {
    let Some(data) = SharedData::find() else {
        return println!("skipped: the shared data are not part of the project");
    };
    let (mut cluster, server) = (cluster(3).await, FeedServer::start().await);
    let mut bucket = Bucket::new(CRATES);
    bucket.change(&data.records(CRATES, "2026-05-31"), None);
    bucket.publish(&server);
    let mut operator = cluster.nodes()[0].operator();
    create(&mut operator, "crates", &format!("bucket+{}", server.url(CRATES))).await;
    settles(&operator, "crates", FeedState::Fresh).await;
    let lines: String = data.replay(CRATES).days().map(|(_, lines)| lines).collect();
    bucket.change(&lines, Some("2026-08-01T00:00:00Z"));
    bucket.publish(&server);

    let hold = cluster.hold(Point::FeedMidIngest);
    ask(&mut operator, "crates", false).await;
    let victim = hold.reached(WITHIN).await;
    cluster.nodes_mut()[victim].kill();
    drop(hold);
    let survivor = cluster.nodes()[(victim + 1) % 3].operator();
    settles(&survivor, "crates", FeedState::Fresh).await;
    assert_eq!(said(&cluster, "crates").await, bucket.documents());
    let snapshots = "select count(*) from vuln.snapshot where feed_id = 'crates'";
    assert_eq!(cluster.truth().number(snapshots).await, 2, "one for each of both readings");
}
