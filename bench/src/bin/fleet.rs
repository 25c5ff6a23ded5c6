//! A change of the advisories in a fleet of many images, over real servers and nodes: from the snapshot to the last
//! changed verdict, and what interactive scans feel of a sweep.
//!
//! `cargo build --release -p coordinator` and `cargo run --release -p bench --no-default-features --features fleet --bin fleet --
//! ADVISORIES [--images N] [--packages N] [--touched N] [--rounds N] [--nodes N]`; ADVISORIES is a folder of OSV records
//! (`*.jsonl.zst`).
//! `STARLING_TEST_BIN` names the node's binary. PostgreSQL runs as one would have it: commits wait for the disk.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench::fleet::Fleet;
use bench::{median, percentile, records};
use model::{Component, Digest, ImageDigest, PackageKind, Sbom, TenantId};
use proto_api::common::v1::Lane;
use proto_api::feed::v1::RefreshFeedRequest;
use proto_api::job::v1::{GetJobRequest, JobKind, SubmitJobRequest, WatchJobRequest};
use proto_api::run::v1::{CreateRunRequest, Selector};
use sqlx::{Connection as _, PgConnection, Row as _};
use tests::clients::{Clients, request_id};
use tests::{FeedFolder, Settings, Tenant, TestCluster, eventually_ok};
use uuid::Uuid;

const FEEDS: [&str; 7] = [
    "almalinux",
    "alpine-3.20-subset",
    "crates.io",
    "debian-ubuntu-changelog-derived",
    "go",
    "npm-ghsa-subset",
    "pypi-pysec",
];
const TENANTS: usize = 5;
const BATCH: usize = 200;
const LONG: Duration = Duration::from_secs(4 * 3600);

struct Arguments {
    advisories: PathBuf,
    images: u64,
    packages: usize,
    touched: u64,
    rounds: usize,
    nodes: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut given = std::env::args().skip(1);
    let advisories = given.next().context("usage: fleet ADVISORIES [--images N] …")?.into();
    let mut all =
        Arguments { advisories, images: 10_000, packages: 300, touched: 1_000, rounds: 5, nodes: 1 };
    while let Some(word) = given.next() {
        let value = given.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--images" => all.images = value.parse()?,
            "--packages" => all.packages = value.parse()?,
            "--touched" => all.touched = value.parse()?,
            "--rounds" => all.rounds = value.parse()?,
            "--nodes" => all.nodes = value.parse()?,
            _ => anyhow::bail!("{word} is not known"),
        }
    }
    Ok(all)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let known = records::advisories(&arguments.advisories)?;
    let of_feeds = known.into_iter().filter(|(feed, _)| FEEDS.contains(&feed.as_str()));
    let known: Vec<_> = of_feeds.map(|(_, advisory)| advisory).collect();
    let fleet = Fleet::new(&known, arguments.packages);
    drop(known);
    let settings = [("log.level", "warn"), ("cluster.timing", "usual"), ("database.connections-max", "16")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cluster = TestCluster::start(Settings {
        nodes: arguments.nodes,
        settings,
        durable: true,
        ..Settings::default()
    })
    .await;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        tenants.push(cluster.tenant(&format!("fleet-{number}")).await);
    }
    let mut folders = Vec::new();
    for feed in FEEDS {
        let folder = FeedFolder::empty();
        folder.take(&arguments.advisories.join(format!("{feed}.jsonl.zst")));
        cluster.create_feed(feed, &folder).await;
        folders.push(folder);
    }
    let changing = FeedFolder::empty();
    changing.put("STARLING-2026-0000", "npm", "SEMVER", "nobody-has-this", "1.0.0");
    cluster.create_feed("changing", &changing).await;
    for feed in FEEDS.iter().chain(&["changing"]) {
        cluster.feed_is_read(feed).await;
    }
    settled(&cluster).await;

    let started = Instant::now();
    let known = populate(&cluster, &tenants, &fleet, arguments.images).await?;
    println!(
        "{} images of {} packages stored and indexed in {:.0} s",
        arguments.images,
        arguments.packages,
        started.elapsed().as_secs_f64()
    );

    let mut probe = Probe::new(&cluster, &tenants[0]).await;
    sweep(&cluster, &mut probe).await?;
    settled(&cluster).await;
    tell_sizes(&cluster).await?;
    let mut session = cluster.truth().session().await;
    sqlx::query("vacuum analyze").execute(&mut session).await?;

    println!(
        "\n| images touched | gathered, s | planned, s | to the last changed verdict, s | ms an image | new verdicts |"
    );
    println!("|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for round in 0..arguments.rounds {
        let (component, count) = nearest(&known, arguments.touched, round);
        all.push(change(&cluster, &changing, round, &component, count).await?);
    }
    println!("\nmedian: {:.2} ms an image, of {} images", median(&all), arguments.images);
    Ok(())
}

