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
    /// Told to stop, the supervisor waits until these have ended; the others it takes with it.
    pub(crate) ends_by_itself: bool,
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
    /// Start nobody again, and end when all have that end by themselves.
    Stop,
}

/// Who runs, and how often each has failed in a row.
pub(crate) struct State {
    running: HashMap<ActorId, (usize, Instant)>,
    failures: Vec<u32>,
    stopping: bool,
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<State, ActorProcessingErr> {
        for place in 0..self.children.len() {
            myself.cast(Message::Start(place))?;
        }
        Ok(State { running: HashMap::new(), failures: vec![0; self.children.len()], stopping: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Start(_) if state.stopping => {}
            Message::Start(place) => match (self.children[place].start)(myself.get_cell()).await {
                Ok(child) => {
                    state.running.insert(child.get_id(), (place, Instant::now()));
                }
                Err(error) => self.start_later(&myself, state, place, &error.to_string()),
            },
            Message::Stop => {
                state.stopping = true;
                self.end_if_alone(&myself, state);
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
        let (child, reason) = match event {
            SupervisionEvent::ActorTerminated(child, _, reason) => (child, reason.unwrap_or_default()),
            SupervisionEvent::ActorFailed(child, error) => (child, error.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some((place, since)) = state.running.remove(&child.get_id()) else { return Ok(()) };
        if state.stopping {
            self.end_if_alone(&myself, state);
            return Ok(());
        }
        if since.elapsed() > FORGIVEN_AFTER {
            state.failures[place] = 0;
        }
        self.start_later(&myself, state, place, &reason);
        Ok(())
    }
}

impl Supervisor {
    fn end_if_alone(&self, myself: &ActorRef<Message>, state: &State) {
        if !state.running.values().any(|(place, _)| self.children[*place].ends_by_itself) {
            myself.stop(None);
        }
    }

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
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::task::JoinHandle;

    use super::*;

    /// Tells that it started; panics at the message `true`, ends at `false`.
    struct Fragile(UnboundedSender<ActorRef<bool>>);

    impl Actor for Fragile {
        type Msg = bool;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, myself: ActorRef<bool>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(self.0.send(myself)?)
        }

        async fn handle(
            &self,
            myself: ActorRef<bool>,
            fail: bool,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            assert!(!fail, "as it was told");
            myself.stop(None);
            Ok(())
        }
    }

    type Started = UnboundedReceiver<ActorRef<bool>>;

    async fn supervise(ends_by_itself: bool) -> (ActorRef<Message>, JoinHandle<()>, Started) {
        let (sender, started) = unbounded_channel();
        let start: Start = Box::new(move |supervisor| {
            let child = Fragile(sender.clone());
            Box::pin(async move { Ok(Actor::spawn_linked(None, child, (), supervisor).await?.0.get_cell()) })
        });
        let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(2) };
        let children = vec![Child { kind: "fragile", ends_by_itself, start }];
        let (supervisor, ended) =
            Actor::spawn(None, Supervisor { children, backoff }, ()).await.expect("it starts");
        (supervisor, ended, started)
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("it takes no time")
    }

    #[tokio::test]
    async fn a_child_that_fails_or_ends_is_started_again() {
        let (supervisor, ended, mut started) = supervise(false).await;
        for fail in [true, false, true] {
            let child = within(started.recv()).await.expect("it is started");
            child.cast(fail).expect("it takes messages");
        }
        within(started.recv()).await.expect("it is started");
        supervisor.stop(None);
        within(ended).await.expect("it ends");
    }

    #[tokio::test]
    async fn told_to_stop_it_waits_for_those_who_end_by_themselves() {
        let (supervisor, ended, mut started) = supervise(true).await;
        let child = within(started.recv()).await.expect("it is started");
        supervisor.cast(Message::Stop).expect("it takes messages");
        assert!(!ended.is_finished());
        child.cast(false).expect("it takes messages");
        within(ended).await.expect("it ends");
        assert!(started.try_recv().is_err(), "nobody is started again");
    }

    #[tokio::test]
    async fn told_to_stop_it_takes_the_others_with_it() {
        let (supervisor, ended, mut started) = supervise(false).await;
        let child = within(started.recv()).await.expect("it is started");
        supervisor.cast(Message::Stop).expect("it takes messages");
        within(ended).await.expect("it ends");
        within(child.wait(None)).await.expect("it is gone too");
    }
}
