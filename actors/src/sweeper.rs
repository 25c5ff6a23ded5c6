//! Finds what stands still and rings for it, whatever the cause: a lost bell costs time, never a job.
//!
//! One in the cluster: the entity `system/…/sweeper`, alive at all times. It also ends jobs whose
//! deadline is over, which the workers that hold them notice at their next question.

mod clock;
mod indexing;
pub mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Cluster, EntityContext, EntityKey, EntityMessage};
use model::TenantId;
use ractor::ActorRef;
use store::{Bell, Store};

use self::clock::{Clock, Haste};
use self::memory::Memory;
use crate::Deps;
use crate::bells;
use crate::entity::{Entity, Trouble};
use crate::metrics::{JOBS_OVERDUE, SWEPT};

/// Between two times that what is not needed any more is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// A layer that no image had for so long is read again when one has it.
const LAYERS_UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Its id within the kind `system`.
const NAME: &str = "sweeper";

/// When the sweeper does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepTiming {
    /// Between two looks at deadlines; how late a deadline may be noticed.
    pub tick: Duration,
    /// Between two looks at everything unfinished.
    pub every: Duration,
    /// What has not moved for this long is rung for. Each further ring for the same waits twice as long …
    pub older_than: Duration,
    /// … up to this.
    pub longest: Duration,
}

impl SweepTiming {
    /// Short times, for tests.
    pub const TEST: Self = Self {
        tick: Duration::from_millis(200),
        every: Duration::from_millis(500),
        older_than: Duration::from_secs(1),
        longest: Duration::from_secs(4),
    };
}

impl Default for SweepTiming {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(500),
            every: Duration::from_secs(5),
            older_than: Duration::from_secs(15),
            longest: Duration::from_secs(600),
        }
    }
}

pub(crate) struct Sweeper {
    store: Store,
    cluster: Cluster,
    timing: SweepTiming,
    begun: Instant,
    clock: Arc<Clock>,
}

/// The sweeper's key.
pub fn key() -> EntityKey {
    EntityKey::new(Sweeper::KIND, TenantId::SYSTEM.as_uuid(), NAME)
}

/// The sweeper of this context; `None` when the key means another.
pub(crate) fn make(deps: &Deps, context: EntityContext) -> Option<Sweeper> {
    (*context.key.id == *NAME).then(|| Sweeper {
        store: deps.store.clone(),
        cluster: context.cluster,
        timing: deps.config.sweep,
        begun: Instant::now(),
        clock: Arc::default(),
    })
}

/// What it has learned.
#[derive(Default)]
pub(crate) struct State {
    swept: Option<Instant>,
    kept_house: Option<Instant>,
    /// Whether images may be missing in the BOM-index.
    unindexed: bool,
    memory: Memory,
}

impl Entity for Sweeper {
    const KIND: &'static str = "system";
    type State = State;

    fn started(&self, myself: &ActorRef<EntityMessage>) {
        self.clock.start(&self.cluster, self.timing.tick, myself.clone());
    }

    async fn catch_up(&self, state: &mut State) -> Result<(), Trouble> {
        let overdue = store::sweep::expire_overdue(&self.store).await?;
        metrics::counter!(JOBS_OVERDUE).increment(u64::from(overdue));
        let haste = self.clock.haste();
        let due = state.swept.is_none_or(|swept| swept.elapsed() >= self.timing.every);
        match haste {
            Haste::None if !due => return Ok(()),
            Haste::None | Haste::Look => {}
            Haste::Everything => state.memory.clear(),
        }
        let now = Instant::now();
        if state.kept_house.is_none_or(|kept| kept.elapsed() >= HOUSEKEEPING) {
            self.keep_house().await?;
            state.kept_house = Some(now);
            state.unindexed = true;
        }
        self.sweep(haste, &mut state.memory).await?;
        state.swept = Some(now);
        state.unindexed = state.unindexed && indexing::round(&self.store).await?;
        Ok(())
    }
}

impl Sweeper {
    async fn keep_house(&self) -> Result<(), Trouble> {
        let mut tx = self.store.fleet().await?;
        let requests = store::requests::forget_old(&mut tx).await?;
        tx.commit().await?;
        let layers = store::layers::forget_unused(&self.store, LAYERS_UNUSED).await?;
        tracing::debug!(requests, layers, "forgot what is not needed any more");
        Ok(())
    }

    async fn leave(&self, bells: &[Bell]) -> Result<(), store::Error> {
        let mut tx = self.store.fleet().await?;
        for bell in bells {
            store::outbox::ring(&mut tx, &bell.kind, bell.tenant, &bell.key, bell.lane).await?;
        }
        tx.commit().await
    }

    async fn sweep(&self, haste: Haste, memory: &mut Memory) -> Result<(), Trouble> {
        let older_than = match haste {
            Haste::Everything => Duration::ZERO,
            Haste::None | Haste::Look => self.timing.older_than,
        };
        let mut tx = self.store.fleet().await?;
        let found = store::sweep::find(&mut tx, older_than).await?;
        tx.commit().await?;
        let due = memory.due(found, self.begun.elapsed(), &self.timing);
        if let Err(error) = bells::ring(&self.cluster, &due).await {
            // Away from here alone, perhaps: then another node's relay carries them.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the sweep leaves its bells in the outbox"
            );
            self.leave(&due).await.inspect_err(|_| memory.forget(&due))?;
        }
        metrics::counter!(SWEPT).increment(due.len() as u64);
        if !due.is_empty() {
            tracing::info!(bells = due.len(), ?haste, "rang for what stood still");
        }
        Ok(())
    }
}