/// Stores the images as if they had been scanned. Says how many have each package version.
async fn populate(
    cluster: &TestCluster,
    tenants: &[Tenant],
    fleet: &Fleet,
    images: u64,
) -> anyhow::Result<BTreeMap<Component, u64>> {
    let store = cluster.store(4).await;
    let mut session = cluster.truth().session().await;
    let mut known: BTreeMap<Component, u64> = BTreeMap::new();
    for first in (0..images).step_by(BATCH) {
        let batch: Vec<Sbom> =
            (first..images.min(first + BATCH as u64)).map(|number| fleet.image(number)).collect();
        let tenant = &tenants[(usize::try_from(first)? / BATCH) % tenants.len()];
        let digests = put(&mut session, tenant.id(), first, &batch).await?;
        let mut tx = store.tenant(TenantId::from_uuid(tenant.id())).await?;
        for (digest, sbom) in digests.iter().zip(&batch) {
            store::impact::index(&mut tx, digest, &evaluation::impact::indexed(sbom)).await?;
        }
        tx.commit().await?;
        for component in batch.into_iter().flat_map(|sbom| sbom.components) {
            *known.entry(component).or_default() += 1;
        }
    }
    store.close().await;
    Ok(known)
}

async fn put(
    session: &mut PgConnection,
    tenant: Uuid,
    first: u64,
    batch: &[Sbom],
) -> anyhow::Result<Vec<ImageDigest>> {
    let config = Digest::of(b"{}").to_string();
    let documents: Vec<Vec<u8>> = batch.iter().map(inventory::sbom::document).collect();
    let sboms: Vec<String> = documents.iter().map(|document| Digest::of(document).to_string()).collect();
    let name = |number: usize| Digest::of(format!("image {first} {number}").as_bytes()).to_string();
    let images: Vec<String> = (0..batch.len()).map(name).collect();
    let mut tx = session.begin().await?;
    sqlx::query(
        "insert into scanner.blob (tenant_id, digest, size, media_type) values ($1, $2, 2, 'application/json')
         on conflict do nothing",
    )
    .bind(tenant)
    .bind(&config)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into scanner.sbom (tenant_id, digest, document, components)
         select $1, s.digest, s.document, $2 from unnest($3::text[], $4::bytea[]) s (digest, document)",
    )
    .bind(tenant)
    .bind(i32::try_from(batch[0].components.len())?)
    .bind(&sboms)
    .bind(&documents)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into scanner.image
             (tenant_id, digest, media_type, manifest, config_digest, size, revision, sbom_digest, extractor)
         select $1, i.image, 'application/vnd.oci.image.manifest.v1+json', '', $2, 2, 1, i.sbom, $3
         from unnest($4::text[], $5::text[]) i (image, sbom)",
    )
    .bind(tenant)
    .bind(&config)
    .bind(inventory::EXTRACTOR)
    .bind(&images)
    .bind(&sboms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    images.iter().map(|image| Ok(image.parse()?)).collect()
}

/// How long an evaluation took.
struct Took {
    /// From its acceptance to its verdict, by the store's clock.
    done: f64,
    /// From the submission to the end of the watch.
    watched: f64,
}

