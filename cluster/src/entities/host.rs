//! The host of a node's entities: starts them on demand, wakes them, and looks after them.
//!
//! One actor owns the table of activations and supervises them all, so that at most one of a key is alive
//! on this node: an entity that was told to end keeps its place until it has. The host itself never waits,
//! neither for an entity to start nor for one to stop. Which partitions are served is told to it; across
//! nodes the authority's table and the fence of every effect see to it that only one acts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::{Semaphore, oneshot};

use super::activation::{Activation, Asking, How, Phase};
use super::{EntityContext, EntityMessage, Factories, Permit, Receipt, Reply};
use crate::acting::Acting;
use crate::authority::Lease;
use crate::config::EntityLimits;
use crate::key::EntityKey;
use crate::links::Refused;
use crate::metrics::{ACTORS, BUSY, MAILBOX, PASSIVATED, RESTARTS};
use crate::shell::Cluster;
use crate::streams::{Ack, Acks};

/// Between two looks at what is due.
pub(crate) const TICK: Duration = Duration::from_millis(25);

/// Where an answer will arrive, or why none will.
pub(crate) type Asked = Result<oneshot::Receiver<Bytes>, Refused>;

/// What the host is told.
pub(crate) enum Message {
    /// Serve a partition.
    Activate(Lease),
    /// Let the entities of a partition finish their messages, end them, and say so.
    Stop(Lease, oneshot::Sender<()>),
    /// A partition is lost: end its entities at once.
    Abandon(Lease),
    /// Somebody rang.
    Wake(EntityKey, Option<Ack>),
    /// Somebody asks.
    Ask(EntityKey, Bytes, oneshot::Sender<Asked>),
    /// A factory has made an entity, or could not.
    Started { key: EntityKey, number: u64, made: Result<ActorRef<EntityMessage>, SpawnErr> },
    /// The making of an entity was given up.
    GivenUp { key: EntityKey, number: u64 },
    /// A wake was settled: done, or dropped.
    Settled { key: EntityKey, number: u64, done: bool, bells: Vec<Ack> },
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
    pub(crate) acting: Acting,
    /// How many entities live, for others to read.
    pub(crate) live: Arc<AtomicUsize>,
}

/// A partition with entities here.
struct Hosted {
    /// The right to act for it; `None` once it is given up and entities are only ending.
    lease: Option<Lease>,
    places: Arc<Semaphore>,
    entities: HashMap<EntityKey, Activation>,
    stopped: Option<oneshot::Sender<()>>,
    kill_at: Option<Instant>,
}

