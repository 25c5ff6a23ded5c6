//! ClusterService: the nodes, who owns what, and taking a node out gently. All of it as this node knows it.

mod steering;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::cluster::{EntityKey, Gen, Member, MemberState, PARTITIONS, PartitionOwner, Placement, Steer, View};
use model::TenantId;
use proto_api::cluster::v1::cluster_service_server::ClusterService;
use proto_api::cluster::v1::{
    self as wire, CancelDrainRequest, CancelDrainResponse, CordonNodeRequest, CordonNodeResponse,
    DrainNodeRequest, DrainNodeResponse, GetRingRequest, GetRingResponse, ListNodesRequest,
    ListNodesResponse, LocateKeyRequest, LocateKeyResponse, NodeState, PreviewNodeRequest,
    PreviewNodeResponse, RemoveNodeRequest, RemoveNodeResponse, RingShare, SetNodeWeightRequest,
    SetNodeWeightResponse, UncordonNodeRequest, UncordonNodeResponse,
};
use proto_api::common::v1::ErrorReason;
use tonic::{Request, Response, Status};

use super::Door;
use super::errors::{Refusal, invalid, not_found};
use steering::{parse_weight, parse_within};

/// The service.
pub(super) struct Nodes(pub(super) Arc<Door>);

const KINDS: [&str; 4] = ["tenant", "image", "feed", "system"];

#[tonic::async_trait]
impl ClusterService for Nodes {
    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        let view = self.0.cluster.members();
        let mut nodes: Vec<_> = view.members.iter().map(|member| self.message(member)).collect();
        nodes.sort_by(|a, b| (&a.name, a.generation).cmp(&(&b.name, b.generation)));
        Ok(Response::new(ListNodesResponse { nodes, view: view.version }))
    }

    async fn get_ring(&self, request: Request<GetRingRequest>) -> Result<Response<GetRingResponse>, Status> {
        let cluster = &self.0.cluster;
        Ok(Response::new(ring(
            &cluster.members(),
            &cluster.placement(),
            request.get_ref().include_partitions,
        )))
    }

    async fn locate_key(
        &self,
        request: Request<LocateKeyRequest>,
    ) -> Result<Response<LocateKeyResponse>, Status> {
        let key = parse_key(request.get_ref())?;
        let placement = self.0.cluster.placement();
        let partition = key.partition();
        let owner = placement.partitions.get(usize::from(partition)).copied().unwrap_or_default();
        let view = self.0.cluster.members();
        let member = owner.owner.and_then(|generation| view.member(generation));
        Ok(Response::new(LocateKeyResponse {
            partition: Some(partition_message(partition, owner)),
            owner_name: member.map(|member| member.name.clone()).unwrap_or_default(),
            owner_address: member.map(|member| member.address.clone()).unwrap_or_default(),
        }))
    }

    async fn cordon_node(
        &self,
        request: Request<CordonNodeRequest>,
    ) -> Result<Response<CordonNodeResponse>, Status> {
        let answer = |node| CordonNodeResponse { node: Some(node) };
        self.steer("CordonNode", &request, Steer::Cordon, answer).await
    }

    async fn uncordon_node(
        &self,
        request: Request<UncordonNodeRequest>,
    ) -> Result<Response<UncordonNodeResponse>, Status> {
        let answer = |node| UncordonNodeResponse { node: Some(node) };
        self.steer("UncordonNode", &request, Steer::Uncordon, answer).await
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeResponse>, Status> {
        let within = request.get_ref().within.map(parse_within).transpose()?;
        let answer = |node| DrainNodeResponse { node: Some(node) };
        self.steer("DrainNode", &request, Steer::Drain { within }, answer).await
    }

    async fn cancel_drain(
        &self,
        request: Request<CancelDrainRequest>,
    ) -> Result<Response<CancelDrainResponse>, Status> {
        let answer = |node| CancelDrainResponse { node: Some(node) };
        self.steer("CancelDrain", &request, Steer::Undrain, answer).await
    }

    async fn set_node_weight(
        &self,
        request: Request<SetNodeWeightRequest>,
    ) -> Result<Response<SetNodeWeightResponse>, Status> {
        let weight = parse_weight(request.get_ref().weight)?;
        let answer = |node| SetNodeWeightResponse { node: Some(node) };
        self.steer("SetNodeWeight", &request, Steer::Weigh(weight), answer).await
    }

    async fn preview_node(
        &self,
        request: Request<PreviewNodeRequest>,
    ) -> Result<Response<PreviewNodeResponse>, Status> {
        Ok(Response::new(self.preview(request.get_ref()).await?))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        self.remove(&request).await
    }
}

impl Nodes {
    fn message(&self, member: &Member) -> wire::Node {
        let cluster = &self.0.cluster;
        wire::Node {
            generation: member.generation.0,
            name: member.name.clone(),
            address: member.address.clone(),
            state: state(member.state).into(),
            cordoned: member.cordoned,
            weight: member.weight,
            version: member.build.clone(),
            partitions: count(cluster.placement().owned_by(member.generation)),
            answering: member.generation == cluster.generation(),
        }
    }

