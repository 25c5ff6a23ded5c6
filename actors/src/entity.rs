//! What all entities have in common: woken, they catch up with the store; in trouble, they fail.
//!
//! An entity owns no truth: everything is read from the store and written back in one fenced
//! transaction, so it may be killed at any line and started again on any node. It retries nothing: the
//! cluster starts a failed entity again, later and later, and delivers its bells again.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use cluster::{EntityContext, EntityFactory, EntityMessage};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};

use crate::effects::CommitError;
use crate::evaluator::EvaluatorError;
use crate::index_cache::IndexError;
use crate::looks::LookError;
use crate::vex_hearing::HearingError;

/// How often an entity looks again at once before it fails, and so waits.
const LOOKS_MAX: u32 = 8;

/// One kind of entity.
pub(crate) trait Entity: Send + Sync + 'static {
    /// The kind, as in its key.
    const KIND: &'static str;

    /// What it has learned since it was started; nothing that it could not learn again.
    type State: Default + Send + 'static;

    /// Brings what it stands for up to date. Called once at a time.
    fn catch_up(&self, state: &mut Self::State) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Called once when it starts, before the first wake.
    fn started(&self, _myself: &ActorRef<EntityMessage>) {}
}

/// Why an entity could not catch up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// There is no such thing, so there is nothing to catch up with.
    #[error("it does not exist")]
    Gone,
    /// Another node has taken it over, and goes on.
    #[error("another node has taken it over")]
    TakenOver,
    /// What it decided on has changed meanwhile: look again.
    #[error("it keeps changing")]
    LookAgain,
    /// Anything else. It is started again later.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Store(error) => error.into(),
            IndexError::Build(broken) => Self::Failed(Box::new(broken)),
        }
    }
}

impl From<HearingError> for Trouble {
    fn from(error: HearingError) -> Self {
        match error {
            HearingError::Store(error) => error.into(),
            HearingError::Reading(broken) => Self::Failed(Box::new(broken)),
        }
    }
}

impl From<EvaluatorError> for Trouble {
    fn from(error: EvaluatorError) -> Self {
        match error {
            EvaluatorError::Hearing(error) => error.into(),
            EvaluatorError::Leaving(closed) => Self::Failed(Box::new(closed)),
        }
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound { .. } => Self::Gone,
            store::Error::Fenced { .. } => Self::TakenOver,
            store::Error::Stale { .. } => Self::LookAgain,
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl From<LookError> for Trouble {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Absent(error) => error.into(),
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl From<CommitError> for Trouble {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(error) => error.into(),
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// Runs an entity as an actor.
struct Shell<E>(E);

impl<E: Entity> Actor for Shell<E> {
    type Msg = EntityMessage;
    type State = E::State;
    type Arguments = ();

    // It need not wake itself: the cluster starts an entity only to wake it.
    async fn pre_start(
        &self,
        myself: ActorRef<EntityMessage>,
        (): (),
    ) -> Result<E::State, ActorProcessingErr> {
        self.0.started(&myself);
        Ok(E::State::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<EntityMessage>,
        message: EntityMessage,
        state: &mut E::State,
    ) -> Result<(), ActorProcessingErr> {
        let receipt = match message {
            EntityMessage::Wake(receipt) => receipt,
            // Nobody asks these entities anything: the caller learns that nobody answered.
            EntityMessage::Ask { .. } => return Ok(()),
        };
        match self.look(state).await {
            Ok(()) => receipt.done(),
            Err(Trouble::Gone) => {
                receipt.done();
                myself.stop(None);
            }
            // The receipt is dropped undone, so the new owner is woken in our place.
            Err(Trouble::TakenOver) => myself.stop(None),
            Err(trouble @ (Trouble::LookAgain | Trouble::Failed(_))) => return Err(Box::new(trouble)),
        }
        Ok(())
    }
}

impl<E: Entity> Shell<E> {
    async fn look(&self, state: &mut E::State) -> Result<(), Trouble> {
        for _ in 0..LOOKS_MAX {
            match self.0.catch_up(state).await {
                Err(Trouble::LookAgain) => {}
                outcome => return outcome,
            }
        }
        Err(Trouble::LookAgain)
    }
}

/// Makes entities of one kind.
pub(crate) struct Factory<E, F> {
    make: F,
    entity: PhantomData<fn() -> E>,
}

impl<E, F> Factory<E, F>
where
    E: Entity,
    F: Fn(EntityContext) -> Option<E> + Send + Sync + 'static,
{
    /// A factory that makes an entity from its context; `None` for a key that means nothing.
    pub(crate) fn new(make: F) -> Self {
        Self { make, entity: PhantomData }
    }

    /// As the cluster wants it.
    pub(crate) fn shared(self) -> Arc<dyn EntityFactory> {
        Arc::new(self)
    }
}

#[async_trait]
impl<E, F> EntityFactory for Factory<E, F>
where
    E: Entity,
    F: Fn(EntityContext) -> Option<E> + Send + Sync + 'static,
{
    fn kind(&self) -> &'static str {
        E::KIND
    }

    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr> {
        let supervisor = context.supervisor.clone();
        let key = context.key.clone();
        let entity = (self.make)(context)
            .ok_or_else(|| SpawnErr::StartupFailed(format!("{key} is no key of an entity").into()))?;
        Ok(Actor::spawn_linked(None, Shell(entity), (), supervisor).await?.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use cluster::Receipt;

    use super::*;

    /// Answers each look with the next of these, and then always `Ok`.
    struct Scripted(Vec<fn() -> Trouble>, AtomicU32);

    impl Entity for Scripted {
        const KIND: &'static str = "scripted";
        type State = ();

        async fn catch_up(&self, (): &mut ()) -> Result<(), Trouble> {
            let look = self.1.fetch_add(1, Ordering::SeqCst);
            self.0.get(look as usize).map_or(Ok(()), |trouble| Err(trouble()))
        }
    }

    /// Whether the bells were acknowledged, and whether the actor went on living.
    async fn wake(script: Vec<fn() -> Trouble>) -> (bool, bool) {
        let entity = Shell(Scripted(script, AtomicU32::new(0)));
        let (actor, ended) = Actor::spawn(None, entity, ()).await.expect("it starts");
        let (receipt, settled) = Receipt::watched();
        actor.cast(EntityMessage::Wake(receipt)).expect("it takes messages");
        let done = settled.await.expect("a receipt is always settled");
        let (second, alive) = Receipt::watched();
        let alive = match actor.cast(EntityMessage::Wake(second)) {
            Ok(()) => alive.await.expect("a receipt is always settled"),
            Err(_) => false,
        };
        actor.stop(None);
        ended.await.expect("it ends");
        (done, alive)
    }

    #[tokio::test]
    async fn bells_are_acknowledged_when_it_has_caught_up() {
        assert_eq!(wake(vec![]).await, (true, true));
        assert_eq!(wake(vec![|| Trouble::LookAgain, || Trouble::LookAgain]).await, (true, true));
    }

    #[tokio::test]
    async fn what_is_gone_needs_no_more_bells() {
        assert_eq!(wake(vec![|| Trouble::Gone]).await, (true, false));
    }

    #[tokio::test]
    async fn bells_of_a_lost_or_failed_entity_ring_again() {
        assert_eq!(wake(vec![|| Trouble::TakenOver]).await, (false, false));
        assert_eq!(wake(vec![|| Trouble::Failed("no database".into())]).await, (false, false));
        assert_eq!(wake(vec![(|| Trouble::LookAgain) as fn() -> Trouble; 100]).await, (false, false));
    }
}