/// Somebody who waits for one image again and again.
struct Probe {
    client: Clients,
    image: String,
}

impl Probe {
    async fn new(cluster: &TestCluster, tenant: &Tenant) -> Self {
        let query = format!("select digest from scanner.image where tenant_id = '{}' limit 1", tenant.id());
        let image = cluster.truth().texts(&query).await.remove(0);
        let mut operator = cluster.nodes()[0].operator();
        operator
            .change_quota(tenant.name(), |quota| {
                quota.rate_per_second = 1e6;
                quota.burst = 1_000_000;
            })
            .await;
        Self { client: cluster.nodes()[0].client(tenant), image }
    }

    /// One evaluation, in ms.
    async fn once(&mut self) -> anyhow::Result<Took> {
        let started = Instant::now();
        let request = SubmitJobRequest {
            request_id: request_id(),
            image: self.image.clone(),
            lane: Lane::Interactive.into(),
            kind: JobKind::Reevaluate.into(),
            ..SubmitJobRequest::default()
        };
        let job = self.client.jobs.submit_job(request).await?.into_inner().job_id;
        let mut events = self
            .client
            .jobs
            .watch_job(WatchJobRequest { job_id: job.clone(), ..WatchJobRequest::default() })
            .await?
            .into_inner();
        while events.message().await?.is_some() {}
        let watched = started.elapsed().as_secs_f64() * 1000.0;
        let job = self
            .client
            .jobs
            .get_job(GetJobRequest { job_id: job })
            .await?
            .into_inner()
            .job
            .context("a job")?;
        let at = |time: Option<prost_types::Timestamp>| {
            time.map(|time| time.seconds as f64 * 1000.0 + f64::from(time.nanos) / 1e6).context("a time")
        };
        Ok(Took { done: at(job.end_time)? - at(job.create_time)?, watched })
    }

    async fn times(&mut self, count: usize) -> anyhow::Result<Vec<Took>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.once().await?);
        }
        Ok(all)
    }
}

/// All images are evaluated, while somebody waits for one of them again and again.
async fn sweep(cluster: &TestCluster, probe: &mut Probe) -> anyhow::Result<()> {
    probe.times(20).await?;
    let idle = probe.times(300).await?;
    let mut operator = cluster.nodes()[0].operator();
    let started = Instant::now();
    let request = CreateRunRequest {
        request_id: request_id(),
        selector: Some(Selector::default()),
        cause: "bench".to_owned(),
        ..CreateRunRequest::default()
    };
    let run = operator.runs.create_run(request).await?.into_inner().run.context("a run")?.run_id;
    let mut busy = Vec::new();
    while unfinished(cluster).await > 0 {
        busy.extend(probe.times(20).await?);
    }
    let took = started.elapsed().as_secs_f64();
    let query = format!("select images from scheduler.run where run_id = '{run}'");
    let images = cluster.truth().number(&query).await;
    println!(
        "a sweep over {images} images: {took:.0} s, {:.1} ms an image",
        took * 1000.0 / images.max(1) as f64
    );
    println!("\n| interactive evaluations, ms | how many | median | 99 % | as watched: median | 99 % |");
    println!("|---|---|---|---|---|---|");
    for (what, times) in [("idle", &idle), ("in the sweep", &busy)] {
        let done: Vec<f64> = times.iter().map(|took| took.done).collect();
        let watched: Vec<f64> = times.iter().map(|took| took.watched).collect();
        println!(
            "| {what} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            times.len(),
            median(&done),
            percentile(&done, 0.99),
            median(&watched),
            percentile(&watched, 0.99)
        );
    }
    Ok(())
}

async fn unfinished(cluster: &TestCluster) -> i64 {
    cluster.truth().number("select count(*) from scheduler.run where ended_at is null").await
}

