//! A private PostgreSQL server: found on this machine, made once in a directory, run as a child process.
//!
//! PostgreSQL refuses to run as root, so root runs it as the user `postgres` (or `nobody`). It listens on a
//! loopback port, wants passwords, and knows nothing of a PostgreSQL that the system itself may run.

mod account;
mod data;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::account::Account;
use super::files;
use super::ports::loopback;
use super::process::{Process, ProcessId, Signal};
use super::wait;

/// Oldest major version that Starling's SQL is written for.
const OLDEST: u32 = 15;

/// How careful the server is with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What is committed survives a machine that loses power.
    Synced,
    /// What is committed survives the death of any process, which is all that most tests ask for.
    Unsynced,
}

/// How to run it.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// The directory with `initdb` and `postgres`; [`find`] finds one.
    pub bin: PathBuf,
    /// Its own directory; `data` in it is made when it is missing.
    pub dir: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Loopback port.
    pub port: u16,
    /// How careful it is.
    pub disk: Disk,
    /// SQL run once as superuser when `data` is made: roles and the database. One statement each.
    pub bootstrap: Vec<String>,
}

/// A running private PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    settings: PostgresSettings,
    process: Process,
}

/// Finds the newest installed server programs, or checks those given.
pub fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(bin) = given {
        let there = bin.join("initdb").exists() && bin.join("postgres").exists();
        return there
            .then(|| bin.to_owned())
            .with_context(|| format!("no initdb and postgres in {}", bin.display()));
    }
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return on_path() };
    let number = |dir: &Path| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let installed =
        versions.flatten().map(|entry| entry.path()).filter(|dir| dir.join("bin/initdb").exists());
    let newest = installed.filter_map(|dir| Some((number(&dir)?, dir.join("bin")))).max();
    match newest {
        Some((version, bin)) if version >= OLDEST => Ok(bin),
        Some((version, _)) => bail!("PostgreSQL {version} is too old: {OLDEST} or later is needed"),
        None => on_path(),
    }
}

fn on_path() -> Result<PathBuf> {
    let found = files::runs(Path::new("initdb")) && files::runs(Path::new("postgres"));
    // An empty path leaves it to the system to look along PATH.
    found.then(PathBuf::new).context(
        "no PostgreSQL server found: install the package postgresql (scripts/install-packages servers), \
         or set PG_BIN to the directory that has initdb and postgres",
    )
}

impl Postgres {
    /// Starts it, making its data first if there are none, and waits until it takes connections.
    pub async fn start(settings: PostgresSettings) -> Result<Self> {
        let account = Account::for_servers()?;
        let data = settings.dir.join("data");
        if !data.exists() {
            data::make(&settings, account).await?;
        }
        // Where a killed server's last children still hold its memory, the next one refuses to start.
        let mut last = None;
        let started =
            wait::until(Duration::from_secs(60), async || match Self::start_once(&settings, account).await {
                Err(error) if error.to_string().contains("still in use") => false,
                outcome => {
                    last = Some(outcome);
                    true
                }
            });
        started.await;
        last.context("PostgreSQL waited in vain for the children of a killed one to end")?
    }

    async fn start_once(settings: &PostgresSettings, account: Option<Account>) -> Result<Self> {
        let data = settings.dir.join("data");
        let mut command = account::command(&settings.bin.join("postgres"), account);
        command.arg("-D").arg(&data).current_dir(&data);
        for setting in server_settings(settings) {
            command.arg("-c").arg(setting);
        }
        let process = Process::start("postgresql", command, &settings.log)?;
        let mut server = Self { settings: settings.clone(), process };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Its URL for one of its roles.
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@{}/{database}", loopback(self.settings.port))
    }

    /// The postmaster's process.
    pub fn id(&self) -> ProcessId {
        self.process.id()
    }

    /// Its process, to be waited for.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in order: sessions are cut, everything is written.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::INT, Duration::from_secs(60)).await?;
        Ok(())
    }

    /// Kills the postmaster with signal 9, as the kernel does when memory runs out.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Starts it again after its end, or ends it in order first; same data, same port.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        *self = Self::start(self.settings.clone()).await?;
        Ok(())
    }

    /// The server writes into its pid file whether it takes connections.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let file = self.settings.dir.join("data/postmaster.pid");
        let pid = self.process.id().pid().to_string();
        let ready = || -> Option<bool> {
            let text = std::fs::read_to_string(&file).ok()?;
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            Some(*lines.first()? == pid && *lines.get(7)? == "ready")
        };
        let came_up = wait::until(Duration::from_secs(120), async || {
            self.process.ended().is_some() || ready().unwrap_or(false)
        });
        match (came_up.await, self.process.ended()) {
            (true, None) => Ok(()),
            (true, Some(_)) => Err(self.process.complaint("ended while it started")),
            (false, _) => Err(self.process.complaint("does not come up")),
        }
    }
}

fn server_settings(settings: &PostgresSettings) -> Vec<String> {
    let synced = match settings.disk {
        Disk::Synced => "on",
        Disk::Unsynced => "off",
    };
    vec![
        format!("port={}", settings.port),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("fsync={synced}"),
        format!("synchronous_commit={synced}"),
        format!("full_page_writes={synced}"),
        "max_connections=200".to_owned(),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
        "checkpoint_timeout=15min".to_owned(),
        "random_page_cost=1.1".to_owned(),
        // Queries here are short; compiling them costs more than it saves.
        "jit=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "log_line_prefix=%m [%p] %a ".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::ports;
    use super::*;

    #[tokio::test]
    async fn data_survive_the_death_of_the_postmaster() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let settings = PostgresSettings {
            bin: find(None).unwrap(),
            dir: dir.path().join("postgres"),
            log: dir.path().join("postgres.log"),
            port: ports::free().unwrap(),
            disk: Disk::Unsynced,
            bootstrap: vec!["create database kept;".to_owned()],
        };
        let mut server = Postgres::start(settings.clone()).await.unwrap();
        let first = server.id();
        server.kill().await.unwrap();
        assert!(!first.alive());

        server.restart().await.unwrap();
        assert!(server.id().alive());
        assert_ne!(server.id(), first);
        let log = std::fs::read_to_string(&settings.log).unwrap();
        assert!(log.contains("automatic recovery in progress"), "{log}");

        server.stop().await.unwrap();
        assert!(!server.id().alive());
    }

    #[tokio::test]
    async fn a_statement_that_fails_leaves_no_half_made_data() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let settings = PostgresSettings {
            bin: find(None).unwrap(),
            dir: dir.path().join("postgres"),
            log: dir.path().join("postgres.log"),
            port: ports::free().unwrap(),
            disk: Disk::Unsynced,
            bootstrap: vec!["create nonsense;".to_owned()],
        };
        let error = Postgres::start(settings.clone()).await.unwrap_err();
        assert!(error.to_string().contains("syntax error"), "{error}");
        assert!(!settings.dir.join("data").exists());
    }
}
