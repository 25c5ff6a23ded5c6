//! The authority in PostgreSQL, and a switch that cuts one node off from it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cluster::{
    Authority, AuthorityUnavailable, DeadMember, Gen, Join, Lease, Member, MemberState, NewMember,
    PartitionRow, Removal, Rival, Steer, View,
};
use store::members::{self, Joined, NewNode, Node, NodeState, Seen};
use store::{Fence, Store};

/// One node's way to the authority.
#[derive(Debug)]
pub(crate) struct Postgres {
    store: Store,
    cut: AtomicBool,
}

type Answer<T> = Result<T, AuthorityUnavailable>;

impl Postgres {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, cut: AtomicBool::new(false) }
    }

    /// While cut, nothing this node asks arrives.
    pub(crate) fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, store::Error>>) -> Answer<T> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(AuthorityUnavailable("cut off".into()));
        }
        question.await.map_err(|error| AuthorityUnavailable(Box::new(error)))
    }
}

#[async_trait]
impl Authority for Postgres {
    async fn join(&self, me: &NewMember, replacing: Option<Rival>) -> Answer<Join> {
        let node = NewNode {
            name: me.name.clone(),
            api_addr: "127.0.0.1:1".to_owned(),
            link_addr: me.address.clone(),
            weight: me.weight,
            worker_slots: 1,
            proto_min: me.wire_min,
            proto_max: me.wire_max,
            build: me.build.clone(),
        };
        let replace = replacing.map(|r| Seen { generation: r.generation.0, heartbeat: r.heartbeat });
        Ok(match self.ask(members::join(&self.store, &node, replace)).await? {
            Joined::As(generation) => Join::Joined(Gen(generation)),
            Joined::NameTaken(Seen { generation, heartbeat }) => {
                Join::Taken(Rival { generation: Gen(generation), heartbeat })
            }
        })
    }

    async fn up(&self, me: Gen) -> Answer<bool> {
        self.ask(members::up(&self.store, me.0)).await
    }

    async fn beat(&self, me: Gen) -> Answer<bool> {
        self.ask(members::beat(&self.store, me.0)).await
    }

    async fn observe(&self) -> Answer<View> {
        let view = self.ask(members::observe(&self.store)).await?;
        Ok(View { version: view.version, members: view.nodes.into_iter().map(member).collect() })
    }

    async fn declare_dead(&self, target: Gen, seen: Option<i64>, voter: Gen, votes: u32) -> Answer<bool> {
        self.ask(members::declare_dead(&self.store, target.0, seen, voter.0, votes)).await
    }

    async fn claim(&self, partition: u16, seen_epoch: i64, me: Gen) -> Answer<Option<i64>> {
        let seen = [Fence { partition, epoch: seen_epoch }];
        Ok(self.ask(members::claim(&self.store, me.0, &seen)).await?.first().map(|fence| fence.epoch))
    }

    async fn release(&self, lease: Lease, me: Gen) -> Answer<bool> {
        let owned = [Fence { partition: lease.partition, epoch: lease.epoch }];
        Ok(self.ask(members::release(&self.store, me.0, &owned)).await? == 1)
    }

    async fn partitions(&self) -> Answer<Vec<PartitionRow>> {
        // Owners first: one that is missing from the later read is gone for good.
        let rows = self.ask(members::partitions(&self.store)).await?;
        let view = self.ask(members::observe(&self.store)).await?;
        let live: HashSet<i64> = view.nodes.iter().map(|node| node.generation).collect();
        let row = |row: members::Partition| PartitionRow {
            partition: row.partition,
            owner: row.owner.map(Gen),
            owner_gone: row.owner.is_some_and(|owner| !live.contains(&owner)),
            epoch: row.epoch,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn partitions_of(&self, owner: Gen) -> Answer<Vec<Lease>> {
        let rows = self.ask(members::partitions_of(&self.store, owner.0)).await?;
        Ok(rows.into_iter().map(|row| Lease { partition: row.partition, epoch: row.epoch }).collect())
    }

    async fn leave(&self, me: Gen) -> Answer<bool> {
        self.ask(members::set_state(&self.store, me.0, NodeState::Left)).await
    }

    async fn steer(&self, of: Gen, word: Steer) -> Answer<bool> {
        match word {
            Steer::Drain { within } => self.ask(members::drain(&self.store, of.0, within)).await,
            Steer::Cordon | Steer::Uncordon | Steer::Undrain | Steer::Weigh(_) => Ok(false), // Not asked for here.
        }
    }

    async fn remove(&self, _: &str, _: Option<Rival>) -> Answer<Removal> {
        Ok(Removal::Unknown) // Nor is this.
    }

    async fn cut_off(&self, dead: &DeadMember) -> Answer<()> {
        self.ask(members::cut_off(&self.store, dead.generation.0)).await.map(drop)
    }
}

fn member(node: Node) -> Member {
    let state = match node.state {
        NodeState::Joining => MemberState::Joining,
        NodeState::Up => MemberState::Up,
        NodeState::Draining => MemberState::Draining,
        NodeState::Dead => MemberState::Dead,
        NodeState::Left => MemberState::Left,
    };
    Member {
        generation: Gen(node.generation),
        name: node.name,
        address: node.link_addr,
        state,
        cordoned: node.cordoned,
        heartbeat: node.heartbeat,
        weight: node.weight,
        wire_min: node.proto_min,
        wire_max: node.proto_max,
        build: node.build,
        drain_within: node.drain_within,
    }
}
