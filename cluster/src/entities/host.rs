//! The host of a node's entities: starts them on demand, wakes them, and looks after them.
//!
//! One actor owns the table of activations and supervises them all, so that at most one of a key is alive
//! on this node. Which partitions are served is told to it; across nodes the authority's table and the
//! fence of every effect see to it that only one acts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{Semaphore, oneshot};

use super::{EntityContext, EntityMessage, Factories, Permit, Receipt, Reply};
use crate::authority::Lease;
use crate::config::EntityLimits;
use crate::key::EntityKey;
use crate::links::Refused;
use crate::metrics::{ACTORS, BUSY, PASSIVATED, RESTARTS};
use crate::shell::Cluster;
use crate::streams::{Ack, Acks};

/// Between two looks at what is idle, due to start again, or late in stopping.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Where an answer will arrive, or why none will.
pub(crate) type Asked = Result<oneshot::Receiver<Bytes>, Refused>;

/// What the host is told.
pub(crate) enum Message {
    /// Serve a partition.
    Activate(Lease),
    /// Let the entities of a partition finish their message, end them, and say so.
    Stop(Lease, oneshot::Sender<()>),
    /// A partition is lost: end its entities at once.
    Abandon(Lease),
    /// Somebody rang.
    Wake(EntityKey, Option<Ack>),
    /// Somebody asks.
    Ask(EntityKey, Bytes, oneshot::Sender<Asked>),
    /// A wake was settled: done, or dropped.
    Settled { key: EntityKey, activation: u64, done: bool, acks: Vec<Ack> },
    /// Look at what is due.
    Tick,
    /// End everything at once.
    End,
}

/// Hosts entities.
pub(crate) struct Host {
    pub(crate) factories: Factories,
    pub(crate) limits: EntityLimits,
    pub(crate) hand_over: Duration,
    pub(crate) acks: Acks,
}

/// One entity that lives here.
struct Live {
    activation: u64,
    actor: ActorRef<EntityMessage>,
    /// Whether a wake is under way, and what came meanwhile.
    waking: bool,
    again: bool,
    queued: Vec<Ack>,
    places: Arc<Semaphore>,
    used: Instant,
    failures: u32,
    stays: bool,
}

/// One entity that failed, until it is started again.
struct Resting {
    until: Instant,
    failures: u32,
    acks: Vec<Ack>,
}

enum Place {
    Live(Live),
    Resting(Resting),
}

struct Stopping {
    left: HashSet<u64>,
    deadline: Instant,
    stopped: Option<oneshot::Sender<()>>,
    killed: bool,
}

/// What the host knows.
pub(crate) struct State {
    cluster: Cluster,
    served: BTreeMap<u16, (Lease, Arc<Semaphore>)>,
    entities: HashMap<EntityKey, Place>,
    /// Whose actor is whose, also of those that are ending.
    actors: HashMap<ActorId, (EntityKey, u64, ActorCell)>,
    stopping: HashMap<u16, Stopping>,
    activations: u64,
}

