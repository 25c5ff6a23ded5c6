//! Documents of VEX: what counts as of a snapshot, for whom, and what a change of it concerns.

use std::collections::BTreeSet;

use ::vex::{Limits, Summary};
use model::{FeedId, ImageDigest, Lane, SnapshotId, TenantId};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use store::aoc::{self, Rule};
use store::feeds::{self, Kind, NewFeed};
use store::vex::{self, Attached, Attaching, Filter, Source, SourceOrigin, Stretch};
use store::{Error, Fence, deltas};
use uuid::Uuid;

use crate::feeds::batch;
use crate::fixture::{World, digest};

const SYSTEM: TenantId = TenantId::SYSTEM;

/// An OpenVEX document that says of these vulnerabilities that they do not matter.
pub(crate) fn document(id: &str, version: &str, vulnerabilities: &[&str]) -> String {
    document_by("Jo", id, version, vulnerabilities)
}

pub(crate) fn document_by(author: &str, id: &str, version: &str, vulnerabilities: &[&str]) -> String {
    let statement = |name: &&str| {
        json!({"vulnerability": {"name": name}, "products": [{"@id": "pkg:npm/left-pad@1.0.0"}],
               "status": "not_affected", "justification": "vulnerable_code_not_present"})
    };
    let statements: Vec<_> = vulnerabilities.iter().map(statement).collect();
    json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": id, "author": author, "version": version,
           "timestamp": "2026-01-01T00:00:00Z", "statements": statements})
    .to_string()
}

fn attaching(content: &str, signature: Option<&[u8]>, images: &[ImageDigest]) -> Attaching {
    let read = Summary::read(content.as_bytes(), signature.is_some(), &Limits::default());
    Attaching {
        id: Uuid::now_v7(),
        content: content.as_bytes().to_vec(),
        signature: signature.map(<[u8]>::to_vec),
        summary: read.unwrap().0,
        images: images.to_vec(),
        by: "jo".to_owned(),
        reason: "looked at it".to_owned(),
    }
}

pub(crate) fn attaching_signed(content: &str) -> Attaching {
    attaching(content, Some(b"signature"), &[])
}

async fn try_attach(world: &World, tenant: TenantId, attaching: &Attaching) -> Result<SnapshotId, Error> {
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let snapshot = vex::attach(&mut tx, attaching).await?;
    tx.commit().await.unwrap();
    Ok(snapshot)
}

pub(crate) async fn attach(
    world: &World,
    tenant: TenantId,
    content: &str,
    images: &[ImageDigest],
) -> Attached {
    let attaching = attaching(content, None, images);
    try_attach(world, tenant, &attaching).await.unwrap();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    vex::get(&mut tx, attaching.id).await.unwrap()
}

pub(crate) async fn detach(world: &World, tenant: TenantId, id: Uuid) -> SnapshotId {
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let snapshot = vex::detach(&mut tx, id, "jo", "it was wrong").await.unwrap();
    tx.commit().await.unwrap();
    snapshot
}

async fn about(world: &World, tenant: TenantId, names: &[&str], at: i64) -> Vec<Source> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    vex::about(&mut tx, &names, SnapshotId(at)).await.unwrap()
}

/// The files that are found, as text.
async fn texts(world: &World, tenant: TenantId, names: &[&str], at: i64) -> Vec<String> {
    let sources = about(world, tenant, names, at).await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let files = vex::bytes(&mut tx, &sources.iter().collect::<Vec<_>>()).await.unwrap();
    files.into_iter().map(|file| String::from_utf8(file).unwrap()).collect()
}

