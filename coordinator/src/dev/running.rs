//! What runs now: the supervisor and its children, in a file for `--status`, `--stop` and the next start.
//!
//! A lock says whether a supervisor is alive. The file may be left over from one that was killed; then the
//! children in it are ended before anything is started again.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::files;
use super::process::{ProcessId, Signal};
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

    /// Children that run although their supervisor does not.
    pub(super) fn left_over(&self) -> Vec<&Child> {
        self.children.iter().filter(|child| child.id.alive()).collect()
    }

    /// Ends what an earlier supervisor left behind, the last started first.
    pub(super) async fn end_left_over(&self) -> Result<()> {
        for child in self.left_over().into_iter().rev() {
            // Each of our servers takes INT for "end at once, in order".
            child.id.end(Signal::INT, Duration::from_secs(30)).await?;
        }
        Ok(())
    }
}
