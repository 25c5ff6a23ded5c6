//! The one poller of a node: reads what changed for each tenant that is watched, and tells its watchers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{JobId, TenantId};
use proto_api::common::v1::ErrorReason;
use store::jobs::{self, Job, JobEvent, Mark};
use store::{Store, TenantTx};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::EVENTS_PAGE;
use crate::grpc::errors::{RETRY_SOON, Refusal, refuse};
use crate::node::Phase;

/// Between two readings of the changes.
const POLL: Duration = Duration::from_millis(100);
/// Readings that a watcher may lag behind.
const BUFFER: usize = 64;

/// Jobs that changed, as they are now, and their new events.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// By id.
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// In the order in which they were committed.
    pub(super) events: Vec<JobEvent>,
    /// Where to go on after these.
    pub(super) mark: Option<Mark>,
}

impl Changes {
    /// Takes events in, and reads their jobs.
    pub(super) async fn add(&mut self, tx: &mut TenantTx, events: Vec<JobEvent>) -> Result<(), store::Error> {
        for event in &events {
            // Several events of one job: it is read once, and then shows what all of them did.
            if self.jobs.get(&event.job).is_none_or(|job| job.events < event.seq) {
                self.jobs.insert(event.job, jobs::get(tx, event.job).await?);
            }
        }
        self.events.extend(events);
        Ok(())
    }

    /// Adds later changes.
    pub(super) fn merge(&mut self, later: &Self) {
        self.jobs.extend(later.jobs.iter().map(|(id, job)| (*id, job.clone())));
        self.events.extend(later.events.iter().cloned());
        self.mark = later.mark.or(self.mark);
    }

    /// What there is of one job after an event of it.
    pub(super) fn of(&self, job: JobId, after: u32) -> Option<(Job, Vec<JobEvent>)> {
        let found = self.jobs.get(&job)?;
        let mut events: Vec<_> =
            self.events.iter().filter(|e| e.job == job && e.seq > after).cloned().collect();
        events.sort_by_key(|event| event.seq);
        (!events.is_empty()).then(|| (found.clone(), events))
    }
}

/// The watched tenants of a node.
#[derive(Clone)]
pub(crate) struct Watches {
    store: Store,
    topics: Arc<Mutex<HashMap<TenantId, Topic>>>,
    places: Arc<Semaphore>,
    leaving: watch::Receiver<Phase>,
}

struct Topic {
    mark: Mark,
    sender: broadcast::Sender<Arc<Changes>>,
}

/// One watcher's ear.
pub(super) struct Listener {
    /// Everything after this mark is heard.
    pub(super) mark: Mark,
    watches: Watches,
    tenant: TenantId,
    receiver: broadcast::Receiver<Arc<Changes>>,
    leaving: watch::Receiver<Phase>,
    _place: OwnedSemaphorePermit,
}

/// What a listener hears.
pub(super) enum Heard {
    /// These changed.
    Changes(Arc<Changes>),
    /// Some changes were not heard.
    Behind,
    /// The node leaves.
    Over,
}

impl Watches {
    /// Starts the poller. Watches end when the node leaves.
    pub(crate) fn start(store: Store, max: usize, leaving: watch::Receiver<Phase>) -> Self {
        let places = Arc::new(Semaphore::new(max));
        let watches = Self { store, topics: Arc::default(), places, leaving };
        tokio::spawn(poll(watches.clone()));
        watches
    }

    /// Begins to listen to a tenant's changes.
    pub(super) async fn listen(&self, tenant: TenantId) -> Result<Listener, Refusal> {
        let place = self.place()?;
        let (mark, receiver) = self.subscribe(tenant).await?;
        let leaving = self.leaving.clone();
        Ok(Listener { mark, watches: self.clone(), tenant, receiver, leaving, _place: place })
    }

    /// A place for one more watch, of the so many that the node takes.
    pub(in crate::grpc) fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            refuse(ErrorReason::NodeBusy)
                .saying("the node has as many watches open as it takes")
                .retry_after(RETRY_SOON)
        })
    }

    async fn subscribe(
        &self,
        tenant: TenantId,
    ) -> Result<(Mark, broadcast::Receiver<Arc<Changes>>), store::Error> {
        if let Some(known) = self.joined(tenant) {
            return Ok(known);
        }
        let mut tx = self.store.tenant(tenant).await?;
        let mark = jobs::mark_now(&mut tx).await?;
        drop(tx);
        let mut topics = self.lock();
        let topic =
            topics.entry(tenant).or_insert_with(|| Topic { mark, sender: broadcast::Sender::new(BUFFER) });
        Ok((topic.mark, topic.sender.subscribe()))
    }

    fn joined(&self, tenant: TenantId) -> Option<(Mark, broadcast::Receiver<Arc<Changes>>)> {
        self.lock().get(&tenant).map(|topic| (topic.mark, topic.sender.subscribe()))
    }

    /// The tenants that somebody watches, and where each is. Those that nobody watches any more are forgotten.
    fn watched(&self) -> Vec<(TenantId, Mark)> {
        let mut topics = self.lock();
        topics.retain(|_, topic| topic.sender.receiver_count() > 0);
        let watchers: usize = topics.values().map(|topic| topic.sender.receiver_count()).sum();
        metrics::gauge!("starling_stream_watchers").set(watchers as f64);
        topics.iter().map(|(tenant, topic)| (*tenant, topic.mark)).collect()
    }

    fn tell(&self, tenant: TenantId, changes: Changes) {
        if let Some(topic) = self.lock().get_mut(&tenant) {
            topic.mark = changes.mark.unwrap_or(topic.mark);
            drop(topic.sender.send(Arc::new(changes))); // Nobody listens any more.
        }
    }

    async fn read(&self, tenant: TenantId, mark: Mark) -> Result<Changes, store::Error> {
        let mut tx = self.store.tenant(tenant).await?;
        let (events, next) = jobs::changes_after(&mut tx, mark, EVENTS_PAGE).await?;
        let mut changes = Changes { mark: Some(next), ..Changes::default() };
        changes.add(&mut tx, events).await?;
        Ok(changes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn poll(watches: Watches) {
    let mut leaving = watches.leaving.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            left = leaving.wait_for(|phase| *phase == Phase::Leaving) => {
                drop(left);
                return;
            }
        }
        for (tenant, mark) in watches.watched() {
            match watches.read(tenant, mark).await {
                Ok(changes) if changes.events.is_empty() => {}
                Ok(changes) => watches.tell(tenant, changes),
                // Watchers hear nothing but heartbeats meanwhile; the next reading goes on from the same mark.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "reading changes failed")
                }
            }
        }
    }
}

impl Listener {
    /// Waits for the next thing to hear.
    pub(super) async fn hear(&mut self) -> Heard {
        tokio::select! {
            told = self.receiver.recv() => match told {
                Ok(changes) => Heard::Changes(changes),
                Err(broadcast::error::RecvError::Lagged(_)) => Heard::Behind,
                Err(broadcast::error::RecvError::Closed) => Heard::Over,
            },
            left = self.leaving.wait_for(|phase| *phase == Phase::Leaving) => {
                drop(left);
                Heard::Over
            }
        }
    }

    /// Listens from now on, after having missed something.
    pub(super) async fn again(&mut self) -> Result<Mark, store::Error> {
        let (mark, receiver) = self.watches.subscribe(self.tenant).await?;
        self.receiver = receiver;
        self.mark = mark;
        Ok(mark)
    }
}
