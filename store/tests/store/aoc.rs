//! The proof finds what was broken, whoever broke it; and nobody who works with the store can break it.

use model::SnapshotId;
use sqlx::{AssertSqlSafe, PgPool};
use store::aoc::{self, Rule};
use store::feeds::{self, Refresh};
use store::{Error, linksets, quarantine};

use crate::feeds::{Scene, batch};

fn advisory(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}"{more}}}"#)
}

impl Scene {
    /// Two advisories, one of them in two revisions, over two snapshots.
    async fn filled(owner: PgPool) -> Self {
        let scene = Self::new(owner).await;
        let (a, b) = (advisory("A-1", ""), advisory("A-2", ""));
        scene.refresh(&[("A-1", &a), ("A-2", &b)]).await;
        let changed = advisory("A-1", r#","aliases":["CVE-2024-1"]"#);
        scene.refresh(&[("A-1", &changed), ("A-2", &b)]).await;
        scene
    }

    /// What is violated, by rule and place.
    async fn violations(&self, since: i64) -> Vec<(Rule, String)> {
        let mut found = aoc::structure(&self.world.store).await.unwrap();
        let mut documents = aoc::documents(&self.world.store, SnapshotId(since));
        while let Some(checked) = documents.next_page().await.unwrap() {
            found.extend(checked.violations);
        }
        found.sort();
        found.into_iter().map(|violation| (violation.rule, violation.place)).collect()
    }

    /// As a superuser who means harm.
    async fn break_by(&self, statements: &str) {
        let unguarded =
            format!("set session_replication_role = replica; {statements}; reset session_replication_role");
        self.world.sql(&unguarded).await;
    }
}

fn violation(rule: Rule, place: &str) -> (Rule, String) {
    (rule, place.to_owned())
}

#[sqlx::test]
async fn a_store_that_nobody_touched_is_proved(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    assert_eq!(scene.violations(0).await, []);
    // A refresh under way violates nothing.
    let refresh = scene.begin().await;
    feeds::ingest(&scene.world.store, &refresh, &batch(&[("A-3", &advisory("A-3", ""))])).await.unwrap();
    assert_eq!(scene.violations(0).await, []);
}

#[sqlx::test]
async fn a_changed_byte_is_found(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let change = "update vuln.observation set document = set_byte(document, 3, get_byte(document, 3) # 1)
                  where advisory_id = 'A-1' and revision = 2";
    scene.break_by(change).await;
    // It is not even a record with an id any more.
    let place = "osv-npm A-1 revision 2";
    assert_eq!(scene.violations(0).await, [violation(Rule::Digest, place), violation(Rule::Content, place)]);
    assert_eq!(scene.violations(2).await, [], "it counts from snapshot 2, and later ones are asked for");
    assert_eq!(scene.violations(1).await.len(), 2);
}

#[sqlx::test]
async fn a_missing_revision_is_found_by_its_successor_and_by_its_snapshot(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    scene.break_by("delete from vuln.observation where advisory_id = 'A-1' and revision = 1").await;
    let expected =
        [violation(Rule::Supersession, "osv-npm A-1 revision 2"), violation(Rule::Snapshots, "snapshot 1")];
    assert_eq!(scene.violations(0).await, expected);
}

#[sqlx::test]
async fn a_missing_last_revision_is_found_by_its_snapshot(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    scene.break_by("delete from vuln.observation where advisory_id = 'A-1' and revision = 2").await;
    assert_eq!(scene.violations(0).await, [violation(Rule::Snapshots, "snapshot 2")]);
}

#[sqlx::test]
async fn missing_origins_and_snapshots_are_found(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    scene.break_by("delete from vuln.origin where origin = 2").await;
    assert_eq!(scene.violations(0).await, [violation(Rule::Provenance, "osv-npm A-1 revision 2")]);
    scene.break_by("delete from vuln.snapshot where snapshot_id = 1").await;
    let places: Vec<_> =
        scene.violations(0).await.into_iter().map(|(rule, place)| (rule.as_str(), place)).collect();
    let snapshots: Vec<_> =
        places.iter().filter(|(rule, _)| *rule == "snapshots").map(|(_, p)| p.as_str()).collect();
    assert_eq!(snapshots, ["osv-npm A-1 revision 1", "osv-npm A-2 revision 1", "snapshot 1"]);
}

#[sqlx::test]
async fn a_document_under_a_foreign_id_and_a_conclusion_are_found(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let forge = |id: &str, document: &str| {
        format!(
            "update vuln.observation set document = '{document}',
                 digest = 'sha256:' || encode(sha256('{document}'), 'hex') where advisory_id = '{id}' and revision = 1"
        )
    };
    scene.break_by(&forge("A-1", &advisory("A-9", ""))).await;
    scene.break_by(&forge("A-2", &advisory("A-2", r#","risk_score":1"#))).await;
    let expected = ["osv-npm A-1 revision 1", "osv-npm A-2 revision 1"];
    assert_eq!(scene.violations(0).await, expected.map(|place| violation(Rule::Content, place)));
}

#[sqlx::test]
async fn what_guards_the_store_is_missed_when_it_is_gone(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let world = &scene.world;
    world.sql("alter table vuln.observation disable trigger append_only").await;
    assert_eq!(scene.violations(0).await, [violation(Rule::Triggers, "vuln.observation")]);
    world.sql("alter table vuln.observation enable trigger append_only").await;
    world.sql("drop trigger append_only on vuln.snapshot").await;
    world.sql("grant update (digest) on vuln.observation to starling_fleet").await;
    world.sql("grant delete on vuln.origin to public").await;
    world.sql("alter table vuln.observation drop constraint observation_supersedes").await;
    let found = scene.violations(0).await;
    let has = |rule, place: &str| found.contains(&violation(rule, place));
    assert!(has(Rule::Triggers, "vuln.snapshot"), "{found:?}");
    assert!(has(Rule::Grants, "vuln.observation") && has(Rule::Grants, "vuln.origin"), "{found:?}");
    assert!(has(Rule::Keys, "observation_supersedes"), "{found:?}");
    let roles = found.iter().filter(|(_, place)| place == "vuln.origin").count();
    assert_eq!(roles, 3, "what everybody may, each of the three roles may: {found:?}");
    // Whoever owns a table may do all of it; but that is nobody who serves.
    world.sql("create role starling_keeper; alter table vuln.alias owner to starling_keeper").await;
    let kept = violation(Rule::Grants, "vuln.alias");
    assert!(!scene.violations(0).await.contains(&kept));
    world.sql("grant starling_keeper to starling_app").await;
    assert!(scene.violations(0).await.contains(&kept));
    world.sql("alter table vuln.alias owner to current_user; drop role starling_keeper").await;
    world.sql("create or replace function vuln.refuse_change() returns trigger language plpgsql as $$ begin return null; end $$").await;
    let triggers = scene.violations(0).await.into_iter().filter(|(rule, _)| *rule == Rule::Triggers).count();
    assert_eq!(triggers, 12, "a trigger that refuses nothing is none");
}

#[sqlx::test]
async fn nothing_that_was_taken_in_can_be_changed_by_the_application_nor_by_the_owner(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let options = (*scene.world.owner.connect_options()).clone().username("starling_app");
    let app = PgPool::connect_with(options).await.unwrap();
    let tables = [
        ("observation", "refresh", "observations"),
        ("snapshot", "refresh", "snapshots"),
        ("origin", "refresh", "origins"),
        ("difference", "refresh", "differences"),
        ("alias", "revision", "aliases"),
    ];
    for (table, column, words) in tables {
        for statement in [
            format!("update vuln.{table} set {column} = {column} + 1"),
            format!("delete from vuln.{table}"),
            format!("truncate vuln.{table} cascade"),
        ] {
            for role in ["starling_fleet", "starling_tenant"] {
                let mut tx =
                    app.begin_with(AssertSqlSafe(format!("begin; set local role {role}"))).await.unwrap();
                let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *tx).await;
                let message = refused.expect_err(&statement).to_string();
                assert!(message.contains("permission denied"), "{role}: {statement}: {message}");
            }
            let refused = sqlx::query(AssertSqlSafe(statement.clone())).execute(&scene.world.owner).await;
            let message = refused.expect_err(&statement).to_string();
            // Truncating goes on to what refers to the table, and is refused there or here.
            let expected = if statement.starts_with("truncate") { "" } else { words };
            assert!(message.contains(&format!("{expected} are append-only")), "{statement}: {message}");
        }
    }
    assert_eq!(scene.violations(0).await, []);
}

#[sqlx::test]
async fn a_conclusion_never_gets_past_the_store_itself(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let refresh = scene.begin().await;
    let derived = advisory("A-3", r#","effective_severity":"high""#);
    let refused = feeds::ingest(&scene.world.store, &refresh, &batch(&[("A-3", &derived)])).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(
        scene.world.number("select count(*) from vuln.observation where advisory_id = 'A-3'").await,
        0
    );
}

#[sqlx::test]
async fn a_revision_without_the_one_before_or_without_origin_is_refused(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let insert = |revision: i32, origin: i32| {
        format!(
            "insert into vuln.observation (feed_id, advisory_id, revision, refresh, digest, document, origin)
             values ('osv-npm', 'A-2', {revision}, 9, 'x', 'x', {origin})"
        )
    };
    for (statement, key) in [(insert(3, 1), "observation_supersedes"), (insert(2, 77), "observation_origin")]
    {
        let refused = sqlx::query(AssertSqlSafe(statement)).execute(&scene.world.owner).await;
        let message = refused.expect_err(key).to_string();
        assert!(message.contains(key), "{message}");
    }
}

#[sqlx::test]
async fn linksets_are_as_of_a_snapshot(owner: PgPool) {
    let scene = Scene::filled(owner).await;
    let store = &scene.world.store;
    let named = async |name: &str, at| {
        let mut tx = store.fleet().await.unwrap();
        let found = linksets::of(&mut tx, name, SnapshotId(at)).await.unwrap();
        found.map(|linkset| (linkset.names, linkset.members.len()))
    };
    let both = Some((vec!["A-1".to_owned(), "CVE-2024-1".to_owned()], 1));
    assert_eq!(named("CVE-2024-1", 2).await, both);
    assert_eq!(named("A-1", 2).await, both);
    assert_eq!(named("A-1", 1).await, Some((vec!["A-1".to_owned()], 1)));
    assert_eq!(named("CVE-2024-1", 1).await, None, "nobody had called it so");
    let (gone, other) = (advisory("A-2", ""), advisory("A-5", r#","upstream":["CVE-2024-1"]"#));
    scene.refresh(&[("A-2", &gone), ("A-5", &other)]).await;
    assert_eq!(
        named("CVE-2024-1", 3).await,
        Some((vec!["CVE-2024-1".to_owned()], 1)),
        "A-1 is not listed now"
    );
}

#[sqlx::test]
async fn what_is_set_aside_is_settled_when_its_source_has_it_no_more(owner: PgPool) {
    let scene = Scene::new(owner).await;
    let store = &scene.world.store;
    let bad = |entry: &str| feeds::Unreadable {
        entry: entry.to_owned(),
        reason: "no id".to_owned(),
        document: entry.as_bytes().to_vec(),
    };
    let read = async |entries: &[&str]| -> Refresh {
        let refresh = scene.begin().await;
        let records: Vec<_> = entries.iter().map(|entry| bad(entry)).collect();
        feeds::quarantine(store, &refresh, &records).await.unwrap();
        let met: Vec<_> = records.iter().map(|r| (r.entry.clone(), model::Digest::of(&r.document))).collect();
        quarantine::settle(store, &refresh, &met).await.unwrap();
        feeds::finish(store, &refresh, Some("etag"), None).await.unwrap();
        refresh
    };
    let open = async |settled| {
        let mut tx = store.fleet().await.unwrap();
        let found = quarantine::list(&mut tx, &scene.feed, settled, None, 10).await.unwrap();
        found.into_iter().map(|record| (record.entry, record.settled_at.is_some())).collect::<Vec<_>>()
    };
    let pair = |entry: &str, settled| (entry.to_owned(), settled);
    read(&["a.json", "b.json"]).await;
    assert_eq!(open(false).await, [pair("a.json", false), pair("b.json", false)]);
    read(&["b.json"]).await;
    assert_eq!(open(false).await, [pair("b.json", false)]);
    assert_eq!(open(true).await, [pair("a.json", true), pair("b.json", false)]);
    read(&["a.json"]).await;
    assert_eq!(
        open(true).await,
        [pair("a.json", false), pair("b.json", true)],
        "what comes back is open again"
    );
    let mut tx = store.fleet().await.unwrap();
    assert_eq!(quarantine::retry(&mut tx, &scene.feed).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(scene.begin().await.cursor, None, "the source's mark does not keep it from being read");
}
