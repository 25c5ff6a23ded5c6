//! What a node is told when it starts. The defaults are measured: docs/architecture.md, cluster settings.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything [`crate::Cluster::start`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The id of the cluster: links to a node of another cluster are refused.
    pub cluster_id: String,
    /// This node's stable name; with TLS, the name in its certificate.
    pub name: String,
    /// Where to listen for other nodes. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `host:port` under which others reach it; `None` for the address it listens on.
    pub advertise: Option<String>,
    /// Its share of partitions, relative to the others' (1 is usual).
    pub weight: f32,
    /// Which build it runs, for people.
    pub build: String,
    /// Which versions of the language between nodes it speaks.
    pub wire: Wire,
    /// `redis://` URL of the Valkey server.
    pub valkey_url: String,
    /// What all keys in Valkey start with, so that several clusters may share a server.
    pub valkey_prefix: String,
    /// The lanes, most urgent first.
    pub lanes: Vec<LaneConfig>,
    /// Certificate and key for links. `None` is for tests and one machine: then only loopback is allowed.
    pub tls: Option<TlsConfig>,
    /// Times of membership and ownership.
    pub timing: Timing,
    /// Bounds on entities.
    pub entities: EntityLimits,
    /// Bounds on streams.
    pub streams: StreamLimits,
    /// Bounds on links.
    pub links: LinkLimits,
}

/// Versions of the language between nodes, from the oldest to the newest that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl Wire {
    /// Whether both speak a common version.
    pub const fn understands(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// What this build speaks: its own version and that of the release before.
impl Default for Wire {
    fn default() -> Self {
        Self { min: proto_cluster::WIRE_MIN, max: proto_cluster::WIRE_MAX }
    }
}

/// One lane: its name in the streams, and its share of what is in hand at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneConfig {
    /// Its name, as in the name of a stream.
    pub name: String,
    /// Its share, relative to the other lanes'. Never 0: no lane starves.
    pub share: u32,
}

impl LaneConfig {
    /// A lane by name and share.
    pub fn new(name: impl Into<String>, share: u32) -> Self {
        Self { name: name.into(), share }
    }
}

/// PEM bytes for mutual TLS between nodes.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The authority that signs the nodes' certificates, and nothing else.
    pub ca: Vec<u8>,
    /// This node's certificate; its subject alternative name is the node's name.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

/// Times of membership and ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A heartbeat counter that stands still for longer is suspect.
    pub ttl: Duration,
    /// Between two heartbeats.
    pub beat: Duration,
    /// A heartbeat without answer is given up after this.
    pub beat_timeout: Duration,
    /// Between two reads of the membership.
    pub observe: Duration,
    /// A longer gap between two of my own reads starts all watching afresh.
    pub observe_gap_max: Duration,
    /// How long before others may declare me dead I stop acting.
    pub margin: Duration,
    /// After a change of the ring, how long before partitions of live owners move.
    pub settle: Duration,
    /// How many must agree that a node is dead.
    pub votes: u32,
    /// Between two health probes of a peer.
    pub probe: Duration,
    /// Within this, three failed probes make a peer suspect.
    pub probe_window: Duration,
    /// How long entities of a partition may finish their message before a hand-over ends them.
    pub hand_over: Duration,
    /// How long a call may wait for a partition that is between two owners.
    pub route_wait: Duration,
    /// How long a predecessor of the same name is watched before it is taken for dead.
    pub rival_watch: Duration,
}

/// Bounds on entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityLimits {
    /// An entity without message for this long is passivated.
    pub idle: Duration,
    /// Above this many on one node, those idle for longest are passivated.
    pub live_max: usize,
    /// Asks waiting at one entity; more are refused as busy.
    pub asks_max: usize,
    /// Asks waiting at all entities of one partition.
    pub partition_asks_max: usize,
    /// First delay before a failed entity is started again; doubles each time.
    pub restart_first: Duration,
    /// Longest such delay.
    pub restart_max: Duration,
}

/// Bounds on streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bells in hand at once on one node, over all lanes.
    pub bells_in_hand_max: usize,
    /// How long one blocking read of bells waits, and so the longest that a partition just claimed waits for
    /// its first one. Never 0.
    pub block: Duration,
    /// Work not renewed for this long may be taken over.
    pub work_lease: Duration,
    /// A bell read but not acknowledged for this long is looked at again by the owner.
    pub bell_idle_max: Duration,
    /// Connections for short commands.
    pub pool: u32,
}

