//! Carries bells from the outbox to the streams, on every node.
//!
//! A round takes what is due by deleting it, rings, and commits. Whatever fails on the way, the bells
//! are either still owed or rung twice, and a bell that rings twice does no harm. While Valkey is away
//! the bells wait in the outbox.

use std::time::Duration;

use cluster::Cluster;
use cluster::streams::StreamError;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use store::Store;

use crate::backoff::Backoff;
use crate::bells;
use crate::failpoint::{self, Point};
use crate::metrics::RELAY_FAILURES;

/// Another node's commit does not notify us, and its own relay may be gone.
const POLL: Duration = Duration::from_millis(100);
const BATCH: u32 = 500;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// The relay of one node.
pub(crate) struct Relay {
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
}

/// What a relay tells itself.
pub(crate) enum Message {
    /// Carry what is due.
    Round,
}

/// Why a round carried nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the outbox cannot be read")]
    Database(#[from] store::Error),
    #[error("the streams cannot be reached")]
    Valkey(#[from] StreamError),
}

impl Failure {
    const fn cause(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Valkey(_) => "valkey",
        }
    }
}

impl Actor for Relay {
    type Msg = Message;
    /// Rounds that failed in a row.
    type State = u32;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<u32, ActorProcessingErr> {
        myself.cast(Message::Round)?;
        Ok(0)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Round: Message,
        failures: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        match self.round().await {
            Ok(carried) => {
                if *failures > 0 {
                    tracing::info!(rounds = *failures, "the relay carries bells again");
                }
                *failures = 0;
                if carried < BATCH as usize {
                    let bell_rung = self.store.bell_rung();
                    let _ = tokio::time::timeout(POLL, bell_rung.notified()).await;
                }
            }
            Err(failure) => {
                *failures += 1;
                metrics::counter!(RELAY_FAILURES, "cause" => failure.cause()).increment(1);
                if *failures == 1 {
                    tracing::warn!(
                        error = &failure as &dyn std::error::Error,
                        "the relay cannot carry bells"
                    );
                }
                tokio::time::sleep(BACKOFF.random_delay(*failures)).await;
            }
        }
        myself.cast(Message::Round)?;
        Ok(())
    }
}

impl Relay {
    /// Carries one batch; how many bells it had.
    async fn round(&self) -> Result<usize, Failure> {
        let mut tx = self.store.fleet().await?;
        let due = store::outbox::take(&mut tx, BATCH).await?;
        if due.is_empty() {
            return Ok(0);
        }
        bells::ring(&self.cluster, &due).await?;
        failpoint::hit(Point::RelayBeforeCommit).await;
        tx.commit().await?;
        Ok(due.len())
    }
}
