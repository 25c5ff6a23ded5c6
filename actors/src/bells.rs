//! From bells as the store knows them to entries of streams.

use cluster::streams::{Bell, StreamError, WorkItem};
use cluster::{Cluster, EntityKey};

use crate::metrics::BELLS_RUNG;

/// The kind of a bell that wakes no entity: any worker may take it.
const WORK: &str = "work";

/// Puts the bells into their streams, in two round trips at most. After an error some may have rung,
/// which does no harm: ring them all again.
pub(crate) async fn ring(cluster: &Cluster, bells: &[store::Bell]) -> Result<(), StreamError> {
    let (entities, work) = sort(bells);
    cluster.bells().ring(&entities).await?;
    cluster.work().push(&work).await?;
    for bell in bells {
        metrics::counter!(BELLS_RUNG, "kind" => bell.kind.clone()).increment(1);
    }
    Ok(())
}

/// The entity that a bell rings for; none when it is for any worker.
pub(crate) fn entity(bell: &store::Bell) -> Option<EntityKey> {
    let key = || EntityKey::new(bell.kind.as_str(), bell.tenant.as_uuid(), bell.key.as_str());
    (bell.kind != WORK).then(key)
}

/// Bells for entities, and work for anybody. Order is kept within each.
fn sort(bells: &[store::Bell]) -> (Vec<Bell>, Vec<WorkItem>) {
    let work = bells.iter().filter(|bell| bell.kind == WORK);
    let entities = bells.iter().filter_map(|bell| {
        let (key, lane) = (entity(bell)?, bell.lane as usize);
        Some(Bell { key, lane, outbox_id: bell.id })
    });
    let work = work.map(|bell| WorkItem {
        tenant: bell.tenant.as_uuid(),
        id: bell.key.as_str().into(),
        lane: bell.lane as usize,
    });
    (entities.collect(), work.collect())
}

#[cfg(test)]
mod tests {
    use model::{Lane, TenantId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn work_goes_to_workers_and_all_else_to_entities() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(7));
        let bell = |id, kind: &str, key: &str, lane| store::Bell {
            id,
            kind: kind.to_owned(),
            tenant,
            key: key.to_owned(),
            lane,
        };
        let bells = [
            bell(1, "tenant", "-", Lane::Bulk),
            bell(2, "work", "w1", Lane::Sweep),
            bell(3, "image", "sha256:ab", Lane::Interactive),
        ];
        let (entities, work) = sort(&bells);
        let entity = |kind: &str, id: &str, lane, outbox_id| Bell {
            key: EntityKey::new(kind, Uuid::from_u128(7), id),
            lane,
            outbox_id,
        };
        assert_eq!(entities, [entity("tenant", "-", 1, 1), entity("image", "sha256:ab", 0, 3)]);
        assert_eq!(work, [WorkItem { tenant: Uuid::from_u128(7), id: "w1".into(), lane: 2 }]);
    }
}
