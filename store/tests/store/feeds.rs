//! Taking in what feeds publish: only what differs, never changing what was observed.

use std::time::Duration;

use model::{Digest, FeedId, SnapshotId};
use sqlx::{AssertSqlSafe, PgPool};
use store::feed_control::Fault;
use store::feeds::{self, Counts, Feed, NewFeed, Observed, Refresh, Unreadable};
use store::{Error, Fence, observations};

use crate::fixture::World;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) feed: FeedId,
    pub(crate) fence: Fence,
}

impl Scene {
    pub(crate) async fn new(owner: PgPool) -> Self {
        let world = World::new(owner).await;
        let node = world.node("n1").await;
        let fence = world.claim(node, 9).await;
        let feed: FeedId = "osv-npm".parse().unwrap();
        let new = NewFeed {
            id: feed.clone(),
            source: "https://feeds.example/npm.zip".to_owned(),
            format: "osv".to_owned(),
            interval: Duration::from_secs(3600),
            promise: Duration::from_secs(86_400),
        };
        let mut tx = world.store.fleet().await.unwrap();
        feeds::register(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        Self { world, feed, fence }
    }

    pub(crate) async fn begin(&self) -> Refresh {
        feeds::begin(&self.world.store, self.fence, &self.feed).await.unwrap()
    }

    /// A whole refresh that lists exactly these.
    pub(crate) async fn refresh(&self, listed: &[(&str, &str)]) -> (Counts, feeds::Finished) {
        let refresh = self.begin().await;
        let counts = feeds::ingest(&self.world.store, &refresh, &batch(listed)).await.unwrap();
        let ids: Vec<String> = listed.iter().map(|(id, _)| (*id).to_owned()).collect();
        let finished = feeds::finish(&self.world.store, &refresh, Some("etag"), Some(&ids)).await.unwrap();
        (counts, finished)
    }

    pub(crate) async fn stored(&self) -> Feed {
        let mut tx = self.world.store.fleet().await.unwrap();
        feeds::get(&mut tx, &self.feed).await.unwrap()
    }

    /// What has to be changed in one snapshot to come to another.
    async fn changed(&self, from: i64, to: i64) -> Vec<(String, Option<String>)> {
        let mut reader = observations::changed_between(&self.world.store, SnapshotId(from), SnapshotId(to));
        let mut all = Vec::new();
        loop {
            let page = reader.next_page(2).await.unwrap();
            if page.is_empty() {
                return all;
            }
            let text = |document: Vec<u8>| String::from_utf8(document).unwrap();
            all.extend(page.into_iter().map(|o| (o.advisory_id, o.document.map(text))));
        }
    }

    pub(crate) async fn as_of(&self, snapshot: i64) -> Vec<(String, String)> {
        let mut reader = observations::current(&self.world.store, SnapshotId(snapshot), None);
        let mut all = Vec::new();
        loop {
            let page = reader.next_page(2).await.unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page.into_iter().map(|o| (o.advisory_id, String::from_utf8(o.document).unwrap())));
        }
    }
}

pub(crate) fn batch(listed: &[(&str, &str)]) -> Vec<Observed> {
    listed
        .iter()
        .map(|(id, text)| Observed {
            advisory_id: (*id).to_owned(),
            digest: Digest::of(text.as_bytes()),
            document: text.as_bytes().to_vec(),
        })
        .collect()
}

pub(crate) fn pairs(listed: &[(&str, &str)]) -> Vec<(String, String)> {
    listed.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect()
}

#[sqlx::test]
async fn an_unchanged_feed_writes_no_row(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let listed = [("A-1", "one"), ("A-2", "two"), ("A-3", "three")];
    let (counts, finished) = scene.refresh(&listed).await;
    assert_eq!(counts, Counts { added: 3, changed: 0, unchanged: 0 });
    assert_eq!(finished.snapshot, Some(SnapshotId(1)));
    let rows = "select (select count(*) from vuln.observation) + (select count(*) from vuln.snapshot)";
    assert_eq!(scene.world.number(rows).await, 4);
    let (counts, finished) = scene.refresh(&listed).await;
    assert_eq!(counts, Counts { added: 0, changed: 0, unchanged: 3 });
    assert_eq!((finished.snapshot, finished.removed), (None, 0));
    assert_eq!(scene.world.number(rows).await, 4);
    let feed = scene.stored().await;
    assert_eq!(
        (feed.advisories, feed.cursor.as_deref(), feed.due, feed.late),
        (3, Some("etag"), false, false)
    );
}

