//! The supervisor in the background: starting it, waiting until it is ready, stopping it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::files;
use super::process::{ProcessId, Signal};
use super::running::{self, Lock, Running};
use super::say::say;
use super::settings::DataDir;
use super::wait;

/// How long a cluster may take to come up: the first time PostgreSQL makes its data, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(240);

/// Starts the supervisor in the background and returns when everything serves.
pub(super) async fn start(dir: &DataDir, nodes: u8) -> Result<()> {
    dir.make()?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let log = dir.log("supervisor");
    let output = files::open_log(&log)?;
    let mut said = Follow::end_of(&log)?;
    let mut supervisor = Command::new(program)
        .args(["dev", "--background", "--nodes", &nodes.to_string(), "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start the supervisor")?;
    let pid = i32::try_from(supervisor.id())?;
    let ready = || Running::load(dir).is_some_and(|running| running.ready && running.supervisor.pid() == pid);
    let settled = wait::until(PATIENCE, async || {
        said.show();
        ready() || supervisor.try_wait().is_ok_and(|status| status.is_some())
    });
    let settled = settled.await;
    said.show();
    if settled && ready() {
        return Ok(());
    }
    if let Some(slow) = ProcessId::of(supervisor.id()) {
        slow.end(Signal::TERM, Duration::from_secs(60)).await?;
    }
    bail!("the development cluster did not come up; see {}", log.display())
}

/// Waits until a cluster that somebody else started serves.
pub(super) async fn wait_until_ready(dir: &DataDir) -> Result<()> {
    let ready = wait::until(PATIENCE, async || {
        Running::load(dir).is_some_and(|running| running.ready) || !Lock::is_taken(dir).unwrap_or(true)
    });
    match ready.await && Lock::is_taken(dir)? {
        true => Ok(()),
        false => bail!("it did not come up; see {}", dir.log("supervisor").display()),
    }
}

/// Stops the cluster of a directory, also when its supervisor is gone.
pub(super) async fn stop(dir: &DataDir) -> Result<()> {
    let supervisor = Running::load(dir).map(|running| running.supervisor);
    match supervisor.filter(|_| Lock::is_taken(dir).unwrap_or(false)) {
        Some(supervisor) => {
            say("Stopping the development cluster");
            supervisor.end(Signal::TERM, Duration::from_secs(120)).await?;
        }
        None if Lock::is_taken(dir)? => bail!("it is starting just now; try again in a moment"),
        None if running::left_over(dir).is_empty() => {
            say(&format!("No development cluster runs in {}.", dir.path().display()));
            return Ok(());
        }
        None => {}
    }
    running::end_left_over(dir).await?;
    Running::forget(dir);
    say(&format!("Stopped. The data stay in {}", dir.path().display()));
    Ok(())
}

/// Makes this process the leader of a session of its own: closing the terminal does not reach it.
pub(super) fn leave_terminal() {
    // It fails only for the leader of a process group, which is what it then already is.
    let _ = rustix::process::setsid();
}

/// Shows what is added to a log.
struct Follow(File);

impl Follow {
    fn end_of(log: &Path) -> Result<Self> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    fn show(&mut self) {
        let mut added = Vec::new();
        if self.0.read_to_end(&mut added).is_ok_and(|bytes| bytes > 0) {
            say(String::from_utf8_lossy(&added).trim_end());
        }
    }
}
