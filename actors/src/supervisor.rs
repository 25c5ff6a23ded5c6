//! Starts the actors that every node has one of, and starts them again, later and later, when they fail.
//!
//! The entities have a supervisor of their own in `cluster`. The tree is drawn in docs/architecture.md,
//! "Supervision".

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::backoff::Backoff;
use crate::metrics::ACTOR_RESTARTS;

/// Who ran this long without failing starts again with the first delay.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// One actor to keep running.
pub(crate) struct Child {
    /// What it is, for logs and metrics.
    pub(crate) kind: &'static str,
    /// Starts it under this supervisor.
    pub(crate) start: Start,
}

/// Starts an actor as the child of a supervisor.
pub(crate) type Start =
    Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// Keeps its children running.
pub(crate) struct Supervisor {
    pub(crate) children: Vec<Child>,
    pub(crate) backoff: Backoff,
}

/// What a supervisor is told.
pub(crate) enum Message {
    /// Start the child at this place of the list.
    Start(usize),
}

/// Who runs, and how often each has failed in a row.
pub(crate) struct State {
    running: HashMap<ActorId, (usize, Instant)>,
    failures: Vec<u32>,
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<State, ActorProcessingErr> {
        for place in 0..self.children.len() {
            myself.cast(Message::Start(place))?;
        }
        Ok(State { running: HashMap::new(), failures: vec![0; self.children.len()] })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Start(place): Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match (self.children[place].start)(myself.get_cell()).await {
            Ok(child) => {
                state.running.insert(child.get_id(), (place, Instant::now()));
            }
            Err(error) => self.start_later(&myself, state, place, &error.to_string()),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, reason) = match event {
            SupervisionEvent::ActorTerminated(child, _, reason) => (child, reason.unwrap_or_default()),
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some((place, since)) = state.running.remove(&child.get_id()) else { return Ok(()) };
        if since.elapsed() > FORGIVEN_AFTER {
            state.failures[place] = 0;
        }
        self.start_later(&myself, state, place, &reason);
        Ok(())
    }
}

impl Supervisor {
    fn start_later(&self, myself: &ActorRef<Message>, state: &mut State, place: usize, reason: &str) {
        state.failures[place] = state.failures[place].saturating_add(1);
        let delay = self.backoff.random_delay(state.failures[place]);
        let kind = self.children[place].kind;
        tracing::warn!(
            actor.kind = kind,
            actor.failures = state.failures[place],
            ?delay,
            reason,
            "actor ended"
        );
        metrics::counter!(ACTOR_RESTARTS, "type" => kind).increment(1);
        myself.send_after(delay, move || Message::Start(place));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;

    /// Tells that it started, then fails at its first message.
    struct Fragile(Arc<mpsc::UnboundedSender<()>>);

    impl Actor for Fragile {
        type Msg = ();
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            self.0.send(())?;
            myself.cast(())?;
            Ok(())
        }

        async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
            panic!("as it must");
        }
    }

    #[tokio::test]
    async fn a_child_that_fails_is_started_again_and_the_last_stop_is_final() {
        let (started, mut starts) = mpsc::unbounded_channel();
        let started = Arc::new(started);
        let start: Start = Box::new(move |supervisor| {
            let child = Fragile(started.clone());
            Box::pin(async move { Ok(Actor::spawn_linked(None, child, (), supervisor).await?.0.get_cell()) })
        });
        let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(2) };
        let supervisor = Supervisor { children: vec![Child { kind: "fragile", start }], backoff };
        let (supervisor, ended) = Actor::spawn(None, supervisor, ()).await.expect("it starts");
        for _ in 0..3 {
            let next = tokio::time::timeout(Duration::from_secs(10), starts.recv()).await;
            assert_eq!(next, Ok(Some(())));
        }
        supervisor.stop(None);
        ended.await.expect("it ends");
        drop(supervisor);
        // The channel closes when the last child is gone: nobody starts another.
        let closed =
            tokio::time::timeout(Duration::from_secs(10), async { while starts.recv().await.is_some() {} });
        assert_eq!(closed.await, Ok(()));
    }
}
