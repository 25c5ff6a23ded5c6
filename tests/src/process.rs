//! A child process that is known by its pid and never outlives the test.
//!
//! It is killed when dropped. Should the whole test process be killed, the kernel does it
//! (`setpriv --pdeathsig`), which looks at the thread that started the child; hence one thread that
//! starts all of them and lives as long as the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually_ok;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// What is added to its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Another user to run it as; only root can.
    pub(crate) user: Option<&'static str>,
    /// Where its output goes, after what is there already.
    pub(crate) log: PathBuf,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(start: &Start) -> io::Result<Self> {
        let mut command = command(start)?;
        // A group of its own: when the shell behind a test goes away, the kernel thaws what is frozen in the group.
        command.process_group(0);
        let child = spawn(command)?;
        let name = start.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, child })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        // Gone already is as good as signalled.
        let _ = kill_process(pid, signal);
    }

    /// `kill -9`, and waits for the end of it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end with this signal, gives it a moment, then kills it.
    pub(crate) fn dismiss(&mut self, signal: Signal, moment: Duration) {
        self.signal(signal);
        let begin = Instant::now();
        while self.ended().is_none() && begin.elapsed() < moment {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for it to end of its own accord.
    pub(crate) async fn end(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} (pid {}) ends", self.name, self.child.id());
        let this = Mutex::new(self);
        eventually_ok(within, &what, || {
            let ended = this.lock().unwrap_or_else(PoisonError::into_inner).ended();
            async move { ended.ok_or("it runs") }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log that are worth reading.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn command(start: &Start) -> io::Result<Command> {
    let log = append(&start.log)?;
    let mut command = match Path::new("/usr/bin/setpriv") {
        setpriv if setpriv.exists() => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL"]);
            if let Some(user) = start.user {
                command.args(["--reuid", user, "--regid", user, "--init-groups"]);
            }
            command.arg("--").arg(&start.program);
            command
        }
        _ => Command::new(&start.program),
    };
    command
        .args(&start.arguments)
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn append(log: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(log)
}

type Order = (Command, Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (send, receive) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(send)
    });
    let (send, receive) = channel();
    let order = (command, send);
    starter.lock().unwrap_or_else(PoisonError::into_inner).send(order).map_err(io::Error::other)?;
    receive.recv().map_err(io::Error::other)?
}
