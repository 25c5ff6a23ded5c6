//! The settings of a node as the types that its parts are made from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::scheduler::{Webhooks, policy, webhooks};
use super::{InvalidSetting, Merged, host_name};

/// Everything a node is told.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Stable name of the node.
    pub name: String,
    /// The public API.
    pub api: Api,
    /// The database.
    pub database: store::Config,
    /// Where blobs are kept.
    pub objects: store::objects::Config,
    /// What `cluster` is told.
    pub cluster: cluster::Config,
    /// What `actors` are told.
    pub actors: actors::Config,
    /// Where aggregators say what has changed.
    pub webhooks: Webhooks,
    /// How it leaves.
    pub shutdown: Shutdown,
}

/// The public API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `host:port` under which clients reach it; `None` for where it listens.
    pub advertise: Option<String>,
    /// Its certificate; `None` for plain text.
    pub tls: Option<Tls>,
    /// Largest message of a request, in bytes.
    pub message_bytes_max: usize,
    /// Longest time that a unary call may take.
    pub deadline: Duration,
    /// Unary calls and uploads at once.
    pub calls_max: usize,
    /// Watches at once.
    pub watches_max: usize,
    /// Whether reflection is served.
    pub reflection: bool,
    /// What page and resume tokens are signed with.
    pub signing_key: [u8; 32],
    /// Largest blob that is taken, in bytes.
    pub blob_bytes_max: u64,
}

/// A certificate chain and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// File of the chain.
    pub certificate: PathBuf,
    /// File of the key.
    pub key: PathBuf,
}

/// How a node leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Between NOT_SERVING and refusing calls.
    pub wait: Duration,
    /// Longest time that leaving in order may take.
    pub deadline: Duration,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Level or directives.
    pub level: String,
    /// How it is written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl NodeConfig {
    /// Parses what was merged; the first bad value ends it.
    pub fn parse(merged: &Merged) -> Result<Self, InvalidSetting> {
        let name = merged.text("node.name").or_else(host_name);
        let name = name.map_or_else(|| merged.required("node.name"), Ok)?;
        Ok(Self {
            api: api(merged)?,
            database: database(merged, &name)?,
            objects: objects(merged)?,
            cluster: cluster_config(merged, &name)?,
            actors: actors_config(merged)?,
            webhooks: webhooks(merged)?,
            shutdown: Shutdown {
                wait: merged.duration("shutdown.wait")?,
                deadline: merged.duration("shutdown.deadline")?,
            },
            name,
        })
    }
}

impl Logging {
    /// Parses the part about logging.
    pub fn parse(merged: &Merged) -> Result<Self, InvalidSetting> {
        let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
        Ok(Self { level: merged.required("log.level")?, format: merged.word("log.format", &formats)? })
    }
}

/// How to reach the database as the application's role.
pub fn database(merged: &Merged, name: &str) -> Result<store::Config, InvalidSetting> {
    Ok(store::Config {
        url: merged.required("database.url")?,
        max_connections: merged.parse("database.connections-max")?,
        application_name: name.to_owned(),
    })
}

/// Where the objects are.
pub fn objects(merged: &Merged) -> Result<store::objects::Config, InvalidSetting> {
    let location = merged.parse_with("objects.url", |url| match url.split_once("://") {
        Some(("s3", _)) => Ok(url.to_owned()),
        Some(("file", path)) if path.starts_with('/') => Ok(path.to_owned()),
        None if url.starts_with('/') => Ok(url.to_owned()),
        _ => Err(format!("{url:?} is neither file:///directory nor s3://bucket/prefix")),
    })?;
    let mut options = Vec::new();
    for (key, name) in [
        ("objects.s3-endpoint", "aws_endpoint"),
        ("objects.s3-region", "aws_region"),
        ("objects.s3-access-key-id", "aws_access_key_id"),
        ("objects.s3-secret-access-key", "aws_secret_access_key"),
    ] {
        options.extend(merged.text(key).map(|value| (name.to_owned(), value)));
    }
    if merged.word("objects.s3-allow-http", &ON_OFF)? {
        options.push(("aws_allow_http".to_owned(), "true".to_owned()));
    }
    Ok(store::objects::Config { location, options, durable: merged.word("objects.durable", &ON_OFF)? })
}

fn actors_config(merged: &Merged) -> Result<actors::Config, InvalidSetting> {
    let usual = actors::Config::default();
    let usual = if merged.word("cluster.timing", &TIMINGS)? { usual.test_profile() } else { usual };
    Ok(actors::Config {
        worker_slots: merged.parse_with("worker.slots", |text| match text {
            "auto" => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
            number => number.parse().map_err(|_| format!("{number:?} is neither a number nor auto")),
        })?,
        jobs_per_slot: merged.parse("worker.jobs-per-slot")?,
        evaluations: merged.parse("worker.evaluations")?,
        feeds: actors::clients::feeds::Limits {
            whole_every: merged.duration("feeds.whole-every")?,
            ..usual.feeds
        },
        plain_http_feeds: merged.word("feeds.plain-http", &ON_OFF)?,
        scheduler: policy(merged, usual.scheduler.clone())?,
        ..usual
    })
}

pub(super) const ON_OFF: [(&str, bool); 2] = [("on", true), ("off", false)];
/// Whether the times are those of tests.
const TIMINGS: [(&str, bool); 2] = [("usual", false), ("test", true)];

