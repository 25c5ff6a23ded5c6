//! Clients of several tenants that go on and on: they bring images, submit them, follow or ask after their jobs, and
//! look at what they may see and at what they may not.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto_api::finding::v1::ListFindingsRequest;
use proto_api::job::v1::watch_job_response::Message;
use proto_api::job::v1::{GetJobRequest, ListJobsRequest, WatchJobRequest};
use tests::clients::{Clients, is_final, request_id};
use tests::images::Image;
use tests::invariants::Ledger;
use tests::{Tenant, TestCluster, eventually, refusals};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::{Code, Status};

/// How many clients each tenant has.
const CLIENTS: usize = 2;
/// How long a call may take before another door is tried.
const CALL: Duration = Duration::from_secs(1);
/// How long a client goes on trying the same request.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries or questions, as a client should.
const PAUSE: Duration = Duration::from_millis(50);

/// The clients under way.
pub(super) struct Crowd {
    stop: watch::Sender<bool>,
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<Ledger>>,
}

/// What all of them have come to.
#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    unanswered: AtomicUsize,
    /// When jobs that are done were submitted, and when their clients knew.
    done: Mutex<Vec<(Instant, Instant)>>,
    /// A job of each tenant, for the others to ask after.
    jobs: Mutex<BTreeMap<String, String>>,
}

impl Crowd {
    /// Begins.
    pub(super) fn begin(cluster: &TestCluster, tenants: &[Tenant]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let seen = Arc::new(Seen::default());
        let of_tenant = tenants.iter().flat_map(|tenant| (0..CLIENTS).map(move |number| (tenant, number)));
        let client = |(tenant, number): (&Tenant, usize)| Client {
            tenant: tenant.clone(),
            doors: cluster.nodes().iter().map(|node| node.client(tenant)).collect(),
            door: number,
            watches: number == 0,
            seen: Arc::clone(&seen),
            ledger: Ledger::of(tenant),
        };
        let clients =
            of_tenant.map(client).map(|client| tokio::spawn(client.go_on(stopped.clone()))).collect();
        Self { stop, seen, clients }
    }

    /// Waits until jobs that were submitted since then are done, so many; when the first of them was.
    pub(super) async fn progress(&self, since: Instant, count: usize) -> Instant {
        let done = || {
            let done = self.seen.done.lock().unwrap_or_else(PoisonError::into_inner);
            let mut ends: Vec<_> =
                done.iter().filter(|(submitted, _)| *submitted >= since).map(|(_, end)| *end).collect();
            ends.sort();
            ends
        };
        eventually(PATIENCE, &format!("{count} jobs are done"), || async { done().len() >= count }).await;
        done()[0]
    }

    /// Waits until so many more jobs are accepted.
    pub(super) async fn accepts(&self, count: usize) {
        more(&self.seen.accepted, count, "jobs are accepted").await;
    }

    /// Waits until so many more calls were not answered.
    pub(super) async fn suffers(&self, count: usize) {
        more(&self.seen.unanswered, count, "calls go unanswered").await;
    }

    /// Ends once each client has seen the end of its job; what each tenant was told.
    pub(super) async fn stop(self) -> Vec<Ledger> {
        self.stop.send_replace(true);
        let mut ledgers = Vec::new();
        for client in self.clients {
            ledgers.push(client.await.expect("no client has anything to complain of"));
        }
        ledgers
    }
}

async fn more(counter: &AtomicUsize, count: usize, what: &str) {
    let goal = counter.load(Ordering::Relaxed) + count;
    eventually(PATIENCE, &format!("{count} more {what}"), || async {
        counter.load(Ordering::Relaxed) >= goal
    })
    .await;
}

struct Client {
    tenant: Tenant,
    doors: Vec<Clients>,
    door: usize,
    /// Whether it follows its jobs, before it asks after them.
    watches: bool,
    seen: Arc<Seen>,
    ledger: Ledger,
}

