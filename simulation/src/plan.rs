//! What a run is made of.

use std::time::Duration;

use actors::SweepTiming;
use actors::scheduler::Policy;
use cluster::{StreamLimits, Timing};

/// Slots for heavy work on each node.
pub(crate) const SLOTS: usize = 2;
/// Jobs let in for each slot of the cluster.
pub(crate) const JOBS_PER_SLOT: u32 = 4;

/// What keeps the invariants. Each can be left away; then the invariant that it holds has to break, or the checker is
/// blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defences {
    /// Effects of entities are refused when they name an old epoch.
    pub fence: bool,
    /// The same request makes one job, however often it comes.
    pub idempotency: bool,
    /// A worker renews its lease while it works, in the stream and in the store.
    pub renewal: bool,
    /// The store ends a hold on work that its holder does not ask for, whatever Valkey knows of it.
    pub holds: bool,
    /// A node that hears no bells looks for what stands still in its partitions.
    pub lookout: bool,
    /// What stands still is rung for.
    pub sweeper: bool,
    /// Jobs move by compare-and-set, so that an effect that comes twice is one.
    pub dedupe: bool,
    /// Words of an attempt that was taken over are refused.
    pub attempt: bool,
    /// A node whose heartbeats are not counted stops acting before others may take its partitions.
    pub step_down: bool,
}

impl Defences {
    /// As the product is.
    pub const ALL: Self = Self {
        fence: true,
        idempotency: true,
        renewal: true,
        holds: true,
        lookout: true,
        sweeper: true,
        dedupe: true,
        attempt: true,
        step_down: true,
    };
}

/// What a run is made of: the same plan gives the same run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many partitions; the product has 1024.
    pub partitions: u16,
    /// Times of membership and ownership.
    pub timing: Timing,
    /// Bounds on streams.
    pub streams: StreamLimits,
    /// When the sweeper does what.
    pub sweep: SweepTiming,
    /// How the scheduler is set.
    pub policy: Policy,
    /// What keeps the invariants.
    pub defences: Defences,
    /// Whether ended nodes go on writing with what they once held.
    pub zombies: bool,
    /// Once in so many, a message takes seconds, arrives twice, or its answer is lost; 0 for never.
    pub odd_message_in: u64,
    /// Whether there are images, jobs and feeds; else only members and partitions.
    pub has_work: bool,
    /// For how long things go wrong.
    pub rage: Duration,
    /// Whether to keep a line for each thing that happens.
    pub tell: bool,
}

impl Plan {
    /// The usual run of this seed.
    pub fn new(seed: u64) -> Self {
        let policy =
            Policy { window: Duration::from_secs(5), tick: Duration::from_millis(500), ..Policy::default() };
        let hold = actors::scheduler::Hold { share: 0.7, ..policy.hold };
        Self {
            seed,
            nodes: 3 + usize::try_from(seed % 3).expect("small"),
            partitions: 32,
            timing: Timing::default(),
            streams: StreamLimits::default(),
            sweep: SweepTiming::default(),
            policy: Policy { hold, ..policy },
            defences: Defences::ALL,
            zombies: seed.is_multiple_of(3),
            odd_message_in: 60,
            has_work: true,
            rage: Duration::from_secs(50),
            tell: false,
        }
    }
}
