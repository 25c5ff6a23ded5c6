//! Many small jobs submitted while something breaks, as a client would that does not give up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::clients::{Clients, request_id};
use tests::images::Image;
use tests::invariants::Ledger;
use tests::{Tenant, TestCluster, eventually, refusals};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Status;

/// How many at once.
const ABREAST: usize = 6;
/// How long a client goes on trying the same request.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries, as a client should.
const PAUSE: Duration = Duration::from_millis(100);

/// A load under way.
pub(crate) struct Load {
    submitter: Arc<Submitter>,
    task: JoinHandle<Ledger>,
}

/// Whoever submits, and what it counts.
struct Submitter {
    tenant: Tenant,
    doors: Vec<Clients>,
    todo: Mutex<Vec<Image>>,
    answered: AtomicUsize,
    unanswered: AtomicUsize,
    /// The most calls that one request took.
    calls_max: AtomicUsize,
}

impl Load {
    /// Begins to submit this many images, each unlike any other, to all nodes in turn.
    pub(crate) async fn begin(cluster: &TestCluster, name: &str, images: usize) -> Self {
        let tenant = cluster.tenant(name).await;
        let canary = format!("canary-of-{}", tenant.id().simple());
        let submitter = Arc::new(Submitter {
            doors: cluster.nodes().iter().map(|node| node.client(&tenant)).collect(),
            tenant,
            todo: Mutex::new((0..images).map(|_| Image::with_canary(&canary)).collect()),
            answered: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            calls_max: AtomicUsize::new(0),
        });
        let task = tokio::spawn(Arc::clone(&submitter).submit_all());
        Self { submitter, task }
    }

    /// Waits until this many submissions were answered.
    pub(crate) async fn reaches(&self, count: usize) {
        eventually(PATIENCE, &format!("{count} jobs are accepted"), || async {
            self.submitter.answered.load(Ordering::Relaxed) >= count
        })
        .await;
    }

    /// The most calls that one request took so far.
    pub(crate) fn calls_max(&self) -> usize {
        self.submitter.calls_max.load(Ordering::Relaxed)
    }

    /// Whose load it is.
    pub(crate) fn tenant(&self) -> Tenant {
        self.submitter.tenant.clone()
    }

    /// Waits until all are submitted. What the tenant was told.
    pub(crate) async fn accepted(self) -> Ledger {
        self.task.await.expect("the load comes to an end")
    }

    /// Stops to submit; what it was told is forgotten.
    pub(crate) fn abandon(self) {
        self.task.abort();
    }

    /// How many calls got no answer and were made again.
    pub(crate) fn unanswered(&self) -> usize {
        self.submitter.unanswered.load(Ordering::Relaxed)
    }

    /// Waits until all are submitted and all their jobs are done. What the tenant was told.
    pub(crate) async fn done(self, cluster: &TestCluster, within: Duration) -> Ledger {
        let ledger = self.task.await.expect("the load comes to an end");
        let client = cluster.nodes()[0].client(&self.submitter.tenant);
        let begin = Instant::now();
        for job in ledger.jobs() {
            client.done(&job, within.saturating_sub(begin.elapsed())).await;
        }
        ledger
    }
}

impl Submitter {
    async fn submit_all(self: Arc<Self>) -> Ledger {
        let mut tasks = JoinSet::new();
        for number in 0..ABREAST {
            tasks.spawn(Arc::clone(&self).submit_some(number));
        }
        let mut ledger = Ledger::of(&self.tenant);
        tasks.join_all().await.into_iter().for_each(|part| ledger.extend(part));
        ledger
    }

    async fn submit_some(self: Arc<Self>, mut door: usize) -> Ledger {
        let mut ledger = Ledger::of(&self.tenant);
        while let Some(image) = self.next() {
            let id = request_id();
            let job = self.insist(&image, &id, &mut door).await;
            ledger.note(&id, &job);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        ledger
    }

    fn next(&self) -> Option<Image> {
        self.todo.lock().expect("nobody panics with it").pop()
    }

    /// Tries one door after the other until one takes the image and the job.
    async fn insist(&self, image: &Image, id: &str, door: &mut usize) -> String {
        let begin = Instant::now();
        let mut calls = 0;
        loop {
            calls += 1;
            *door += 1;
            self.calls_max.fetch_max(calls, Ordering::Relaxed);
            match once(self.doors[*door % self.doors.len()].clone(), image, id).await {
                Ok(job) => return job,
                Err(status) => {
                    assert!(refusals::is_unanswered(&status), "refused: {status:?}");
                    assert!(begin.elapsed() < PATIENCE, "no door opens: {status:?}");
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn once(mut client: Clients, image: &Image, id: &str) -> Result<String, Status> {
    client.put(image).await?;
    Ok(client.submit(&image.digest(), id).await?.job_id)
}
