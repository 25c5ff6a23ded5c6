//! What operators tell nodes: to drain, to stay, to take another share, to be forgotten; and what would move.

use std::time::Duration;

use ::cluster::{Gen, Member, Removal, Steer};
use prost::Message;
use proto_api::cluster::v1::preview_node_request::Change;
use proto_api::cluster::v1::{
    self as wire, CancelDrainRequest, CordonNodeRequest, DrainNodeRequest, PartitionMove, PreviewNodeRequest,
    PreviewNodeResponse, RemoveNodeRequest, RemoveNodeResponse, SetNodeWeightRequest, UncordonNodeRequest,
};
use proto_api::common::v1::ErrorReason;
use store::members;
use tonic::{Request, Response, Status};

use super::{Nodes, count};
use crate::grpc::auth::{Caller, caller_of};
use crate::grpc::errors::{Refusal, invalid, not_found, refuse};
use crate::grpc::idempotent::{Asked, once};

const WITHIN_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A request to one node that is done once.
pub(super) trait ToNode: Message {
    /// Its `request_id`.
    fn id(&self) -> &str;
    /// The node's name.
    fn node(&self) -> &str;
}

macro_rules! to_node {
    ($($request:ty),+) => {$(
        impl ToNode for $request {
            fn id(&self) -> &str {
                &self.request_id
            }

            fn node(&self) -> &str {
                &self.node
            }
        }
    )+};
}

to_node!(CordonNodeRequest, UncordonNodeRequest, DrainNodeRequest, CancelDrainRequest, SetNodeWeightRequest);

impl Nodes {
    /// Has a node do as asked, and answers how it then is.
    pub(super) async fn steer<Q: ToNode, R: Message + Default>(
        &self,
        method: &'static str,
        request: &Request<Q>,
        word: Steer,
        answer: impl FnOnce(wire::Node) -> R,
    ) -> Result<Response<R>, Status> {
        let caller = caller_of(request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method, id: request.id() };
        let answer = once(&self.0.store, asked, request, async || {
            let member = self.find(request.node())?;
            if !self.0.cluster.steer(member.generation, word).await? {
                return Err(not_in_state(&member, word));
            }
            audit(&member.name, &caller, &format!("{word:?}"));
            Ok(answer(self.message(&word.done_to(member))))
        });
        Ok(Response::new(answer.await?))
    }

    /// What would move, and for how long.
    pub(super) async fn preview(&self, request: &PreviewNodeRequest) -> Result<PreviewNodeResponse, Refusal> {
        let member = self.find(&request.node)?;
        let word = match request.change {
            Some(Change::Drain(true)) => Steer::Drain { within: None },
            Some(Change::Weight(weight)) => Steer::Weigh(parse_weight(weight)?),
            Some(Change::Drain(false)) | None => return Err(invalid("change", "must be set")),
        };
        let plan = self.0.cluster.plan(member.generation, word).await;
        let partitions = plan.moves.iter().map(|moved| moved.partitions).sum();
        let pace = members::hand_over_pace(&self.0.store).await?;
        let work_held = members::work_held(&self.0.store, member.generation.0).await?;
        let view = self.0.cluster.members();
        let name = |generation: Option<Gen>| {
            generation.and_then(|generation| view.member(generation)).map(|member| member.name.clone())
        };
        let moves = plan.moves.iter().map(|moved| PartitionMove {
            from: name(moved.from).unwrap_or_default(),
            to: name(moved.to).unwrap_or_default(),
            partitions: count(moved.partitions),
        });
        Ok(PreviewNodeResponse {
            moves: moves.collect(),
            partitions: count(partitions),
            entities: plan.entities.map(count),
            work_held: i32::try_from(work_held).unwrap_or(i32::MAX),
            estimate: pace.and_then(|pace| estimate(pace, partitions).try_into().ok()),
        })
    }

    /// Forgets a node that is gone.
    pub(super) async fn remove(
        &self,
        request: &Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeResponse>, Status> {
        let caller = caller_of(request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RemoveNode", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            match self.0.cluster.remove(&request.node).await? {
                Removal::Gone => {
                    audit(&request.node, &caller, "Remove");
                    Ok(RemoveNodeResponse {})
                }
                Removal::Unknown => Err(not_found(ErrorReason::NodeNotFound, "node", &request.node)),
                Removal::Lives(_) => Err(state_refused(&request.node, "lives", "drain the node first")),
            }
        });
        Ok(Response::new(answer.await?))
    }
}

/// For operators: who had which node do what.
fn audit(node: &str, caller: &Caller, what: &str) {
    tracing::info!(node.name = node, what, by.who = caller.label, audit = true, "node steered");
}

fn not_in_state(member: &Member, word: Steer) -> Refusal {
    let needed = match word {
        Steer::Undrain => "the node must be draining",
        Steer::Drain { .. } => "the node must be up",
        Steer::Cordon | Steer::Uncordon | Steer::Weigh(_) => "the node must be live",
    };
    state_refused(&member.name, "is not in a state that allows this", needed)
}

fn state_refused(name: &str, problem: &str, needed: &str) -> Refusal {
    refuse(ErrorReason::NodeState).saying(format!("node {name} {problem}")).precondition(
        "NODE_STATE",
        name,
        needed,
    )
}

fn estimate(pace: Duration, partitions: usize) -> Duration {
    pace.saturating_mul(u32::try_from(partitions).unwrap_or(u32::MAX))
}

pub(super) fn parse_within(within: prost_types::Duration) -> Result<Duration, Refusal> {
    match Duration::try_from(within) {
        Ok(within) if within >= Duration::from_millis(1) && within <= WITHIN_MAX => Ok(within),
        _ => Err(invalid("within", "must be from 1 ms to 30 days")),
    }
}

pub(super) fn parse_weight(weight: f32) -> Result<f32, Refusal> {
    let fits = (0.01..=100.0).contains(&weight);
    fits.then_some(weight).ok_or_else(|| invalid("weight", "must be from 0.01 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_times_have_bounds() {
        assert_eq!(parse_weight(0.5).unwrap(), 0.5);
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1000.0] {
            assert_eq!(parse_weight(bad).unwrap_err().reason(), ErrorReason::RequestInvalid, "{bad}");
        }
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        assert_eq!(parse_within(seconds(5)).unwrap(), Duration::from_secs(5));
        for bad in [0, -1, 31 * 24 * 60 * 60] {
            assert_eq!(
                parse_within(seconds(bad)).unwrap_err().reason(),
                ErrorReason::RequestInvalid,
                "{bad}"
            );
        }
    }
}
