//! An entity that does what the test tells it to, and a diary of what happened to all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use cluster::{EntityContext, EntityFactory, EntityKey, EntityMessage, Receipt};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) const KIND: &str = "probe";

pub(crate) fn key(id: &str) -> EntityKey {
    EntityKey::new(KIND, Uuid::nil(), id)
}

/// What happened, and what is to happen; shared by all nodes of a test.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    lives: Mutex<HashMap<String, Life>>,
}

/// What happened to one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    /// When each activation started.
    pub(crate) starts: Vec<Instant>,
    pub(crate) alive: usize,
    /// The most that were alive at once.
    pub(crate) alive_max: usize,
    pub(crate) wakes: usize,
    /// What to do at a wake.
    pub(crate) habit: Habit,
    /// What waits for a permit: wakes and starts by habit, and asks `wait`.
    pub(crate) gate: Option<Arc<Semaphore>>,
}

/// What an entity does with a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Habit {
    #[default]
    Settle,
    /// Fails.
    Fail,
    /// Drops the receipt and lives on.
    Drop,
    /// Waits at the gate, then settles.
    Wait,
    /// Its start waits at the gate.
    StartSlowly,
}

impl Diary {
    pub(crate) fn set(&self, id: &str, habit: Habit) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.note(id, |life| {
            life.habit = habit;
            life.gate = Some(gate.clone());
        });
        gate
    }

    pub(crate) fn life(&self, id: &str) -> Life {
        self.lives().get(id).cloned().unwrap_or_default()
    }

    pub(crate) fn alive(&self) -> usize {
        self.lives().values().map(|life| life.alive).sum()
    }

    pub(crate) fn never_twice(&self) -> bool {
        self.lives().values().all(|life| life.alive_max <= 1)
    }

    fn note<T>(&self, id: &str, note: impl FnOnce(&mut Life) -> T) -> T {
        note(self.lives().entry(id.to_owned()).or_default())
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<String, Life>> {
        self.lives.lock().expect("no test panics while it holds this")
    }
}

/// Makes probes.
pub(crate) struct Probes {
    pub(crate) diary: Arc<Diary>,
    pub(crate) residents: Vec<EntityKey>,
}

#[async_trait]
impl EntityFactory for Probes {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr> {
        let probe = Probe { diary: self.diary.clone(), id: context.key.id.to_string() };
        Ok(Actor::spawn_linked(None, probe, (), context.supervisor).await?.0)
    }

    fn residents(&self) -> Vec<EntityKey> {
        self.residents.clone()
    }
}

struct Probe {
    diary: Arc<Diary>,
    id: String,
}

/// Counts the activation as alive, until it is dropped for whatever reason.
struct Alive {
    diary: Arc<Diary>,
    id: String,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.diary.note(&self.id, |life| life.alive -= 1);
    }
}

impl Actor for Probe {
    type Msg = EntityMessage;
    type State = Alive;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EntityMessage>, (): ()) -> Result<Alive, ActorProcessingErr> {
        if self.diary.life(&self.id).habit == Habit::StartSlowly {
            self.pass_gate().await;
        }
        self.diary.note(&self.id, |life| {
            life.starts.push(Instant::now());
            life.alive += 1;
            life.alive_max = life.alive_max.max(life.alive);
        });
        Ok(Alive { diary: self.diary.clone(), id: self.id.clone() })
    }

    async fn handle(
        &self,
        _: ActorRef<EntityMessage>,
        message: EntityMessage,
        _: &mut Alive,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EntityMessage::Wake(receipt) => self.wake(receipt).await,
            EntityMessage::Ask { body, reply, permit } => {
                if &body[..] == b"wait" {
                    self.pass_gate().await;
                }
                reply.send(body);
                drop(permit);
                Ok(())
            }
        }
    }
}

impl Probe {
    async fn wake(&self, receipt: Receipt) -> Result<(), ActorProcessingErr> {
        let habit = self.diary.note(&self.id, |life| {
            life.wakes += 1;
            life.habit
        });
        match habit {
            Habit::Fail => return Err("as told".into()),
            Habit::Drop => {
                drop(receipt);
                return Ok(());
            }
            Habit::Wait => self.pass_gate().await,
            Habit::Settle | Habit::StartSlowly => {}
        }
        receipt.done();
        Ok(())
    }

    async fn pass_gate(&self) {
        if let Some(gate) = self.diary.life(&self.id).gate {
            gate.acquire().await.expect("nobody closes it").forget();
        }
    }
}