impl Actor for Host {
    type Msg = Message;
    type State = State;
    type Arguments = Cluster;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        cluster: Cluster,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(TICK, || Message::Tick);
        Ok(State {
            cluster,
            served: BTreeMap::new(),
            entities: HashMap::new(),
            actors: HashMap::new(),
            stopping: HashMap::new(),
            activations: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let myself = &myself;
        match message {
            Message::Activate(lease) => self.activate(lease, myself, state).await,
            Message::Stop(lease, stopped) => self.stop(lease, stopped, state),
            Message::Abandon(lease) => state.abandon(lease),
            Message::Wake(key, ack) => self.wake(key, ack.into_iter().collect(), myself, state).await,
            Message::Ask(key, body, asked) => {
                // Whoever asked may have given up.
                let _ = asked.send(self.ask(key, body, myself, state).await);
            }
            Message::Settled { key, activation, done, acks } => {
                self.settled(key, activation, done, acks, myself, state).await;
            }
            Message::Tick => self.tick(myself, state).await,
            Message::End => {
                state.served.clear();
                for (_, _, actor) in state.actors.values() {
                    actor.kill();
                }
                myself.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => self.ended(&actor, None, &myself, state).await,
            SupervisionEvent::ActorFailed(actor, error) => {
                self.ended(&actor, Some(error.to_string()), &myself, state).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Host {
    async fn activate(&self, lease: Lease, myself: &ActorRef<Message>, state: &mut State) {
        let places = Arc::new(Semaphore::new(self.limits.partition_asks_max));
        state.served.insert(lease.partition, (lease, places));
        let residents: Vec<_> = self.factories.values().flat_map(|factory| factory.residents()).collect();
        for key in residents.into_iter().filter(|key| key.partition() == lease.partition) {
            self.wake(key, Vec::new(), myself, state).await;
        }
    }

    fn stop(&self, lease: Lease, stopped: oneshot::Sender<()>, state: &mut State) {
        state.served.remove(&lease.partition);
        let mut left = HashSet::new();
        for place in state.take_out(lease.partition) {
            if let Place::Live(live) = place {
                left.insert(live.activation);
                let _ = live.actor.drain(); // It may have ended by itself.
            }
        }
        if left.is_empty() {
            let _ = stopped.send(());
            return;
        }
        let deadline = Instant::now() + self.hand_over;
        let stopping = Stopping { left, deadline, stopped: Some(stopped), killed: false };
        state.stopping.insert(lease.partition, stopping);
    }

    async fn wake(&self, key: EntityKey, acks: Vec<Ack>, myself: &ActorRef<Message>, state: &mut State) {
        if !state.served.contains_key(&key.partition()) {
            return; // Unacknowledged, its bells are the next owner's.
        }
        match state.entities.get_mut(&key) {
            Some(Place::Resting(resting)) => resting.acks.extend(acks),
            Some(Place::Live(live)) => live.wake(&key, acks, myself),
            None => self.start(key, acks, 0, myself, state).await,
        }
    }

    /// Starts an entity and wakes it.
    async fn start(
        &self,
        key: EntityKey,
        acks: Vec<Ack>,
        failures: u32,
        myself: &ActorRef<Message>,
        state: &mut State,
    ) {
        let Some((lease, _)) = state.served.get(&key.partition()) else { return };
        let Some(factory) = self.factories.get(&*key.kind) else {
            tracing::error!(entity = %key, "nobody makes entities of this kind; its bells are dropped");
            return self.acks.settle(acks);
        };
        let context = EntityContext {
            key: key.clone(),
            lease: *lease,
            supervisor: myself.get_cell(),
            cluster: state.cluster.clone(),
        };
        match factory.spawn(context).await {
            Ok(actor) => {
                state.activations += 1;
                let activation = state.activations;
                state.actors.insert(actor.get_id(), (key.clone(), activation, actor.get_cell()));
                let mut live = Live::new(activation, actor, failures, self.limits.asks_max, factory.stays());
                live.wake(&key, acks, myself);
                metrics::gauge!(ACTORS, "type" => factory.kind()).increment(1.0);
                state.entities.insert(key, Place::Live(live));
            }
            Err(error) => {
                tracing::warn!(entity = %key, error = &error as &dyn std::error::Error, "an entity did not start");
                self.rest(key, acks, failures + 1, state);
            }
        }
    }

    fn rest(&self, key: EntityKey, acks: Vec<Ack>, failures: u32, state: &mut State) {
        let doubled = self.limits.restart_first * 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        let until = Instant::now() + doubled.min(self.limits.restart_max);
        state.entities.insert(key, Place::Resting(Resting { until, failures, acks }));
    }

    async fn ask(&self, key: EntityKey, body: Bytes, myself: &ActorRef<Message>, state: &mut State) -> Asked {
        let Some((_, partition_places)) = state.served.get(&key.partition()) else {
            return Err(Refused::NotOwner { view: state.cluster.members().version });
        };
        if !self.factories.contains_key(&*key.kind) {
            return Err(Refused::Bad);
        }
        let partition_places = partition_places.clone();
        if !state.entities.contains_key(&key) {
            self.start(key.clone(), Vec::new(), 0, myself, state).await;
        }
        let Some(Place::Live(live)) = state.entities.get_mut(&key) else { return Err(Refused::Gone) };
        let places = [live.places.clone().try_acquire_owned(), partition_places.try_acquire_owned()];
        let Ok(places) = places.into_iter().collect::<Result<Vec<_>, _>>() else {
            metrics::counter!(BUSY).increment(1);
            return Err(Refused::Busy);
        };
        let (reply, answer) = Reply::channel();
        live.used = Instant::now();
        let message = EntityMessage::Ask { body, reply, permit: Permit::new(places) };
        live.actor.cast(message).map_err(|_| Refused::Gone)?;
        Ok(answer)
    }

    async fn settled(
        &self,
        key: EntityKey,
        activation: u64,
        done: bool,
        acks: Vec<Ack>,
        myself: &ActorRef<Message>,
        state: &mut State,
    ) {
        if done {
            self.acks.settle(acks);
            if let Some(live) = state.live(&key, activation) {
                live.settled(&key, myself);
            }
            return;
        }
        // Whoever dropped it has failed, and says so by ending; or goes on, and is woken again.
        match state.entities.get_mut(&key) {
            Some(Place::Live(live)) => {
                if live.activation == activation {
                    live.waking = false;
                }
                live.queued.extend(acks);
                live.again = true;
                if live.actor.get_status() >= ractor::ActorStatus::Stopping {
                    return; // Its end comes next and starts it again.
                }
                if live.activation != activation && !live.waking {
                    live.wake(&key, Vec::new(), myself);
                }
            }
            Some(Place::Resting(resting)) => resting.acks.extend(acks),
            None if state.served.contains_key(&key.partition()) => self.rest(key, acks, 1, state),
            None => {}
        }
    }

    /// An entity's actor has ended: by itself, or by a failure.
    async fn ended(
        &self,
        actor: &ActorCell,
        error: Option<String>,
        myself: &ActorRef<Message>,
        state: &mut State,
    ) {
        let Some((key, activation, _)) = state.actors.remove(&actor.get_id()) else { return };
        if let Some(factory) = self.factories.get(&*key.kind) {
            metrics::gauge!(ACTORS, "type" => factory.kind()).decrement(1.0);
        }
        state.stopped(key.partition(), activation);
        if state.live(&key, activation).is_none() {
            return;
        }
        let Some(Place::Live(live)) = state.entities.remove(&key) else { return };
        match error {
            Some(error) => {
                tracing::warn!(entity = %key, failures = live.failures + 1, error, "an entity failed");
                metrics::counter!(RESTARTS, "type" => key.kind.to_string()).increment(1);
                self.rest(key, live.queued, live.failures + 1, state);
            }
            None if live.stays => self.rest(key, live.queued, 1, state),
            None if live.again => self.wake(key, live.queued, myself, state).await,
            None => {}
        }
    }

    async fn tick(&self, myself: &ActorRef<Message>, state: &mut State) {
        let now = Instant::now();
        for key in state.due(now) {
            if let Some(Place::Resting(resting)) = state.entities.remove(&key) {
                self.start(key, resting.acks, resting.failures, myself, state).await;
            }
        }
        self.passivate(now, state);
        state.kill_late(now);
    }

    /// Ends entities that have had nothing to do: those idle for too long, and, above the bound, those idle
    /// for longest.
    fn passivate(&self, now: Instant, state: &mut State) {
        let asks = self.limits.asks_max;
        let over = state.entities.len().saturating_sub(self.limits.live_max);
        let mut idle: Vec<(Instant, EntityKey)> = state
            .entities
            .iter()
            .filter_map(|(key, place)| match place {
                Place::Live(live) if live.is_idle(asks) => Some((live.used, key.clone())),
                Place::Live(_) | Place::Resting(_) => None,
            })
            .collect();
        if over > 0 {
            idle.sort();
        }
        for (at, (used, key)) in idle.into_iter().enumerate() {
            if at < over || now.saturating_duration_since(used) > self.limits.idle {
                // Out of the table first: whoever comes now gets a new one.
                if let Some(Place::Live(live)) = state.entities.remove(&key) {
                    metrics::counter!(PASSIVATED, "type" => key.kind.to_string()).increment(1);
                    live.actor.stop(None);
                }
            }
        }
    }
}

impl Live {
    fn new(
        activation: u64,
        actor: ActorRef<EntityMessage>,
        failures: u32,
        asks_max: usize,
        stays: bool,
    ) -> Self {
        Self {
            activation,
            actor,
            waking: false,
            again: false,
            queued: Vec::new(),
            places: Arc::new(Semaphore::new(asks_max)),
            used: Instant::now(),
            failures,
            stays,
        }
    }

    fn is_idle(&self, asks_max: usize) -> bool {
        !self.stays && !self.waking && !self.again && self.places.available_permits() == asks_max
    }

    /// Wakes it, or remembers to when it has caught up with the present wake.
    fn wake(&mut self, key: &EntityKey, acks: Vec<Ack>, host: &ActorRef<Message>) {
        self.used = Instant::now();
        self.queued.extend(acks);
        if self.waking {
            self.again = true;
            return;
        }
        let receipt = receipt(key, self.activation, std::mem::take(&mut self.queued), host);
        self.again = false;
        // When it has ended already, the receipt is dropped undone, and that is told like any other.
        self.waking = self.actor.cast(EntityMessage::Wake(receipt)).is_ok();
    }

    /// It has caught up.
    fn settled(&mut self, key: &EntityKey, host: &ActorRef<Message>) {
        self.waking = false;
        self.failures = 0;
        self.used = Instant::now();
        if self.again {
            self.wake(key, Vec::new(), host);
        }
    }
}

fn receipt(key: &EntityKey, activation: u64, acks: Vec<Ack>, host: &ActorRef<Message>) -> Receipt {
    let (key, host) = (key.clone(), host.clone());
    Receipt::new(move |done| {
        // A host that has ended leaves the bells to the next owner.
        let _ = host.cast(Message::Settled { key, activation, done, acks });
    })
}

impl State {
    fn live(&mut self, key: &EntityKey, activation: u64) -> Option<&mut Live> {
        match self.entities.get_mut(key) {
            Some(Place::Live(live)) if live.activation == activation => Some(live),
            Some(Place::Live(_) | Place::Resting(_)) | None => None,
        }
    }

    /// Removes the entities of a partition from the table.
    fn take_out(&mut self, partition: u16) -> Vec<Place> {
        let keys: Vec<_> = self.entities.keys().filter(|key| key.partition() == partition).cloned().collect();
        keys.iter().filter_map(|key| self.entities.remove(key)).collect()
    }

    fn abandon(&mut self, lease: Lease) {
        if self.served.get(&lease.partition).is_some_and(|(served, _)| served.epoch > lease.epoch) {
            return; // Taken again meanwhile.
        }
        self.served.remove(&lease.partition);
        for place in self.take_out(lease.partition) {
            if let Place::Live(live) = place {
                live.actor.kill();
            }
        }
        self.stopping.remove(&lease.partition);
    }

    fn stopped(&mut self, partition: u16, activation: u64) {
        let Some(stopping) = self.stopping.get_mut(&partition) else { return };
        stopping.left.remove(&activation);
        if stopping.left.is_empty() {
            if let Some(stopped) = stopping.stopped.take() {
                let _ = stopped.send(());
            }
            self.stopping.remove(&partition);
        }
    }

    fn due(&self, now: Instant) -> Vec<EntityKey> {
        let due = |(key, place): (&EntityKey, &Place)| match place {
            Place::Resting(resting) if resting.until <= now => Some(key.clone()),
            Place::Resting(_) | Place::Live(_) => None,
        };
        self.entities.iter().filter_map(due).collect()
    }

    /// Ends what did not finish its message in the time a hand-over allows.
    fn kill_late(&mut self, now: Instant) {
        for stopping in self.stopping.values_mut().filter(|s| !s.killed && s.deadline <= now) {
            stopping.killed = true;
            for (_, activation, actor) in self.actors.values() {
                if stopping.left.contains(activation) {
                    actor.kill();
                }
            }
        }
    }
}
