//! Whether the node may be sent calls: for probes, and for health clients of gRPC.

use std::time::Duration;

use cluster::Cluster;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic_health::server::HealthReporter;

use super::{Phase, checks};
use crate::grpc::{Door, set_serving};
use crate::http::{Check, Readiness};

/// A probe has little patience.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at whether the node is still a member.
const LOOK: Duration = Duration::from_millis(500);

/// What is asked by a probe.
pub(super) struct Ready {
    pub(super) door: Door,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Readiness for Ready {
    async fn checks(&self) -> Vec<Check> {
        let (database, objects) =
            tokio::join!(fault(self.door.store.ping()), fault(self.door.objects.ping()));
        checks(*self.phase.borrow(), database, objects, self.door.cluster.is_ready())
    }
}

async fn fault(check: impl Future<Output = Result<(), store::Error>>) -> Option<String> {
    match timeout(PATIENCE, check).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer for {} s", PATIENCE.as_secs())),
    }
}

/// Tells health clients each time the node becomes able to serve, or ceases to be.
pub(super) async fn report(health: HealthReporter, cluster: Cluster, mut phase: watch::Receiver<Phase>) {
    let mut said = None;
    // Whoever begins to leave says so itself.
    while *phase.borrow() == Phase::Serving {
        let ready = cluster.is_ready();
        if said != Some(ready) {
            set_serving(&health, ready).await;
            said = Some(ready);
        }
        if let Ok(changed) = timeout(LOOK, phase.changed()).await
            && changed.is_err()
        {
            return;
        }
    }
}
