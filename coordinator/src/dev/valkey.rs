//! A private Valkey server: a child process on a loopback port, with a password, keeping nothing on disk.
//!
//! It carries ids and may lose everything (docs/architecture.md, A2); so it does, each time it is started again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::files;
use super::ports::loopback;
use super::process::{Process, ProcessId, Signal};
use super::wait;

/// How to run it.
#[derive(Debug, Clone)]
pub struct ValkeySettings {
    /// The server program; [`find`] finds one.
    pub program: PathBuf,
    /// Its own directory.
    pub dir: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Loopback port.
    pub port: u16,
    /// What clients must say.
    pub password: String,
}

/// A running private Valkey.
#[derive(Debug)]
pub struct Valkey {
    settings: ValkeySettings,
    process: Process,
}

/// Finds a server program: the one given, a Valkey, or a Redis that still speaks the same.
pub fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(program) = given {
        return Ok(program.to_owned());
    }
    let mut known = ["valkey-server", "redis-server"].into_iter().map(PathBuf::from);
    known.find(|program| files::runs(program)).context(
        "no Valkey server found: install the package valkey-server or redis-server (scripts/install-packages servers), \
         or set VALKEY_SERVER to the program",
    )
}

impl Valkey {
    /// Starts it and waits until it answers.
    pub async fn start(settings: ValkeySettings) -> Result<Self> {
        std::fs::create_dir_all(&settings.dir)?;
        // In a file, not on the command line: every user of the machine can read that.
        let config = settings.dir.join("valkey.conf");
        files::write_private(&config, &configuration(&settings))?;
        let mut command = Command::new(&settings.program);
        command.arg(&config).current_dir(&settings.dir);
        let process = Process::start("valkey", command, &settings.log)?;
        let mut server = Self { settings, process };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Its URL for clients.
    pub fn url(&self) -> String {
        format!("redis://:{}@{}/0", self.settings.password, loopback(self.settings.port))
    }

    /// Its process.
    pub fn id(&self) -> ProcessId {
        self.process.id()
    }

    /// Its process, to be waited for.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::TERM, Duration::from_secs(10)).await?;
        Ok(())
    }

    /// Ends it by force; everything it held is lost.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Starts it again after its end, on the same port and empty.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        *self = Self::start(self.settings.clone()).await?;
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let answered = wait::until(Duration::from_secs(30), async || {
            self.process.ended().is_some() || ping(&self.settings).await.is_ok()
        });
        if !answered.await {
            return Err(self.process.complaint("does not answer"));
        }
        match self.process.ended() {
            Some(_) => Err(self.process.complaint("ended while it started")),
            None => Ok(()),
        }
    }
}

fn configuration(settings: &ValkeySettings) -> String {
    format!(
        "bind 127.0.0.1\nport {}\nrequirepass {}\ndir {}\nsave \"\"\nappendonly no\ndaemonize no\n\
         maxmemory-policy noeviction\n",
        settings.port,
        settings.password,
        settings.dir.display(),
    )
}

/// Says the password and `PING` as one writes them by hand.
async fn ping(settings: &ValkeySettings) -> Result<()> {
    let mut stream = TcpStream::connect(loopback(settings.port)).await?;
    stream.write_all(format!("AUTH {}\r\nPING\r\nQUIT\r\n", settings.password).as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error.into()),
        _ => {}
    }
    if !answer.starts_with(b"+OK\r\n+PONG\r\n") {
        bail!("answered {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