/// What a stretch concerns, two names at a time, with the parts of a snapshot put together.
pub(crate) async fn concerns(
    world: &World,
    after: i64,
    until: i64,
) -> Vec<(i64, Option<TenantId>, usize, Vec<String>)> {
    let stretch = Stretch { after: SnapshotId(after), until: SnapshotId(until) };
    let mut tx = world.store.fleet().await.unwrap();
    let mut all: Vec<(i64, Option<TenantId>, usize, Vec<String>)> = Vec::new();
    let mut place = None;
    while let Some((found, next)) = vex::concerns(&mut tx, stretch, place.as_ref(), 2).await.unwrap() {
        assert!((1..=2).contains(&found.names.len()));
        let images = found.images.map_or(0, |images| images.len());
        match all.last_mut().filter(|(snapshot, ..)| *snapshot == found.snapshot.0) {
            Some((.., names)) => names.extend(found.names),
            None => all.push((found.snapshot.0, found.tenant, images, found.names.into_iter().collect())),
        }
        place = Some(next);
    }
    all
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// A feed of VEX beside the world.
struct Publisher {
    world: World,
    feed: FeedId,
    fence: Fence,
}

impl Publisher {
    async fn new(owner: PgPool) -> Self {
        let world = World::new(owner).await;
        let node = world.node("n1").await;
        let fence = world.claim(node, 9).await;
        let publisher = Self { world, feed: "vendor-vex".parse().unwrap(), fence };
        publisher.register("vex").await.unwrap();
        publisher
    }

    async fn register(&self, format: &str) -> Result<feeds::Feed, Error> {
        let new = NewFeed {
            id: self.feed.clone(),
            source: "https://vendor.example/vex/".to_owned(),
            format: format.to_owned(),
            interval: std::time::Duration::from_secs(3600),
            promise: std::time::Duration::from_secs(86_400),
        };
        let mut tx = self.world.store.fleet().await.unwrap();
        let feed = feeds::register(&mut tx, &new).await?;
        tx.commit().await.unwrap();
        Ok(feed)
    }

    /// A whole refresh that lists exactly these; answers its snapshot.
    async fn publish(&self, listed: &[(&str, &str)]) -> i64 {
        let store = &self.world.store;
        let refresh = feeds::begin(store, self.fence, &self.feed).await.unwrap();
        feeds::ingest(store, &refresh, &batch(listed)).await.unwrap();
        let ids: Vec<String> = listed.iter().map(|(id, _)| (*id).to_owned()).collect();
        feeds::finish(store, &refresh, None, Some(&ids)).await.unwrap().snapshot.map_or(0, |id| id.0)
    }
}

#[sqlx::test]
async fn a_document_counts_from_its_snapshot_until_it_is_taken_back(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let file = document("https://e.example/1", "1", &["cve-2024-1", "GHSA-x"]);
    let attached = attach(&world, tenant, &file, &[]).await;
    assert_eq!((attached.snapshot, attached.detached.clone()), (SnapshotId(1), None));
    assert_eq!((attached.document_id.as_str(), attached.statements), ("https://e.example/1", 2));
    assert_eq!((attached.by.as_str(), attached.size), ("jo", file.len() as u64));
    assert_eq!(about(&world, tenant, &["CVE-2024-1"], 0).await, []);
    let found = about(&world, tenant, &["CVE-2024-1"], 1).await;
    assert_eq!(found[0].origin, SourceOrigin::Attached { tenant, id: attached.id });
    assert_eq!((&found[0].digest, found[0].taken_in), (&attached.digest, attached.at));
    assert_eq!(texts(&world, tenant, &["ghsa-X"], 1).await, [file.as_str()], "in whichever case");
    assert_eq!(about(&world, tenant, &["CVE-2024-2"], 1).await, []);
    assert_eq!(detach(&world, tenant, attached.id).await, SnapshotId(2));
    assert_eq!(about(&world, tenant, &["CVE-2024-1"], 1).await, found, "the past stays as it was");
    assert_eq!(about(&world, tenant, &["CVE-2024-1"], 2).await, []);
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let detached = vex::get(&mut tx, attached.id).await.unwrap().detached.unwrap();
    assert_eq!((detached.reason.as_str(), detached.snapshot), ("it was wrong", SnapshotId(2)));
    let again = vex::detach(&mut tx, attached.id, "jo", "").await;
    assert!(matches!(again, Err(Error::NotFound { entity: "vex document" })), "{again:?}");
}

#[sqlx::test]
async fn each_change_is_a_snapshot_and_wakes_the_scheduler(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    world.bells().await;
    let attached = attach(&world, tenant, &document("d", "1", &["CVE-1"]), &[]).await;
    let bells = world.bells().await;
    let told: Vec<_> = bells.iter().map(|b| (b.kind.as_str(), b.tenant, b.key.as_str(), b.lane)).collect();
    assert_eq!(told, [("system", SYSTEM, "scheduler", Lane::Bulk)]);
    detach(&world, tenant, attached.id).await;
    assert_eq!(world.bells().await.len(), 1);
    let made = "select count(*) from vuln.snapshot where feed_id is null and refresh is null and added = 0";
    assert_eq!(world.number(made).await, 2);
    assert_eq!(world.number("select snapshot_id from vuln.latest").await, 2);
}

#[sqlx::test]
async fn the_same_is_attached_once_to_the_same_images(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let (one, two) = (ImageDigest::new(digest("one")), ImageDigest::new(digest("two")));
    let file = document("d", "1", &["CVE-1"]);
    let both = attach(&world, tenant, &file, &[two.clone(), one.clone(), one.clone()]).await;
    assert_eq!(both.images, {
        let mut sorted = vec![one.clone(), two.clone()];
        sorted.sort();
        sorted
    });
    let again = try_attach(&world, tenant, &attaching(&file, None, &[one.clone(), two])).await;
    assert!(matches!(again, Err(Error::AlreadyExists { entity: "vex document" })), "{again:?}");
    assert_eq!(
        world.number("select snapshot_id from vuln.latest").await,
        1,
        "what is refused takes no number"
    );
    try_attach(&world, tenant, &attaching(&file, None, std::slice::from_ref(&one))).await.unwrap();
    try_attach(&world, tenant, &attaching(&file, Some(b"sig"), std::slice::from_ref(&one))).await.unwrap();
    assert_eq!(world.number("select count(*) from vex.content").await, 1, "its bytes are kept once");
    detach(&world, tenant, both.id).await;
    try_attach(&world, tenant, &attaching(&file, None, &both.images)).await.unwrap();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let here = Filter { image: Some(one), ..Filter::default() };
    assert_eq!(vex::list(&mut tx, &here, None, 10).await.unwrap().len(), 3);
    let all = Filter { with_detached: true, ..Filter::default() };
    let listed = vex::list(&mut tx, &all, None, 3).await.unwrap();
    let rest = vex::list(&mut tx, &all, Some(listed[2].id), 3).await.unwrap();
    let ids: BTreeSet<Uuid> = listed.iter().chain(&rest).map(|attached| attached.id).collect();
    assert_eq!((listed.len(), rest.len(), ids.len()), (3, 1, 4));
    let named = |name: &str| Filter { vulnerability: Some(name.to_owned()), ..Filter::default() };
    assert_eq!(vex::list(&mut tx, &named("cve-1"), None, 10).await.unwrap().len(), 3);
    assert_eq!(vex::list(&mut tx, &named("cve-2"), None, 10).await.unwrap().len(), 0);
}

#[sqlx::test]
async fn a_tenant_has_its_own_documents_and_the_systems(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let own = attach(&world, a, &document("own", "1", &["CVE-1"]), &[]).await;
    let global = attach(&world, SYSTEM, &document("global", "1", &["CVE-1"]), &[]).await;
    let ids = |sources: Vec<Source>| -> BTreeSet<Uuid> {
        let id = |source: Source| match source.origin {
            SourceOrigin::Attached { id, .. } => id,
            SourceOrigin::Feed { .. } => panic!("no feed published"),
        };
        sources.into_iter().map(id).collect()
    };
    assert_eq!(ids(about(&world, a, &["CVE-1"], 9).await), BTreeSet::from([own.id, global.id]));
    assert_eq!(ids(about(&world, b, &["CVE-1"], 9).await), BTreeSet::from([global.id]));
    assert_eq!(ids(about(&world, SYSTEM, &["CVE-1"], 9).await), BTreeSet::from([global.id]));
    let mut tx = world.store.tenant(b).await.unwrap();
    let missing = vex::get(&mut tx, own.id).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    assert!(matches!(vex::content(&mut tx, own.id).await, Err(Error::NotFound { .. })));
    assert_eq!(vex::get(&mut tx, global.id).await.unwrap(), global);
    assert_eq!(vex::content(&mut tx, global.id).await.unwrap().1, None);
    let with_global = Filter { with_global: true, ..Filter::default() };
    assert_eq!(vex::list(&mut tx, &with_global, None, 10).await.unwrap(), std::slice::from_ref(&global));
    assert_eq!(vex::list(&mut tx, &Filter::default(), None, 10).await.unwrap(), []);
    for id in [own.id, global.id] {
        let refused = vex::detach(&mut tx, id, "b", "").await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    assert!(vex::is_any(&mut tx, SnapshotId(2)).await.unwrap());
    assert!(!vex::is_any(&mut tx, SnapshotId(1)).await.unwrap(), "the other's is nothing to it");
}

#[sqlx::test]
async fn a_tenant_can_neither_number_snapshots_nor_speak_for_the_system(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    attach(&world, SYSTEM, &document("global", "1", &["CVE-1"]), &[]).await;
    let options = (*world.owner.connect_options()).clone().username("starling_app");
    let app = PgPool::connect_with(options).await.unwrap();
    for statement in [
        "update vuln.latest set snapshot_id = 77",
        "insert into vuln.snapshot (snapshot_id, added, changed, removed) values (77, 0, 0, 0)",
        "insert into vex.detachment (tenant_id, attachment_id, snapshot_id, detached_by, reason)
         select tenant_id, attachment_id, 77, '', '' from vex.attachment",
        "insert into vex.issuer_change (tenant_id, change_no, snapshot_id, issuer_id, kind, body, actor, reason)
         values ('00000000-0000-0000-0000-000000000000', 1, 77, 'x', 'retired', '{}', '', '')",
        "insert into vex.published (feed_id, advisory_id, revision, format, version, author, is_signed, statements)
         values ('x', 'x', 1, 'x', '', '', false, 0)",
        "insert into orchestrator.outbox (kind, tenant_id, key, lane)
         values ('system', '00000000-0000-0000-0000-000000000000', 'other', 0)",
    ] {
        let opening = format!("begin; set local role starling_tenant; set local app.tenant = '{tenant}'");
        let mut tx = app.begin_with(AssertSqlSafe(opening)).await.unwrap();
        let refused = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
        let code = refused.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
    }
}

#[sqlx::test]
async fn of_a_feed_the_latest_revision_counts(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let tenant = world.tenant("a").await;
    let (old, new) = (document("d", "1", &["CVE-1", "CVE-2"]), document("d", "2", &["CVE-2", "CVE-3"]));
    assert_eq!(publisher.publish(&[("d", &old)]).await, 1);
    assert_eq!(publisher.publish(&[("d", &new)]).await, 2);
    assert_eq!(publisher.publish(&[]).await, 3);
    assert_eq!(texts(world, tenant, &["CVE-1"], 1).await, [old.as_str()]);
    assert_eq!(texts(world, tenant, &["CVE-1"], 2).await, [""; 0], "it says nothing of it any more");
    assert_eq!(texts(world, tenant, &["CVE-1", "CVE-2", "CVE-3"], 2).await, [new.as_str()]);
    assert_eq!(about(world, tenant, &["CVE-2"], 3).await, [], "it is not listed any more");
    let found = about(world, tenant, &["CVE-2"], 2).await;
    let origin =
        SourceOrigin::Feed { feed: publisher.feed.clone(), advisory_id: "d".to_owned(), revision: 2 };
    assert_eq!((&found[0].origin, found[0].images.len()), (&origin, 0));
    let mut tx = world.store.tenant(tenant).await.unwrap();
    assert!(vex::is_any(&mut tx, SnapshotId(1)).await.unwrap());
    assert!(!vex::is_any(&mut tx, SnapshotId(0)).await.unwrap());
}

#[sqlx::test]
async fn a_later_version_is_found_with_what_it_takes_back_wherever_it_is(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let first = document("d", "1", &["CVE-1", "CVE-2"]);
    let second = document("d", "2", &["CVE-2"]);
    let third = document("d", "3", &["CVE-9"]);
    publisher.publish(&[("d", &first)]).await;
    attach(world, a, &second, &[]).await;
    assert_eq!(texts(world, a, &["CVE-1"], 2).await.len(), 2, "the feed's, and what may take it back");
    assert_eq!(texts(world, b, &["CVE-1"], 2).await, [first.as_str()], "what another attached does not");
    attach(world, SYSTEM, &third, &[]).await;
    assert_eq!(texts(world, b, &["CVE-1"], 3).await.len(), 2);
    assert_eq!(texts(world, b, &["CVE-9"], 3).await.len(), 2, "and the other way round");
    assert_eq!(texts(world, a, &["CVE-9"], 3).await.len(), 3);
}

#[sqlx::test]
async fn what_is_attached_to_an_image_is_found_for_it_whatever_it_names(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let (one, two) = (ImageDigest::new(digest("one")), ImageDigest::new(digest("two")));
    let file = document("d", "1", &["CVE-1"]);
    attach(&world, tenant, &file, std::slice::from_ref(&one)).await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let mut found = async |image, names: &[String], limit| {
        vex::all_for(&mut tx, image, names, SnapshotId(1), limit).await.unwrap().len()
    };
    assert_eq!(found(&one, &[], 10).await, 1);
    assert_eq!(found(&one, &[], 0).await, 0);
    assert_eq!(found(&two, &[], 10).await, 0);
    assert_eq!(found(&two, &names(&["CVE-1"]), 10).await, 1);
    let listed = about(&world, tenant, &["CVE-1"], 1).await;
    assert_eq!(listed[0].images, [one], "who hears it sees for which it is");
}

#[sqlx::test]
async fn a_feed_of_vex_takes_in_vex_and_stays_one(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let refused = publisher.register("osv").await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(feeds::get(&mut tx, &publisher.feed).await.unwrap().kind, Kind::Vex);
    tx.commit().await.unwrap();
    let refresh = feeds::begin(&world.store, publisher.fence, &publisher.feed).await.unwrap();
    assert_eq!(refresh.kind, Kind::Vex);
    let refused = feeds::ingest(&world.store, &refresh, &batch(&[("A-1", r#"{"id":"A-1"}"#)])).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    let (one, two) = (document("d", "1", &["CVE-1"]), document("d", "2", &[]));
    publisher.publish(&[("d", &one)]).await;
    publisher.publish(&[("d", &two)]).await;
    publisher.publish(&[]).await;
    assert_eq!(world.number("select count(*) from vex.published").await, 2);
    assert_eq!(world.number("select count(*) from vuln.observation").await, 3);
    assert_eq!(world.number("select count(*) from vuln.difference").await, 0, "VEX is no advisory");
    let all = deltas::Stretch { after: SnapshotId(0), until: SnapshotId(9), feed: None };
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(deltas::between(&mut tx, all, None, 10).await.unwrap(), []);
}

#[sqlx::test]
async fn a_refresh_concerns_what_its_records_say_and_said(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let tenant = world.tenant("a").await;
    attach(world, tenant, &document("a", "7", &["CVE-7"]), &[]).await;
    let first = document("a", "1", &["CVE-1", "CVE-2", "CVE-3"]);
    publisher.publish(&[("a", &first), ("b", &document("b", "1", &["CVE-8"]))]).await;
    let second = document("a", "2", &["CVE-3", "CVE-4"]);
    publisher.publish(&[("a", &second), ("b", &document("b", "1", &["CVE-8"]))]).await;
    publisher.publish(&[("b", &document("b", "1", &["CVE-8"]))]).await;
    assert_eq!(
        concerns(world, 1, 4).await,
        [
            (2, None, 0, names(&["CVE-1", "CVE-2", "CVE-3", "CVE-7", "CVE-8"])),
            (3, None, 0, names(&["CVE-1", "CVE-2", "CVE-3", "CVE-4", "CVE-7"])),
            (4, None, 0, names(&["CVE-3", "CVE-4", "CVE-7"])),
        ],
        "with what shares an id; not what did not change"
    );
    assert_eq!(concerns(world, 4, 4).await, []);
}

#[sqlx::test]
async fn what_is_attached_or_taken_back_concerns_its_tenant_and_its_images(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let image = ImageDigest::new(digest("one"));
    publisher.publish(&[("d", &document("d", "1", &["CVE-1", "CVE-2"]))]).await;
    attach(world, b, &document("d", "5", &["CVE-5"]), &[]).await;
    let own = attach(world, a, &document("d", "2", &["CVE-3"]), &[image]).await;
    attach(world, SYSTEM, &document("d", "3", &["CVE-4"]), &[]).await;
    detach(world, a, own.id).await;
    assert_eq!(
        concerns(world, 1, 5).await,
        [
            (2, Some(b), 0, names(&["CVE-1", "CVE-2", "CVE-4", "CVE-5"])),
            (3, Some(a), 1, names(&["CVE-1", "CVE-2", "CVE-3", "CVE-4"])),
            (4, None, 0, names(&["CVE-1", "CVE-2", "CVE-3", "CVE-4", "CVE-5"])),
            (5, Some(a), 1, names(&["CVE-1", "CVE-2", "CVE-3", "CVE-4"])),
        ],
        "no tenant's is named for another's sake"
    );
}

#[sqlx::test]
async fn advisories_concern_no_vex(owner: PgPool) {
    let scene = crate::feeds::Scene::new(owner).await;
    scene.refresh(&[("A-1", r#"{"id":"A-1"}"#)]).await;
    assert_eq!(concerns(&scene.world, 0, 1).await, []);
    let tenant = scene.world.tenant("a").await;
    let mut tx = scene.world.store.tenant(tenant).await.unwrap();
    assert!(!vex::is_any(&mut tx, SnapshotId(1)).await.unwrap());
}

/// What the proof finds, by rule and place.
async fn violations(world: &World) -> Vec<(Rule, String)> {
    let mut found = aoc::structure(&world.store).await.unwrap();
    let mut documents = aoc::documents(&world.store, SnapshotId(0));
    while let Some(checked) = documents.next_page().await.unwrap() {
        found.extend(checked.violations);
    }
    found.sort();
    found.into_iter().map(|violation| (violation.rule, violation.place)).collect()
}

/// As a superuser who means harm.
async fn break_by(world: &World, statements: &str) {
    let unguarded =
        format!("set session_replication_role = replica; {statements}; reset session_replication_role");
    world.sql(&unguarded).await;
}

#[sqlx::test]
async fn what_is_kept_of_vex_is_proved_and_what_was_broken_is_found(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let tenant = world.tenant("a").await;
    publisher.publish(&[("d", &document("d", "1", &["CVE-1"]))]).await; // 1
    let kept = attach(world, tenant, &document("a1", "1", &["CVE-1"]), &[]).await; // 2
    let gone = attach(world, tenant, &document("a2", "1", &["CVE-2"]), &[]).await; // 3
    detach(world, tenant, gone.id).await; // 4
    crate::issuers::create(world, tenant, "us", &["Us"]).await; // 5
    crate::issuers::create(world, tenant, "them", &["Them"]).await; // 6
    assert_eq!(violations(world).await, []);
    let in_the_feed = (Rule::Content, "vendor-vex d revision 1".to_owned());
    let attached = |rule| (rule, format!("attached {}", kept.id));
    break_by(world, "delete from vex.mention where name = 'CVE-1'").await;
    assert_eq!(violations(world).await, std::slice::from_ref(&in_the_feed));
    break_by(world, "delete from vex.content_name where name = 'a1'").await;
    assert_eq!(violations(world).await, [attached(Rule::Content), in_the_feed.clone()]);
    let change = format!(
        "alter table vex.content drop constraint content_check;
         update vex.content set content = set_byte(content, 0, 32) where digest = '{}'",
        kept.digest
    );
    break_by(world, &change).await;
    assert_eq!(
        violations(world).await,
        [attached(Rule::Digest), attached(Rule::Content), in_the_feed.clone()]
    );
    break_by(world, "delete from vex.detachment").await;
    break_by(world, "delete from vex.issuer_change where change_no = 1").await;
    break_by(world, "update vex.issuer_change set snapshot_id = 1").await;
    let found = violations(world).await;
    let places = |rule| {
        let of = found.iter().filter(move |(found, _)| *found == rule);
        of.map(|(_, place)| place.clone()).collect::<Vec<_>>()
    };
    assert_eq!(places(Rule::Supersession), [format!("issuer changes of {tenant}")]);
    let stray = format!("issuer change 2 of {tenant}");
    assert_eq!(places(Rule::Snapshots), [stray.as_str(), "snapshot 4", "snapshot 5", "snapshot 6"]);
}

#[sqlx::test]
async fn nothing_of_vex_can_be_changed_by_the_application_nor_by_the_owner(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let tenant = world.tenant("a").await;
    publisher.publish(&[("d", &document("d", "1", &["CVE-1"]))]).await;
    let attached = attach(world, tenant, &document("a1", "1", &["CVE-1"]), &[]).await;
    detach(world, tenant, attached.id).await;
    crate::issuers::create(world, tenant, "us", &["Us"]).await;
    let options = (*world.owner.connect_options()).clone().username("starling_app");
    let app = PgPool::connect_with(options).await.unwrap();
    let tables = [
        ("published", "revision"),
        ("mention", "revision"),
        ("content", "version"),
        ("content_name", "name"),
        ("attachment", "reason"),
        ("detachment", "reason"),
        ("issuer_change", "reason"),
    ];
    for (table, column) in tables {
        for statement in [
            format!("update vex.{table} set {column} = {column}"),
            format!("delete from vex.{table}"),
            format!("truncate vex.{table} cascade"),
        ] {
            for role in ["starling_fleet", "starling_tenant"] {
                let opening = format!("begin; set local role {role}; set local app.tenant = '{tenant}'");
                let mut tx = app.begin_with(AssertSqlSafe(opening)).await.unwrap();
                let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *tx).await;
                let message = refused.expect_err(&statement).to_string();
                assert!(message.contains("permission denied"), "{role}: {statement}: {message}");
            }
            let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&world.owner).await;
            let message = refused.expect_err(&statement).to_string();
            assert!(message.contains("are append-only"), "{statement}: {message}");
        }
    }
}

#[sqlx::test]
async fn a_feed_that_says_again_what_it_said_before_is_heard_anew(owner: PgPool) {
    let publisher = Publisher::new(owner).await;
    let world = &publisher.world;
    let tenant = world.tenant("a").await;
    let (first, second) = (document("d", "1", &["CVE-1"]), document("d", "2", &["CVE-2"]));
    for listed in [&first, &second, &first] {
        publisher.publish(&[("d", listed)]).await;
    }
    assert_eq!(concerns(world, 2, 3).await, [(3, None, 0, names(&["CVE-1", "CVE-2"]))]);
    assert_eq!(texts(world, tenant, &["CVE-1", "CVE-2"], 3).await, [first.as_str()]);
    let taken_in = async |at| about(world, tenant, &["CVE-1"], at).await[0].taken_in;
    assert!(taken_in(3).await > taken_in(1).await, "it is judged as of when it came again");
    assert_eq!(publisher.publish(&[("d", &first)]).await, 0, "what stays as it is makes no snapshot");
}
