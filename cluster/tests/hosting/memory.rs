//! The authority in memory, as the simulation has it, in real time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cluster::{
    Authority, AuthorityUnavailable, Gen, Join, Lease, NewMember, PARTITIONS, PartitionRow, Removal, Rival,
    Steer, View,
};

use crate::authority::{Authority as Model, Why};

/// One authority for all nodes of a test.
#[derive(Debug)]
pub(crate) struct Memory {
    model: Mutex<Model>,
    begun: Instant,
    down: AtomicBool,
}

type Answer<T> = Result<T, AuthorityUnavailable>;

impl Memory {
    pub(crate) fn new() -> Self {
        let model = Mutex::new(Model::new(PARTITIONS, true));
        Self { model, begun: Instant::now(), down: AtomicBool::new(false) }
    }

    /// While down it answers nobody.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Ends a node as other nodes would.
    pub(crate) fn kill(&self, node: Gen) {
        self.model().end(node, self.now(), Why::StoodStill);
    }

    pub(crate) fn deaths(&self) -> usize {
        self.model().ledger.declared_dead.len()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no test panics while it holds this")
    }

    fn answer(&self) -> Answer<MutexGuard<'_, Model>> {
        if self.down.load(Ordering::SeqCst) {
            return Err(AuthorityUnavailable("it is down".into()));
        }
        Ok(self.model())
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

#[async_trait]
impl Authority for Memory {
    async fn join(&self, me: &NewMember, replacing: Option<Rival>) -> Answer<Join> {
        Ok(self.answer()?.join(me, replacing, self.now()))
    }

    async fn up(&self, me: Gen) -> Answer<bool> {
        Ok(self.answer()?.up(me))
    }

    async fn beat(&self, me: Gen) -> Answer<bool> {
        Ok(self.answer()?.beat(me, self.now()))
    }

    async fn observe(&self) -> Answer<View> {
        Ok(self.answer()?.observe())
    }

    async fn declare_dead(&self, target: Gen, seen: Option<i64>, voter: Gen, votes: u32) -> Answer<bool> {
        Ok(self.answer()?.declare_dead(target, seen, voter, votes, self.now()))
    }

    async fn claim(&self, partition: u16, seen_epoch: i64, me: Gen) -> Answer<Option<i64>> {
        Ok(self.answer()?.claim(partition, seen_epoch, me, self.now()))
    }

    async fn release(&self, lease: Lease, me: Gen) -> Answer<bool> {
        Ok(self.answer()?.release(lease, me, self.now()))
    }

    async fn partitions(&self) -> Answer<Vec<PartitionRow>> {
        Ok(self.answer()?.partitions())
    }

    async fn partitions_of(&self, owner: Gen) -> Answer<Vec<Lease>> {
        Ok(self.answer()?.partitions_of(owner))
    }

    async fn leave(&self, me: Gen) -> Answer<bool> {
        Ok(self.answer()?.leave(me, self.now()))
    }

    async fn steer(&self, of: Gen, word: Steer) -> Answer<bool> {
        Ok(self.answer()?.steer(of, word))
    }

    async fn remove(&self, _: &str, _: Option<Rival>) -> Answer<Removal> {
        Ok(Removal::Unknown) // Not asked for here.
    }
}
