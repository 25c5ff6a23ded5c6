//! `starling cluster`: nodes, the ring, and taking a node out gently.

mod steering;

use clap::Subcommand;
use proto_api::cluster::v1::{GetRingRequest, ListNodesRequest, LocateKeyRequest, Node};

use super::failure::{Exit, Failure};
use super::list::{self, Gathered, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;
use steering::Steering;

const NODE: &str = "starling.cluster.v1.Node";

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(super) enum Commands {
    /// List the live nodes
    Nodes {
        #[command(flatten)]
        output: Output,
    },
    /// Show who owns how many partitions
    Ring {
        #[command(flatten)]
        output: Output,
    },
    /// Show where an entity lives
    Locate {
        /// Its key: image/TENANT/DIGEST, tenant/TENANT, feed/NAME or system/sweeper
        key: String,
        #[command(flatten)]
        output: Output,
    },
    #[command(flatten)]
    Steer(Steering),
}

impl Commands {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::Nodes { output } => nodes(server, screen, output).await,
            Self::Ring { output } => ring(server, screen, output).await,
            Self::Locate { key, output } => locate(server, screen, &key, output).await,
            Self::Steer(steering) => steering.run(server, screen).await,
        }
    }
}

async fn nodes(server: &Server, screen: &mut Screen, output: Output) -> Result<(), Failure> {
    let answer =
        call(ListNodesRequest {}, async |request| server.cluster().list_nodes(request).await).await?;
    let found = Gathered { items: answer.nodes, more: false };
    list::show(screen, output.format, NODE, &found, |screen, nodes: &[Node]| {
        let mut rows =
            Rows::new(screen, &["NODE", "STATE", "PARTITIONS", "WEIGHT", "GENERATION", "ADDRESS", "VERSION"]);
        for node in nodes {
            let state = words::word(node.state().as_str_name(), "NODE_STATE_");
            rows.row([
                node.name.clone(),
                if node.cordoned { format!("{state}, cordoned") } else { state },
                node.partitions.to_string(),
                node.weight.to_string(),
                node.generation.to_string(),
                node.address.clone(),
                node.version.clone(),
            ]);
        }
        rows.right(&[2, 3, 4])
    })
}

async fn ring(server: &Server, screen: &mut Screen, output: Output) -> Result<(), Failure> {
    let request = GetRingRequest { include_partitions: output.format != list::Format::Table };
    let answer = call(request, async |request| server.cluster().get_ring(request).await).await?;
    let name = "starling.cluster.v1.GetRingResponse";
    list::show_one(screen, output.format, name, &answer, |screen, answer| {
        let mut rows = Rows::new(screen, &["NODE", "OWNS", "SHOULD OWN"]);
        for share in &answer.shares {
            rows.row([share.name.clone(), share.owned.to_string(), share.wanted.to_string()]);
        }
        rows.right(&[1, 2]).show(screen)?;
        screen.data(format!(
            "\nview {}: {} partitions, {} on the move, {} without owner",
            answer.view, answer.total, answer.moving, answer.unowned
        ))
    })
}

async fn locate(server: &Server, screen: &mut Screen, key: &str, output: Output) -> Result<(), Failure> {
    let request = parse_key(key).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{key:?} is not a key")).next("see: starling cluster locate --help")
    })?;
    let answer = call(request, async |request| server.cluster().locate_key(request).await).await?;
    let name = "starling.cluster.v1.LocateKeyResponse";
    list::show_one(screen, output.format, name, &answer, |screen, answer| {
        let partition = answer.partition.unwrap_or_default();
        let owner = match answer.owner_name.as_str() {
            "" => "nobody".to_owned(),
            name => format!("{name} (generation {}, {})", partition.owner_generation, answer.owner_address),
        };
        let pairs = [
            ("partition", partition.partition.to_string()),
            ("owner", owner),
            ("epoch", partition.epoch.to_string()),
        ];
        list::show_pairs(screen, &pairs)
    })
}

/// `image/TENANT/DIGEST`, `tenant/TENANT`, and what belongs to the system without its tenant.
fn parse_key(key: &str) -> Option<LocateKeyRequest> {
    let parts: Vec<&str> = key.split('/').collect();
    let (kind, tenant, id) = match parts[..] {
        ["image", tenant, digest] => ("image", tenant, digest),
        ["tenant", tenant] | ["tenant", tenant, "-"] => ("tenant", tenant, "-"),
        [kind @ ("feed" | "system"), id] => (kind, "", id),
        _ => return None,
    };
    Some(LocateKeyRequest { kind: kind.to_owned(), tenant_id: tenant.to_owned(), id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_kind_and_mostly_a_tenant() {
        let parts = |key| parse_key(key).map(|r| (r.kind, r.tenant_id, r.id));
        let owned = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(parts("image/t/sha256:0"), owned("image", "t", "sha256:0"));
        assert_eq!(parts("tenant/t"), owned("tenant", "t", "-"));
        assert_eq!(parts("feed/osv-npm"), owned("feed", "", "osv-npm"));
        assert_eq!(parts("image/t"), None);
    }
}
