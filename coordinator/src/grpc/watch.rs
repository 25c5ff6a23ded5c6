//! Watches: a snapshot, SYNCED, then changes, with a heartbeat and a token to resume at each message.
//!
//! One poller a node reads the changes of all watched tenants, whatever the number of watchers; a watcher merges
//! what it is told and sends at most four messages a second. One that falls behind is read up from the database
//! again, so no buffer grows. A watch ends by itself after a while, so that watchers spread over the nodes again.

mod follow;
mod hub;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use model::{JobId, JobState};
use proto_api::common::v1::ErrorReason;
use proto_api::job::v1::{
    self as wire, WatchJobResponse, WatchJobsResponse, watch_job_response, watch_jobs_response,
};
use rand::RngExt as _;
use store::Store;
use store::jobs::{self, Filter, Job, JobEvent, Mark};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Door;
use super::auth::Caller;
use super::errors::{Refusal, named, refuse};
use super::jobs::{event_message, filter_bytes, job_message};
use super::sealed::Binding;
use follow::{Next, Pace};
pub(super) use hub::Watches;
use hub::{Changes, Listener};

/// What a watch of one job answers.
pub(super) type JobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;
/// What a watch of jobs answers.
pub(super) type JobsStream = Pin<Box<dyn Stream<Item = Result<WatchJobsResponse, Status>> + Send>>;

/// Messages on their way to a client that is slow to read.
const BUFFER: usize = 4;
/// Jobs in one message of a snapshot.
const SNAPSHOT_PAGE: u32 = 500;
/// Jobs in a whole snapshot: the newest.
const SNAPSHOT_MAX: usize = 10_000;
/// Events read to resume; a watcher that missed more begins with a snapshot again.
const RESUME_EVENTS_MAX: usize = 20_000;
const EVENTS_PAGE: u32 = 1000;

const UNFINISHED: [JobState; 3] = [JobState::Accepted, JobState::Extracting, JobState::Evaluating];

/// Follows one job.
pub(super) async fn watch_job(
    door: &Door,
    caller: &Arc<Caller>,
    job: JobId,
    resume: &str,
) -> Result<JobStream, Refusal> {
    let binding = Binding::of("WatchJob", caller.tenant, &[job.as_uuid().as_bytes()]);
    let after = match resume {
        "" => None,
        token => {
            let position = door.seals.open(binding, token).map_err(|bad| bad.of_watch())?;
            let seq = position.try_into().map_err(|_| refuse(ErrorReason::ResumeTokenInvalid))?;
            Some(u32::from_be_bytes(seq))
        }
    };
    let listener = door.watches.listen(caller.tenant).await?;
    let (sender, messages) = mpsc::channel(BUFFER);
    let one = OneJob {
        store: door.store.clone(),
        caller: caller.clone(),
        job,
        seq: 0,
        seal: {
            let seals = door.seals.clone();
            Box::new(move |seq: u32| seals.seal(binding, &seq.to_be_bytes()))
        },
        sender,
    };
    // What is wrong with the request is said at once and not in the stream.
    let first = one.read(after.unwrap_or(0)).await.map_err(|error| named(error, &job.to_string()))?;
    tokio::spawn(one.run(listener, first, after.is_some()));
    Ok(Box::pin(ReceiverStream::new(messages)))
}

/// Follows a tenant's jobs.
pub(super) async fn watch_jobs(
    door: &Door,
    caller: &Arc<Caller>,
    filter: Filter,
    resume: &str,
) -> Result<JobsStream, Refusal> {
    let binding = Binding::of("WatchJobs", caller.tenant, &[&filter_bytes(&filter)]);
    let after = match resume {
        "" => None,
        token => {
            let position = door.seals.open(binding, token).map_err(|bad| bad.of_watch())?;
            Some(Mark::from_bytes(&position).ok_or_else(|| refuse(ErrorReason::ResumeTokenInvalid))?)
        }
    };
    let listener = door.watches.listen(caller.tenant).await?;
    let (sender, messages) = mpsc::channel(BUFFER);
    let seals = door.seals.clone();
    let many = ManyJobs {
        store: door.store.clone(),
        caller: caller.clone(),
        filter,
        seal: Box::new(move |mark: Mark| seals.seal(binding, &mark.to_bytes())),
        sender,
    };
    let missed = match after {
        Some(mark) => Some(many.missed(mark, listener.mark).await?),
        None => None,
    };
    tokio::spawn(many.run(listener, missed));
    Ok(Box::pin(ReceiverStream::new(messages)))
}

