//! The root of a node's supervision: when a part ends that should not, the node ends.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Exit;
use crate::links::Listening;

/// What the root is told.
pub(crate) enum Message {
    /// Keep these until the end: the node's tasks, and where it listens.
    Keep(JoinSet<()>, Listening),
    /// The node is over.
    End(Exit),
}

/// The node's tasks go on until it ends; one that panics ends it.
async fn watch_over(mut tasks: JoinSet<()>, root: ActorRef<Message>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = &error as &dyn std::error::Error, "a part of the node failed");
            let _ = root.cast(Message::End(Exit::Failed)); // It may be ending already.
        }
    }
}

/// Supervises the parts of one node.
pub(crate) struct Root {
    pub(crate) exit: watch::Sender<Option<Exit>>,
}

impl Actor for Root {
    type Msg = Message;
    type State = Option<(AbortOnDropHandle<()>, Listening)>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Keep(tasks, listening) => {
                let watching = tokio::spawn(watch_over(tasks, myself.clone()));
                *kept = Some((AbortOnDropHandle::new(watching), listening));
            }
            Message::End(exit) => {
                drop(kept.take()); // Ends the tasks and the listener.
                self.exit.send_if_modified(|known| known.is_none() && known.replace(exit).is_none());
                for child in myself.get_cell().get_children() {
                    child.kill();
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
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, error) => {
                tracing::error!(error = error.to_string(), "a part of the node failed");
                myself.cast(Message::End(Exit::Failed))?;
            }
            // The host ends first when the node does.
            SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}
