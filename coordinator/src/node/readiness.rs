//! Whether the node may be sent calls: for probes, and for health clients of gRPC.

use std::time::Duration;

use cluster::Cluster;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic_health::server::HealthReporter;

use super::{Phase, checks};
use crate::grpc::{Door, forget_services, set_serving};
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

/// Tells health clients each time the node becomes able to serve, or ceases to be. Their watches end when it
/// leaves, since they would hold its connections open.
pub(super) async fn report(mut health: HealthReporter, cluster: Cluster, mut phase: watch::Receiver<Phase>) {
    let mut said = None;
    loop {
        let now = *phase.borrow_and_update();
        let ready = now == Phase::Serving && cluster.is_ready();
        if said != Some(ready) {
            set_serving(&health, ready).await;
            said = Some(ready);
        }
        if now == Phase::Leaving {
            return forget_services(&mut health).await;
        }
        if let Ok(Err(_)) = timeout(LOOK, phase.changed()).await {
            return;
        }
    }
}
