//! What a development cluster remembers: its directory, and the ports and passwords made when it was first started.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::files;
use super::ports::Ports;
use crate::config::Environment;

/// The files of a development cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

/// Ports and passwords; they stay the same from start to start where they can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Port of PostgreSQL.
    pub postgres_port: u16,
    /// Port of Valkey.
    pub valkey_port: u16,
    /// Ports of the nodes, by number.
    pub nodes: Vec<NodePorts>,
    /// Password of PostgreSQL's superuser, for people who look.
    pub superuser_password: String,
    /// Password of the role that owns everything.
    pub owner_password: String,
    /// Password of the application's role.
    pub app_password: String,
    /// Password of Valkey.
    pub valkey_password: String,
}

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePorts {
    /// For clients.
    pub api: u16,
    /// For other nodes.
    pub links: u16,
}

impl DataDir {
    /// The directory given, or the usual one of this user.
    ///
    /// Root's own home is closed to the user that PostgreSQL then runs as, so root's cluster lives elsewhere.
    pub fn find(given: Option<&Path>, env: &Environment) -> Result<Self> {
        let path = match given {
            Some(path) => std::path::absolute(path)?,
            None if rustix::process::getuid().is_root() => PathBuf::from("/var/lib/starling/dev"),
            None => data_home(env).context("HOME is not set: give --data-dir")?.join("starling/dev"),
        };
        Ok(Self(path))
    }

    /// Makes it, with what it always has.
    pub fn make(&self) -> Result<()> {
        // The user of PostgreSQL must pass through; everything else in it is closed by itself.
        files::make_dir(&self.0, 0o711)?;
        for private in ["logs", "nodes", "objects", "tokens"] {
            files::make_dir(&self.0.join(private), 0o700)?;
        }
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The log of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(format!("{name}.log"))
    }
}

impl Settings {
    /// The settings kept in `dir` with free ports for `nodes` nodes; made when there are none.
    pub fn load_or_make(dir: &DataDir, nodes: usize) -> Result<Self> {
        let file = dir.join("settings.json");
        let before = read(&file)?;
        let settings = Self::after(before.as_ref(), nodes)?;
        if before.as_ref() != Some(&settings) {
            files::write_private(&file, &serde_json::to_string_pretty(&settings)?)?;
        }
        Ok(settings)
    }

    /// The settings kept in `dir`, if it has any.
    pub fn load(dir: &DataDir) -> Result<Option<Self>> {
        read(&dir.join("settings.json"))
    }

    fn after(before: Option<&Self>, nodes: usize) -> Result<Self> {
        let mut free = Ports::default();
        let known = |index: usize| before.and_then(|b| b.nodes.get(index));
        let mut ports = Vec::new();
        for (index, near) in (0..nodes).zip((7400..).step_by(10)) {
            let api = free.choose(known(index).map(|ports| ports.api), near)?;
            let links = free.choose(known(index).map(|ports| ports.links), near + 1)?;
            ports.push(NodePorts { api, links });
        }
        // A smaller cluster keeps the ports of the nodes that it leaves out.
        ports.extend(before.iter().flat_map(|b| b.nodes.iter().skip(nodes)));
        let password = |of: fn(&Self) -> &String| before.map_or_else(random_text, |b| of(b).clone());
        Ok(Self {
            postgres_port: free.choose(before.map(|b| b.postgres_port), 7380)?,
            valkey_port: free.choose(before.map(|b| b.valkey_port), 7390)?,
            nodes: ports,
            superuser_password: password(|b| &b.superuser_password),
            owner_password: password(|b| &b.owner_password),
            app_password: password(|b| &b.app_password),
            valkey_password: password(|b| &b.valkey_password),
        })
    }
}

/// The directory of this user's data (XDG Base Directory Specification).
fn data_home(env: &Environment) -> Option<PathBuf> {
    let home = || env.get("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    env.get("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)
}

fn read(file: &Path) -> Result<Option<Settings>> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        Ok(text) => {
            serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", file.display()))
        }
    }
}

/// 128 random bits, in letters that need no escaping anywhere.
fn random_text() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_from_start_to_start() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir(home.path().join("dev"));
        dir.make().unwrap();
        let three = Settings::load_or_make(&dir, 3).unwrap();
        assert_eq!(three.nodes.len(), 3);
        assert_eq!(Settings::load_or_make(&dir, 3).unwrap(), three);
        assert_eq!(Settings::load_or_make(&dir, 1).unwrap(), three, "the other nodes keep their ports");
        let five = Settings::load_or_make(&dir, 5).unwrap();
        assert_eq!(five.nodes[..3], three.nodes);
        assert_eq!(five.app_password, three.app_password);
    }
}
