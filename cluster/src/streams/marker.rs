//! Notices that Valkey has lost everything: a key that was there is gone, or is another.

use std::time::Duration;

use redis::Pipeline;
use tokio::sync::watch;
use uuid::Uuid;

use super::StreamError;
use super::valkey::Valkey;
use crate::metrics::VALKEY_LOST;

/// Looks at the marker until the node ends.
pub(crate) struct Marker {
    pub(crate) valkey: Valkey,
    pub(crate) every: Duration,
    /// Rises each time everything was lost.
    pub(crate) lost: watch::Sender<u64>,
    /// Whether Valkey answers.
    pub(crate) reachable: watch::Sender<bool>,
}

impl Marker {
    pub(crate) async fn run(self) {
        let mut known = None;
        loop {
            match self.look().await {
                Ok((made, marker)) => {
                    // Made by this node just now, or since its last look by another.
                    if made || known.as_ref().is_some_and(|known| *known != marker) {
                        self.lost.send_modify(|times| *times += 1);
                        metrics::counter!(VALKEY_LOST).increment(1);
                        tracing::warn!("valkey has lost everything, or is new");
                    }
                    known = Some(marker);
                    self.reachable.send_replace(true);
                }
                Err(error) => {
                    if self.reachable.send_replace(false) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "valkey does not answer");
                    }
                }
            }
            tokio::time::sleep(self.every).await;
        }
    }

    /// The marker, and whether it had to be made.
    async fn look(&self) -> Result<(bool, String), StreamError> {
        let key = self.valkey.marker();
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("SET").arg(&key).arg(Uuid::now_v7().to_string()).arg("NX");
        commands.cmd("GET").arg(&key);
        let (made, marker): (Option<String>, String) = self.valkey.run(&commands).await?;
        Ok((made.is_some(), marker))
    }
}
