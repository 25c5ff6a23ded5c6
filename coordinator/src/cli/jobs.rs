//! `starling jobs`: list, look at, follow and give up jobs.

use std::time::Duration;

use clap::Subcommand;
use model::{JobState, Lane};
use proto_api::job::v1::{
    CancelJobRequest, GetJobRequest, GetJobTimelineRequest, Job, JobEvent, JobFilter, ListJobsRequest, Stage,
    WatchJobsRequest, watch_jobs_response,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::follow::{self, Patience};
use super::json;
use super::list::{self, Format, Limit, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;
use crate::grpc::convert;

const JOB: &str = "starling.job.v1.Job";

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// List jobs, newest first
    List {
        /// Only those in this state; may be given several times
        #[arg(long, value_name = "STATE", value_parser = parse_state)]
        state: Vec<JobState>,
        /// Only those in this lane: interactive, bulk or sweep
        #[arg(long, value_name = "LANE")]
        lane: Option<Lane>,
        /// Only those about this image: its digest, the beginning of it, or a name
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show one job
    Get {
        /// Its id
        job: String,
        #[command(flatten)]
        output: Output,
    },
    /// Follow one job to its end, or all of them until Ctrl-C
    Watch {
        /// Its id; all unfinished jobs when not given
        job: Option<String>,
        /// Give up waiting after this time, such as 5m
        #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        output: Output,
    },
    /// Give a job up
    Cancel {
        /// Its id
        job: String,
    },
    /// Show where a job's time went
    Timeline {
        /// Its id
        job: String,
        #[command(flatten)]
        output: Output,
    },
}

fn parse_state(word: &str) -> Result<JobState, String> {
    let known = || JobState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    word.parse().map_err(|error| format!("{error}: use one of {}", known()))
}

impl Jobs {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        match self {
            Self::List { state, lane, image, limit, output } => {
                let filter = JobFilter {
                    states: state.into_iter().map(|state| convert::state(state).into()).collect(),
                    lane: lane.map(convert::lane).unwrap_or_default().into(),
                    image_digest: image.unwrap_or_default(),
                };
                list(server, screen, filter, limit.limit, output.format).await
            }
            Self::Get { job, output } => {
                let job = get(server, &job).await?;
                list::show_one(screen, output.format, JOB, &job, show)
            }
            Self::Watch { job: Some(job), timeout, output } => {
                return watch(server, screen, &job, timeout, output).await;
            }
            Self::Watch { job: None, output, .. } => watch_all(server, screen, output.format).await,
            Self::Cancel { job } => cancel(server, &job).await.map(|job| screen.say(state_line(&job))),
            Self::Timeline { job, output } => timeline(server, screen, job, output.format).await,
        }?;
        Ok(Exit::Ok)
    }
}

async fn list(
    server: &Server,
    screen: &mut Screen,
    filter: JobFilter,
    limit: usize,
    format: Format,
) -> Result<(), Failure> {
    let found = list::gather(limit, async |page_size, page_token| {
        let request = ListJobsRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = call(request, async |request| server.jobs().list_jobs(request).await).await?;
        Ok((page.jobs, page.next_page_token))
    });
    list::show(screen, format, JOB, &found.await?, |screen, jobs| {
        let mut rows = Rows::new(screen, &["JOB", "STATE", "LANE", "IMAGE", "ACCEPTED", "TOOK"]);
        let now = OffsetDateTime::now_utc();
        for job in jobs {
            let took = words::between(job.create_time, job.end_time);
            rows.row([
                job.job_id.clone(),
                words::word(job.state().as_str_name(), "JOB_STATE_"),
                words::lane(job.lane()),
                words::short(&job.image_digest).to_owned(),
                words::ago(job.create_time, now),
                took.map_or_else(|| words::NOTHING.to_owned(), words::length),
            ]);
        }
        rows
    })
}

/// One job.
pub(super) async fn get(server: &Server, job_id: &str) -> Result<Job, Failure> {
    let request = GetJobRequest { job_id: job_id.to_owned() };
    let answer = call(request, async |request| server.jobs().get_job(request).await).await?;
    answer.job.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no job"))
}

/// Gives a job up.
pub(super) async fn cancel(server: &Server, job_id: &str) -> Result<Job, Failure> {
    let request = CancelJobRequest { request_id: Uuid::now_v7().to_string(), job_id: job_id.to_owned() };
    let answer = call(request, async |request| server.jobs().cancel_job(request).await).await?;
    answer.job.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no job"))
}

fn show(screen: &mut Screen, job: &Job) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    let took = words::between(job.create_time, job.end_time);
    let mut pairs = vec![
        ("job", job.job_id.clone()),
        ("state", words::word(job.state().as_str_name(), "JOB_STATE_")),
        ("kind", words::word(job.kind().as_str_name(), "JOB_KIND_")),
        ("lane", words::lane(job.lane())),
        ("image", job.image_digest.clone()),
        ("accepted", words::ago(job.create_time, now)),
        ("took", took.map_or_else(|| words::NOTHING.to_owned(), words::length)),
    ];
    if !job.trace_id.is_empty() {
        pairs.push(("trace", job.trace_id.clone()));
    }
    if let Some(failure) = &job.failure {
        pairs.push(("failure", format!("{}: {}", failure.code, failure.reason)));
    }
    list::show_pairs(screen, &pairs)
}

