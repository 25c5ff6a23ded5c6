//! How fast a running cluster accepts jobs, and how soon it starts on one.
//!
//! `cargo run --release -p bench --no-default-features --features load --bin jobs -- --image DIGEST --token-file FILE [--jobs N] [--callers N] ENDPOINT…`
//!
//! The image must have been scanned before, so that accepting and starting are measured, not extraction.
//! Callers are spread over the endpoints. The tenant's quota must allow the load
//! (`starling tenants quota`).

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bench::percentile;
use proto_api::common::v1::Lane;
use proto_api::job::v1::job_service_client::JobServiceClient;
use proto_api::job::v1::{GetJobTimelineRequest, JobKind, JobState, Stage, SubmitJobRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use uuid::Uuid;

struct Arguments {
    image: String,
    token: MetadataValue<Ascii>,
    jobs: u64,
    callers: usize,
    probes: usize,
    endpoints: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

fn arguments() -> anyhow::Result<Arguments> {
    let (mut image, mut token, mut jobs, mut callers, mut probes) = (None, None, 5000, 64, 50);
    let mut endpoints = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let mut value = || given.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--image" => image = Some(value()?),
            "--token-file" => token = Some(std::fs::read_to_string(PathBuf::from(value()?))?),
            "--jobs" => jobs = value()?.parse()?,
            "--callers" => callers = value()?.parse()?,
            "--probes" => probes = value()?.parse()?,
            _ => endpoints.push(word),
        }
    }
    let (Some(image), Some(token)) = (image, token) else { bail!("--image and --token-file are needed") };
    if endpoints.is_empty() {
        bail!("name at least one endpoint, for example http://127.0.0.1:7070");
    }
    Ok(Arguments {
        image,
        token: format!("Bearer {}", token.trim()).parse()?,
        jobs,
        callers,
        probes,
        endpoints,
    })
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let callers = connect(&arguments).await?;
    let starts = probe(&arguments, &callers).await?;
    let (took, latencies) = load(&arguments, &callers).await?;
    let rate = number(latencies.len()) / took.as_secs_f64();
    println!(
        "| nodes called | callers | jobs | accepted/s | submit p50 ms | p99 ms | to start p50 ms | p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {} | {rate:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
        arguments.endpoints.len(),
        arguments.callers,
        latencies.len(),
        1e3 * percentile(&latencies, 0.5),
        1e3 * percentile(&latencies, 0.99),
        1e3 * percentile(&starts, 0.5),
        1e3 * percentile(&starts, 0.99),
    );
    Ok(())
}

async fn connect(arguments: &Arguments) -> anyhow::Result<Vec<JobServiceClient<Channel>>> {
    let mut channels = Vec::new();
    for endpoint in &arguments.endpoints {
        channels.push(Endpoint::from_shared(endpoint.clone())?.connect().await?);
    }
    let spread = channels.iter().cycle().take(arguments.callers.max(channels.len()));
    Ok(spread.map(|channel| JobServiceClient::new(channel.clone())).collect())
}

fn submission(arguments: &Arguments, lane: Lane) -> Request<SubmitJobRequest> {
    let mut request = Request::new(SubmitJobRequest {
        request_id: Uuid::now_v7().to_string(),
        image: arguments.image.clone(),
        kind: JobKind::Scan.into(),
        lane: lane.into(),
        timeout: None,
    });
    request.metadata_mut().insert("authorization", arguments.token.clone());
    request
}

/// Seconds from accepted to the first stage that is work, for jobs submitted one after the other.
async fn probe(arguments: &Arguments, callers: &[JobServiceClient<Channel>]) -> anyhow::Result<Vec<f64>> {
    let mut starts = Vec::new();
    for caller in callers.iter().cycle().take(arguments.probes) {
        let mut caller = caller.clone();
        let job = caller.submit_job(submission(arguments, Lane::Interactive)).await?.into_inner().job_id;
        starts.push(started(arguments, &mut caller, &job).await?);
    }
    Ok(starts)
}

async fn started(
    arguments: &Arguments,
    caller: &mut JobServiceClient<Channel>,
    job: &str,
) -> anyhow::Result<f64> {
    loop {
        let mut request = Request::new(GetJobTimelineRequest { job_id: job.to_owned() });
        request.metadata_mut().insert("authorization", arguments.token.clone());
        let timeline = caller.get_job_timeline(request).await?.into_inner();
        let job = timeline.job.context("a timeline has a job")?;
        match job.state() {
            JobState::Done => {}
            JobState::Failed | JobState::Cancelled => bail!("job {} ended without a result", job.job_id),
            _ => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        }
        let working = |stage| matches!(stage, Stage::Extracting | Stage::Evaluating);
        let first = timeline.events.iter().find(|event| working(event.stage())).context("it did no work")?;
        let (from, to) = (job.create_time.context("no time")?, first.start_time.context("no time")?);
        return Ok(seconds(to) - seconds(from));
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit a double")]
fn seconds(time: prost_types::Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts of jobs")]
fn number(count: usize) -> f64 {
    count as f64
}

/// All callers submit as fast as they are answered. Gives the time taken and each call's seconds.
async fn load(
    arguments: &Arguments,
    callers: &[JobServiceClient<Channel>],
) -> anyhow::Result<(Duration, Vec<f64>)> {
    let left = Arc::new(AtomicU64::new(arguments.jobs));
    let begun = tokio::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in callers {
        let requests: Vec<_> = {
            let share = arguments.jobs.div_ceil(callers.len() as u64);
            (0..share).map(|_| submission(arguments, Lane::Bulk)).collect()
        };
        tasks.spawn(submit_all(caller.clone(), requests, left.clone()));
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    Ok((begun.elapsed(), latencies))
}

async fn submit_all(
    mut caller: JobServiceClient<Channel>,
    requests: Vec<Request<SubmitJobRequest>>,
    left: Arc<AtomicU64>,
) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for request in requests {
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err() {
            break;
        }
        let begun = tokio::time::Instant::now();
        match caller.submit_job(request).await {
            Ok(_) => latencies.push(begun.elapsed().as_secs_f64()),
            Err(refused) if refused.code() == Code::ResourceExhausted => {
                bail!("refused: {}; raise the tenant's quota for this measurement", refused.message())
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(latencies)
}