#[sqlx::test]
async fn each_snapshot_keeps_what_was_listed_then(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one"), ("A-2", "two"), ("A-3", "three")]).await;
    let (counts, finished) = scene.refresh(&[("A-1", "one"), ("A-2", "two!"), ("A-4", "four")]).await;
    assert_eq!(counts, Counts { added: 1, changed: 1, unchanged: 1 });
    assert_eq!(finished, feeds::Finished { snapshot: Some(SnapshotId(2)), removed: 1 });
    let (counts, _) = scene.refresh(&[("A-3", "three")]).await;
    assert_eq!(counts, Counts { added: 1, changed: 0, unchanged: 0 }, "what comes back is new again");
    assert_eq!(scene.as_of(0).await, []);
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "one"), ("A-2", "two"), ("A-3", "three")]));
    assert_eq!(scene.as_of(2).await, pairs(&[("A-1", "one"), ("A-2", "two!"), ("A-4", "four")]));
    assert_eq!(scene.as_of(3).await, pairs(&[("A-3", "three")]));
    assert_eq!(scene.stored().await.advisories, 1);
    let mut tx = scene.world.store.fleet().await.unwrap();
    assert_eq!(observations::latest_snapshot(&mut tx).await.unwrap(), SnapshotId(3));
}

#[sqlx::test]
async fn what_differs_between_two_snapshots_leads_from_each_to_the_other(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one"), ("A-2", "two"), ("A-3", "three"), ("A-5", "five")]).await;
    scene.refresh(&[("A-1", "one"), ("A-2", "two!"), ("A-4", "four"), ("A-5", "five")]).await;
    scene.refresh(&[("A-1", "one"), ("A-2", "two"), ("A-3", "three"), ("A-5", "five!")]).await;
    let expected = |listed: &[(&str, &str)]| -> Vec<(String, Option<String>)> {
        listed
            .iter()
            .map(|(id, text)| ((*id).to_owned(), (!text.is_empty()).then(|| (*text).to_owned())))
            .collect()
    };
    let forth = expected(&[("A-2", "two!"), ("A-3", ""), ("A-4", "four")]);
    assert_eq!(scene.changed(1, 2).await, forth);
    assert_eq!(scene.changed(2, 1).await, expected(&[("A-2", "two"), ("A-3", "three"), ("A-4", "")]));
    // What has come and gone meanwhile may be told again; it is told as it stands.
    let far = expected(&[("A-2", "two"), ("A-3", "three"), ("A-4", ""), ("A-5", "five!")]);
    assert_eq!(scene.changed(1, 3).await, far);
    assert_eq!(scene.changed(3, 1).await[3], ("A-5".to_owned(), Some("five".to_owned())));
    assert_eq!(scene.changed(3, 3).await, []);
    assert_eq!(scene.changed(1, 0).await.len(), 4);
    let mut tx = scene.world.store.fleet().await.unwrap();
    let mut at_most =
        async |a, b| observations::changed_at_most(&mut tx, SnapshotId(a), SnapshotId(b)).await.unwrap();
    assert_eq!((at_most(1, 2).await, at_most(3, 1).await, at_most(2, 2).await), (3, 7, 0));
}

#[sqlx::test]
async fn of_several_with_one_id_the_last_counts(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (counts, _) = scene.refresh(&[("A-1", "old"), ("A-1", "new")]).await;
    assert_eq!(counts, Counts { added: 1, changed: 0, unchanged: 1 });
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "new")]));
}

