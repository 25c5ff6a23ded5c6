//! Takes work from the lanes' streams and reads images' layers: one slot, one image at a time.
//!
//! Any node may do any work. The store numbers the attempts, and every later word of an attempt names
//! its number, so that whoever was taken over is refused. The stream's lease only says when another may
//! try: a renewal that fails stops nobody, the store's answer does.
//!
//! A slot reads nothing ahead, and an entry is acknowledged after its effect is committed.

mod attempt;
pub mod entry;
mod layers;
mod reading;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::streams::{Delivery, StreamError};
use cluster::{Cluster, MemberState, View};
use model::{Lane, TenantId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use store::work::{Claim, Claimed, Failed, Failure, Hold, Keep, StopReason};
use store::{Objects, Store};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use self::attempt::{Attempt, Ended};
use self::entry::{Settled, after_claim, after_stop};
use crate::backoff::Backoff;
use crate::failpoint::{self, Point};
use crate::metrics::{EXTRACTION_DURATION, JOBS_FINISHED, WORK_ATTEMPTS, WORKER_SLOTS};
use crate::with_causes;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };
/// A finished extraction is worth waiting for the database …
const COMPLETE_TRIES: u32 = 6;
/// … this long between two tries.
const COMPLETE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(2) };

/// What all slots of a node share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) cluster: Cluster,
    pub(crate) limits: inventory::Limits,
    /// Between two questions whether the attempt still stands, which also renew the lease.
    pub(crate) keep_every: Duration,
    /// Work not renewed for this long may be taken over.
    pub(crate) work_lease: Duration,
    /// Take nothing more; what is held goes on.
    pub(crate) rest: CancellationToken,
    /// Give back what is held, and take nothing more.
    pub(crate) stop: CancellationToken,
}

/// One slot: takes work of these lanes.
pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lanes: Vec<usize>,
}

/// The lanes of each slot: the first of several is kept for people, so that nobody waits behind a sweep.
pub(crate) fn lanes_of_slots(slots: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = Lane::ALL.iter().map(|lane| *lane as usize).collect();
    let mut lanes = vec![all; slots];
    if slots > 1 {
        lanes[0] = vec![Lane::Interactive as usize];
    }
    lanes
}

/// What a slot tells itself.
pub(crate) enum Message {
    /// Take the next piece of work.
    Next,
}

impl Actor for Slot {
    type Msg = Message;
    /// Failures to take work, in a row.
    type State = u32;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<u32, ActorProcessingErr> {
        myself.cast(Message::Next)?;
        Ok(0)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Next: Message,
        failures: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        let next = tokio::select! {
            next = self.shared.next(&self.lanes) => next,
            () = self.shared.stop.cancelled() => {
                myself.stop(None);
                return Ok(());
            }
        };
        match next {
            Ok(delivery) => {
                *failures = 0;
                let _busy = Busy::new();
                self.shared.take(delivery).await;
            }
            Err(error) => {
                *failures += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot take work");
                tokio::time::sleep(BACKOFF.random_delay(*failures)).await;
            }
        }
        myself.cast(Message::Next)?;
        Ok(())
    }
}

/// Counts a slot as busy while it lives.
struct Busy;

impl Busy {
    fn new() -> Self {
        metrics::gauge!(WORKER_SLOTS, "state" => "busy").increment(1.0);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        metrics::gauge!(WORKER_SLOTS, "state" => "busy").decrement(1.0);
    }
}

impl Shared {
    /// The next piece of work. None is taken by a node that is about to leave.
    async fn next(&self, lanes: &[usize]) -> Result<Delivery, StreamError> {
        tokio::select! {
            biased;
            () = self.rest.cancelled() => std::future::pending().await,
            next = self.next_unless_draining(lanes) => next,
        }
    }

    async fn next_unless_draining(&self, lanes: &[usize]) -> Result<Delivery, StreamError> {
        let (me, mut view) = (self.cluster.generation(), self.cluster.watch_members());
        let drains =
            |view: &Arc<View>| view.member(me).is_some_and(|member| member.state == MemberState::Draining);
        while view.wait_for(|view| !drains(view)).await.is_ok() {
            tokio::select! {
                next = self.cluster.work().next(lanes) => return next,
                drain = view.wait_for(drains) => drop(drain),
            }
        }
        self.cluster.work().next(lanes).await // The node has ended, and this says so.
    }

