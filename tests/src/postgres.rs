//! A private PostgreSQL: its own data folder, its own port, no password.
//!
//! In tests `fsync` is off: a killed server loses nothing that the kernel has, and no test pulls the plug.
//! Commits are synchronous all the same, so that what was answered is in the log.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use sqlx::{Connection as _, PgConnection};

use crate::process::{Process, Start};
use crate::{eventually, places, ports};

const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "synchronous_commit=on",
    "max_connections=200",
    "autovacuum_naptime=10s",
    "log_line_prefix=%m %a %p ",
    "log_min_messages=warning",
];
const FOR_TESTS: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_wal_size=256MB"];
const FOR_MEASUREMENTS: [&str; 4] =
    ["fsync=on", "full_page_writes=on", "shared_buffers=2GB", "max_wal_size=8GB"];

/// The server.
#[derive(Debug)]
pub struct Postgres {
    start: Start,
    port: u16,
    process: Option<Process>,
}

impl Postgres {
    /// Makes a data folder below `home`, starts the server and waits until it answers.
    pub(crate) async fn start(home: &Path, durable: bool) -> Self {
        let port = ports::free();
        let user = geteuid().is_root().then_some("postgres");
        let data = make_data_folder(home, user);
        let mut arguments =
            vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
        let special = if durable { &FOR_MEASUREMENTS[..] } else { &FOR_TESTS };
        let settings = SETTINGS.iter().chain(special);
        arguments.extend(settings.flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let start = Start {
            program: places::postgres_program("postgres"),
            arguments,
            environment: Vec::new(),
            user,
            log: home.join("postgres.log"),
        };
        let mut postgres = Self { start, port, process: None };
        postgres.restart().await;
        postgres
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address for this role and database.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// The address for the superuser.
    pub fn owner_url(&self, database: &str) -> String {
        self.url("postgres", database)
    }

    /// `kill -9` of the postmaster. Its backends notice and end.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same data, and waits until it has recovered.
    pub async fn restart(&mut self) {
        self.kill();
        self.serves().await;
    }

    /// Starts it if it has ended, and waits until it answers.
    pub async fn serves(&mut self) {
        // While a backend of a killed one still lives, the new one refuses to start; so try again.
        let url = self.owner_url("postgres");
        let start = self.start.clone();
        let process = std::sync::Mutex::new(self.process.take());
        eventually(Duration::from_secs(40), "PostgreSQL answers", || {
            start_unless_running(&mut process.lock().expect("nobody panics in here"), &start);
            let url = url.clone();
            async move { answers(&url).await }
        })
        .await;
        self.process = process.into_inner().expect("nobody panics in here");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: the postmaster takes its backends along, and nobody needs the data.
        if let Some(process) = &mut self.process {
            process.dismiss(Signal::QUIT, Duration::from_secs(5));
        }
    }
}

fn start_unless_running(process: &mut Option<Process>, start: &Start) {
    let running = process.as_mut().is_some_and(|process| process.ended().is_none());
    if !running {
        *process = Some(Process::start(start).expect("the PostgreSQL server can be started"));
    }
}

async fn answers(url: &str) -> bool {
    let Ok(mut connection) = PgConnection::connect(url).await else { return false };
    sqlx::query("select 1").execute(&mut connection).await.is_ok()
}

/// `initdb`, as the user that will run the server.
fn make_data_folder(home: &Path, user: Option<&'static str>) -> PathBuf {
    let data = home.join("postgres");
    // A disk may be mounted there already.
    std::fs::create_dir_all(&data).expect("a folder for the database");
    std::fs::set_permissions(home, Permissions::from_mode(0o755)).expect("the folder is ours");
    if let Some(user) = user {
        run(Command::new("chown").arg(user).arg(&data));
    }
    let initdb = places::postgres_program("initdb");
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]).arg(initdb);
            command
        }
        None => Command::new(initdb),
    };
    command.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
    run(command.arg(&data).current_dir("/"));
    data
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