fn api(merged: &Merged) -> Result<Api, InvalidSetting> {
    Ok(Api {
        listen: merged.parse("api.listen")?,
        advertise: merged.text("api.advertise"),
        tls: api_tls(merged)?,
        message_bytes_max: merged.parse("api.message-bytes-max")?,
        deadline: merged.duration("api.deadline")?,
        calls_max: merged.parse("api.calls-max")?,
        watches_max: merged.parse("api.watches-max")?,
        reflection: merged.word("api.reflection", &ON_OFF)?,
        signing_key: signing_key(merged)?,
        blob_bytes_max: merged.parse("objects.blob-bytes-max")?,
    })
}

fn api_tls(merged: &Merged) -> Result<Option<Tls>, InvalidSetting> {
    let Some(certificate) = merged.text("api.tls-certificate") else { return Ok(None) };
    let key = merged.required("api.tls-key")?;
    Ok(Some(Tls { certificate: certificate.into(), key: key.into() }))
}

/// All nodes must come to the same key without being told one: they share the cluster's id and the
/// password of the database.
fn signing_key(merged: &Merged) -> Result<[u8; 32], InvalidSetting> {
    let secret = match merged.text("api.signing-key") {
        Some(key) => key,
        None => {
            format!("{}\0{}", merged.required("cluster.id")?, password(&merged.required("database.url")?))
        }
    };
    Ok(Sha256::new().chain_update("starling api tokens\0").chain_update(secret).finalize().into())
}

fn password(url: &str) -> &str {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map_or("", |(_, password)| password)
}

fn cluster_config(merged: &Merged, name: &str) -> Result<cluster::Config, InvalidSetting> {
    let listen = merged.parse("cluster.listen")?;
    let mut config = cluster::Config::new(name, listen, merged.required("valkey.url")?);
    if merged.word("cluster.timing", &TIMINGS)? {
        config = config.test_profile();
    }
    config.cluster_id = merged.required("cluster.id")?;
    config.advertise = merged.text("cluster.advertise");
    config.weight = merged.parse("node.weight")?;
    config.build = env!("CARGO_PKG_VERSION").to_owned();
    config.wire.max = merged.parse_with("cluster.wire-max", |text| match text.parse() {
        Ok(max) if (config.wire.min..=config.wire.max).contains(&max) => Ok(max),
        _ => Err(format!("{text:?} is not from {} to {}", config.wire.min, config.wire.max)),
    })?;
    config.valkey_prefix = merged.required("valkey.prefix")?;
    config.tls = cluster_tls(merged)?;
    Ok(config)
}

fn cluster_tls(merged: &Merged) -> Result<Option<cluster::TlsConfig>, InvalidSetting> {
    if merged.get("cluster.tls-authority").is_none() {
        return Ok(None);
    }
    let file = |key| {
        merged.parse_with(key, |path| {
            std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
        })
    };
    Ok(Some(cluster::TlsConfig {
        ca: file("cluster.tls-authority")?,
        certificate: file("cluster.tls-certificate")?,
        key: file("cluster.tls-key")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, SettingFlags, merge};
    use super::*;

    const NEEDED: [(&str, &str); 4] = [
        ("STARLING_NODE_NAME", "n1"),
        ("STARLING_DATABASE_URL", "postgres://app:secret@db/starling"),
        ("STARLING_VALKEY_URL", "redis://valkey"),
        ("STARLING_OBJECTS_URL", "file:///objects"),
    ];

    fn parse<const N: usize>(env: [(&str, &str); N]) -> Result<NodeConfig, String> {
        let merged =
            merge(&SettingFlags::default(), &Environment::of(env), None).map_err(|e| e.to_string())?;
        NodeConfig::parse(&merged).map_err(|error| error.to_string())
    }

    #[test]
    fn three_addresses_and_defaults_make_a_node() {
        let config = parse(NEEDED).unwrap();
        assert_eq!(config.name, "n1");
        assert_eq!(config.api.deadline, Duration::from_secs(30));
        assert_eq!(
            config.cluster.lanes.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
            ["interactive", "bulk", "sweep"]
        );
        assert!(config.api.tls.is_none() && config.cluster.tls.is_none());
    }

    #[test]
    fn blobs_are_kept_in_a_directory_or_a_bucket() {
        let location = |url| {
            let [a, b, c, _] = NEEDED;
            parse([a, b, c, ("STARLING_OBJECTS_URL", url)]).map(|config| config.objects.location)
        };
        assert_eq!(location("file:///var/lib/starling").as_deref(), Ok("/var/lib/starling"));
        assert_eq!(location("/var/lib/starling").as_deref(), Ok("/var/lib/starling"));
        assert_eq!(location("s3://bucket/prefix").as_deref(), Ok("s3://bucket/prefix"));
        assert!(location("ftp://x").is_err() && location("relative").is_err());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let [a, b, c, d] = NEEDED;
        let error = parse([a, b, c, d, ("STARLING_API_TLS_CERTIFICATE", "/c.pem")]).unwrap_err();
        assert!(error.starts_with("api.tls-key is not set"), "{error}");
    }

    #[test]
    fn nodes_of_one_cluster_sign_alike_and_others_do_not() {
        let key = |url, id| {
            let [a, _, c, d] = NEEDED;
            parse([a, ("STARLING_DATABASE_URL", url), c, d, ("STARLING_CLUSTER_ID", id)])
                .unwrap()
                .api
                .signing_key
        };
        let one = key("postgres://app:secret@db/starling", "one");
        assert_eq!(one, key("postgres://app:secret@other-address/starling", "one"));
        assert_ne!(one, key("postgres://app:secret@db/starling", "two"));
        assert_ne!(one, key("postgres://app:guess@db/starling", "one"));
    }
}
