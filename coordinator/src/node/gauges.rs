//! Numbers that are looked up now and then: lanes, feeds, partitions, connections.

use std::time::Duration;

use cluster::Cluster;
use store::feed_control::State;
use store::{Store, feeds, lanes};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Phase;

const EVERY: Duration = Duration::from_secs(10);

/// Keeps them up to date while the node serves.
pub(super) async fn keep(store: Store, cluster: Cluster, mut phase: watch::Receiver<Phase>) {
    metrics::gauge!("starling_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    while *phase.borrow() == Phase::Serving {
        look(&store, &cluster).await;
        if let Ok(Err(_)) = timeout(EVERY, phase.changed()).await {
            return;
        }
    }
}

async fn look(store: &Store, cluster: &Cluster) {
    let (in_use, open) = store.connections();
    metrics::gauge!("starling_db_pool_in_use").set(number(in_use));
    metrics::gauge!("starling_db_pool_open").set(number(open));
    metrics::gauge!("starling_ring_partitions_owned")
        .set(number(cluster.placement().owned_by(cluster.generation())));
    if let Err(error) = look_at_rows(store).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "gauges are not up to date");
    }
}

async fn look_at_rows(store: &Store) -> Result<(), store::Error> {
    let mut tx = store.fleet().await?;
    for load in lanes::load(&mut tx, None).await? {
        let lane = load.lane.as_str();
        metrics::gauge!("starling_lane_depth", "lane" => lane).set(load.waiting as f64);
        metrics::gauge!("starling_lane_inflight", "lane" => lane).set(load.inflight as f64);
        metrics::gauge!("starling_lane_oldest_age_seconds", "lane" => lane).set(load.oldest_s);
        metrics::gauge!("starling_dead_letters", "lane" => lane).set(load.dead_letters as f64);
    }
    let now = OffsetDateTime::now_utc();
    for feed in feeds::list(&mut tx).await? {
        let id = feed.id.to_string();
        for state in State::ALL {
            let is = f64::from(u8::from(feed.state == state));
            metrics::gauge!("starling_feed_state", "feed" => id.clone(), "state" => state.as_str()).set(is);
        }
        metrics::gauge!("starling_feed_records", "feed" => id.clone()).set(feed.advisories as f64);
        if let Some(at) = feed.succeeded_at {
            metrics::gauge!("starling_feed_age_seconds", "feed" => id).set((now - at).as_seconds_f64());
        }
    }
    Ok(())
}

fn number(count: usize) -> f64 {
    count as f64
}
