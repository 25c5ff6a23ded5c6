//! What is known beside advisories: only what holds now, and only what differs is written.

use std::time::Duration;

use advisory::enrichment::{Catalogue, Enrichment, Entry, Score};
use model::{FeedId, ImageDigest, SnapshotId, TenantId};
use sqlx::PgPool;
use store::effects::{Effect, Evaluation};
use store::enrichment::{self, Span};
use store::feeds::{self, Counts, NewFeed, Refresh};
use store::{Error, Fence, observations};

use crate::fixture::{World, digest, evaluation, finding};

struct Scene {
    world: World,
    tenant: TenantId,
    fence: Fence,
    node: i64,
}

impl Scene {
    async fn new(owner: PgPool, feeds: &[&str]) -> Self {
        let world = World::new(owner).await;
        let tenant = world.tenant("a").await;
        let node = world.node("n1").await;
        let fence = world.claim(node, 9).await;
        let mut tx = world.store.fleet().await.unwrap();
        for feed in feeds {
            let new = NewFeed {
                id: id(feed),
                source: "file:///catalogue".to_owned(),
                format: Catalogue::Epss.as_str().to_owned(),
                interval: Duration::from_secs(3600),
                promise: Duration::from_secs(86_400),
            };
            feeds::register(&mut tx, &new).await.unwrap();
        }
        tx.commit().await.unwrap();
        Self { world, tenant, fence, node }
    }

    async fn begin(&self, feed: &str) -> Refresh {
        feeds::begin(&self.world.store, self.fence, &id(feed)).await.unwrap()
    }

    /// A whole reading in pages of two.
    async fn read(&self, feed: &str, entries: &[Entry]) -> (Counts, u64) {
        let store = &self.world.store;
        let refresh = self.begin(feed).await;
        let (mut counts, mut removed, mut after) = (Counts::default(), 0, String::new());
        let pages: Vec<&[Entry]> = if entries.is_empty() { vec![&[]] } else { entries.chunks(2).collect() };
        for (number, page) in pages.iter().enumerate() {
            let last = page.last().map(|entry| entry.name.clone()).unwrap_or_default();
            let until = (number + 1 < pages.len()).then_some(last.as_str());
            let span = Some(Span { after: &after, until });
            let (written, gone) = enrichment::take_in(store, &refresh, page, span).await.unwrap();
            counts += written;
            removed += gone;
            after = last;
        }
        assert_eq!(enrichment::count(store, &refresh).await.unwrap(), entries.len() as u64);
        let finished = feeds::finish(store, &refresh, None, Some(&[])).await.unwrap();
        assert_eq!(finished.snapshot, None, "it makes no snapshot");
        (counts, removed)
    }

    async fn known(&self, names: &[&str]) -> Enrichment {
        let mut tx = self.world.store.tenant(self.tenant).await.unwrap();
        enrichment::of(&mut tx, names).await.unwrap()
    }

    /// What each row was last written by.
    async fn written(&self) -> i64 {
        self.world.number("select coalesce(sum(xmin::text::bigint), 0)::bigint from vuln.enrichment").await
    }
}

fn id(feed: &str) -> FeedId {
    feed.parse().unwrap()
}

fn scored(name: &str, probability: f64) -> Entry {
    Entry { name: name.to_owned(), exploited: false, score: Some(Score { probability, percentile: 0.5 }) }
}

fn exploited(name: &str) -> Entry {
    Entry { name: name.to_owned(), exploited: true, score: None }
}

const fn counts(added: u64, changed: u64, unchanged: u64) -> Counts {
    Counts { added, changed, unchanged }
}

