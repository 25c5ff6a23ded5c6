//! Two months of real changes, day by day: after each day every image's result is the one that a full evaluation of
//! its components gives, against an index built anew of what the feeds list then. No image is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use advisory::Advisory;
use advisory::formats::by_word;
use evaluation::Index;
use model::{FeedId, Sbom};
use tests::clients::Clients;
use tests::shared_data::{DATES, FEEDS};
use tests::{FeedFolder, Replay, Settings, SharedData, TestCluster, Truth, eventually_ok};

use crate::real_images::{IMAGES, found, read};

const WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn after_each_day_of_two_months_the_results_are_those_of_a_full_evaluation() {
    let Some(data) = SharedData::find() else {
        println!("skipped: there is no ../shared/data beside the repository, with images and advisories");
        return;
    };
    let cluster = TestCluster::start(Settings::default()).await;
    let mut client = cluster.nodes()[0].client(&cluster.tenant("replay").await);
    let mut operator = cluster.nodes()[1].operator();
    let mut feeds: Vec<_> = FEEDS.iter().map(|feed| (data.replay(feed), FeedFolder::empty())).collect();
    for (replay, folder) in &feeds {
        folder.put_lines(replay.feed(), &replay.lines());
        cluster.create_feed(replay.feed(), folder).await;
    }
    for (replay, _) in &feeds {
        cluster.feed_is_read(replay.feed()).await;
    }
    for name in IMAGES {
        let job = client.put_and_submit(&data.image(name)).await;
        client.done(&job, WITHIN).await;
    }
    let sboms = sboms(cluster.truth()).await;
    assert_eq!(sboms.len(), IMAGES.len(), "every image has its components");
    let layers_read = layers_read(cluster.truth()).await;
    let mut cold = Cold::default();
    current(cluster.truth(), &cold.results(&feeds, &sboms), "before the first day").await;
    let before = all_found(&data, &mut client).await;

    let dates: BTreeSet<String> =
        feeds.iter().flat_map(|(replay, _)| replay.dates().map(str::to_owned)).collect();
    assert!(dates.len() > 50, "there are days to go through: {}", dates.len());
    for date in dates {
        for (replay, folder) in &mut feeds {
            if replay.go_on(&date) {
                folder.put_lines(replay.feed(), &replay.lines());
                read(&mut operator, replay.feed()).await;
            }
        }
        current(cluster.truth(), &cold.results(&feeds, &sboms), &date).await;
    }
    // What has no days, and changed all the same.
    for (replay, folder) in &feeds {
        if replay.dates().next().is_none() {
            folder.put_lines(replay.feed(), &data.records(replay.feed(), DATES[1]));
            read(&mut operator, replay.feed()).await;
        }
    }
    let after = eventually_expected(&data, &mut client).await;
    for name in IMAGES {
        let changes = |from: &Found, to: &Found| -> Found { to.difference(from).cloned().collect() };
        let (appeared, resolved) = data.expected_changes(name);
        assert_eq!(changes(&before[name], &after[name]), appeared, "what appeared in {name}");
        assert_eq!(changes(&after[name], &before[name]), resolved, "what was resolved in {name}");
    }
    assert_eq!(self::layers_read(cluster.truth()).await, layers_read, "no image is read again");
}

type Found = BTreeSet<tests::shared_data::Expected>;

async fn all_found(data: &SharedData, client: &mut Clients) -> BTreeMap<&'static str, Found> {
    let mut all = BTreeMap::new();
    for name in IMAGES {
        all.insert(name, found(client, &data.image(name).digest()).await);
    }
    all
}

/// Waits until all is found that must be at the later date, and nothing else.
async fn eventually_expected(data: &SharedData, client: &mut Clients) -> BTreeMap<&'static str, Found> {
    eventually_ok(WITHIN, "the findings of the later date", || {
        let mut client = client.clone();
        async move {
            let all = all_found(data, &mut client).await;
            match IMAGES.iter().find(|name| all[**name] != data.expected(name, DATES[1])) {
                None => Ok(all),
                Some(name) => Err(format!("{name}: {:?}", all[*name])),
            }
        }
    })
    .await
}

/// The components of every image, by the image's digest.
async fn sboms(truth: &Truth) -> BTreeMap<String, Sbom> {
    let query = "select i.digest, s.document from scanner.image i
                 join scanner.sbom s on s.tenant_id = i.tenant_id and s.digest = i.sbom_digest";
    let rows = truth.rows(query).await;
    let sbom = |row: &sqlx::postgres::PgRow| {
        let document: Vec<u8> = sqlx::Row::get(row, 1);
        (sqlx::Row::get(row, 0), inventory::sbom::parse(&document).expect("it was stored"))
    };
    rows.iter().map(sbom).collect()
}

/// How often a worker was given an image to read.
async fn layers_read(truth: &Truth) -> i64 {
    truth.number("select count(*) from orchestrator.job_event where stage = 'extracting'").await
}

/// Waits until the last verdict of every image says this.
async fn current(truth: &Truth, expected: &BTreeMap<String, String>, when: &str) {
    let query =
        "select distinct on (tenant_id, image_digest) image_digest, findings_digest from scanner.verdict
                 order by tenant_id, image_digest, version desc";
    eventually_ok(WITHIN, &format!("the results of {when}"), || async {
        let rows = truth.rows(query).await;
        let stored: BTreeMap<String, String> =
            rows.iter().map(|row| (sqlx::Row::get(row, 0), sqlx::Row::get(row, 1))).collect();
        if stored == *expected { Ok(()) } else { Err(format!("stored {stored:#?}, expected {expected:#?}")) }
    })
    .await;
}

/// Full evaluations. Records that did not change are not parsed again.
#[derive(Default)]
struct Cold {
    parsed: BTreeMap<String, Advisory>,
}

impl Cold {
    /// The digest of the findings of every image, by the records that the feeds list now.
    fn results(
        &mut self,
        feeds: &[(Replay, FeedFolder)],
        sboms: &BTreeMap<String, Sbom>,
    ) -> BTreeMap<String, String> {
        let mut listed = Vec::new();
        for (replay, _) in feeds {
            let feed: FeedId = replay.feed().parse().expect("a feed's name");
            listed.extend(replay.records().map(|record| (feed.clone(), self.advisory(record))));
        }
        let index = Index::build(listed);
        let result = |sbom| evaluation::findings_digest(&evaluation::evaluate(sbom, &index).findings);
        sboms.iter().map(|(image, sbom)| (image.clone(), result(sbom).as_str().to_owned())).collect()
    }

    fn advisory(&mut self, record: &str) -> Advisory {
        let parse = || {
            let format = by_word("osv").expect("it is in the table");
            let parsed = (format.parse)(record.as_bytes(), &advisory::Limits::default());
            parsed.unwrap_or_else(|error| panic!("{error}: {record}")).0
        };
        self.parsed.entry(record.to_owned()).or_insert_with(parse).clone()
    }
}
