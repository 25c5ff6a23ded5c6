//! Real advisories, day by day: what is told of each day agrees with what its sources' own history says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use advisory::delta::Kind;
use model::{Digest, SnapshotId};
use serde_json::Value;
use sqlx::{PgPool, Row as _};
use store::deltas::{self, Stretch};
use store::feeds::{self, Counts, Observed};

use crate::feeds::Scene;

type Records = BTreeMap<String, Vec<u8>>;

fn shared() -> Option<PathBuf> {
    let root = PathBuf::from("../../shared/data");
    let found = root.join("deltas").is_dir().then_some(root);
    if found.is_none() {
        println!("../shared/data is not there: nothing was replayed");
    }
    found
}

fn records(text: impl std::io::Read) -> Records {
    let lines = BufReader::new(text).split(b'\n').map(Result::unwrap).filter(|line| !line.is_empty());
    lines.map(|line| (id_of(&line), line)).collect()
}

fn id_of(record: &[u8]) -> String {
    serde_json::from_slice::<Value>(record).unwrap()["id"].as_str().unwrap().to_owned()
}

#[derive(Default)]
struct Day {
    records: Records,
    said: BTreeMap<&'static str, BTreeSet<String>>,
}

const LISTS: [&str; 4] = ["added", "modified", "withdrawn", "removed"];

fn days(archive: File) -> BTreeMap<String, Day> {
    let mut days = BTreeMap::<String, Day>::new();
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((date, what)) = name.split_once('.') else { continue };
        match what {
            "records.jsonl" => days.entry(date.to_owned()).or_default().records = records(entry),
            "delta.json" => {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let said: Value = serde_json::from_str(&text).unwrap();
                let ids =
                    |list| said[list].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
                days.entry(date.to_owned()).or_default().said =
                    LISTS.into_iter().map(|list| (list, ids(list).collect())).collect();
            }
            _ => {}
        }
    }
    days
}

impl Scene {
    /// One whole refresh of these.
    async fn publish_all(&self, listed: &Records) -> (Counts, feeds::Finished) {
        let refresh = self.begin().await;
        let mut counts = Counts::default();
        let all: Vec<_> = listed.iter().collect();
        for part in all.chunks(1_000) {
            let observed = part.iter().map(|(id, document)| Observed {
                advisory_id: (*id).clone(),
                digest: Digest::of(document),
                document: (*document).clone(),
            });
            let batch: Vec<_> = observed.collect();
            counts += feeds::ingest(&self.world.store, &refresh, &batch).await.unwrap();
        }
        let ids: Vec<String> = listed.keys().cloned().collect();
        (counts, feeds::finish(&self.world.store, &refresh, None, Some(&ids)).await.unwrap())
    }

    async fn told(&self, after: i64, until: i64) -> BTreeMap<String, Kind> {
        let mut tx = self.world.store.fleet().await.unwrap();
        let stretch = Stretch { after: SnapshotId(after), until: SnapshotId(until), feed: None };
        let told = deltas::between(&mut tx, stretch, None, 100_000).await.unwrap();
        told.into_iter().map(|delta| (delta.advisory_id, delta.kind)).collect()
    }
}

/// What is told of a day, held against what its source says of it.
fn check_day(name: &str, told: &BTreeMap<String, Kind>, day: &Day) {
    for (id, kind) in told {
        let lists: &[&str] = match kind {
            Kind::Added => &["added"],
            Kind::Removed => &["removed"],
            Kind::Withdrawn => &["withdrawn", "modified"],
            Kind::Modified | Kind::Restored => &["modified", "added"],
        };
        assert!(lists.iter().any(|list| day.said[list].contains(id)), "{name}: {id} is told as {kind:?}");
    }
    for (list, kind) in [("added", Kind::Added), ("removed", Kind::Removed)] {
        for id in &day.said[list] {
            let told = told.get(id).copied();
            let again = told == Some(Kind::Restored) && list == "added";
            assert!(told == Some(kind) || again, "{name}: {id} was {list} and is told as {told:?}");
        }
    }
}