/// The client went away, or the stream ended for another reason that needs no words.
struct Gone;

type Sent = Result<(), Gone>;

struct OneJob {
    store: Store,
    caller: Arc<Caller>,
    job: JobId,
    /// The last event that was sent.
    seq: u32,
    seal: Box<dyn Fn(u32) -> String + Send + Sync>,
    sender: mpsc::Sender<Result<WatchJobResponse, Status>>,
}

impl OneJob {
    /// The job and its events after this one, as of one moment: a job counts its events, so it is seen when
    /// something happened between the two readings.
    async fn read(&self, after: u32) -> Result<(Job, Vec<JobEvent>), store::Error> {
        let mut tx = self.store.tenant(self.caller.tenant).await?;
        loop {
            let job = jobs::get(&mut tx, self.job).await?;
            let events = jobs::events_after(&mut tx, self.job, after).await?;
            if last(&events, after) == job.events {
                return Ok((job, events));
            }
        }
    }

    async fn run(mut self, listener: Listener, first: (Job, Vec<JobEvent>), resumed: bool) {
        if let Err(refusal) = self.follow(listener, first, resumed).await {
            drop(self.sender.send(Err(refusal.into())).await);
        }
    }

    /// Answers when the watch is over; fails when the client must be told why.
    async fn follow(
        &mut self,
        mut listener: Listener,
        (job, events): (Job, Vec<JobEvent>),
        resumed: bool,
    ) -> Result<(), Refusal> {
        let mut pace = Pace::start();
        if self.begin(&job, &events, resumed).await.is_err() || job.state.is_final() {
            return Ok(());
        }
        loop {
            let is_over =
                |changes: &Changes| changes.jobs.get(&self.job).is_some_and(|job| job.state.is_final());
            let (job, events) = match pace.next(&mut listener, is_over).await {
                Next::Changes(changes) => match changes.of(self.job, self.seq) {
                    Some((job, events)) if last(&events, self.seq) == job.events => (job, events),
                    // The job is ahead of the events that were heard.
                    Some(_) => self.read(self.seq).await?,
                    None => continue,
                },
                Next::Behind => self.read(self.seq).await?,
                Next::Silence => {
                    let heartbeat = watch_job_response::Message::Heartbeat(wire::WatchHeartbeat {});
                    if self.send(heartbeat).await.is_err() {
                        return Ok(());
                    }
                    pace.sent();
                    continue;
                }
                Next::Over => return Ok(()),
            };
            if self.change(&job, &events).await.is_err() || job.state.is_final() {
                return Ok(());
            }
            pace.sent();
        }
    }

    async fn begin(&mut self, job: &Job, events: &[JobEvent], resumed: bool) -> Sent {
        if resumed {
            self.change(job, events).await?;
        } else {
            self.seq = last(events, 0);
            let events = events.iter().map(event_message).collect();
            let snapshot = wire::WatchJobSnapshot { job: Some(job_message(&self.caller, job)), events };
            self.send(watch_job_response::Message::Snapshot(snapshot)).await?;
        }
        self.send(watch_job_response::Message::Synced(wire::WatchSynced {})).await
    }

    async fn change(&mut self, job: &Job, events: &[JobEvent]) -> Sent {
        self.seq = last(events, self.seq);
        let events = events.iter().map(event_message).collect();
        let change = wire::WatchJobChange { job: Some(job_message(&self.caller, job)), events };
        self.send(watch_job_response::Message::Change(change)).await
    }

    async fn send(&self, message: watch_job_response::Message) -> Sent {
        let message = WatchJobResponse { message: Some(message), resume_token: (self.seal)(self.seq) };
        self.sender.send(Ok(message)).await.map_err(|_| Gone)
    }
}

/// The number of the last event; of none, the number after which they were read.
fn last(events: &[JobEvent], after: u32) -> u32 {
    events.last().map_or(after, |event| event.seq)
}

struct ManyJobs {
    store: Store,
    caller: Arc<Caller>,
    filter: Filter,
    seal: Box<dyn Fn(Mark) -> String + Send + Sync>,
    sender: mpsc::Sender<Result<WatchJobsResponse, Status>>,
}