    /// Does what an entry stands for, and acknowledges it when that is settled.
    async fn take(&self, delivery: Delivery) {
        let tenant = TenantId::from_uuid(delivery.item.tenant);
        let span = tracing::info_span!(
            "work",
            tenant.id = %tenant,
            work.id = &*delivery.item.id,
            work.reclaimed = delivery.reclaimed,
            work.attempt = tracing::field::Empty,
            image.digest = tracing::field::Empty,
            job.id = tracing::field::Empty,
            trace_id = tracing::field::Empty,
            node.generation = self.cluster.generation().0
        );
        async {
            match self.settle(tenant, &delivery).await {
                Ok(Settled::No) => {}
                Ok(Settled::Yes) => {
                    // Not acknowledged, it comes again and turns out to be done.
                    if let Err(error) = self.cluster.work().done(delivery.entry.clone()).await {
                        tracing::debug!(error = &error as &dyn std::error::Error, "entry not acknowledged");
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "work is left to its lease");
                }
            }
        }
        .instrument(span)
        .await;
    }

    async fn settle(&self, tenant: TenantId, delivery: &Delivery) -> Result<Settled, store::Error> {
        let Ok(work) = delivery.item.id.parse::<Uuid>() else {
            tracing::error!("an entry names no work");
            return Ok(Settled::Yes);
        };
        let me = self.cluster.generation().0;
        // Several times it would have asked, had it been at it.
        let silent = delivery.reclaimed.then_some(self.work_lease / 2);
        match store::work::claim(&self.store, work, tenant, me, silent).await? {
            Claim::Claimed(claimed) => self.attempt(*claimed, delivery).await,
            refused => Ok(after_claim(&refused)),
        }
    }

    async fn attempt(&self, claimed: Claimed, delivery: &Delivery) -> Result<Settled, store::Error> {
        let span = tracing::Span::current();
        span.record("work.attempt", claimed.hold.attempt);
        span.record("image.digest", claimed.image.as_str());
        if let Some((job, trace)) = claimed.asked_by {
            span.record("job.id", tracing::field::display(job));
            span.record("trace_id", trace.map(tracing::field::display));
        }
        failpoint::hit(Point::WorkerAfterClaim).await;
        let started = Instant::now();
        let hold = claimed.hold;
        let ended = Attempt { shared: self, claimed, entry: &delivery.entry }.run().await;
        let (result, settled) = match ended {
            Ended::Read(sbom) => {
                metrics::histogram!(EXTRACTION_DURATION).record(started.elapsed());
                failpoint::hit(Point::WorkerBeforeComplete).await;
                ("done", self.complete(&hold, &sbom).await?)
            }
            Ended::Failed(failure) => ("failed", self.fail(&hold, &failure).await?),
            Ended::Unwanted(reason) => (unwanted(reason), after_stop(reason)),
            Ended::Stopping => {
                let reason = "the node that read it was stopped".to_owned();
                ("stopped", self.fail(&hold, &Failure::Passing { reason }).await?)
            }
        };
        metrics::counter!(WORK_ATTEMPTS, "result" => result).increment(1);
        tracing::info!(result, duration_ms = started.elapsed().as_millis(), "attempt ended");
        Ok(settled)
    }

    async fn complete(&self, hold: &Hold, sbom: &store::work::Extracted) -> Result<Settled, store::Error> {
        for tries in 1.. {
            match store::work::complete(&self.store, hold, sbom).await {
                Ok(()) => break,
                Err(store::Error::Stale { .. }) => return self.after_refusal(hold).await,
                Err(error) if error.is_passing() && tries < COMPLETE_TRIES => {
                    tracing::warn!(error = &error as &dyn std::error::Error, tries, "sbom not stored yet");
                    tokio::time::sleep(COMPLETE_BACKOFF.random_delay(tries)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Settled::Yes)
    }

    async fn fail(&self, hold: &Hold, failure: &Failure) -> Result<Settled, store::Error> {
        match store::work::fail(&self.store, hold, failure).await {
            Ok(Failed::Again) => {}
            Ok(Failed::ForGood | Failed::Buried) => {
                metrics::counter!(JOBS_FINISHED, "result" => "failed").increment(1);
            }
            Err(store::Error::Stale { .. }) => return self.after_refusal(hold).await,
            Err(error) => return Err(error),
        }
        Ok(Settled::Yes)
    }

    /// The attempt was refused: by one who took it over, or because it had been said before.
    async fn after_refusal(&self, hold: &Hold) -> Result<Settled, store::Error> {
        Ok(match store::work::keep(&self.store, hold).await? {
            Keep::Stop(reason) => after_stop(reason),
            Keep::Continue => Settled::No,
        })
    }
}

/// The word for it.
const fn unwanted(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "cancelled",
        StopReason::TakenOver => "taken over",
    }
}

/// A passing failure that says why, with everything below it.
fn passing(error: &dyn std::error::Error) -> Failure {
    Failure::Passing { reason: with_causes(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_slots_is_kept_for_people() {
        assert_eq!(lanes_of_slots(1), [vec![0, 1, 2]]);
        assert_eq!(lanes_of_slots(3), [vec![0], vec![0, 1, 2], vec![0, 1, 2]]);
        assert_eq!(lanes_of_slots(0), Vec::<Vec<usize>>::new());
    }
}
