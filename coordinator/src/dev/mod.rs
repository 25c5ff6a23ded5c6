//! `starling dev`: a whole cluster on one machine, for trying things out and for developing.
//!
//! It starts a private PostgreSQL and Valkey and some nodes as child processes in a data directory, makes a
//! tenant with tokens, and looks after all of them until it is stopped. In the background (`--detach`) the same
//! supervisor runs with its output in a log file.

pub mod certificates;
pub mod cluster;
mod context;
mod files;
pub mod nodes;
pub mod ports;
pub mod postgres;
pub mod process;
mod running;
mod say;
mod seed;
pub mod settings;
pub mod valkey;
pub mod wait;

mod background;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args as ClapArgs;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::cluster::{DevCluster, Programs};
pub use self::process::ProcessId;
use self::running::{Lock, Running};
use self::say::say;
use self::settings::DataDir;
use crate::config::Environment;

/// What `starling dev` is told.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// How many nodes to start
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Where the cluster keeps its files [default: ~/.local/share/starling/dev; for root: /var/lib/starling/dev]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave it running in the background
    #[arg(long, conflicts_with_all = ["stop", "status"])]
    detach: bool,
    /// Stop the cluster of this data directory
    #[arg(long, conflicts_with = "status")]
    stop: bool,
    /// Say what runs
    #[arg(long)]
    status: bool,
    /// This process is the one in the background
    #[arg(long, hide = true)]
    background: bool,
}

/// Does what was asked. `--status` fails when nothing runs.
pub async fn run(args: Args) -> Result<ExitCode> {
    let env = Environment::read();
    let dir = DataDir::find(args.data_dir.as_deref(), &env)?;
    if args.status {
        return status(&dir);
    }
    if args.stop {
        background::stop(&dir).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if Lock::is_taken(&dir)? {
        say("The development cluster of this directory runs already.");
        background::wait_until_ready(&dir).await?;
        return status(&dir);
    }
    // Before anything is made, and before the background where fewer people look.
    let programs =
        Programs::find(env.get("PG_BIN").map(PathBuf::from), env.get("VALKEY_SERVER").map(PathBuf::from))?;
    if args.detach {
        background::start(&dir, args.nodes).await?;
        return status(&dir);
    }
    if args.background {
        background::leave_terminal();
    }
    supervise(&dir, &programs, usize::from(args.nodes), &env).await?;
    Ok(ExitCode::SUCCESS)
}

/// The supervisor, from taking the lock to the last child's end.
async fn supervise(dir: &DataDir, programs: &Programs, nodes: usize, env: &Environment) -> Result<()> {
    let mut stop = StopSignal::listen()?;
    dir.make()?;
    let Some(_lock) = Lock::take(dir)? else {
        bail!("another `starling dev` just took {}", dir.path().display())
    };
    running::end_left_over(dir).await?;
    Running::forget(dir);
    say(&format!("Starting a development cluster of {nodes} nodes in {}", dir.path().display()));
    let started = Instant::now();
    let mut cluster = tokio::select! {
        // Children that were started by then end with this process's handles on them.
        () = stop.received() => bail!("stopped while starting"),
        cluster = DevCluster::start(dir, programs, nodes) => cluster?,
    };
    seed::remember_contexts(dir, &cluster.endpoint(), env)?;
    say(&format!(
        "Ready after {:.1} s. Stop it with Ctrl-C or `starling dev --stop`.",
        started.elapsed().as_secs_f32()
    ));

    let outcome = tokio::select! {
        () = stop.received() => Ok(()),
        outcome = cluster.look_after() => outcome,
    };
    let begun = Instant::now();
    say("Stopping: nodes first, then the servers");
    let stopped = cluster.stop().await;
    say(&format!(
        "Stopped ({:.1} s). The data stay in {}",
        begun.elapsed().as_secs_f32(),
        dir.path().display()
    ));
    outcome.and(stopped)
}

/// Ctrl-C, a request to end, or the terminal's end.
struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignal {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn status(dir: &DataDir) -> Result<ExitCode> {
    let taken = Lock::is_taken(dir)?;
    if !taken {
        say(&format!("No development cluster runs in {}.", dir.path().display()));
        for (name, id) in running::left_over(dir) {
            say(&format!("  {name} is left over from one that was killed (process {})", id.pid()));
        }
        return Ok(ExitCode::FAILURE);
    }
    let Some(running) = Running::load(dir) else {
        say("It is starting.");
        return Ok(ExitCode::SUCCESS);
    };
    for child in &running.children {
        let state = if child.id.alive() { "runs" } else { "has ended" };
        say(&format!("  {:<11} {:<24} {state} (process {})", child.name, child.address, child.id.pid()));
    }
    say(&format!("  files       {}", dir.path().display()));
    Ok(ExitCode::SUCCESS)
}