impl ManyJobs {
    /// What happened between a resumed watcher's mark and the listener's.
    async fn missed(&self, mut mark: Mark, until: Mark) -> Result<Changes, Refusal> {
        let mut changes = Changes::default();
        let mut tx = self.store.tenant(self.caller.tenant).await?;
        let mut read = 0;
        while mark != until {
            let (events, next) = jobs::changes_after(&mut tx, mark, EVENTS_PAGE).await?;
            if events.is_empty() {
                break;
            }
            read += events.len();
            if read > RESUME_EVENTS_MAX {
                return Err(refuse(ErrorReason::ResumeTokenExpired));
            }
            mark = next;
            changes.add(&mut tx, events).await?;
        }
        Ok(changes)
    }

    async fn run(self, mut listener: Listener, missed: Option<Changes>) {
        if let Err(refusal) = self.follow(&mut listener, missed).await {
            drop(self.sender.send(Err(refusal.into())).await);
        }
    }

    async fn follow(&self, listener: &mut Listener, missed: Option<Changes>) -> Result<(), Refusal> {
        let mut pace = Pace::start();
        let mut mark = listener.mark;
        let begun = match missed {
            Some(changes) => self.change(changes, mark).await,
            None => self.snapshot(mark).await?,
        };
        if begun.is_err() || self.send(SYNCED, mark).await.is_err() {
            return Ok(());
        }
        loop {
            let sent = match pace.next(listener, |_| false).await {
                Next::Changes(changes) => {
                    mark = changes.mark.unwrap_or(mark);
                    self.change(changes, mark).await
                }
                Next::Behind => {
                    mark = listener.again().await?;
                    self.snapshot(mark).await?
                }
                Next::Silence => self.send(HEARTBEAT, mark).await.map(|()| true),
                Next::Over => return Ok(()),
            };
            match sent {
                Ok(true) => pace.sent(),
                Ok(false) => {}
                Err(Gone) => return Ok(()),
            }
        }
    }

    async fn snapshot(&self, mark: Mark) -> Result<Result<bool, Gone>, Refusal> {
        let mut filter = self.filter.clone();
        if filter.states.is_empty() {
            filter.states = UNFINISHED.to_vec();
        }
        let mut after = None;
        let mut sent = 0;
        while sent < SNAPSHOT_MAX {
            let mut tx = self.store.tenant(self.caller.tenant).await?;
            let page = jobs::list(&mut tx, &filter, after, SNAPSHOT_PAGE).await?;
            drop(tx);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            sent += page.len();
            let jobs = page.iter().map(|job| job_message(&self.caller, job)).collect();
            let message = watch_jobs_response::Message::Snapshot(wire::WatchJobsSnapshot { jobs });
            if self.send(message, mark).await.is_err() {
                return Ok(Err(Gone));
            }
        }
        Ok(Ok(sent > 0))
    }

    /// Tells of what changed; answers whether any of it was wanted.
    async fn change(&self, changes: Changes, mark: Mark) -> Result<bool, Gone> {
        let wanted = |job: &&Job| {
            self.filter.lane.is_none_or(|lane| job.lane == lane)
                && self.filter.image.as_ref().is_none_or(|image| job.image == *image)
        };
        let jobs: Vec<_> =
            changes.jobs.values().filter(wanted).map(|job| job_message(&self.caller, job)).collect();
        if jobs.is_empty() {
            return Ok(false);
        }
        self.send(watch_jobs_response::Message::Change(wire::WatchJobsChange { jobs }), mark)
            .await
            .map(|()| true)
    }

    async fn send(&self, message: watch_jobs_response::Message, mark: Mark) -> Sent {
        let message = WatchJobsResponse { message: Some(message), resume_token: (self.seal)(mark) };
        self.sender.send(Ok(message)).await.map_err(|_| Gone)
    }
}

const SYNCED: watch_jobs_response::Message = watch_jobs_response::Message::Synced(wire::WatchSynced {});
const HEARTBEAT: watch_jobs_response::Message =
    watch_jobs_response::Message::Heartbeat(wire::WatchHeartbeat {});

/// Between 15 and 30 minutes, so that the watchers of a node do not all come back at once.
fn age_max() -> Duration {
    Duration::from_secs(rand::rng().random_range(15 * 60..30 * 60))
}
