//! Whom the server runs as: ourselves, or an ordinary user when we are root.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

/// A command that runs as the account.
pub(super) fn command(program: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// An ordinary user to run servers as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    /// Its name.
    pub(super) name: &'static str,
    /// Its user id.
    pub(super) uid: u32,
    /// Its group id.
    pub(super) gid: u32,
}

impl Account {
    /// `None` when we are an ordinary user ourselves.
    pub(super) fn for_servers() -> Result<Option<Self>> {
        if !rustix::process::getuid().is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let found = ["postgres", "nobody"].into_iter().find_map(|name| Self::among(&users, name));
        found
            .map(Some)
            .context("PostgreSQL does not run as root, and there is no user `postgres` to run it as")
    }

    fn among(users: &str, name: &'static str) -> Option<Self> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self { name, uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let users =
            "postgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let account = Account::among(users, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(Account::among(users, "nobody").is_none());
    }
}
