//! What runs now: the supervisor and its children, in a file for `--status`, `--stop` and the next start.
//!
//! A lock says whether a supervisor is alive. One that was killed leaves its children behind; they are ended
//! before anything is started again.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::files;
use super::process::{ProcessId, Signal};
use super::say::say;
use super::settings::DataDir;

/// The supervisor and its children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// Who looks after the others.
    pub supervisor: ProcessId,
    /// Whether everything came up.
    pub ready: bool,
    /// The children, in the order they were started.
    pub children: Vec<Child>,
}

/// One child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Child {
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Its process.
    pub id: ProcessId,
}

/// Held by the one supervisor of a data directory, and given back by the kernel when it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Takes the lock; `None` when another supervisor has it.
    pub(super) fn take(dir: &DataDir) -> Result<Option<Self>> {
        let path = dir.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Whether a supervisor has it.
    pub(super) fn is_taken(dir: &DataDir) -> Result<bool> {
        Ok(dir.path().is_dir() && Self::take(dir)?.is_none())
    }
}

impl Running {
    /// What the file says, if there is one.
    pub(super) fn load(dir: &DataDir) -> Option<Self> {
        let text = std::fs::read_to_string(dir.join("running.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the file.
    pub(super) fn save(&self, dir: &DataDir) -> Result<()> {
        files::write_private(&dir.join("running.json"), &serde_json::to_string_pretty(self)?)
    }

    /// Removes the file.
    pub(super) fn forget(dir: &DataDir) {
        // When it stays it lists processes that have ended, which does no harm.
        let _ = std::fs::remove_file(dir.join("running.json"));
    }
}

/// Processes of this directory that run although no supervisor does, by the files written when they were started.
pub(super) fn left_over(dir: &DataDir) -> Vec<(String, ProcessId)> {
    let files = std::fs::read_dir(dir.join("logs")).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = files.filter_map(|file| {
        let is_pid = file.extension().is_some_and(|extension| extension == "pid");
        let name = file.file_stem()?.to_str()?.to_owned();
        is_pid.then(|| ProcessId::written_in(&file)).flatten().map(|id| (name, id))
    });
    named.collect()
}

/// Ends what an earlier supervisor left behind: first the nodes, then what they stand on.
pub(super) async fn end_left_over(dir: &DataDir) -> Result<()> {
    let (nodes, servers): (Vec<_>, Vec<_>) =
        left_over(dir).into_iter().partition(|(name, _)| name.starts_with("node"));
    for group in [nodes, servers] {
        // Each of them takes INT for "end at once, in order".
        let ended = group.into_iter().map(async |(name, id)| {
            say(&format!("Ending {name} of an earlier run (process {})", id.pid()));
            id.end(Signal::INT, Duration::from_secs(30)).await
        });
        try_join_all(ended).await?;
    }
    Ok(())
}