/// What the host knows.
pub(crate) struct State {
    cluster: Cluster,
    myself: ActorRef<Message>,
    residents: HashSet<EntityKey>,
    partitions: HashMap<u16, Hosted>,
    /// Whose actor is whose.
    actors: HashMap<ActorId, EntityKey>,
    /// Ended before their making was reported, by which error.
    ended_early: HashMap<ActorId, Option<String>>,
    timers: BTreeSet<(Instant, EntityKey)>,
    numbers: u64,
    /// A wake was held back because this node may not act.
    held: bool,
    swept: Instant,
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
            myself,
            residents: self.factories.values().flat_map(|factory| factory.residents()).collect(),
            partitions: HashMap::new(),
            actors: HashMap::new(),
            ended_early: HashMap::new(),
            timers: BTreeSet::new(),
            numbers: 0,
            held: false,
            swept: Instant::now(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Activate(lease) => self.activate(lease, state),
            Message::Stop(lease, stopped) => self.stop(lease, stopped, state),
            Message::Abandon(lease) => self.abandon(lease, state),
            Message::Wake(key, bell) => self.wake(key, bell, state),
            Message::Ask(key, body, asked) => {
                let _ = asked.send(self.ask(key, body, state)); // Whoever asked may have given up.
            }
            Message::Started { key, number, made } => self.started(key, number, made, state),
            Message::GivenUp { key, number } => self.failed_to_start(&key, number, state),
            Message::Settled { key, number, done, bells } => self.settled(key, number, done, bells, state),
            Message::Tick => self.tick(state),
            Message::End => {
                for hosted in state.partitions.values_mut() {
                    hosted.entities.values_mut().for_each(|entity| entity.end(How::AtOnce));
                }
                myself.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => self.ended(&actor, None, state),
            SupervisionEvent::ActorFailed(actor, error) => self.ended(&actor, Some(error.to_string()), state),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Host {
    fn activate(&self, lease: Lease, state: &mut State) {
        let hosted = state.partitions.entry(lease.partition).or_insert_with(|| Hosted {
            lease: None,
            places: Arc::new(Semaphore::new(self.limits.partition_asks_max)),
            entities: HashMap::new(),
            stopped: None,
            kill_at: None,
        });
        hosted.lease = Some(lease);
        hosted.kill_at = None;
        let residents = state.residents.iter().filter(|key| key.partition() == lease.partition);
        for key in residents.cloned().collect::<Vec<_>>() {
            self.wake(key, None, state);
        }
    }

    fn stop(&self, lease: Lease, stopped: oneshot::Sender<()>, state: &mut State) {
        if let Some(hosted) = state.give_up(lease, How::Drained) {
            hosted.stopped = Some(stopped);
            hosted.kill_at = Some(Instant::now() + self.hand_over);
        }
        // Without anything to end, the sender is dropped, which tells the same.
        state.clear(lease.partition);
    }

    fn abandon(&self, lease: Lease, state: &mut State) {
        state.give_up(lease, How::AtOnce);
        state.clear(lease.partition);
    }

    fn wake(&self, key: EntityKey, bell: Option<Ack>, state: &mut State) {
        let Some(hosted) = state.served(&key) else { return }; // Unacknowledged, its bell is the next owner's.
        if let Some(entity) = hosted.entities.get_mut(&key) {
            entity.wanted.add(bell);
            self.hand_wake(&key, state);
        } else if self.factories.contains_key(&*key.kind) {
            if let Some(entity) = self.start(&key, state) {
                entity.wanted.add(bell);
            }
        } else {
            tracing::error!(entity = %key, "nobody makes entities of this kind; its bell is dropped");
            self.acks.settle(bell.into_iter().collect());
        }
    }

    fn ask(&self, key: EntityKey, body: Bytes, state: &mut State) -> Asked {
        if !self.factories.contains_key(&*key.kind) {
            return Err(Refused::Bad);
        }
        let view = state.cluster.members().version;
        let Some(hosted) = state.served(&key) else { return Err(Refused::NotOwner { view }) };
        if !self.acting.may_act() {
            return Err(Refused::Draining);
        }
        let partition_place = hosted.places.clone().try_acquire_owned().ok();
        if !hosted.entities.contains_key(&key) {
            self.start(&key, state);
        }
        let Some(entity) = state.entity(&key) else { return Err(Refused::Gone) };
        let (Some(partition_place), Some(place)) = (partition_place, entity.place()) else {
            metrics::counter!(BUSY).increment(1);
            return Err(Refused::Busy);
        };
        #[expect(clippy::cast_precision_loss, reason = "a histogram is of floats")]
        metrics::histogram!(MAILBOX).record(entity.depth() as f64);
        let (reply, answer) = Reply::channel();
        let permit = Permit::new(vec![partition_place, place]);
        if entity.ask(Asking { body, reply, permit }) { Ok(answer) } else { Err(Refused::Gone) }
    }

    /// Has the factory make the entity, in a task of its own.
    fn start<'s>(&self, key: &EntityKey, state: &'s mut State) -> Option<&'s mut Activation> {
        let factory = self.factories.get(&*key.kind)?.clone();
        let lease = state.served(key)?.lease?;
        state.numbers += 1;
        let number = state.numbers;
        let stays = factory.stays() || state.residents.contains(key);
        let context = EntityContext {
            key: key.clone(),
            lease,
            supervisor: state.myself.get_cell(),
            cluster: state.cluster.clone(),
        };
        let (host, of) = (state.myself.clone(), key.clone());
        let making = tokio::spawn(async move { factory.spawn(context).await });
        let attempt = making.abort_handle();
        tokio::spawn(async move {
            let _ = host.cast(match making.await {
                Ok(made) => Message::Started { key: of, number, made },
                Err(_) => Message::GivenUp { key: of, number }, // Aborted, or the factory panicked.
            });
        });
        let starting = Phase::Starting { attempt, asks: Vec::new() };
        let mut entity = Activation::new(number, starting, self.limits.asks_max, stays);
        let entities = &mut state.partitions.get_mut(&key.partition())?.entities;
        if let Some(former) = entities.remove(key) {
            entity.wanted = former.wanted;
            entity.failures = former.failures;
        }
        entities.insert(key.clone(), entity);
        entities.get_mut(key)
    }

    fn started(
        &self,
        key: EntityKey,
        number: u64,
        made: Result<ActorRef<EntityMessage>, SpawnErr>,
        state: &mut State,
    ) {
        let actor = match made {
            Ok(actor) => actor,
            Err(error) => {
                tracing::warn!(entity = %key, error = &error as &dyn std::error::Error, "an entity did not start");
                return self.failed_to_start(&key, number, state);
            }
        };
        let early = state.ended_early.remove(&actor.get_id());
        state.actors.insert(actor.get_id(), key.clone());
        metrics::gauge!(ACTORS, "type" => key.kind.to_string()).increment(1.0);
        self.live.fetch_add(1, Ordering::Relaxed);
        match state.entity(&key).filter(|entity| entity.number == number) {
            Some(entity) if matches!(entity.phase, Phase::Starting { .. }) => {
                entity.started(actor.clone());
                self.hand_wake(&key, state);
            }
            // Its partition was given up meanwhile.
            Some(entity) => {
                actor.kill();
                entity.phase = Phase::Ending { actor: Some(actor.get_cell()), attempt: None };
            }
            None => actor.kill(),
        }
        if let Some(error) = early {
            self.ended(&actor.get_cell(), error, state);
        }
    }

    fn failed_to_start(&self, key: &EntityKey, number: u64, state: &mut State) {
        if state.entity(key).is_some_and(|entity| entity.number == number) {
            self.over(key, true, state);
        }
    }

    fn settled(&self, key: EntityKey, number: u64, done: bool, bells: Vec<Ack>, state: &mut State) {
        let present = state.entity(&key).filter(|entity| entity.number == number);
        if done {
            self.acks.settle(bells);
            if let Some(entity) = present {
                entity.settled();
                entity.failures = 0;
                entity.undone = 0;
            }
            return self.hand_wake(&key, state);
        }
        if let Some(entity) = present {
            entity.settled();
            entity.undone += 1;
            entity.wanted.add(bells);
            let wait = self.limits.back_off(entity.undone);
            return state.set_due(&key, wait);
        }
        // Its end was told before this. Another activation, or none yet, takes the bells.
        if let Some(entity) = state.entity(&key) {
            entity.wanted.add(bells);
            self.hand_wake(&key, state);
        } else if state.served(&key).is_some() {
            self.rest(&key, 1, state);
            if let Some(entity) = state.entity(&key) {
                entity.wanted.add(bells);
            }
        }
    }

    /// Hands an entity the wake it is wanted for, if it can take one now.
    fn hand_wake(&self, key: &EntityKey, state: &mut State) {
        if !self.acting.may_act() {
            state.held = true; // Handed when this node may act again.
            return;
        }
        let host = state.myself.clone();
        if let Some(entity) = state.entity(key) {
            let (key, host) = (key.clone(), host);
            entity.wake(|number, bells| {
                // A host that has ended leaves the bells to the next owner.
                Receipt::new(move |done| drop(host.cast(Message::Settled { key, number, done, bells })))
            });
        }
    }

    /// An entity's actor has ended: by itself, as told, or by a failure.
    fn ended(&self, actor: &ActorCell, error: Option<String>, state: &mut State) {
        let Some(key) = state.actors.remove(&actor.get_id()) else {
            state.ended_early.insert(actor.get_id(), error);
            return;
        };
        metrics::gauge!(ACTORS, "type" => key.kind.to_string()).decrement(1.0);
        self.live.fetch_sub(1, Ordering::Relaxed);
        let current = state.entity(&key).is_some_and(|entity| match &entity.phase {
            Phase::Live { actor: present, .. } => present.get_id() == actor.get_id(),
            Phase::Ending { actor: present, .. } => {
                present.as_ref().is_some_and(|present| present.get_id() == actor.get_id())
            }
            Phase::Starting { .. } | Phase::Resting => false,
        });
        if current {
            if let Some(error) = &error {
                tracing::warn!(entity = %key, error, "an entity failed");
            }
            self.over(&key, error.is_some(), state);
        }
    }

    /// An activation is over. What comes next?
    fn over(&self, key: &EntityKey, failed: bool, state: &mut State) {
        let served = state.served(key).is_some();
        let Some(entity) = state.entity(key) else { return };
        let told = matches!(entity.phase, Phase::Ending { .. });
        let failures = entity.failures + 1;
        let (wanted, undone, stays) = (entity.wanted.wake, entity.undone > 0, entity.stays);
        if served && !told && (failed || undone || stays) {
            self.rest(key, failures, state);
        } else if served && (wanted || stays) {
            self.start(key, state);
        } else {
            state.remove(key);
            state.clear(key.partition());
        }
    }

    /// Leaves an entity alone for a while, and then starts it again.
    fn rest(&self, key: &EntityKey, failures: u32, state: &mut State) {
        state.numbers += 1;
        let mut resting = Activation::new(state.numbers, Phase::Resting, self.limits.asks_max, false);
        let Some(hosted) = state.partitions.get_mut(&key.partition()) else { return };
        if let Some(former) = hosted.entities.remove(key) {
            resting.wanted = former.wanted;
            resting.stays = former.stays;
        }
        resting.failures = failures;
        resting.wanted.wake = true; // It catches up on what it had been doing.
        hosted.entities.insert(key.clone(), resting);
        state.set_due(key, self.limits.back_off(failures));
    }

    fn tick(&self, state: &mut State) {
        let now = Instant::now();
        for key in state.due(now) {
            match state.entity(&key).map(|entity| &entity.phase) {
                Some(Phase::Resting) => {
                    metrics::counter!(RESTARTS, "type" => key.kind.to_string()).increment(1);
                    self.start(&key, state);
                }
                Some(Phase::Live { .. }) => self.hand_wake(&key, state),
                Some(Phase::Starting { .. } | Phase::Ending { .. }) | None => {}
            }
        }
        if self.acting.may_act() && std::mem::take(&mut state.held) {
            for key in state.keys() {
                self.hand_wake(&key, state);
            }
        }
        state.kill_late(now);
        let every = (self.limits.idle / 8).clamp(TICK, Duration::from_secs(1));
        if now.duration_since(state.swept) >= every {
            state.swept = now;
            self.passivate(now, state);
        }
    }

    /// Ends entities that have had nothing to do: those idle for too long, and, above the bound, those idle
    /// for longest.
    fn passivate(&self, now: Instant, state: &mut State) {
        let all = state.partitions.values().map(|hosted| hosted.entities.len()).sum::<usize>();
        let over = all.saturating_sub(self.limits.live_max);
        let mut idle: Vec<(Instant, EntityKey)> = state
            .partitions
            .values()
            .flat_map(|hosted| &hosted.entities)
            .filter(|(_, entity)| entity.is_idle())
            .filter(|(_, entity)| over > 0 || now.duration_since(entity.used) > self.limits.idle)
            .map(|(key, entity)| (entity.used, key.clone()))
            .collect();
        idle.sort();
        for (at, (used, key)) in idle.into_iter().enumerate() {
            if at >= over && now.duration_since(used) <= self.limits.idle {
                continue;
            }
            if let Some(entity) = state.entity(&key) {
                metrics::counter!(PASSIVATED, "type" => key.kind.to_string()).increment(1);
                entity.end(How::Idle);
            }
        }
    }
}

impl State {
    /// The partition of a key, while this node serves it.
    fn served(&mut self, key: &EntityKey) -> Option<&mut Hosted> {
        self.partitions.get_mut(&key.partition()).filter(|hosted| hosted.lease.is_some())
    }