#[sqlx::test]
async fn a_reading_writes_what_differs_and_takes_back_what_is_not_named(owner: PgPool) {
    let scene = Scene::new(owner, &["epss", "other"]).await;
    let first = ["CVE-1-1", "CVE-1-2", "CVE-1-3", "CVE-2-1", "CVE-2-2"].map(|name| scored(name, 0.25));
    assert_eq!(scene.read("epss", &first).await, (counts(5, 0, 0), 0));
    assert_eq!(scene.read("other", &[exploited("CVE-1-2")]).await, (counts(1, 0, 0), 0));
    let written = scene.written().await;
    assert_eq!(scene.read("epss", &first).await, (counts(0, 0, 5), 0));
    assert_eq!(scene.written().await, written, "rows were written again");

    // Gone from the beginning, the middle and the end; one changed, one new.
    let second = [scored("CVE-1-2", 0.25), scored("CVE-1-30", 0.1), scored("CVE-2-1", 0.5)];
    assert_eq!(scene.read("epss", &second).await, (counts(1, 1, 1), 3));
    let all = ["CVE-1-1", "CVE-1-2", "CVE-1-3", "CVE-1-30", "CVE-2-1", "CVE-2-2"];
    let known = scene.known(&all).await;
    let scores: Vec<_> =
        known.entries().map(|e| (e.name, e.exploited, e.score.map(|s| s.probability))).collect();
    let expected = [("CVE-1-2", true, 0.25), ("CVE-1-30", false, 0.1), ("CVE-2-1", false, 0.5)];
    let expected = expected.map(|(name, exploited, score)| (name.to_owned(), exploited, Some(score)));
    assert_eq!(scores, expected, "what the feeds say counts together");

    assert_eq!(scene.read("epss", &[]).await, (counts(0, 0, 0), 3));
    assert!(
        !scene.known(&all).await.is_exploited(["CVE-1-1"])
            && scene.known(&all).await.is_exploited(["CVE-1-2"])
    );
}

#[sqlx::test]
async fn a_part_of_a_catalogue_takes_nothing_back_and_an_old_owner_writes_nothing(owner: PgPool) {
    let scene = Scene::new(owner, &["kev"]).await;
    let store = &scene.world.store;
    scene.read("kev", &[exploited("CVE-1-1")]).await;
    let refresh = scene.begin("kev").await;
    let part = [exploited("CVE-1-2")];
    let done = enrichment::take_in(store, &refresh, &part, None).await.unwrap();
    assert_eq!(done, (counts(1, 0, 0), 0));
    assert_eq!(enrichment::count(store, &refresh).await.unwrap(), 2);
    feeds::finish(store, &refresh, None, Some(&[])).await.unwrap();
    let after = enrichment::take_in(store, &refresh, &part, None).await;
    assert!(matches!(after, Err(Error::Stale { entity: "feed" })), "it has ended: {after:?}");
    let mut old = scene.begin("kev").await;
    old.fence.epoch -= 1;
    let fenced = enrichment::take_in(store, &old, &part, None).await;
    assert!(matches!(fenced, Err(Error::Fenced { entity: "feed" })), "{fenced:?}");
    let mut tx = store.fleet().await.unwrap();
    assert_eq!(observations::latest_snapshot(&mut tx).await.unwrap(), SnapshotId(0));
}

#[sqlx::test]
async fn findings_that_are_exploited_are_counted_by_any_of_their_names(owner: PgPool) {
    let scene = Scene::new(owner, &["kev", "epss"]).await;
    let (world, tenant, fence) = (&scene.world, scene.tenant, scene.fence);
    world.scanned(tenant, "x", scene.node, fence).await;
    let image = ImageDigest::new(digest("x"));
    let found: Vec<_> = (0..4).map(finding).collect();
    let next = Evaluation {
        findings: ::evaluation::Written::of(found),
        ..evaluation(tenant, &image, fence, 1, 0, vec![])
    };
    let next = world.following(next).await;
    world.apply(Effect::SaveEvaluation(Box::new(next))).await.unwrap();
    let count = async |version| {
        let mut tx = world.store.tenant(tenant).await.unwrap();
        enrichment::exploited(&mut tx, &image, version).await.unwrap()
    };
    assert_eq!(count(2).await, 0);
    // By the vulnerability, by an alias, one that is scored only, and one that no finding is of.
    let known = [exploited("CVE-2024-0001"), exploited("CVE-2024-0009"), exploited("GHSA-3")];
    scene.read("kev", &known).await;
    scene.read("epss", &[scored("CVE-2024-0000", 0.9)]).await;
    assert_eq!((count(1).await, count(2).await), (1, 2));
}
