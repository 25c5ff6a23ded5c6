//! Looks for what stands still here while Valkey cannot be reached, on every node.
//!
//! An owner that is cut off from Valkey hears no bells, and nobody takes its partitions from it, as it lives. So it asks
//! the store itself whom it would have to wake, less promptly than a bell does.

use std::time::Duration;

use cluster::{Cluster, EntityKey};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use store::Store;

use crate::bells;
use crate::metrics::LOOKED_OUT;

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(1);
/// What has not moved for this long is woken.
pub const STANDS: Duration = Duration::from_secs(1);

/// The lookout of one node.
pub(crate) struct Lookout {
    pub(crate) store: Store,
    pub(crate) cluster: Cluster,
}

/// What a lookout tells itself.
pub(crate) enum Message {
    /// Look, if need be.
    Look,
}

impl Actor for Lookout {
    type Msg = Message;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.cast(Message::Look)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Look: Message,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        tokio::time::sleep(EVERY).await;
        if !self.cluster.is_valkey_reachable()
            && let Err(error) = self.look().await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot look for what stands still");
        }
        myself.cast(Message::Look)?;
        Ok(())
    }
}

impl Lookout {
    async fn look(&self) -> Result<(), store::Error> {
        let mut tx = self.store.fleet().await?;
        let standing = store::sweep::find(&mut tx, STANDS).await?;
        tx.commit().await?;
        let mut woken = 0;
        for key in standing.iter().filter_map(bells::entity).filter(|key| self.is_here(key)) {
            let _ = self.cluster.wake(&key).await; // Given up just now, it is the next owner's.
            woken += 1;
        }
        metrics::counter!(LOOKED_OUT).increment(woken);
        Ok(())
    }

    fn is_here(&self, key: &EntityKey) -> bool {
        self.cluster.locate(key).here
    }
}