    fn entity(&mut self, key: &EntityKey) -> Option<&mut Activation> {
        self.partitions.get_mut(&key.partition())?.entities.get_mut(key)
    }

    fn keys(&self) -> Vec<EntityKey> {
        self.partitions.values().flat_map(|hosted| hosted.entities.keys()).cloned().collect()
    }

    fn remove(&mut self, key: &EntityKey) {
        if let Some(hosted) = self.partitions.get_mut(&key.partition()) {
            hosted.entities.remove(key);
        }
    }

    /// Serves a partition no more and ends what lives there, unless it was taken again meanwhile.
    fn give_up(&mut self, lease: Lease, how: How) -> Option<&mut Hosted> {
        let hosted = self.partitions.get_mut(&lease.partition)?;
        if hosted.lease.is_some_and(|present| present.epoch > lease.epoch) {
            return None;
        }
        hosted.lease = None;
        for entity in hosted.entities.values_mut() {
            entity.wanted = super::activation::Wanted::default(); // The next owner finds these bells.
            entity.end(how);
        }
        hosted.entities.retain(|_, entity| !matches!(entity.phase, Phase::Resting));
        Some(hosted)
    }

    /// Forgets a partition given up whose last entity has ended, and tells whoever waits for that.
    fn clear(&mut self, partition: u16) {
        let empty = |hosted: &Hosted| hosted.entities.is_empty();
        let Some(hosted) = self.partitions.get_mut(&partition).filter(|hosted| empty(hosted)) else { return };
        if let Some(stopped) = hosted.stopped.take() {
            let _ = stopped.send(());
        }
        if hosted.lease.is_none() {
            self.partitions.remove(&partition);
        }
    }

    fn set_due(&mut self, key: &EntityKey, wait: Duration) {
        let at = Instant::now() + wait;
        if let Some(entity) = self.entity(key) {
            entity.due = Some(at);
            self.timers.insert((at, key.clone()));
        }
    }

    /// What is due, and due no more.
    fn due(&mut self, now: Instant) -> Vec<EntityKey> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.pop_first();
            if let Some(entity) = self.entity(&key).filter(|entity| entity.due == Some(at)) {
                entity.due = None;
                due.push(key);
            }
        }
        due
    }

    /// Ends at once what did not finish in the time a hand-over allows.
    fn kill_late(&mut self, now: Instant) {
        for hosted in self.partitions.values_mut().filter(|h| h.kill_at.is_some_and(|at| at <= now)) {
            hosted.kill_at = None;
            hosted.entities.values_mut().for_each(|entity| entity.end(How::AtOnce));
        }
    }
}
