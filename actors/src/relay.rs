//! Carries bells from the outbox to the streams, on every node.
//!
//! A round takes what is due by deleting it, rings, and commits. Whatever fails on the way, the bells
//! are either still owed or rung twice, and a bell that rings twice does no harm. While Valkey is away
//! the bells wait in the outbox.

pub mod rounds;

use cluster::Cluster;
use cluster::streams::StreamError;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use store::{Bell, FleetTx, Store};

use self::rounds::{BATCH, Came, Next, Rest, Rounds};
use crate::bells;
use crate::failpoint::{self, Point};
use crate::metrics::RELAY_FAILURES;

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
    type State = Rounds;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<Rounds, ActorProcessingErr> {
        myself.cast(Message::Round)?;
        Ok(Rounds::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Round: Message,
        rounds: &mut Rounds,
    ) -> Result<(), ActorProcessingErr> {
        let failures = rounds.failures();
        let rest = self.round(rounds).await;
        if failures > 0 && rounds.failures() == 0 {
            tracing::info!(rounds = failures, "the relay carries bells again");
        }
        let longest = rest.longest(rand::random());
        match rest {
            Rest::No => {}
            Rest::UntilRung => {
                let bell_rung = self.store.bell_rung();
                let _ = tokio::time::timeout(longest, bell_rung.notified()).await;
            }
            Rest::BackOff(_) => tokio::time::sleep(longest).await,
        }
        myself.cast(Message::Round)?;
        Ok(())
    }
}

impl Relay {
    /// Carries one batch, in the order that [`Rounds`] says.
    async fn round(&self, rounds: &mut Rounds) -> Rest {
        let mut open = None;
        let mut came = Came::Begun;
        loop {
            let next = rounds.next(came);
            if let Next::Rest(rest) = next {
                return rest;
            }
            came = match self.step(next, &mut open).await {
                Ok(came) => came,
                Err(failure) => {
                    open = None; // Rolled back: they are still owed.
                    tell(&failure, rounds.failures());
                    Came::Failed
                }
            };
        }
    }

    /// Takes a step. `open` is the transaction that has taken the bells.
    async fn step(&self, next: Next, open: &mut Option<(FleetTx, Vec<Bell>)>) -> Result<Came, Failure> {
        match (next, open.take()) {
            (Next::Ring, Some((tx, bells))) => {
                bells::ring(&self.cluster, &bells).await?;
                *open = Some((tx, bells));
                Ok(Came::Rung)
            }
            (Next::Commit, Some((tx, _))) => {
                failpoint::hit(Point::RelayBeforeCommit).await;
                tx.commit().await?;
                Ok(Came::Committed)
            }
            (Next::Take | Next::Ring | Next::Commit | Next::Rest(_), _) => {
                let mut tx = self.store.fleet().await?;
                let bells = store::outbox::take(&mut tx, BATCH).await?;
                let taken = bells.len();
                *open = Some((tx, bells));
                Ok(Came::Taken(taken))
            }
        }
    }
}

/// Counts each failure, and tells of the first in a row.
fn tell(failure: &Failure, failures_before: u32) {
    metrics::counter!(RELAY_FAILURES, "cause" => failure.cause()).increment(1);
    if failures_before == 0 {
        tracing::warn!(error = failure as &dyn std::error::Error, "the relay cannot carry bells");
    }
}
