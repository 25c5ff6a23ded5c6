//! The development cluster: PostgreSQL, Valkey and the nodes, started in order and looked after.
//!
//! A child that dies is said and started again: a server at once, a node after a pause that doubles each time
//! it dies young. Whoever stops the cluster stops the nodes first, so that they can still leave in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::{join_all, try_join_all};
use tokio::signal::unix::{SignalKind, signal};

use super::certificates::CertificateAuthority;
use super::nodes::{Node, NodeSettings};
use super::ports::loopback;
use super::postgres::{Disk, Postgres, PostgresSettings};
use super::process::{Process, in_words};
use super::running::{Child, Running};
use super::say::say;
use super::settings::{DataDir, Settings};
use super::valkey::{Valkey, ValkeySettings};
use super::{ProcessId, postgres, seed, valkey};

/// The programs it is made of.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The directory of PostgreSQL's.
    pub postgres: PathBuf,
    /// Valkey's server.
    pub valkey: PathBuf,
    /// This program.
    pub starling: PathBuf,
}

/// A running development cluster.
#[derive(Debug)]
pub struct DevCluster {
    dir: DataDir,
    settings: Settings,
    postgres: Postgres,
    valkey: Valkey,
    nodes: Vec<Watched>,
}

/// A node under watch.
#[derive(Debug)]
struct Watched {
    node: Node,
    started: Instant,
    /// How often in a row it died young.
    deaths: u32,
    stage: Stage,
}

/// Whether a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It does, as far as we know.
    Runs,
    /// It died, and is started again then.
    DiedUntil(Instant),
    /// It left in order, as a drained node does, and stays out.
    Left,
}

impl Programs {
    /// Finds them on this machine.
    pub fn find(pg_bin: Option<PathBuf>, valkey_server: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            postgres: postgres::find(pg_bin.as_deref())?,
            valkey: valkey::find(valkey_server.as_deref())?,
            starling: std::env::current_exe().context("cannot find this program's own file")?,
        })
    }
}

impl DevCluster {
    /// Starts everything and waits until all nodes serve.
    pub async fn start(dir: &DataDir, programs: &Programs, count: usize) -> Result<Self> {
        let settings = Settings::load_or_make(dir, count)?;
        let started = Instant::now();
        let (postgres, valkey) = tokio::try_join!(
            Postgres::start(postgres_settings(dir, programs, &settings)),
            Valkey::start(valkey_settings(dir, programs, &settings)),
        )?;
        let servers = [("postgresql", settings.postgres_port), ("valkey", settings.valkey_port)];
        for (name, port) in servers {
            say(&format!("  {name:<11} {}", loopback(port)));
        }
        seed::prepare(dir, &postgres, &settings).await?;
        say(&format!("  schema and tokens are in place ({:.1} s)", started.elapsed().as_secs_f32()));
        let mut cluster = Self { dir: dir.clone(), settings, postgres, valkey, nodes: Vec::new() };
        cluster.start_nodes(programs, count).await?;
        Ok(cluster)
    }

    async fn start_nodes(&mut self, programs: &Programs, count: usize) -> Result<()> {
        let authority = CertificateAuthority::open(&self.dir.join("certificates"))?;
        let ports = self.settings.nodes.clone();
        for (index, ports) in ports.into_iter().take(count).enumerate() {
            let name = format!("node-{}", index + 1);
            let certificate = authority.node(&name)?;
            let text = |path: PathBuf| path.display().to_string();
            let mut settings = self.common_node_settings();
            settings.extend([
                ("node.name".to_owned(), name.clone()),
                ("api.listen".to_owned(), loopback(ports.api).to_string()),
                ("cluster.listen".to_owned(), loopback(ports.links).to_string()),
                ("cluster.tls-authority".to_owned(), text(certificate.authority)),
                ("cluster.tls-certificate".to_owned(), text(certificate.certificate)),
                ("cluster.tls-key".to_owned(), text(certificate.key)),
            ]);
            let node = Node::start(NodeSettings {
                program: programs.starling.clone(),
                file: self.dir.join("nodes").join(format!("{name}.toml")),
                log: self.dir.log(&name),
                name,
                ports,
                settings,
                environment: BTreeMap::new(),
            })?;
            self.nodes.push(Watched { node, started: Instant::now(), deaths: 0, stage: Stage::Runs });
        }
        self.save(false)?;
        let ready = self.nodes.iter_mut().map(async |watched| {
            watched.node.wait_until_ready(Duration::from_secs(60)).await?;
            let took = watched.started.elapsed().as_secs_f32();
            say(&format!("  {:<11} {} ({took:.1} s)", watched.node.name(), watched.node.endpoint()));
            anyhow::Ok(())
        });
        try_join_all(ready).await?;
        self.save(true)
    }