#[sqlx::test]
async fn an_interrupted_refresh_is_invisible_until_the_next_has_finished(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let cut = scene.begin().await;
    feeds::ingest(&scene.world.store, &cut, &batch(&[("A-1", "uno"), ("A-2", "due")])).await.unwrap();
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "one")]));
    let taken_up = scene.begin().await;
    assert_eq!((taken_up.number, taken_up.cursor.as_deref()), (cut.number, None), "it must be read in full");
    feeds::ingest(&scene.world.store, &taken_up, &batch(&[("A-1", "uno"), ("A-2", "due")])).await.unwrap();
    let listed = ["A-1".to_owned(), "A-2".to_owned()];
    let finished = feeds::finish(&scene.world.store, &taken_up, None, Some(&listed)).await.unwrap();
    assert_eq!(finished.snapshot, Some(SnapshotId(2)), "what the first had written counts");
    assert_eq!(scene.as_of(2).await, pairs(&[("A-1", "uno"), ("A-2", "due")]));
    let twice = feeds::finish(&scene.world.store, &cut, None, None).await;
    assert!(matches!(twice, Err(Error::Stale { .. })), "{twice:?}");
    let late = feeds::ingest(&scene.world.store, &cut, &batch(&[("A-3", "tre")])).await;
    assert!(matches!(late, Err(Error::Stale { .. })), "a snapshot that was made stays as it is: {late:?}");
}

#[sqlx::test]
async fn a_failed_refresh_comes_again_after_a_while(owner: PgPool) {
    let scene = Scene::new(owner).await;
    assert!(scene.stored().await.due, "a new feed is due");
    let refresh = scene.begin().await;
    feeds::failed(&scene.world.store, &refresh, Fault::Failed, "connection refused").await.unwrap();
    let feed = scene.stored().await;
    assert_eq!((feed.failures, feed.last_error.as_deref(), feed.due), (1, Some("connection refused"), false));
    let mut tx = scene.world.store.fleet().await.unwrap();
    let revision = feeds::request_refresh(&mut tx, &scene.feed, false).await.unwrap();
    tx.commit().await.unwrap();
    let feed = scene.stored().await;
    assert_eq!((feed.revision, feed.due), (revision, true), "who asks does not wait for the back-off");
}

#[sqlx::test]
async fn what_cannot_be_read_is_kept_once_with_its_reason(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let refresh = scene.begin().await;
    let bad = Unreadable { entry: "x.json".into(), reason: "no id \0".into(), document: vec![b'x'; 100_000] };
    let store = &scene.world.store;
    assert_eq!(feeds::quarantine(store, &refresh, std::slice::from_ref(&bad)).await.unwrap(), 1);
    assert_eq!(feeds::quarantine(store, &refresh, &[bad]).await.unwrap(), 0);
    assert_eq!(scene.world.number("select length(document)::bigint from vuln.quarantine").await, 65_536);
    feeds::finish(store, &refresh, None, None).await.unwrap();
    assert_eq!(scene.stored().await.problems, 2);
}

#[sqlx::test]
async fn an_old_owner_of_the_feed_ingests_nothing(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let mut refresh = scene.begin().await;
    refresh.fence.epoch -= 1;
    let store = &scene.world.store;
    let refused = [
        feeds::ingest(store, &refresh, &batch(&[("A-1", "one")])).await.map(|_| ()),
        feeds::finish(store, &refresh, None, None).await.map(|_| ()),
        feeds::failed(store, &refresh, Fault::Failed, "x").await,
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(Error::Fenced { entity: "feed" })), "{outcome:?}");
    }
    assert_eq!(scene.world.number("select count(*) from vuln.observation").await, 0);
}

#[sqlx::test]
async fn an_observation_is_never_changed_by_anybody(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.refresh(&[("A-1", "one")]).await;
    let options = (*scene.world.owner.connect_options()).clone().username("starling_app");
    let app = PgPool::connect_with(options).await.unwrap();
    for statement in [
        "update vuln.observation set document = 'other'",
        "delete from vuln.observation",
        "truncate vuln.observation",
    ] {
        let mut tx = app.begin_with("begin; set local role starling_fleet").await.unwrap();
        let as_fleet = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
        let message = as_fleet.to_string();
        assert!(message.contains("permission denied for table observation"), "{statement}: {message}");
        let as_owner = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&scene.world.owner).await;
        let message = as_owner.expect_err(statement).to_string();
        assert!(message.contains("observations are append-only"), "{statement}: {message}");
    }
    assert_eq!(scene.as_of(1).await, pairs(&[("A-1", "one")]));
}
