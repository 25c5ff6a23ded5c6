//! `starling cluster cordon`, `drain`, `weight`, `remove`: what moves, doing it, and following it.

use std::time::Duration;

use clap::{Args, Subcommand};
use proto_api::cluster::v1::preview_node_request::Change;
use proto_api::cluster::v1::{
    CancelDrainRequest, CordonNodeRequest, DrainNodeRequest, ListNodesRequest, Node, NodeState,
    PreviewNodeRequest, RemoveNodeRequest, SetNodeWeightRequest, UncordonNodeRequest,
};
use uuid::Uuid;

use crate::cli::failure::{Exit, Failure};
use crate::cli::list::{self, Output};
use crate::cli::screen::Screen;
use crate::cli::server::{Server, call};
use crate::cli::table::Rows;
use crate::cli::words;

/// Between two looks at a node that drains.
const LOOK: Duration = Duration::from_millis(500);
const PREVIEW: &str = "starling.cluster.v1.PreviewNodeResponse";

/// What to have a node do.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Steering {
    /// Give a node no new partitions
    Cordon {
        /// Its name
        node: String,
    },
    /// Let a node take partitions again
    Uncordon {
        /// Its name
        node: String,
    },
    /// Move everything away from a node; then it leaves
    Drain(Drain),
    /// Give a node another share of the ring, also after a restart
    Weight {
        /// Its name
        node: String,
        /// Its share beside the other nodes' weights, from 0.01 to 100
        weight: f32,
        /// Only show what would move
        #[arg(long)]
        preview: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Forget a node that is gone; refused while it lives
    Remove {
        /// Its name
        node: String,
    },
}

/// A drain, before it, while it lasts, and taken back.
#[derive(Debug, Args)]
pub(in crate::cli) struct Drain {
    /// Its name
    node: String,
    /// Only show what would move, and how long it would take
    #[arg(long, conflicts_with_all = ["within", "no_wait", "cancel"])]
    preview: bool,
    /// Leave after this, with whatever is left: others take it as they take a dead node's
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration)]
    within: Option<Duration>,
    /// Do not follow it until it has left
    #[arg(long)]
    no_wait: bool,
    /// Take a drain back: the node serves again
    #[arg(long, conflicts_with_all = ["within", "no_wait"])]
    cancel: bool,
    #[command(flatten)]
    output: Output,
}

impl Steering {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let request_id = Uuid::now_v7().to_string();
        match self {
            Self::Cordon { node } => {
                let request = CordonNodeRequest { request_id, node: node.clone() };
                call(request, async |request| server.cluster().cordon_node(request).await).await?;
                screen.say(format!("node {node} takes no new partitions"));
            }
            Self::Uncordon { node } => {
                let request = UncordonNodeRequest { request_id, node: node.clone() };
                call(request, async |request| server.cluster().uncordon_node(request).await).await?;
                screen.say(format!("node {node} takes partitions again"));
            }
            Self::Drain(drain) if drain.preview => {
                preview(server, screen, drain.node, Change::Drain(true), drain.output).await?;
            }
            Self::Drain(drain) => drain.run(request_id, server, screen).await?,
            Self::Weight { node, weight, preview: true, output } => {
                preview(server, screen, node, Change::Weight(weight), output).await?;
            }
            Self::Weight { node, weight, preview: false, .. } => {
                let request = SetNodeWeightRequest { request_id, node: node.clone(), weight };
                call(request, async |request| server.cluster().set_node_weight(request).await).await?;
                screen.say(format!("node {node} has weight {weight}; see: starling cluster ring"));
            }
            Self::Remove { node } => {
                let request = RemoveNodeRequest { request_id, node: node.clone() };
                call(request, async |request| server.cluster().remove_node(request).await).await?;
                screen.say(format!("node {node} is forgotten"));
            }
        }
        Ok(())
    }
}

impl Drain {
    async fn run(self, request_id: String, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let node = self.node;
        if self.cancel {
            let request = CancelDrainRequest { request_id, node: node.clone() };
            call(request, async |request| server.cluster().cancel_drain(request).await).await?;
            screen.say(format!("node {node} serves again"));
            return Ok(());
        }
        let within = self.within.map(|within| within.try_into().unwrap_or_default());
        let request = DrainNodeRequest { request_id, node: node.clone(), within };
        let answer = call(request, async |request| server.cluster().drain_node(request).await).await?;
        let drained = answer.node.unwrap_or_default();
        if self.no_wait {
            screen.say(format!("node {node} hands its partitions over; see: starling cluster nodes"));
            return Ok(());
        }
        follow(server, screen, &drained).await
    }
}

/// Tells how far a drain is, until the node has left or was told to stay.
async fn follow(server: &Server, screen: &mut Screen, drained: &Node) -> Result<(), Failure> {
    let name = &drained.name;
    let mut told = None;
    loop {
        let asked =
            call(ListNodesRequest {}, async |request| server.cluster().list_nodes(request).await).await;
        let nodes = match asked {
            Ok(answer) => answer.nodes,
            // The node that was asked is the one that has left.
            Err(failure) if drained.answering && told == Some(0) => {
                screen.say(format!("node {name} does not answer any more: {}", failure.message));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let Some(node) = nodes.iter().find(|node| node.generation == drained.generation) else {
            screen.say(format!("node {name} has left"));
            return Ok(());
        };
        if node.state() != NodeState::Draining && told.is_some() {
            return Err(Failure::new(Exit::Failed, format!("node {name} was told to stay")));
        }
        if node.state() == NodeState::Draining && told.replace(node.partitions) != Some(node.partitions) {
            screen.say(format!("node {name}: {} left", partitions(node.partitions)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn preview(
    server: &Server,
    screen: &mut Screen,
    node: String,
    change: Change,
    output: Output,
) -> Result<(), Failure> {
    let request = PreviewNodeRequest { node, change: Some(change) };
    let answer = call(request, async |request| server.cluster().preview_node(request).await).await?;
    list::show_one(screen, output.format, PREVIEW, &answer, |screen, answer| {
        let mut rows = Rows::new(screen, &["FROM", "TO", "PARTITIONS"]);
        let named = |name: &str| if name.is_empty() { "nobody".to_owned() } else { name.to_owned() };
        for moved in &answer.moves {
            rows.row([named(&moved.from), named(&moved.to), moved.partitions.to_string()]);
        }
        rows.right(&[2]).show(screen)?;
        let entities = answer.entities.map_or_else(|| "not known".to_owned(), |count| count.to_string());
        let estimate = match words::duration(answer.estimate) {
            Some(time) => format!("about {}", words::length(time)),
            None => "not known: no hand-over was seen yet".to_owned(),
        };
        screen.data(format!(
            "\n{} move; live entities on the node: {entities}; heavy work that it holds: {}; time: {estimate}",
            partitions(answer.partitions),
            answer.work_held,
        ))
    })
}

fn partitions(number: i32) -> String {
    words::count(u64::try_from(number).unwrap_or_default(), "partition")
}
