//! Making the server's data: `initdb`, passwords only, and the roles and database it begins with.

use std::io::{Seek, Write};
use std::os::unix::fs::chown;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::account::{self, Account};
use super::{Disk, PostgresSettings};
use crate::dev::files;

/// Makes `data` beside itself and moves it into place when it is whole.
pub(super) async fn make(settings: &PostgresSettings, account: Option<Account>) -> Result<()> {
    files::make_dir(&settings.dir, 0o711)?;
    let dir = settings.dir.canonicalize()?;
    let fresh = dir.join("data.new");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    files::make_dir(&fresh, 0o700)?;
    if let Some(account) = account {
        if let Some(closed) = files::closed_to_others(&fresh) {
            bail!(
                "PostgreSQL does not run as root, and the user {} may not enter {}: choose another data directory, \
                 such as /var/lib/starling/dev",
                account.name,
                closed.display()
            );
        }
        chown(&fresh, Some(account.uid), Some(account.gid))?;
    }

    let mut initdb = account::command(&settings.bin.join("initdb"), account);
    initdb.arg("--pgdata").arg(&fresh).args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    if settings.disk == Disk::Unsynced {
        initdb.arg("--no-sync");
    }
    run(initdb, "", "initdb").await?;
    // No server has listened yet, so nobody could come in without a password before this.
    std::fs::write(fresh.join("pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n")?;

    let mut single = account::command(&settings.bin.join("postgres"), account);
    single.args(["--single", "-D"]).arg(&fresh).args(["-c", "exit_on_error=on", "postgres"]);
    let statements: String =
        settings.bootstrap.iter().map(|line| format!("{}\n", line.replace('\n', " "))).collect();
    run(single, &statements, "postgres --single").await?;
    std::fs::rename(&fresh, dir.join("data")).context("cannot move the new data directory into place")
}

/// Runs a command to its end with `input`; its output is shown only when it fails.
async fn run(mut command: Command, input: &str, what: &str) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    command.stdin(Stdio::from(file)).current_dir("/");
    let output = command.output().await.with_context(|| format!("cannot start {what}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{what} failed:\n{}", String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}
