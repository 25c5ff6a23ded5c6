//! How fast a feed is taken in, beside what cannot be avoided: parsing and hashing the same records, and copying the
//! same bytes into a bare table. Also an unchanged import, and one in which a share of the records means something else.
//!
//! `DURABLE=1 scripts/with-servers target/release/imports [--times N] RECORDS.jsonl.zst…`; the database of
//! `DATABASE_URL` is its own. With `--times` each record is there so often, under other ids.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use advisory::Limits;
use advisory::formats::{self, Format};
use anyhow::{Context as _, bail};
use bench::timed;
use model::{Digest, FeedId, SnapshotId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use store::deltas::{self, Stretch};
use store::feeds::{self, Counts, NewFeed, Observed};
use store::members::{self, Joined, NewNode};
use store::{Fence, Store};
use tokio::sync::mpsc;

/// As the feed's actor does it.
const BATCH: usize = 1_000;
const AHEAD: usize = 2;
/// As the planner of runs reads changes.
const PAGE: u32 = 500;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let format = formats::by_word("osv").context("it is in the table")?;
    let mut records = records()?;
    let mut seen = HashSet::new();
    records.retain(|record| observed(record.clone(), format).is_some_and(|o| seen.insert(o.advisory_id)));
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!("{} records, {} MB\n", records.len(), bytes >> 20);
    println!("| what | s | records/s |\n|---|---|---|");
    #[expect(clippy::disallowed_methods, reason = "a measurement has no configuration")]
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let (parsing, _) = timed(|| records.iter().filter_map(|record| observed(record.clone(), format)).count());
    row("bare parse and digest, one thread", records.len(), parsing);
    row("bare COPY of the same bytes", records.len(), copied(&url, &records).await?);

    let scene = Scene::new(&url).await?;
    let (cold, counts) = scene.import(&records, format).await?;
    anyhow::ensure!(counts.added == records.len() as u64, "{counts:?}");
    row("cold import", records.len(), cold);
    let (again, counts) = scene.import(&records, format).await?;
    anyhow::ensure!(counts.unchanged == records.len() as u64, "{counts:?}");
    row("unchanged import", records.len(), again);
    let edited: Vec<Vec<u8>> = records.iter().zip(0..).map(|(record, at)| edit(record, at)).collect();
    let (changed, counts) = scene.import(&edited, format).await?;
    row(&format!("import of which {} records differ", counts.changed), records.len(), changed);
    let (reading, deltas) = scene.told(1, 2).await?;
    row(&format!("reading the {deltas} changes in meaning"), deltas, reading);
    let (reading, deltas) = scene.told(0, 2).await?;
    row(&format!("reading all {deltas} changes since the beginning"), deltas, reading);
    Ok(())
}

fn row(what: &str, records: usize, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = records as f64 / took.as_secs_f64();
    println!("| {what} | {:.2} | {rate:.0} |", took.as_secs_f64());
}

fn records() -> anyhow::Result<Vec<Vec<u8>>> {
    let mut given = std::env::args().skip(1).peekable();
    let mut times = 1;
    if given.next_if_eq("--times").is_some() {
        times = given.next().context("--times needs a number")?.parse()?;
    }
    let mut all = Vec::new();
    for path in given {
        let file = std::fs::File::open(&path).with_context(|| path.clone())?;
        for line in BufReader::new(zstd::Decoder::new(file)?).split(b'\n') {
            let line = line?;
            all.extend((0..times).map(|time| renamed(&line, time)));
        }
    }
    if all.is_empty() {
        bail!("usage: imports [--times N] RECORDS.jsonl.zst...");
    }
    Ok(all)
}

/// The record under another id; the first keeps its own.
fn renamed(record: &[u8], time: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(record);
    if time == 0 {
        record.to_vec()
    } else {
        text.replacen("\"id\":\"", &format!("\"id\":\"{time}-"), 1).into_bytes()
    }
}

/// One record in a hundred is withdrawn, one in a hundred has other words.
fn edit(record: &[u8], at: usize) -> Vec<u8> {
    let more = match at % 100 {
        0 => r#"{"withdrawn":"2026-01-01T00:00:00Z","#,
        50 => r#"{"new_words":"words","#,
        _ => return record.to_vec(),
    };
    let rest = record.strip_prefix(b"{").unwrap_or(record);
    [more.as_bytes(), rest].concat()
}

