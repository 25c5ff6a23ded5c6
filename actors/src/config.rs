//! What the actors of a node are told, and what they are handed.

use std::sync::Arc;
use std::time::Duration;

use store::{Objects, Store};

use crate::clients::feeds::{Feeds, Limits};
use crate::effects::Committer;
use crate::evaluator::Evaluator;
use crate::index_cache::IndexCache;
use crate::known_facts::KnownFacts;
use crate::looks::Looks;
use crate::places::Places;
use crate::scheduler::Policy;
use crate::sweeper::SweepTiming;
use crate::vex_hearing::VexHearing;

/// Settings of a node's actors.
#[derive(Debug, Clone)]
pub struct Config {
    /// Images read at once. With two or more, one is kept for the interactive lane; 0 for a node that
    /// reads none.
    pub worker_slots: usize,
    /// Jobs let in for each worker slot of the cluster: the ones under way and those kept ready behind.
    pub jobs_per_slot: u32,
    /// Images evaluated at once.
    pub evaluations: usize,
    /// Bytes of VEX documents that are held in memory, by estimate.
    pub vex_bytes: usize,
    /// The lease of work in the streams, as the cluster has it.
    pub work_lease: Duration,
    /// When the sweeper does what.
    pub sweep: SweepTiming,
    /// How the scheduler is set.
    pub scheduler: Policy,
    /// Bounds on feed sources.
    pub feeds: Limits,
    /// Whether feeds may come over `http://`: for tests and private mirrors.
    pub plain_http_feeds: bool,
    /// Bounds on images.
    pub inventory: inventory::Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            worker_slots: 2,
            jobs_per_slot: 4,
            evaluations: 2,
            vex_bytes: 256 << 20,
            work_lease: Duration::from_secs(10),
            sweep: SweepTiming::default(),
            scheduler: Policy::default(),
            feeds: Limits::default(),
            plain_http_feeds: false,
            inventory: inventory::Limits::DEFAULT,
        }
    }
}

impl Config {
    /// The same with short times, for tests.
    #[must_use]
    pub fn test_profile(self) -> Self {
        let scheduler = self.scheduler.clone().test_profile();
        Self { sweep: SweepTiming::TEST, work_lease: Duration::from_secs(1), scheduler, ..self }
    }

    /// How often a worker renews its lease and asks whether to go on: three times a lease, and at least
    /// once a second, so that a cancelled or overdue job stops within one.
    pub(crate) fn keep_every(&self) -> Duration {
        (self.work_lease / 3).clamp(Duration::from_millis(50), Duration::from_millis(800))
    }
}

/// What the actors of a node are handed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deps {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) sources: Feeds,
    pub(crate) committer: Committer,
    pub(crate) looks: Looks,
    pub(crate) facts: KnownFacts,
    pub(crate) indexes: IndexCache,
    pub(crate) evaluator: Evaluator,
}

impl Deps {
    /// Prepares them; must run inside a tokio runtime, after the process's TLS provider is installed.
    ///
    /// # Errors
    /// When no HTTPS client can be built.
    pub fn new(config: Config, store: Store, objects: Objects) -> Result<Self, crate::clients::feeds::Error> {
        let sources = Feeds::new(config.feeds.clone(), config.plain_http_feeds)?;
        Ok(Self {
            sources,
            committer: Committer::start(store.clone()),
            looks: Looks::start(store.clone()),
            facts: KnownFacts::new(store.clone()),
            indexes: IndexCache::new(store.clone(), config.feeds.records.clone()),
            evaluator: Evaluator::new(
                Arc::new(Places::new(config.evaluations)),
                VexHearing::new(store.clone(), config.vex_bytes),
            ),
            config: Arc::new(config),
            store,
            objects,
        })
    }

    /// The indexes of snapshots that this node holds, for who answers questions about results.
    pub fn indexes(&self) -> &IndexCache {
        &self.indexes
    }

    /// What VEX says, for who answers questions about it.
    pub const fn vex(&self) -> &VexHearing {
        self.evaluator.vex()
    }
}
