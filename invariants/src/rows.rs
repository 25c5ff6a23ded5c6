//! What the invariants are asked of: the rows of all tables, as of one moment.

/// A UUID's number.
pub type Id = u128;

/// An image: whose, and its digest.
pub type ImageId = (Id, String);

/// All rows. What a caller does not know, it leaves empty.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Jobs.
    pub jobs: Vec<Job>,
    /// What was said of jobs, in any order.
    pub events: Vec<Event>,
    /// Images.
    pub images: Vec<Image>,
    /// Verdicts, in any order.
    pub verdicts: Vec<Verdict>,
    /// Work that is unfinished.
    pub work: Vec<Work>,
    /// Bells that are owed.
    pub bells: Vec<Bell>,
    /// Work that was given up.
    pub dead_letters: Vec<DeadLetter>,
    /// Counters of tenants.
    pub loads: Vec<Load>,
    /// Incarnations of nodes.
    pub nodes: Vec<Node>,
    /// Partitions.
    pub partitions: Vec<Partition>,
    /// Changes of owners, in any order.
    pub changes: Vec<Change>,
    /// Images of runs.
    pub run_images: Vec<RunImage>,
    /// What clients were told: each request's job.
    pub answers: Vec<Answer>,
    /// Effects of entities that were accepted, in the order in which they were.
    pub writes: Vec<Write>,
    /// Effects of entities that were accepted, and who did them when.
    pub acts: Vec<Act>,
    /// What clients read of jobs.
    pub reads: Vec<Read>,
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub tenant: Id,
    /// The client's id of the request.
    pub request: Id,
    /// Which image of the tenant.
    pub image: String,
    /// How far it is.
    pub state: String,
    /// The last event's number.
    pub events: u32,
    /// The verdict it ended with.
    pub verdict: Option<u32>,
    /// Whether it was let in.
    pub is_admitted: bool,
    /// Whether it has ended.
    pub has_ended: bool,
}

/// A stretch of a job's life that has ended, and the state the job then had.
#[derive(Debug, Clone)]
pub struct Event {
    /// Whose job.
    pub tenant: Id,
    /// Which job.
    pub job: Id,
    /// Its number, from 1.
    pub seq: u32,
    /// Which stretch.
    pub stage: String,
    /// The state after it.
    pub state: String,
    /// The attempt that says so.
    pub attempt: u32,
    /// In microseconds.
    pub started: i64,
    /// In microseconds.
    pub ended: i64,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Which.
    pub id: ImageId,
    /// Raised by what changes the inputs of its evaluation.
    pub revision: i64,
    /// The revision that was evaluated last.
    pub evaluated_revision: i64,
    /// Its last verdict; 0 before the first.
    pub last_verdict: u32,
}

/// A verdict.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Of which image.
    pub image: ImageId,
    /// Its number, from 1.
    pub version: u32,
    /// The image's revision that it was made of.
    pub revision: i64,
    /// The snapshot it was made against.
    pub snapshot: i64,
    /// What it says, in short: digest of the findings, coverage, gaps.
    pub says: String,
}

/// Work that is unfinished.
#[derive(Debug, Clone)]
pub struct Work {
    /// Its id.
    pub id: Id,
    /// `ready` or `held`.
    pub state: String,
    /// The attempt that holds it, or was the last.
    pub attempt: u32,
}

/// A bell that is owed.
#[derive(Debug, Clone)]
pub struct Bell {
    /// For whom, in words.
    pub who: String,
}

/// Work that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Of which image.
    pub image: ImageId,
    /// Why.
    pub reason: String,
}

/// Counters of a tenant.
#[derive(Debug, Clone)]
pub struct Load {
    /// Whose.
    pub tenant: Id,
    /// Accepted and not ended.
    pub open: i64,
    /// Of these, let in.
    pub inflight: i64,
}

/// An incarnation of a node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which.
    pub generation: i64,
    /// Its name.
    pub name: String,
    /// When it died or left, in microseconds.
    pub ended: Option<i64>,
}

/// A partition.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Which.
    pub number: u16,
    /// Its epoch.
    pub epoch: i64,
}

/// A change of a partition's owner.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which partition.
    pub partition: u16,
    /// The epoch from then on.
    pub epoch: i64,
    /// Who has it from then on; nobody when it was given back.
    pub to: Option<i64>,
    /// When, in microseconds.
    pub at: i64,
}

/// An image of a run.
#[derive(Debug, Clone)]
pub struct RunImage {
    /// Which run.
    pub run: Id,
    /// Which image.
    pub image: ImageId,
    /// The revision it was raised to, if it was.
    pub must_reach: Option<i64>,
}

/// What a client was told.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whose request.
    pub tenant: Id,
    /// The client's id of it.
    pub request: Id,
    /// The job it was told of.
    pub job: Id,
}

/// An effect of an entity that was accepted.
#[derive(Debug, Clone)]
pub struct Write {
    /// Of which partition.
    pub partition: u16,
    /// The epoch it named.
    pub epoch: i64,
    /// The partition's epoch at that moment.
    pub epoch_then: i64,
}

/// An effect of an entity that was accepted, as the one that did it is known to the database.
#[derive(Debug, Clone)]
pub struct Act {
    /// Of which partition.
    pub partition: u16,
    /// The epoch it named.
    pub epoch: i64,
    /// The name of the node that did it.
    pub by: String,
    /// When, in microseconds of the clock that changes of owners are told by.
    pub at: i64,
}

/// What a client read of a job.
#[derive(Debug, Clone)]
pub struct Read {
    /// Of which job.
    pub job: Id,
    /// When it asked, in microseconds of the clients' clock.
    pub called: i64,
    /// When it had the answer, by the same clock.
    pub answered: i64,
    /// The job's state.
    pub saw: String,
}
