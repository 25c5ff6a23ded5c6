//! A node of the cluster as a child process: `starling node` with a configuration file of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::files;
use super::ports::loopback;
use super::process::{Process, ProcessId, Signal};
use super::settings::NodePorts;
use super::wait;

/// How to run a node.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The program `starling`.
    pub program: PathBuf,
    /// Its name in the cluster.
    pub name: String,
    /// Where it listens.
    pub ports: NodePorts,
    /// Its configuration file, written at each start.
    pub file: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// What the file says, by `section.name`.
    pub settings: BTreeMap<String, String>,
    /// Variables for it, besides those of this process.
    pub environment: BTreeMap<String, String>,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    settings: NodeSettings,
    process: Process,
}

impl Node {
    /// Starts its process. [`Node::wait_until_ready`] waits until it serves.
    pub fn start(settings: NodeSettings) -> Result<Self> {
        // It holds the passwords of the servers.
        files::write_private(&settings.file, &configuration(&settings.settings)?)?;
        let mut command = Command::new(&settings.program);
        command.arg("node").arg("--config").arg(&settings.file).envs(&settings.environment);
        let process = Process::start(&settings.name, command, &settings.log)?;
        Ok(Self { settings, process })
    }

    /// Waits until its API says that it serves.
    pub async fn wait_until_ready(&mut self, patience: Duration) -> Result<()> {
        let port = self.settings.ports.api;
        let served = wait::until(patience, async || self.process.ended().is_some() || serves(port).await);
        match (served.await, self.process.ended()) {
            (true, None) => Ok(()),
            (true, Some(_)) => Err(self.process.complaint("ended while it started")),
            (false, _) => Err(self.process.complaint("does not begin to serve")),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// URL of its API.
    pub fn endpoint(&self) -> String {
        format!("http://{}", loopback(self.settings.ports.api))
    }

    /// Its process's id.
    pub fn id(&self) -> ProcessId {
        self.process.id()
    }

    /// Its process, to be waited for.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.settings.log
    }

    /// Lets it leave the cluster in order.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::TERM, Duration::from_secs(40)).await?;
        Ok(())
    }

    /// Starts it again after its end; the cluster sees a new generation of the same name.
    pub fn restart(&mut self) -> Result<()> {
        *self = Self::start(self.settings.clone())?;
        Ok(())
    }
}

/// Sections of `name = "value"`.
fn configuration(settings: &BTreeMap<String, String>) -> Result<String> {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, value) in settings {
        let (section, name) = key.split_once('.').unwrap_or(("node", key));
        sections.entry(section).or_default().insert(name, value);
    }
    Ok(toml::to_string(&sections)?)
}

/// Whether the API on this port says it serves.
async fn serves(port: u16) -> bool {
    let ask = async {
        let endpoint = Endpoint::from_shared(format!("http://{}", loopback(port))).ok()?;
        let mut client = HealthClient::new(endpoint.connect().await.ok()?);
        let answer = client.check(HealthCheckRequest::default()).await.ok()?.into_inner();
        Some(answer.status() == ServingStatus::Serving)
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_the_sections_of_a_file() {
        let settings = [("node.name", "n1"), ("api.listen", "127.0.0.1:1"), ("api.reflection", "on")];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(
            configuration(&settings).unwrap(),
            "[api]\nlisten = \"127.0.0.1:1\"\nreflection = \"on\"\n\n[node]\nname = \"n1\"\n"
        );
    }
}
