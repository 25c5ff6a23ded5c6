//! What changed in meaning: noted with the revisions, told by snapshot, folded over several.

use advisory::delta::{Kind, Part};
use model::{FeedId, SnapshotId};
use sqlx::PgPool;
use store::deltas::{self, FoldedDelta, Stretch};
use store::feeds;
use store::observations::{self, Asked};

use crate::feeds::{Scene, batch};

/// One folded change in short: id, before, after, kind, parts.
type Short = (String, Option<u32>, Option<u32>, Kind, Vec<Part>);

fn short(delta: FoldedDelta) -> Short {
    (delta.advisory_id, delta.before, delta.after, delta.kind, delta.parts.into_iter().collect())
}

fn change(id: &str, before: Option<u32>, after: Option<u32>, kind: Kind, parts: &[Part]) -> Short {
    (id.to_owned(), before, after, kind, parts.to_vec())
}

/// A record of the package `p`, affected before this version.
fn fixed_in(id: &str, version: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}",{more}"affected":[{{"package":{{"ecosystem":"npm","name":"p"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{version}"}}]}}]}}]}}"#
    )
}

impl Scene {
    /// All changes after a snapshot up to another, read in pages of two.
    async fn between(&self, after: i64, until: i64) -> Vec<Short> {
        let mut tx = self.world.store.fleet().await.unwrap();
        let stretch = Stretch { after: SnapshotId(after), until: SnapshotId(until), feed: None };
        let mut all: Vec<FoldedDelta> = Vec::new();
        loop {
            let from = all.last().map(|last| (last.feed.clone(), last.advisory_id.clone()));
            let from = from.as_ref().map(|(feed, id)| (feed, id.as_str()));
            let page = deltas::between(&mut tx, stretch, from, 2).await.unwrap();
            assert!(page.len() <= 2);
            if page.is_empty() {
                return all.into_iter().map(short).collect();
            }
            all.extend(page);
        }
    }

    async fn publish(&self, listed: &[(&str, &str)]) {
        self.refresh(listed).await;
    }
}