async fn replay(scene: &Scene, feed: &str) {
    let Some(root) = shared() else { return };
    let base = File::open(root.join(format!("osv-2026-05-31/{feed}.jsonl.zst"))).unwrap();
    let mut now = records(zstd::Decoder::new(base).unwrap());
    let (_, finished) = scene.publish_all(&now).await;
    let mut last = finished.snapshot.unwrap().0;
    let (first, mut silent) = (last, 0_usize);
    for (date, day) in days(File::open(root.join(format!("deltas/{feed}.tar.zst"))).unwrap()) {
        now.extend(day.records.iter().map(|(id, record)| (id.clone(), record.clone())));
        now.retain(|id, _| !day.said["removed"].contains(id));
        let (_, finished) = scene.publish_all(&now).await;
        let Some(snapshot) = finished.snapshot else { continue };
        let told = scene.told(last, snapshot.0).await;
        check_day(&format!("{feed} {date}"), &told, &day);
        silent += day.said["modified"].iter().filter(|id| !told.contains_key(*id)).count();
        last = snapshot.0;
    }
    let end = File::open(root.join(format!("osv-2026-07-31/{feed}.jsonl.zst"))).unwrap();
    let end: BTreeSet<String> = records(zstd::Decoder::new(end).unwrap()).into_keys().collect();
    assert_eq!(
        now.into_keys().collect::<BTreeSet<_>>(),
        end,
        "{feed}: all days on top of the first give the last"
    );
    let over_all = scene.told(first, last).await;
    println!(
        "{feed}: {} days, {} advisories mean something else, {silent} edits meant nothing",
        last - first,
        over_all.len()
    );
    assert!(!over_all.is_empty());
}

#[sqlx::test]
async fn the_days_of_go_agree_though_its_records_have_no_date(owner: PgPool) {
    replay(&Scene::new(owner).await, "go").await;
}

#[sqlx::test]
async fn the_days_of_crates_agree(owner: PgPool) {
    replay(&Scene::new(owner).await, "crates.io").await;
}

#[sqlx::test]
async fn the_days_of_almalinux_agree(owner: PgPool) {
    replay(&Scene::new(owner).await, "almalinux").await;
}

#[sqlx::test]
async fn an_unchanged_import_of_real_records_writes_no_row_anywhere(owner: PgPool) {
    let Some(root) = shared() else { return };
    let scene = Scene::new(owner).await;
    let text = File::open(root.join("osv-2026-07-31/go.jsonl.zst")).unwrap();
    let listed = records(zstd::Decoder::new(text).unwrap());
    scene.publish_all(&listed).await;
    let number = async |query: String| scene.world.number(&query).await;
    let tables =
        "select relname::text from pg_class where relnamespace = 'vuln'::regnamespace and relkind = 'r'";
    let tables = sqlx::query(tables).fetch_all(&scene.world.owner).await.unwrap();
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).filter(|name| name != "feed").collect();
    assert!(tables.len() > 5, "{tables:?}");
    let mut before = Vec::new();
    for table in &tables {
        before.push(number(format!("select count(*) from vuln.{table}")).await);
    }
    let since = number("select pg_current_xact_id()::text::bigint".to_owned()).await;
    let (counts, finished) = scene.publish_all(&listed).await;
    assert_eq!((counts.unchanged, counts.added, counts.changed), (listed.len() as u64, 0, 0));
    assert_eq!((finished.snapshot, finished.removed), (None, 0));
    for (table, rows) in tables.iter().zip(before) {
        assert_eq!(number(format!("select count(*) from vuln.{table}")).await, rows, "{table}");
        let new = format!("select count(*) from vuln.{table} where xmin::text::bigint >= {since}");
        assert_eq!(number(new).await, 0, "{table} has rows that were written since");
    }
}
