//! PostgreSQL's own programs for dumping and restoring. The password goes by the environment: a command line is for
//! everybody on the machine to read.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::failure::{Exit, Failure};
use crate::dev::postgres;

/// Dumps the database as it was at this moment.
pub(super) async fn dump(owner_url: &str, moment: &str, to: &Path) -> Result<(), Failure> {
    let mut command = program("pg_dump", owner_url);
    command.args(["--format=directory", "--no-owner", "--jobs=2"]).arg(format!("--snapshot={moment}"));
    run(command.arg("--file").arg(to)).await
}

/// Restores all of it, or nothing.
pub(super) async fn restore(owner_url: &str, from: &Path) -> Result<(), Failure> {
    let mut command = program("pg_restore", owner_url);
    run(command.args(["--exit-on-error", "--single-transaction", "--no-owner"]).arg(from)).await
}

fn program(name: &str, url: &str) -> Command {
    // Where no server is installed, the programs may be on the path all the same.
    let folder = postgres::find(None).unwrap_or_else(|_| PathBuf::new());
    let (url, password) = without_password(url);
    let mut command = Command::new(folder.join(name));
    command.arg("--no-password").arg(format!("--dbname={url}")).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command.envs(password.map(|password| ("PGPASSWORD", password)));
    command
}

/// `postgres://user:password@host/database` in two.
fn without_password(url: &str) -> (String, Option<String>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return whole() };
    let Some((user, password)) = rest[..at].split_once(':') else { return whole() };
    (format!("{scheme}://{user}{}", &rest[at..]), Some(decoded(password)))
}

/// Undoes `%41`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        bytes.push(escaped.as_ref().map_or(*first, |byte| byte[0]));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn run(command: &mut Command) -> Result<(), Failure> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let failed = |problem: String| Failure::new(Exit::Failed, format!("{program}: {problem}"));
    let output = command.output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.lines().next().unwrap_or("it failed").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_an_address() {
        let cut = |url| without_password(url);
        let some = |url: &str, password: &str| (url.to_owned(), Some(password.to_owned()));
        assert_eq!(
            cut("postgres://o:s%40c/r%zz@h:1/d?x=y"),
            ("postgres://o:s%40c/r%zz@h:1/d?x=y".to_owned(), None)
        );
        assert_eq!(cut("postgres://o:s%40c@h:1/d?x=y"), some("postgres://o@h:1/d?x=y", "s@c"));
        assert_eq!(cut("postgres://o@h/d"), ("postgres://o@h/d".to_owned(), None));
        assert_eq!(cut("postgres://h/d@e"), ("postgres://h/d@e".to_owned(), None));
    }
}
