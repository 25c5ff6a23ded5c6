//! Follows a job to its end: one line for each stage, across lost connections and restarted servers.

use std::collections::HashSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use proto_api::job::v1::{Job, JobEvent, JobState, WatchJobRequest, watch_job_response::Message};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use super::failure::{Exit, Failure};
use super::jobs;
use super::screen::Screen;
use super::server::{Server, WATCHES_MAX, pause_before};
use super::words;
use crate::grpc::convert;

/// How long to wait, and what Ctrl-C means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Give up waiting after this.
    pub timeout: Option<Duration>,
    /// Whether Ctrl-C asks the server to give the job up.
    pub cancel_on_interrupt: bool,
}

/// Where nothing is redrawn, this often a line says that it still goes on.
const STILL: Duration = Duration::from_secs(5);

/// Waits until the job is finished, and answers it.
pub(super) async fn to_the_end(
    server: &Server,
    screen: &mut Screen,
    job_id: &str,
    patience: Patience,
) -> Result<Job, Failure> {
    let mut progress = Progress::new(screen);
    let deadline = patience.timeout.map(|timeout| Instant::now() + timeout);
    let ended = tokio::select! {
        job = watch(server, job_id, &mut progress) => Ended::Finished(Box::new(job?)),
        () = until(deadline) => Ended::TooLate,
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Ended::Interrupted)?,
    };
    progress.end();
    match ended {
        Ended::Finished(job) => Ok(*job),
        Ended::TooLate => {
            Err(Failure::new(Exit::GaveUp, format!("gave up waiting for job {job_id}; it goes on"))
                .next(format!("follow it: starling jobs watch {job_id}")))
        }
        Ended::Interrupted => Err(interrupted(server, job_id, patience).await),
    }
}

enum Ended {
    Finished(Box<Job>),
    TooLate,
    Interrupted,
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn interrupted(server: &Server, job_id: &str, patience: Patience) -> Failure {
    if !patience.cancel_on_interrupt {
        return Failure::new(Exit::Interrupted, format!("interrupted; job {job_id} goes on"))
            .next(format!("give it up: starling jobs cancel {job_id}"));
    }
    let cancelled = tokio::select! {
        cancelled = jobs::cancel(server, job_id) => cancelled,
        // Interrupted again: whoever does that does not want to wait for the server.
        _ = tokio::signal::ctrl_c() => return Failure::new(Exit::Interrupted, format!("left; job {job_id} may go on")),
    };
    match cancelled {
        Ok(_) => Failure::new(Exit::Interrupted, format!("interrupted; job {job_id} was given up")),
        Err(failure) => Failure { exit: Exit::Interrupted, ..failure },
    }
}

/// Watches, again and again if need be, from where the last message left off.
async fn watch(server: &Server, job_id: &str, progress: &mut Progress<'_>) -> Result<Job, Failure> {
    let mut resume_token = String::new();
    let mut attempt = 0;
    loop {
        let request = WatchJobRequest { job_id: job_id.to_owned(), resume_token: resume_token.clone() };
        let outcome = match server.jobs().watch_job(request).await {
            Ok(answer) => read(answer.into_inner(), progress, &mut resume_token, &mut attempt).await,
            Err(status) => Err(status),
        };
        match outcome {
            Ok(Some(job)) => return Ok(job),
            // The server ends watches after a while, so that they spread over the nodes again.
            Ok(None) => {}
            Err(status) if status.code() == Code::OutOfRange => resume_token.clear(),
            Err(status) => match pause_before(&status, attempt, WATCHES_MAX) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status.into()),
            },
        }
        attempt += 1;
    }
}

/// Waits a little when that may help; otherwise fails.
pub(super) async fn pause_or_fail(status: Status, resume_token: &mut String) -> Result<(), Failure> {
    if status.code() == Code::OutOfRange {
        resume_token.clear();
        return Ok(());
    }
    let pause = pause_before(&status, 0, WATCHES_MAX).ok_or(status)?;
    tokio::time::sleep(pause).await;
    Ok(())
}

async fn read(
    mut stream: Streaming<proto_api::job::v1::WatchJobResponse>,
    progress: &mut Progress<'_>,
    resume_token: &mut String,
    attempt: &mut u32,
) -> Result<Option<Job>, Status> {
    loop {
        let message = tokio::select! {
            message = stream.message() => message?,
            () = tokio::time::sleep(STILL) => {
                progress.still();
                continue;
            }
        };
        let Some(message) = message else { return Ok(None) };
        *attempt = 0;
        *resume_token = message.resume_token;
        let (job, events) = match message.message {
            Some(Message::Snapshot(snapshot)) => (snapshot.job, snapshot.events),
            Some(Message::Change(change)) => (change.job, change.events),
            Some(Message::Synced(_) | Message::Heartbeat(_)) | None => continue,
        };
        progress.take(&events);
        if let Some(job) = job {
            progress.state(job.state());
            if convert::is_final(job.state()) {
                return Ok(Some(job));
            }
        }
    }
}

/// One line for each stage that ended; a moving one for the stage that goes on.
struct Progress<'a> {
    screen: &'a mut Screen,
    shown: HashSet<i64>,
    bar: ProgressBar,
    began: Instant,
    now: String,
}

impl<'a> Progress<'a> {
    fn new(screen: &'a mut Screen) -> Self {
        let bar = if screen.live { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is sound"),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { screen, shown: HashSet::new(), bar, began: Instant::now(), now: "waiting".to_owned() }
    }

    fn take(&mut self, events: &[JobEvent]) {
        for event in events {
            let ended = event.end_time.is_some();
            if ended && self.shown.insert(event.sequence) {
                self.line(&stage_line(event));
            }
            if !ended {
                self.now = jobs::stage(event.stage());
                self.bar.set_message(self.now.clone());
            }
        }
    }

    fn state(&mut self, state: JobState) {
        self.now = words::word(state.as_str_name(), "JOB_STATE_");
        self.bar.set_message(self.now.clone());
    }

    fn still(&mut self) {
        if !self.screen.live {
            self.screen.say(format!("{} for {}", self.now, words::length(self.began.elapsed())));
        }
    }

    fn line(&mut self, text: &str) {
        let screen = &mut *self.screen;
        self.bar.suspend(|| screen.say(text));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn stage_line(event: &JobEvent) -> String {
    let mut line = format!("{:<11}", jobs::stage(event.stage()));
    if let Some(took) = words::between(event.start_time, event.end_time) {
        line.push_str(&format!("{:>9}", words::length(took)));
    }
    if !event.node.is_empty() {
        line.push_str(&format!("  on {}", event.node));
    }
    if event.attempt > 1 {
        line.push_str(&format!(", try {}", event.attempt));
    }
    if !event.reason.is_empty() {
        line.push_str(&format!(": {}", event.reason));
    }
    line
}