fn observed(document: Vec<u8>, format: &Format) -> Option<Observed> {
    let (advisory, _) = (format.parse)(&document, &Limits::default()).ok()?;
    Some(Observed { advisory_id: advisory.id, digest: Digest::of(&document), document })
}

async fn copied(url: &str, records: &[Vec<u8>]) -> anyhow::Result<Duration> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("create table public.bare (digest text, document bytea)").execute(&mut connection).await?;
    let start = Instant::now();
    let mut copy = connection.copy_in_raw("copy public.bare from stdin").await?;
    for part in records.chunks(BATCH) {
        let mut text = String::new();
        for record in part {
            text.push_str(Digest::of(record).as_str());
            text.push_str("\t\\\\x");
            record.iter().for_each(|byte| {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            });
            text.push('\n');
        }
        copy.send(text.into_bytes()).await?;
    }
    copy.finish().await?;
    Ok(start.elapsed())
}

struct Scene {
    store: Store,
    feed: FeedId,
    fence: Fence,
}

impl Scene {
    async fn new(url: &str) -> anyhow::Result<Self> {
        Store::migrate(url).await?;
        let options = PgConnectOptions::from_str(url)?.username("starling_app");
        let store = Store::connect_with(options, 4, "imports").await?;
        let node = NewNode {
            name: "n1".to_owned(),
            api_addr: "127.0.0.1:1".to_owned(),
            link_addr: "127.0.0.1:2".to_owned(),
            weight: 1.0,
            worker_slots: 1,
            proto_min: 1,
            proto_max: 1,
            build: "bench".to_owned(),
        };
        let Joined::As(generation) = members::join(&store, &node, None).await? else { bail!("name taken") };
        members::up(&store, generation).await?;
        let fences = members::claim(&store, generation, &[Fence { partition: 0, epoch: 0 }]).await?;
        let feed: FeedId = "bench".parse()?;
        let new = NewFeed {
            id: feed.clone(),
            source: "/bench".to_owned(),
            format: "osv".to_owned(),
            interval: Duration::from_secs(3600),
            promise: Duration::from_secs(3600),
        };
        let mut tx = store.fleet().await?;
        feeds::register(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(Self { store, feed, fence: *fences.first().context("the partition is taken")? })
    }

    /// A whole refresh: a blocking thread parses while the store takes in what came.
    async fn import(
        &self,
        records: &[Vec<u8>],
        format: &'static Format,
    ) -> anyhow::Result<(Duration, Counts)> {
        let records = records.to_vec();
        let start = Instant::now();
        let refresh = feeds::begin(&self.store, self.fence, &self.feed).await?;
        let (batches, mut arrived) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut ids = Vec::with_capacity(records.len());
            let mut records = records.into_iter().filter_map(|record| observed(record, format));
            loop {
                let batch: Vec<Observed> = records.by_ref().take(BATCH).collect();
                ids.extend(batch.iter().map(|observed| observed.advisory_id.clone()));
                if batch.is_empty() || batches.blocking_send(batch).is_err() {
                    return ids;
                }
            }
        });
        let mut counts = Counts::default();
        while let Some(batch) = arrived.recv().await {
            counts += feeds::ingest(&self.store, &refresh, &batch).await?;
        }
        feeds::finish(&self.store, &refresh, None, Some(&reading.await?)).await?;
        Ok((start.elapsed(), counts))
    }

    /// All changes in meaning of a stretch, in pages as a planner reads them.
    async fn told(&self, after: i64, until: i64) -> anyhow::Result<(Duration, usize)> {
        let start = Instant::now();
        let stretch = Stretch { after: SnapshotId(after), until: SnapshotId(until), feed: None };
        let (mut number, mut place) = (0, None::<(FeedId, String)>);
        loop {
            let mut tx = self.store.fleet().await?;
            let from = place.as_ref().map(|(feed, id)| (feed, id.as_str()));
            let page = deltas::between(&mut tx, stretch, from, PAGE).await?;
            number += page.len();
            match page.into_iter().last() {
                Some(last) => place = Some((last.feed, last.advisory_id)),
                None => return Ok((start.elapsed(), number)),
            }
        }
    }
}
