//! One child process: its output goes to a log file, it can be signalled, waited for and ended for certain.
//!
//! Children get a process group of their own, so that Ctrl-C in a terminal reaches the supervisor alone and
//! things stop in order. A process is known by its id and its start time: an id is used again after a while.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::{files, wait};

/// A process of this machine, and no later one that happens to get the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pid: i32,
    /// When it started, in clock ticks since boot.
    started: u64,
}

impl ProcessId {
    /// The living process with this id.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let (state, started) = state_and_start(pid)?;
        (state != "Z").then_some(Self { pid, started })
    }

    /// The process that [`Process::start`] wrote down in this file, if it still runs.
    pub fn written_in(file: &Path) -> Option<Self> {
        let id: Self = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        id.alive().then_some(id)
    }

    /// This process itself.
    pub fn own() -> Result<Self> {
        Self::of(std::process::id()).context("cannot read /proc: Linux is needed")
    }

    /// Its number.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it still runs. A process that has ended but was not yet waited for does not.
    pub fn alive(self) -> bool {
        state_and_start(self.pid).is_some_and(|(state, started)| state != "Z" && started == self.started)
    }

    /// Sends a signal; a process that has ended already is no error.
    pub fn signal(self, signal: Signal) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.pid).context("a process id is above zero")?;
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => bail!("cannot signal process {}: {error}", self.pid),
        }
    }

    /// Asks it to end by `signal`, and kills it when it has not ended after `patience`.
    pub async fn end(self, signal: Signal, patience: Duration) -> Result<()> {
        self.signal(signal)?;
        if !gone_within(self, patience).await {
            self.signal(Signal::KILL)?;
            if !gone_within(self, Duration::from_secs(10)).await {
                bail!("process {} does not end, not even when killed", self.pid);
            }
        }
        Ok(())
    }
}

/// State letter and start time out of `/proc/PID/stat`, whose second field may hold blanks and brackets.
fn state_and_start(pid: i32) -> Option<(String, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

async fn gone_within(process: ProcessId, patience: Duration) -> bool {
    wait::until(patience, async || !process.alive()).await
}

/// A child process of ours. Dropping it kills it: nothing is left behind by a test that fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    id: ProcessId,
    child: Child,
}

impl Process {
    /// Starts `command` with its output appended to `log`, and writes its id down beside it (`NAME.pid`).
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = files::open_log(log)?;
        let program = command.as_std().get_program().to_owned();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        let child =
            command.spawn().with_context(|| format!("cannot start {name} ({})", program.display()))?;
        let id = child.id().and_then(ProcessId::of);
        let id = id.with_context(|| format!("{name} ended at once: {}", tail(log)))?;
        files::write_private(&log.with_extension("pid"), &serde_json::to_string(&id)?)?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), id, child })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.id.signal(signal)
    }

    /// Asks it to end, waits, and kills it when patience runs out.
    pub async fn stop(&mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        if self.ended().is_none() {
            self.signal(signal)?;
        }
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => self.kill().await,
        }
    }

    /// Kills it, as a machine that loses power would, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// What to say when it did not come up: its name and the last lines of its log.
    pub fn complaint(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!("{} {what}; the end of {}:\n{}", self.name, self.log.display(), tail(&self.log))
    }
}

/// A few words for an exit status.
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// The last lines of a text file.
fn tail(path: &Path) -> String {
    const LINES: usize = 15;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Process {
        let mut command = Command::new("sleep");
        command.arg("600");
        Process::start("sleeper", command, log).unwrap()
    }

    #[tokio::test]
    async fn a_killed_process_is_gone_and_its_id_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(&dir.path().join("log.txt"));
        let id = process.id();
        assert_eq!(ProcessId::written_in(&dir.path().join("log.pid")), Some(id));
        assert_eq!(process.kill().await.unwrap().signal(), Some(9));
        assert_eq!(ProcessId::written_in(&dir.path().join("log.pid")), None);
        id.signal(Signal::TERM).unwrap();
    }

    #[tokio::test]
    async fn the_same_number_with_another_start_time_is_another_process() {
        let own = ProcessId::own().unwrap();
        let other = ProcessId { started: own.started + 1, ..own };
        assert!(own.alive());
        assert!(!other.alive());
    }

    #[tokio::test]
    async fn stop_asks_first_and_kills_what_does_not_listen() {
        let dir = tempfile::tempdir().unwrap();
        let mut polite = sleeper(&dir.path().join("polite"));
        let status = polite.stop(Signal::TERM, Duration::from_secs(10)).await.unwrap();
        assert_eq!(in_words(status), "signal 15");

        let mut stubborn = sleeper(&dir.path().join("stubborn"));
        // A stopped process hears no TERM; but of two signals that wait, TERM would be heard first.
        stubborn.signal(Signal::STOP).unwrap();
        let state = || state_and_start(stubborn.id().pid()).map(|(state, _)| state);
        assert!(wait::until(Duration::from_secs(10), async || state().as_deref() == Some("T")).await);
        let status = stubborn.stop(Signal::TERM, Duration::from_millis(50)).await.unwrap();
        assert_eq!(in_words(status), "signal 9");
    }

    #[tokio::test]
    async fn a_complaint_shows_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such luck >&2; exec sleep 600"]);
        let process = Process::start("grumbler", command, &dir.path().join("log")).unwrap();
        let said = async || process.complaint("did not come up").to_string().contains("no such luck");
        assert!(wait::until(Duration::from_secs(10), said).await);
    }
}
