//! Real images against real advisories of two dates: exactly what must be found is found, and when the
//! feeds change, exactly what changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proto_api::feed::v1::{Feed, FeedFreshness, RefreshFeedRequest};
use proto_api::finding::v1::Finding;
use tests::clients::{Clients, request_id};
use tests::images::Image;
use tests::shared_data::{DATES, Expected, FEEDS};
use tests::{FeedFolder, Settings, SharedData, TestCluster, eventually_ok};

/// Those with findings that were told from outside.
pub(crate) const IMAGES: [&str; 7] = [
    "alma9-micro-2022",
    "alpine320-node",
    "debian12-min",
    "java-spark",
    "node-legacy",
    "python-legacy",
    "rust-distroless",
];
const WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn real_images_have_exactly_the_findings_of_either_date() {
    let Some(data) = SharedData::find() else {
        println!("skipped: there is no ../shared/data beside the repository, with images and advisories");
        return;
    };
    let cluster = TestCluster::start(Settings::default()).await;
    let tenant = cluster.tenant("real").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let mut operator = cluster.nodes()[1].operator();
    let folders: Vec<_> = FEEDS.iter().map(|_| FeedFolder::empty()).collect();

    for (turn, date) in DATES.into_iter().enumerate() {
        for (feed, folder) in FEEDS.into_iter().zip(&folders) {
            data.fill(folder, feed, date);
            if turn == 0 {
                cluster.create_feed(feed, folder).await;
            }
            read(&mut operator, feed).await;
        }
        for name in IMAGES {
            let image = data.image(name);
            let job = client.put_and_submit(&image).await;
            client.done(&job, WITHIN).await;
            check(&mut client, &image.digest(), &data.expected(name, date), &format!("{name} at {date}"))
                .await;
        }
    }
}

/// OSV-Scanner 1.9.2, offline and with the advisories of `demo/advisories`, names what `demo/expected.tsv` says. It was
/// given what dpkg-query, npm and pip themselves list of the image's root; `demo/README.md` has the steps.
#[tokio::test]
async fn the_demo_image_has_the_findings_that_an_outside_scanner_names() {
    let made = Command::new("../demo/make-image").output().expect("the recipe can be started");
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr);
        println!("skipped: the demo image cannot be made here: {}", why.lines().last().unwrap_or_default());
        return;
    }
    let path = String::from_utf8(made.stdout).expect("a path");
    let image = Image::read_layout(Path::new(path.lines().last().expect("the recipe tells the path")));
    let cluster = TestCluster::start(Settings::default()).await;
    let mut client = cluster.nodes()[0].client(&cluster.tenant("demo").await);
    let folder = FeedFolder::empty();
    for file in fs::read_dir("../demo/advisories").unwrap() {
        folder.take(&file.unwrap().path());
    }
    cluster.create_feed("demo", &folder).await;
    cluster.feed_is_read("demo").await;

    let job = client.put_and_submit(&image).await;
    client.done(&job, WITHIN).await;
    let expected = fs::read_to_string("../demo/expected.tsv").unwrap();
    let expected: BTreeSet<_> = expected
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let row: Vec<_> = line.split('\t').map(str::to_owned).collect();
            let [package, version, advisory] = row.try_into().expect("three columns");
            Expected { package, version, advisory }
        })
        .collect();
    assert!(expected.len() > 100, "the expectation is there");
    // The scanner names one of several advisories that are aliases; Starling tells all of them.
    let findings = client.all_findings(&image.digest()).await;
    let found: BTreeSet<_> = findings.iter().flat_map(named).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let aliases = |finding: &Finding| -> BTreeSet<_> {
        finding.aliases.iter().map(|alias| line(finding, alias)).chain(named(finding)).collect()
    };
    let (known, rest): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| !aliases(finding).is_disjoint(&expected));
    let known: BTreeSet<_> = known.into_iter().flat_map(aliases).collect();
    let surplus: Vec<_> = rest.into_iter().filter(|finding| aliases(finding).is_disjoint(&known)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}, surplus {surplus:#?}");
}

/// A finding as lines of an expectation, one for each of its advisories.
fn named(finding: &Finding) -> BTreeSet<Expected> {
    finding.advisories.iter().map(|advisory| line(finding, &advisory.advisory)).collect()
}

fn line(finding: &Finding, advisory: &str) -> Expected {
    Expected {
        package: package_name(finding),
        version: source_version(&finding.version).to_owned(),
        advisory: advisory.to_owned(),
    }
}

/// Has the feed read again, and waits until it was.
pub(crate) async fn read(operator: &mut Clients, feed_id: &str) {
    let request = RefreshFeedRequest { request_id: request_id(), feed_id: feed_id.to_owned(), whole: false };
    let asked = operator.feeds.refresh_feed(request).await.unwrap().into_inner().feed.unwrap();
    let read_again = |feed: &Feed| {
        let then = asked.last_success_time.map(|t| (t.seconds, t.nanos));
        feed.freshness() == FeedFreshness::Fresh
            && feed.last_success_time.map(|t| (t.seconds, t.nanos)) > then
    };
    eventually_ok(WITHIN, &format!("feed {feed_id} is read"), || {
        let mut operator = operator.clone();
        async move {
            let feed = operator.feed(feed_id).await;
            if read_again(&feed) { Ok(()) } else { Err(feed) }
        }
    })
    .await;
}

/// What is found in the image, as lines of an expectation.
pub(crate) async fn found(client: &mut Clients, image: &str) -> BTreeSet<Expected> {
    client.all_findings(image).await.iter().flat_map(named).collect()
}

async fn check(client: &mut Clients, image: &str, expected: &BTreeSet<Expected>, what: &str) {
    let found = found(client, image).await;
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}: missing {missing:#?}, surplus {surplus:#?}");
}

/// As the expectation writes it: names of Python distributions are normalised (PEP 503).
fn package_name(finding: &Finding) -> String {
    match finding.purl.strip_prefix("pkg:pypi/") {
        Some(rest) => rest.split('@').next().unwrap_or_default().to_owned(),
        None => finding.package.clone(),
    }
}

/// Without the number of a rebuild (`+b6`), which the source package does not have.
fn source_version(version: &str) -> &str {
    let rebuild = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    version.rsplit_once("+b").filter(|(_, number)| rebuild(number)).map_or(version, |(source, _)| source)
}