    /// The live node of this name.
    fn find(&self, name: &str) -> Result<Member, Refusal> {
        let view = self.0.cluster.members();
        let found =
            view.members.iter().filter(|member| member.name == name).max_by_key(|member| member.generation);
        found.cloned().ok_or_else(|| not_found(ErrorReason::NodeNotFound, "node", name))
    }
}

const fn state(state: MemberState) -> NodeState {
    match state {
        MemberState::Joining => NodeState::Joining,
        MemberState::Up => NodeState::Up,
        MemberState::Draining => NodeState::Draining,
        // The view has live members alone.
        MemberState::Dead | MemberState::Left => NodeState::Unspecified,
    }
}

fn ring(view: &View, placement: &Placement, include_partitions: bool) -> GetRingResponse {
    let mut shares: BTreeMap<Gen, RingShare> = BTreeMap::new();
    let mut share = |generation: Gen, change: fn(&mut RingShare)| {
        change(shares.entry(generation).or_insert_with(|| RingShare {
            generation: generation.0,
            name: view.member(generation).map(|member| member.name.clone()).unwrap_or_default(),
            ..RingShare::default()
        }));
    };
    for partition in &placement.partitions {
        partition.owner.into_iter().for_each(|owner| share(owner, |share| share.owned += 1));
        partition.wished.into_iter().for_each(|wished| share(wished, |share| share.wanted += 1));
    }
    let numbered = (0..PARTITIONS).zip(&placement.partitions);
    let partitions = numbered.map(|(number, owner)| partition_message(number, *owner));
    let mut shares: Vec<_> = shares.into_values().collect();
    shares.sort_by(|a, b| a.name.cmp(&b.name));
    GetRingResponse {
        view: placement.view,
        shares,
        partitions: if include_partitions { partitions.collect() } else { Vec::new() },
        unowned: count(placement.partitions.iter().filter(|partition| partition.owner.is_none()).count()),
        moving: count(placement.moving()),
        total: i32::from(PARTITIONS),
    }
}

fn partition_message(number: u16, owner: PartitionOwner) -> wire::Partition {
    wire::Partition {
        partition: i32::from(number),
        owner_generation: owner.owner.map_or(0, |generation| generation.0),
        epoch: owner.epoch,
        wanted_generation: owner.wished.map_or(0, |generation| generation.0),
    }
}

fn parse_key(request: &LocateKeyRequest) -> Result<EntityKey, Refusal> {
    let kind = KINDS.into_iter().find(|kind| *kind == request.kind);
    let kind = kind.ok_or_else(|| invalid("kind", format!("must be one of {}", KINDS.join(", "))))?;
    let tenant = match request.tenant_id.as_str() {
        "" => TenantId::SYSTEM,
        text => text.parse().map_err(|_| invalid("tenant_id", "must be a tenant's id (a UUID)"))?,
    };
    if request.id.is_empty() {
        return Err(invalid("id", "must be set"));
    }
    Ok(EntityKey::new(kind, tenant.as_uuid(), request.id.as_str()))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(generation: i64, name: &str) -> Member {
        Member {
            generation: Gen(generation),
            name: name.to_owned(),
            address: String::new(),
            state: MemberState::Up,
            cordoned: false,
            heartbeat: 0,
            weight: 1.0,
            wire_min: 1,
            wire_max: 1,
            build: String::new(),
            drain_within: None,
        }
    }

    #[test]
    fn shares_count_what_is_owned_and_what_should_be() {
        let view = View { version: 3, members: vec![member(1, "b"), member(2, "a")] };
        let owned = |owner: Option<i64>, wished: i64| PartitionOwner {
            owner: owner.map(Gen),
            epoch: 1,
            wished: Some(Gen(wished)),
        };
        let partitions = vec![owned(Some(1), 1), owned(Some(1), 2), owned(None, 2)];
        let ring = ring(&view, &Placement { view: 3, partitions }, true);
        let shares: Vec<_> = ring.shares.iter().map(|s| (s.name.as_str(), s.owned, s.wanted)).collect();
        assert_eq!(shares, [("a", 0, 2), ("b", 2, 1)]);
        assert_eq!((ring.unowned, ring.moving, ring.partitions.len()), (1, 2, 3));
    }

    #[test]
    fn keys_name_a_known_kind() {
        let request = |kind: &str, tenant: &str, id: &str| LocateKeyRequest {
            kind: kind.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.to_owned(),
        };
        let key = parse_key(&request("feed", "", "osv-npm")).unwrap();
        assert_eq!(key.tenant, TenantId::SYSTEM.as_uuid());
        for bad in [request("cat", "", "x"), request("image", "not a uuid", "x"), request("feed", "", "")] {
            assert_eq!(parse_key(&bad).unwrap_err().reason(), ErrorReason::RequestInvalid);
        }
    }
}
