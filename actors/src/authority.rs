//! Membership and ownership, kept in the store.

use std::collections::HashSet;

use async_trait::async_trait;
use cluster::{
    Authority, AuthorityUnavailable, DeadMember, Gen, Join, Lease, Member, MemberState, NewMember,
    PartitionRow, Removal, Rival, Steer, View,
};
use store::members::{self, Joined, NewNode, Node, NodeState, Removed, Seen};
use store::{Fence, Store};

/// The authority of the cluster whose database this is.
#[derive(Debug, Clone)]
pub struct StoreAuthority {
    store: Store,
    api_addr: String,
    worker_slots: u32,
}

impl StoreAuthority {
    /// `api_addr`: where clients reach this node. `worker_slots`: how much heavy work it does at once.
    pub fn new(store: Store, api_addr: String, worker_slots: u32) -> Self {
        Self { store, api_addr, worker_slots }
    }
}

type Answer<T> = Result<T, AuthorityUnavailable>;

fn unavailable(error: store::Error) -> AuthorityUnavailable {
    AuthorityUnavailable(Box::new(error))
}

#[async_trait]
impl Authority for StoreAuthority {
    async fn join(&self, me: &NewMember, replacing: Option<Rival>) -> Answer<Join> {
        let node = NewNode {
            name: me.name.clone(),
            api_addr: self.api_addr.clone(),
            link_addr: me.address.clone(),
            weight: me.weight,
            worker_slots: self.worker_slots,
            proto_min: me.wire_min,
            proto_max: me.wire_max,
            build: me.build.clone(),
        };
        match members::join(&self.store, &node, replacing.map(seen)).await.map_err(unavailable)? {
            Joined::As(generation) => Ok(Join::Joined(Gen(generation))),
            Joined::NameTaken(Seen { generation, heartbeat }) => {
                Ok(Join::Taken(Rival { generation: Gen(generation), heartbeat }))
            }
        }
    }

    async fn up(&self, me: Gen) -> Answer<bool> {
        members::up(&self.store, me.0).await.map_err(unavailable)
    }

    async fn beat(&self, me: Gen) -> Answer<bool> {
        members::beat(&self.store, me.0).await.map_err(unavailable)
    }

    async fn observe(&self) -> Answer<View> {
        let view = members::observe(&self.store).await.map_err(unavailable)?;
        Ok(View { version: view.version, members: view.nodes.into_iter().map(member).collect() })
    }

    async fn declare_dead(
        &self,
        target: Gen,
        seen_heartbeat: Option<i64>,
        voter: Gen,
        votes: u32,
    ) -> Answer<bool> {
        members::declare_dead(&self.store, target.0, seen_heartbeat, voter.0, votes)
            .await
            .map_err(unavailable)
    }

    async fn claim(&self, partition: u16, seen_epoch: i64, me: Gen) -> Answer<Option<i64>> {
        let seen = [Fence { partition, epoch: seen_epoch }];
        let taken = members::claim(&self.store, me.0, &seen).await.map_err(unavailable)?;
        Ok(taken.first().map(|fence| fence.epoch))
    }

    async fn release(&self, lease: Lease, me: Gen) -> Answer<bool> {
        let owned = [crate::fence_of(lease)];
        let given = members::release(&self.store, me.0, &owned).await.map_err(unavailable)?;
        Ok(given == 1)
    }

    async fn partitions(&self) -> Answer<Vec<PartitionRow>> {
        // Owners first, then who lives: nobody comes back to life, so an owner missing from the later
        // read is gone.
        let rows = members::partitions(&self.store).await.map_err(unavailable)?;
        let view = members::observe(&self.store).await.map_err(unavailable)?;
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
        let rows = members::partitions_of(&self.store, owner.0).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| Lease { partition: row.partition, epoch: row.epoch }).collect())
    }

    async fn leave(&self, me: Gen) -> Answer<bool> {
        members::set_state(&self.store, me.0, NodeState::Left).await.map_err(unavailable)
    }

    async fn steer(&self, of: Gen, word: Steer) -> Answer<bool> {
        let done = match word {
            Steer::Cordon => return self.cordon(of, true).await,
            Steer::Uncordon => return self.cordon(of, false).await,
            Steer::Drain { within } => members::drain(&self.store, of.0, within).await,
            Steer::Undrain => members::undrain(&self.store, of.0).await,
            Steer::Weigh(weight) => members::weigh(&self.store, of.0, weight).await,
        };
        done.map_err(unavailable)
    }

    async fn remove(&self, name: &str, standing: Option<Rival>) -> Answer<Removal> {
        let standing = standing.map(seen);
        Ok(match members::remove(&self.store, name, standing).await.map_err(unavailable)? {
            Removed::Gone => Removal::Gone,
            Removed::Unknown => Removal::Unknown,
            Removed::Lives(Seen { generation, heartbeat }) => {
                Removal::Lives(Rival { generation: Gen(generation), heartbeat })
            }
        })
    }

    async fn cut_off(&self, dead: &DeadMember) -> Answer<()> {
        let cut = members::cut_off(&self.store, dead.generation.0).await.map_err(unavailable)?;
        tracing::info!(node.generation = dead.generation.0, sessions = cut, "cut off a dead node");
        Ok(())
    }
}

fn seen(rival: Rival) -> Seen {
    Seen { generation: rival.generation.0, heartbeat: rival.heartbeat }
}

impl StoreAuthority {
    async fn cordon(&self, of: Gen, cordoned: bool) -> Answer<bool> {
        let view = members::observe(&self.store).await.map_err(unavailable)?;
        let Some(node) = view.nodes.iter().find(|node| node.generation == of.0) else { return Ok(false) };
        match members::cordon(&self.store, &node.name, cordoned).await {
            Ok(()) => Ok(true),
            Err(store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }
}

fn member(node: Node) -> Member {
    Member {
        generation: Gen(node.generation),
        name: node.name,
        address: node.link_addr,
        state: member_state(node.state),
        cordoned: node.cordoned,
        heartbeat: node.heartbeat,
        weight: node.weight,
        wire_min: node.proto_min,
        wire_max: node.proto_max,
        build: node.build,
        drain_within: node.drain_within,
    }
}

const fn member_state(state: NodeState) -> MemberState {
    match state {
        NodeState::Joining => MemberState::Joining,
        NodeState::Up => MemberState::Up,
        NodeState::Draining => MemberState::Draining,
        NodeState::Dead => MemberState::Dead,
        NodeState::Left => MemberState::Left,
    }
}