    fn common_node_settings(&self) -> BTreeMap<String, String> {
        let settings = [
            ("cluster.id", "dev".to_owned()),
            ("database.url", self.postgres.url(seed::APP, &self.settings.app_password, seed::DATABASE)),
            ("valkey.url", self.valkey.url()),
            ("objects.url", format!("file://{}", self.dir.join("objects").display())),
            ("log.format", "text".to_owned()),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// URL of the first node's API.
    pub fn endpoint(&self) -> String {
        self.nodes.first().map(|watched| watched.node.endpoint()).unwrap_or_default()
    }

    /// Looks after the children until the end of time. The caller drops this to stop looking after them.
    pub async fn look_after(&mut self) -> Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        loop {
            self.revive_servers().await?;
            self.notice_dead_nodes();
            self.start_due_nodes()?;
            self.save(true)?;
            let due = self.nodes.iter().filter_map(Watched::due).min();
            let due = due.map(tokio::time::Instant::from_std);
            tokio::select! {
                _ = child_ended.recv() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// A server that died is started again at once: without it nothing goes on.
    async fn revive_servers(&mut self) -> Result<()> {
        let (postgres, valkey) = (&mut self.postgres, &mut self.valkey);
        let postgres = async {
            if died(postgres.process_mut()) {
                postgres.restart().await?;
                say("postgresql runs again");
            }
            anyhow::Ok(())
        };
        let valkey = async {
            if died(valkey.process_mut()) {
                valkey.restart().await?;
                say("valkey runs again, empty; the nodes fill it from the database");
            }
            anyhow::Ok(())
        };
        tokio::try_join!(postgres, valkey)?;
        Ok(())
    }

    fn notice_dead_nodes(&mut self) {
        for watched in self.nodes.iter_mut().filter(|watched| watched.stage == Stage::Runs) {
            let Some(status) = watched.node.process_mut().ended() else { continue };
            let name = watched.node.name().to_owned();
            if status.success() {
                watched.stage = Stage::Left;
                say(&format!(
                    "{name} left the cluster in order and stays out until `starling dev` is started anew"
                ));
                continue;
            }
            let pause = watched.pause_after_death().as_secs_f32();
            let log = watched.node.log().display();
            say(&format!("{name} died ({}); started again in {pause:.1} s; log: {log}", in_words(status)));
        }
    }

    fn start_due_nodes(&mut self) -> Result<()> {
        for watched in &mut self.nodes {
            if watched.due().is_some_and(|due| due <= Instant::now()) {
                watched.node.restart()?;
                watched.started = Instant::now();
                watched.stage = Stage::Runs;
                say(&format!("{} starts again", watched.node.name()));
            }
        }
        Ok(())
    }

    /// Ends everything in order: first the nodes, all at once, then what they stand on.
    pub async fn stop(&mut self) -> Result<()> {
        let nodes = join_all(self.nodes.iter_mut().map(|watched| watched.node.stop())).await;
        let valkey = self.valkey.stop().await;
        let postgres = self.postgres.stop().await;
        Running::forget(&self.dir);
        nodes.into_iter().chain([valkey, postgres]).collect()
    }

    /// Writes down what runs.
    fn save(&self, ready: bool) -> Result<()> {
        let server =
            |name: &str, port, id| Child { name: name.to_owned(), address: loopback(port).to_string(), id };
        let mut children = vec![
            server("postgresql", self.settings.postgres_port, self.postgres.id()),
            server("valkey", self.settings.valkey_port, self.valkey.id()),
        ];
        children.extend(self.nodes.iter().map(|watched| Child {
            name: watched.node.name().to_owned(),
            address: watched.node.endpoint(),
            id: watched.node.id(),
        }));
        Running { supervisor: ProcessId::own()?, ready, children }.save(&self.dir)
    }
}

impl Watched {
    /// Notes a death and says how long to wait: longer each time the node dies young.
    fn pause_after_death(&mut self) -> Duration {
        const OLD: Duration = Duration::from_secs(60);
        self.deaths = if self.started.elapsed() < OLD { self.deaths + 1 } else { 1 };
        let pause = Duration::from_millis(500) * 2_u32.pow(self.deaths.min(7) - 1);
        self.stage = Stage::DiedUntil(Instant::now() + pause);
        pause
    }

    /// When to start it again.
    fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::DiedUntil(due) => Some(due),
            Stage::Runs | Stage::Left => None,
        }
    }
}

/// Whether a child has ended, and says so.
fn died(process: &mut Process) -> bool {
    let ended = process.ended();
    if let Some(status) = ended {
        say(&format!("{} died ({})", process.name(), in_words(status)));
    }
    ended.is_some()
}

fn postgres_settings(dir: &DataDir, programs: &Programs, settings: &Settings) -> PostgresSettings {
    PostgresSettings {
        bin: programs.postgres.clone(),
        dir: dir.join("postgres"),
        log: dir.log("postgresql"),
        port: settings.postgres_port,
        disk: Disk::Synced,
        bootstrap: seed::bootstrap(settings),
    }
}

fn valkey_settings(dir: &DataDir, programs: &Programs, settings: &Settings) -> ValkeySettings {
    ValkeySettings {
        program: programs.valkey.clone(),
        dir: dir.join("valkey"),
        log: dir.log("valkey"),
        port: settings.valkey_port,
        password: settings.valkey_password.clone(),
    }
}
