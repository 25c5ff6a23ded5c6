//! The actors that every node has for itself: the relay, the lookout and the worker's slots, under one supervisor.

use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Deps;
use crate::backoff::Backoff;
use crate::lookout::Lookout;
use crate::metrics::WORKER_SLOTS;
use crate::relay::Relay;
use crate::scan_worker::{Shared, Slot, lanes_of_slots};
use crate::supervisor::{self, Child, Start, Supervisor};

/// The running actors of a node. Dropped, they go on; stop them by [`NodeActors::shutdown`].
#[derive(Debug)]
pub struct NodeActors {
    supervisor: ActorRef<supervisor::Message>,
    ended: JoinHandle<()>,
    rest: CancellationToken,
    stop: CancellationToken,
    slots: usize,
}

/// Starts the node's own actors: the relay, the lookout, and as many slots of the worker as are configured.
pub async fn spawn_node_actors(deps: &Deps, cluster: &Cluster) -> Result<NodeActors, SpawnErr> {
    let (rest, stop) = (CancellationToken::new(), CancellationToken::new());
    let slots = deps.config.worker_slots;
    let mut children = vec![relay(deps, cluster), lookout(deps, cluster)];
    children.extend(worker(deps, cluster, &rest, &stop));
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(WORKER_SLOTS, "state" => "all").set(slots as f64);
    let supervisor = Supervisor { children, backoff: Backoff::ACTORS };
    let (supervisor, ended) = Actor::spawn(None, supervisor, ()).await?;
    Ok(NodeActors { supervisor, ended, rest, stop, slots })
}

impl NodeActors {
    /// How many images this node reads at once.
    pub const fn worker_slots(&self) -> usize {
        self.slots
    }

    /// Has the worker take nothing more; what it has begun it may finish.
    pub fn take_no_more(&self) {
        self.rest.cancel();
    }

    /// Has the worker give back what it holds and stops everything, at the latest after `deadline`.
    /// Call it before the cluster's shutdown: giving back needs the streams.
    pub async fn shutdown(self, deadline: Duration) {
        self.stop.cancel();
        // A supervisor that is gone has nothing to stop.
        let _ = self.supervisor.cast(supervisor::Message::Stop);
        if tokio::time::timeout(deadline, self.ended).await.is_err() {
            tracing::warn!("actors are killed: they did not end in time");
            self.supervisor.kill();
        }
    }
}

impl NodeActors {
    /// Kills everything at once, as a crash would: nothing is given back. For tests.
    pub async fn kill(&self) {
        // Children are killed with their supervisor.
        let _ = self.supervisor.kill_and_wait(None).await;
    }
}

fn relay(deps: &Deps, cluster: &Cluster) -> Child {
    let (store, cluster) = (deps.store.clone(), cluster.clone());
    let start: Start = Box::new(move |supervisor| {
        let relay = Relay { store: store.clone(), cluster: cluster.clone() };
        Box::pin(linked(relay, supervisor))
    });
    Child { kind: "relay", ends_by_itself: false, start }
}

fn lookout(deps: &Deps, cluster: &Cluster) -> Child {
    let (store, cluster) = (deps.store.clone(), cluster.clone());
    let start: Start = Box::new(move |supervisor| {
        let lookout = Lookout { store: store.clone(), cluster: cluster.clone() };
        Box::pin(linked(lookout, supervisor))
    });
    Child { kind: "lookout", ends_by_itself: false, start }
}

fn worker(deps: &Deps, cluster: &Cluster, rest: &CancellationToken, stop: &CancellationToken) -> Vec<Child> {
    let shared = Arc::new(Shared {
        store: deps.store.clone(),
        objects: deps.objects.clone(),
        cluster: cluster.clone(),
        limits: deps.config.inventory.clone(),
        keep_every: deps.config.keep_every(),
        work_lease: deps.config.work_lease,
        rest: rest.clone(),
        stop: stop.clone(),
    });
    let slot = |lanes: Vec<usize>| {
        let shared = shared.clone();
        let start: Start = Box::new(move |supervisor| {
            let slot = Slot { shared: shared.clone(), lanes: lanes.clone() };
            Box::pin(linked(slot, supervisor))
        });
        Child { kind: "scan_worker", ends_by_itself: true, start }
    };
    lanes_of_slots(deps.config.worker_slots).into_iter().map(slot).collect()
}

async fn linked<A>(actor: A, supervisor: ActorCell) -> Result<ActorCell, SpawnErr>
where
    A: Actor<Arguments = ()>,
{
    Ok(Actor::spawn_linked(None, actor, (), supervisor).await?.0.get_cell())
}