impl Client {
    async fn go_on(mut self, stopped: watch::Receiver<bool>) -> Ledger {
        let canary = format!("canary-of-{}", self.tenant.id().simple());
        while !*stopped.borrow() {
            let (image, id, submitted) = (Image::with_canary(&canary), request_id(), Instant::now());
            let job = self.insist(|client| submit(client, image.clone(), id.clone())).await;
            self.ledger.note(&id, &job);
            self.seen.accepted.fetch_add(1, Ordering::Relaxed);
            if self.watches {
                self.follow(&job).await;
            }
            self.ask(&job).await;
            let done = (submitted, Instant::now());
            self.seen.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
            self.look_around(&canary, &image, &job).await;
        }
        self.ledger
    }

    /// The door that was tried last.
    fn here(&self) -> Clients {
        self.doors[self.door % self.doors.len()].clone()
    }

    /// Tries one door after the other until one answers.
    async fn insist<T, F: Future<Output = Result<T, Status>>>(&mut self, call: impl Fn(Clients) -> F) -> T {
        let begin = Instant::now();
        loop {
            self.door += 1;
            match timeout(CALL, call(self.here())).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(status)) => assert!(refusals::is_unanswered(&status), "refused: {status:?}"),
                Err(_) => {}
            }
            assert!(begin.elapsed() < PATIENCE, "no door opens");
            self.seen.unanswered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows a job to its end, or for as long as the line holds: each event comes once, and in order.
    async fn follow(&mut self, job: &str) {
        let request = WatchJobRequest { job_id: job.to_owned(), ..WatchJobRequest::default() };
        let mut client = self.here();
        let Ok(Ok(stream)) = timeout(CALL, client.jobs.watch_job(request)).await else { return };
        let mut stream = stream.into_inner();
        let mut last = 0;
        // A job that takes longer is asked after.
        while let Ok(Ok(Some(message))) = timeout(CALL, stream.message()).await {
            let events = match message.message {
                Some(Message::Snapshot(snapshot)) => snapshot.events,
                Some(Message::Change(change)) => change.events,
                Some(Message::Synced(_) | Message::Heartbeat(_)) | None => continue,
            };
            for event in events {
                assert_eq!(event.sequence, last + 1, "job {job} is told in order");
                last = event.sequence;
            }
        }
    }

    /// Asks after a job, here and there, until it has ended.
    async fn ask(&mut self, job: &str) {
        let begin = Instant::now();
        loop {
            // A door is tried again and again: the read begins with the try that was answered, at the earliest.
            let (called, seen) = self
                .insist(|mut client| async move {
                    let called = Instant::now();
                    Ok((called, client.job(job).await?))
                })
                .await;
            assert_eq!(seen.tenant_id, self.tenant.id().to_string());
            self.ledger.read(job, called, seen.state());
            if is_final(&seen) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "job {job} does not end: {seen:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sees what is its own, and nothing of another tenant.
    async fn look_around(&mut self, canary: &str, image: &Image, job: &str) {
        let own = self.tenant.id().to_string();
        let others = {
            let mut jobs = self.seen.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.insert(own.clone(), job.to_owned());
            jobs.iter().filter(|(tenant, _)| **tenant != own).map(|(_, job)| job.clone()).collect::<Vec<_>>()
        };
        for other in others {
            let request = GetJobRequest { job_id: other };
            let mut client = self.here();
            if let Ok(answer) = timeout(CALL, client.jobs.get_job(request)).await {
                let refused = answer.expect_err("a job of another tenant was answered");
                let hidden = refused.code() == Code::NotFound || refusals::is_unanswered(&refused);
                assert!(hidden, "{refused:?}");
            }
        }
        let request = ListJobsRequest { page_size: 50, ..ListJobsRequest::default() };
        let listed = self
            .insist(|mut client| {
                let request = request.clone();
                async move { Ok(client.jobs.list_jobs(request).await?.into_inner().jobs) }
            })
            .await;
        assert!(listed.iter().all(|job| job.tenant_id == own), "{listed:?}");
        let request = ListFindingsRequest { image: image.digest(), ..ListFindingsRequest::default() };
        let found = self
            .insist(|mut client| {
                let request = request.clone();
                async move { Ok(client.findings.list_findings(request).await?.into_inner()) }
            })
            .await;
        let strange = format!("{found:?}").replace(canary, "");
        assert!(!strange.contains("canary-of-"), "{strange}");
    }
}

async fn submit(mut client: Clients, image: Image, id: String) -> Result<String, Status> {
    client.put(&image).await?;
    Ok(client.submit(&image.digest(), &id).await?.job_id)
}