/// Waits until every snapshot has its run, and every run has ended. What is measured are times of the store's clock: one
/// session asks, and seldom, so that the asking costs nothing.
async fn settled(cluster: &TestCluster) {
    let open = "select (select count(*) from scheduler.run where ended_at is null)
                     + (select count(*) from scheduler.cursor c, vuln.latest l where c.snapshot_id < l.snapshot_id)";
    let mut session = cluster.truth().session().await;
    let mut turn = tokio::time::interval(Duration::from_millis(250));
    let begin = Instant::now();
    loop {
        turn.tick().await;
        match sqlx::query_scalar::<_, i64>(open).fetch_one(&mut session).await {
            Ok(0) => return,
            answer => assert!(begin.elapsed() < LONG, "the runs have not ended: {answer:?}"),
        }
    }
}

async fn tell_sizes(cluster: &TestCluster) -> anyhow::Result<()> {
    let query = "select c.relname || ' ' || pg_total_relation_size(c.oid) / 1000000 || ' MB' from pg_class c
                 where c.relkind = 'r' order by pg_total_relation_size(c.oid) desc limit 6";
    println!("\nlargest tables: {}", cluster.truth().texts(query).await.join(", "));
    Ok(())
}

/// The package version whose number of images is nearest to what is wanted; each round another one.
fn nearest(known: &BTreeMap<Component, u64>, touched: u64, round: usize) -> (Component, u64) {
    let mut all: Vec<_> = known
        .iter()
        .filter(|(component, _)| component.kind == PackageKind::Npm && component.name.starts_with("made-"))
        .collect();
    all.sort_by_key(|(component, count)| (count.abs_diff(touched), *component));
    let (component, count) = all[round];
    (component.clone(), *count)
}

/// One advisory on this package version is published.
async fn change(
    cluster: &TestCluster,
    folder: &FeedFolder,
    round: usize,
    component: &Component,
    count: u64,
) -> anyhow::Result<f64> {
    let before = cluster.truth().number("select snapshot_id from vuln.latest").await;
    let verdicts = "select count(*) from scanner.verdict";
    let had = cluster.truth().number(verdicts).await;
    folder.put_version(&format!("STARLING-2026-1{round:03}"), "npm", &component.name, &component.version);
    let mut operator = cluster.nodes()[0].operator();
    let request =
        RefreshFeedRequest { request_id: request_id(), feed_id: "changing".to_owned(), whole: false };
    operator.feeds.refresh_feed(request).await?;
    eventually_ok(LONG, "the feed's snapshot", || async {
        let now = cluster.truth().number("select snapshot_id from vuln.latest").await;
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
    settled(cluster).await;
    // Changes of a feed that was busy a moment ago are gathered for a while: the run begins behind that.
    let times = format!(
        "select extract(epoch from r.created_at - s.at)::float8, extract(epoch from r.planned_at - r.created_at)::float8,
                extract(epoch from (select max(at) from scanner.verdict where snapshot_id >= s.snapshot_id)
                                   - r.created_at)::float8
         from vuln.snapshot s join scheduler.run r on r.until_snapshot = s.snapshot_id where s.snapshot_id = {}",
        before + 1
    );
    let row = cluster.truth().rows(&times).await.remove(0);
    let (gathered, planned, durable): (f64, f64, f64) = (row.get(0), row.get(1), row.get(2));
    let new = u64::try_from(cluster.truth().number(verdicts).await - had)?;
    let each = durable * 1000.0 / new.max(1) as f64;
    println!("| {count} | {gathered:.2} | {planned:.2} | {durable:.2} | {each:.2} | {new} |");
    let run = "select state || ': ' || images || ' images, ' || evaluated || ' evaluated, ' || changed || ' changed, '
                      || failed || ' failed, ' || coalesce((select min(reason) || ' … ' || max(reason) from scheduler.run_image i where i.run_id = r.run_id), '') from scheduler.run r order by run_id desc limit 1";
    let run = cluster.truth().texts(run).await;
    anyhow::ensure!(new == count, "{new} new verdicts for {count} touched images; the last run {run:?}");
    Ok(each)
}
