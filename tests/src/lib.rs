//! What the flows and faults share: real servers, real nodes, and what is said about them.
//!
//! A test starts a [`TestCluster`]: a PostgreSQL and a Valkey of its own and some `starling node`
//! processes. It speaks to them as a client does ([`clients`]), looks behind them as the database's
//! owner ([`Truth`]), breaks them, and asks the checker ([`invariants`]) whether everything still holds.
//! Whatever was started ends with the test, also when it panics.

pub mod bucket;
mod cli;
pub mod clients;
mod clock;
mod cluster;
mod disk;
mod eventually;
pub mod feed_server;
pub mod feeds;
pub mod fleet;
mod hold;
pub mod images;
pub mod invariants;
pub mod line;
mod node;
mod places;
mod ports;
mod postgres;
mod process;
pub mod refusals;
mod registry;
mod replay;
mod seats;
mod servers;
pub mod shared_data;
mod tokens;
mod truth;
mod valkey;

pub use actors::failpoint::Point;
pub use cli::{Cli, Outcome};
pub use clients::{Client, Clients};
pub use clock::Clock;
pub use cluster::{Settings, Tenant, TestCluster, Token};
pub use disk::Disk;
pub use eventually::{eventually, eventually_ok};
pub use feed_server::FeedServer;
pub use feeds::FeedFolder;
pub use hold::Hold;
pub use line::{Line, Lines};
pub use node::Node;
pub use postgres::Postgres;
pub use registry::Registry;
pub use replay::Replay;
pub use servers::{Disks, Servers};
pub use shared_data::SharedData;
pub use truth::Truth;
pub use valkey::Valkey;