/// Bounds on links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLimits {
    /// Messages queued to one peer; more are refused as busy.
    pub queue: usize,
    /// Asks to one peer without answer yet.
    pub in_flight_max: usize,
    /// Largest body of an ask or answer, in bytes.
    pub body_max: usize,
    /// Time to connect.
    pub connect: Duration,
    /// Keep-alive interval and timeout, also while idle: without it a stopped peer is not noticed.
    pub keep_alive: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(4),
            beat: Duration::from_secs(1),
            beat_timeout: Duration::from_secs(2),
            observe: Duration::from_millis(500),
            observe_gap_max: Duration::from_millis(1500),
            margin: Duration::from_millis(500),
            settle: Duration::from_secs(10),
            votes: 2,
            probe: Duration::from_secs(2),
            probe_window: Duration::from_secs(7),
            hand_over: Duration::from_secs(5),
            route_wait: Duration::from_secs(5),
            rival_watch: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Short times for tests: a node's death is settled within about two seconds.
    pub fn test_profile() -> Self {
        Self {
            ttl: Duration::from_secs(1),
            beat: Duration::from_millis(200),
            beat_timeout: Duration::from_millis(500),
            observe: Duration::from_millis(100),
            observe_gap_max: Duration::from_millis(400),
            margin: Duration::from_millis(150),
            settle: Duration::from_millis(500),
            probe: Duration::from_millis(500),
            probe_window: Duration::from_millis(1800),
            hand_over: Duration::from_secs(2),
            rival_watch: Duration::from_millis(600),
            ..Self::default()
        }
    }
}

impl Default for EntityLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            live_max: 50_000,
            asks_max: 64,
            partition_asks_max: 256,
            restart_first: Duration::from_millis(100),
            restart_max: Duration::from_secs(30),
        }
    }
}

impl EntityLimits {
    /// How long an entity rests after so many failures in a row.
    pub fn back_off(&self, failures: u32) -> Duration {
        let doublings = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.restart_first.saturating_mul(doublings).min(self.restart_max)
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            bells_in_hand_max: 1024,
            block: Duration::from_millis(100),
            work_lease: Duration::from_secs(10),
            bell_idle_max: Duration::from_secs(60),
            pool: 4,
        }
    }
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            queue: 256,
            in_flight_max: 1024,
            body_max: 256 * 1024,
            connect: Duration::from_secs(2),
            keep_alive: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// A node with the default times and bounds, one lane per name given, most urgent first.
    pub fn new(name: impl Into<String>, listen: SocketAddr, valkey_url: impl Into<String>) -> Self {
        Self {
            cluster_id: "starling".to_owned(),
            name: name.into(),
            listen,
            advertise: None,
            weight: 1.0,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            wire: Wire::default(),
            valkey_url: valkey_url.into(),
            valkey_prefix: "starling:".to_owned(),
            lanes: vec![
                LaneConfig::new("interactive", 60),
                LaneConfig::new("bulk", 30),
                LaneConfig::new("sweep", 10),
            ],
            tls: None,
            timing: Timing::default(),
            entities: EntityLimits::default(),
            streams: StreamLimits::default(),
            links: LinkLimits::default(),
        }
    }

    /// The same node with short times, for tests.
    #[must_use]
    pub fn test_profile(mut self) -> Self {
        self.timing = Timing::test_profile();
        self.streams.work_lease = Duration::from_secs(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_understands_the_one_before_and_no_older_one() {
        let wire = |min, max| Wire { min, max };
        assert!(wire(2, 3).understands(wire(1, 2)) && wire(1, 2).understands(wire(2, 3)));
        assert!(!wire(3, 4).understands(wire(1, 2)) && !wire(1, 2).understands(wire(3, 4)));
        let Wire { min, max } = Wire::default();
        assert_eq!(min + 1, max, "the next to last release is left behind");
    }

    #[test]
    fn entities_rest_for_a_tenth_of_a_second_to_half_a_minute() {
        let limits = EntityLimits::default();
        let waits: Vec<_> = [1, 2, 3, 9, 10, 1000].map(|n| limits.back_off(n).as_millis()).into();
        assert_eq!(waits, [100, 200, 400, 25_600, 30_000, 30_000]);
    }
}