#[sqlx::test]
async fn a_snapshot_tells_what_changed_in_meaning_and_not_what_reads_differently(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (a, b) = (fixed_in("A-1", "1.0.0", ""), fixed_in("A-2", "1.0.0", ""));
    let (c, d) = (fixed_in("A-3", "1.0.0", ""), fixed_in("A-4", "1.0.0", ""));
    scene.publish(&[("A-1", &a), ("A-2", &b), ("A-3", &c), ("A-4", &d)]).await;
    let added = |id| change(id, None, Some(1), Kind::Added, &[]);
    let all = ["A-1", "A-2", "A-3", "A-4"].map(added);
    assert_eq!(scene.between(0, 1).await, all);
    assert_eq!(
        scene.world.number("select count(*) from vuln.difference").await,
        0,
        "the first is told by itself"
    );

    let prose = fixed_in("A-1", "1.0.0", r#""summary":"new words","modified":"2026-01-01T00:00:00Z","#);
    let range = fixed_in("A-2", "1.0.1", "");
    let withdrawn = fixed_in("A-3", "1.0.0", r#""withdrawn":"2026-01-01T00:00:00Z","#);
    scene.publish(&[("A-1", &prose), ("A-2", &range), ("A-3", &withdrawn)]).await;
    let second = [
        change("A-2", Some(1), Some(2), Kind::Modified, &[Part::Ranges, Part::Fix]),
        change("A-3", Some(1), Some(2), Kind::Withdrawn, &[Part::Withdrawn]),
        change("A-4", Some(1), None, Kind::Removed, &[]),
    ];
    assert_eq!(scene.between(1, 2).await, second);
    let in_view = "select count(*) from vuln.delta where snapshot_id = 2";
    assert_eq!(scene.world.number(in_view).await, 3);

    scene.publish(&[("A-1", &prose), ("A-2", &range), ("A-3", &c), ("A-4", &d)]).await;
    let third = [
        change("A-3", Some(2), Some(3), Kind::Restored, &[Part::Withdrawn]),
        change("A-4", None, Some(3), Kind::Restored, &[]),
    ];
    assert_eq!(scene.between(2, 3).await, third);
    // There and back is no change, and what was new at first is new over all.
    assert_eq!(scene.between(1, 3).await, second[..1]);
    let over_all = [("A-1", 1), ("A-2", 2), ("A-3", 3), ("A-4", 3)];
    let over_all = over_all.map(|(id, after)| change(id, None, Some(after), Kind::Added, &[]));
    assert_eq!(scene.between(0, 3).await, over_all);
}

#[sqlx::test]
async fn what_came_and_went_is_no_change(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (a, b) = (fixed_in("A-1", "1.0.0", ""), fixed_in("A-2", "1.0.0", ""));
    scene.publish(&[("A-1", &a)]).await;
    scene.publish(&[("A-1", &a), ("A-2", &b)]).await;
    scene.publish(&[("A-1", &a)]).await;
    assert_eq!(scene.between(1, 2).await, [change("A-2", None, Some(1), Kind::Added, &[])]);
    assert_eq!(scene.between(2, 3).await, [change("A-2", Some(1), None, Kind::Removed, &[])]);
    assert_eq!(scene.between(1, 3).await, []);
}

#[sqlx::test]
async fn an_interrupted_refresh_tells_its_changes_when_it_has_ended(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.publish(&[("A-1", &fixed_in("A-1", "1.0.0", ""))]).await;
    let store = &scene.world.store;
    let cut = scene.begin().await;
    let (second, other) = (fixed_in("A-1", "1.0.1", ""), fixed_in("A-2", "3.0.0", ""));
    feeds::ingest(store, &cut, &batch(&[("A-1", &second), ("A-2", &other)])).await.unwrap();
    assert_eq!(scene.between(0, 9).await, [change("A-1", None, Some(1), Kind::Added, &[])]);
    // The source has gone on meanwhile: three revisions, of which two count from one snapshot.
    let taken_up = scene.begin().await;
    let third = fixed_in("A-1", "1.0.2", "");
    feeds::ingest(store, &taken_up, &batch(&[("A-1", &third), ("A-2", &other)])).await.unwrap();
    feeds::finish(store, &taken_up, None, Some(&["A-1".to_owned(), "A-2".to_owned()])).await.unwrap();
    let told = [
        change("A-1", Some(1), Some(3), Kind::Modified, &[Part::Ranges, Part::Fix]),
        change("A-2", None, Some(1), Kind::Added, &[]),
    ];
    assert_eq!(scene.between(1, 2).await, told);
}

#[sqlx::test]
async fn what_cannot_be_compared_may_have_changed_in_everything(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.publish(&[("A-1", "no document of this format")]).await;
    scene.publish(&[("A-1", "another")]).await;
    assert_eq!(scene.between(1, 2).await, [change("A-1", Some(1), Some(2), Kind::Modified, &Part::ALL)]);
}

#[sqlx::test]
async fn a_snapshot_rings_for_the_scheduler_and_a_refresh_without_one_does_not(owner: PgPool) {
    let scene = Scene::new(owner).await;
    scene.world.bells().await;
    let listed = [("A-1", "one")];
    scene.publish(&listed).await;
    let keys = |bells: Vec<store::Bell>| bells.into_iter().map(|b| (b.kind, b.key)).collect::<Vec<_>>();
    assert_eq!(keys(scene.world.bells().await), [("system".to_owned(), "scheduler".to_owned())]);
    scene.publish(&listed).await;
    assert_eq!(keys(scene.world.bells().await), []);
}

#[sqlx::test]
async fn revisions_come_with_where_they_came_from(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let refresh = scene.begin().await;
    let marked = feeds::Origin { mark: Some("etag-1".to_owned()), ..refresh.origin.clone() };
    let refresh = feeds::Refresh { origin: marked, ..refresh };
    let store = &scene.world.store;
    feeds::ingest(store, &refresh, &batch(&[("A-1", "one"), ("A-2", "two")])).await.unwrap();
    feeds::ingest(store, &refresh, &batch(&[("A-3", "three")])).await.unwrap();
    feeds::finish(store, &refresh, Some("etag-1"), None).await.unwrap();
    assert_eq!(scene.world.number("select count(*) from vuln.origin").await, 1, "one reading, one origin");
    let feed: FeedId = "osv-npm".parse().unwrap();
    let asked = |id: &str, revision| Asked { feed: feed.clone(), advisory_id: id.to_owned(), revision };
    let mut tx = store.fleet().await.unwrap();
    let found =
        observations::revisions(&mut tx, &[asked("A-1", 1), asked("A-1", 2), asked("A-9", 1)]).await.unwrap();
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.document.as_deref(), one.snapshot), (Some(&b"one"[..]), Some(SnapshotId(1))));
    assert_eq!(one.digest, Some(model::Digest::of(b"one")));
    assert_eq!(
        (one.source.as_str(), one.format.as_str(), one.mark.as_deref()),
        ("https://feeds.example/npm.zip", "osv", Some("etag-1"))
    );
    assert!(one.collector.starts_with("starling/"), "{}", one.collector);
}

#[sqlx::test]
async fn snapshots_are_listed_with_how_much_they_mean(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let (a, b) = (fixed_in("A-1", "1.0.0", ""), fixed_in("A-2", "1.0.0", ""));
    scene.publish(&[("A-1", &a), ("A-2", &b)]).await;
    let prose = fixed_in("A-1", "1.0.0", r#""summary":"new words","#);
    scene.publish(&[("A-1", &prose), ("A-2", &fixed_in("A-2", "2.0.0", ""))]).await;
    let tenant = scene.world.tenant("a").await;
    let said = crate::vex::document_by("Us", "a1", "1", &["CVE-1"]);
    crate::vex::attach(&scene.world, tenant, &said, &[]).await;
    let mut tx = scene.world.store.fleet().await.unwrap();
    let all = deltas::snapshots(&mut tx, None, None, 10).await.unwrap();
    let counts: Vec<_> = all.iter().map(|s| (s.id.0, s.added, s.changed, s.removed, s.meaningful)).collect();
    assert_eq!(counts, [(3, 0, 0, 0, 0), (2, 0, 2, 0, 1), (1, 2, 0, 0, 2)]);
    let by: Vec<_> = all.iter().map(|s| s.feed.as_ref()).collect();
    assert_eq!(by, [None, Some(&scene.feed), Some(&scene.feed)], "what is attached is of no feed");
    let ids = |found: &[deltas::Snapshot]| found.iter().map(|s| s.id.0).collect::<Vec<_>>();
    let of_feed = deltas::snapshots(&mut tx, Some(&scene.feed), None, 10).await.unwrap();
    let older = deltas::snapshots(&mut tx, Some(&scene.feed), Some(SnapshotId(2)), 10).await.unwrap();
    assert_eq!((ids(&of_feed), ids(&older)), (vec![2, 1], vec![1]));
}