/// `job … is done`.
pub(super) fn state_line(job: &Job) -> String {
    let state = words::word(job.state().as_str_name(), "JOB_STATE_");
    match &job.failure {
        Some(failure) => format!("job {} {state}: {}", job.job_id, failure.reason),
        None => format!("job {} {state}", job.job_id),
    }
}

async fn watch(
    server: &Server,
    screen: &mut Screen,
    job: &str,
    timeout: Option<Duration>,
    output: Output,
) -> Result<Exit, Failure> {
    let patience = Patience { timeout, cancel_on_interrupt: false };
    let job = follow::to_the_end(server, screen, job, patience).await?;
    list::show_one(screen, output.format, JOB, &job, |screen, job| screen.data(state_line(job)))?;
    Ok(if convert::is_done(job.state()) { Exit::Ok } else { Exit::Failed })
}

async fn watch_all(server: &Server, screen: &mut Screen, format: Format) -> Result<(), Failure> {
    let mut resume_token = String::new();
    loop {
        let request = WatchJobsRequest { filter: None, resume_token: resume_token.clone() };
        let mut stream = match server.jobs().watch_jobs(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                follow::pause_or_fail(status, &mut resume_token).await?;
                continue;
            }
        };
        while let Some(message) = stream.message().await.unwrap_or_default() {
            resume_token = message.resume_token;
            let jobs = match message.message {
                Some(watch_jobs_response::Message::Snapshot(snapshot)) => snapshot.jobs,
                Some(watch_jobs_response::Message::Change(change)) => change.jobs,
                Some(
                    watch_jobs_response::Message::Synced(_) | watch_jobs_response::Message::Heartbeat(_),
                )
                | None => {
                    continue;
                }
            };
            for job in jobs {
                match format {
                    Format::Table => screen.data(state_line(&job))?,
                    Format::Json | Format::Jsonl => screen.data(json::value(JOB, &job))?,
                }
            }
        }
    }
}

async fn timeline(
    server: &Server,
    screen: &mut Screen,
    job_id: String,
    format: Format,
) -> Result<(), Failure> {
    let request = GetJobTimelineRequest { job_id };
    let answer = call(request, async |request| server.jobs().get_job_timeline(request).await).await?;
    let name = "starling.job.v1.GetJobTimelineResponse";
    list::show_one(screen, format, name, &answer, |screen, answer| {
        let mut rows = Rows::new(screen, &["STAGE", "START", "TOOK", "NODE", "TRY", "REASON"]);
        let began = answer.job.as_ref().and_then(|job| job.create_time);
        for event in &answer.events {
            rows.row(timeline_row(event, began));
        }
        rows.right(&[1, 2]).show(screen)
    })
}

fn timeline_row(event: &JobEvent, began: Option<prost_types::Timestamp>) -> [String; 6] {
    let nothing = || words::NOTHING.to_owned();
    let after = words::between(began, event.start_time)
        .map_or_else(nothing, |after| format!("+{}", words::length(after)));
    [
        stage(event.stage()),
        after,
        words::between(event.start_time, event.end_time).map_or_else(nothing, words::length),
        if event.node.is_empty() { nothing() } else { event.node.clone() },
        if event.attempt == 0 { nothing() } else { event.attempt.to_string() },
        event.reason.clone(),
    ]
}

/// The word for a stage.
pub(super) fn stage(stage: Stage) -> String {
    words::word(stage.as_str_name(), "STAGE_")
}
