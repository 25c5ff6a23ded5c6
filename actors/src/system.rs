//! Entities of the kind `system`: one of each in the cluster, alive at all times.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{EntityContext, EntityFactory, EntityKey, EntityMessage};
use ractor::{ActorRef, SpawnErr};

use crate::Deps;
use crate::entity::Factory;
use crate::{scheduler, sweeper};

/// Sweeper and scheduler have one kind, and so one factory.
struct System {
    by_key: Vec<(EntityKey, Arc<dyn EntityFactory>)>,
}

pub(crate) fn factory(deps: &Deps) -> Arc<dyn EntityFactory> {
    let (one, other) = (deps.clone(), deps.clone());
    let sweeper = Factory::new(move |context| sweeper::make(&one, context)).shared();
    let scheduler = Factory::new(move |context| scheduler::make(&other, context)).shared();
    Arc::new(System { by_key: vec![(sweeper::key(), sweeper), (scheduler::key(), scheduler)] })
}

#[async_trait]
impl EntityFactory for System {
    fn kind(&self) -> &'static str {
        "system"
    }

    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr> {
        let factory = self.by_key.iter().find(|(key, _)| *key == context.key).map(|(_, factory)| factory);
        match factory {
            Some(factory) => factory.spawn(context).await,
            None => Err(SpawnErr::StartupFailed(format!("{} is no key of an entity", context.key).into())),
        }
    }

    fn stays(&self) -> bool {
        true
    }

    fn residents(&self) -> Vec<EntityKey> {
        self.by_key.iter().map(|(key, _)| key.clone()).collect()
    }
}
