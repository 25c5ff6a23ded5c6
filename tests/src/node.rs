//! One `starling node` process: its settings, its failpoints, its life and death.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use actors::failpoint::Point;
use coordinator::dev::certificates::NodeCertificate;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Tenant;
use crate::hold::{self, Hold};
use crate::line::{Line, Lines};
use crate::process::{Process, Start, tail};
use crate::{Clients, Clock, places, ports};

/// What all nodes of a cluster are told alike.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// Everything of this cluster lies below.
    pub(crate) home: PathBuf,
    /// The application's role.
    pub(crate) database_url: String,
    /// Valkey.
    pub(crate) valkey_url: String,
    /// Settings that differ from the usual ones of a test: `section.name`, and the value.
    pub(crate) settings: Vec<(String, String)>,
    /// The operators' token.
    pub(crate) operator_token: String,
    /// Whether it can be cut off, and have its clock set: the ports of database and Valkey.
    pub(crate) breakable: Option<(u16, u16)>,
}

/// A node: the place for a process, and mostly a process in it.
#[derive(Debug)]
pub struct Node {
    name: String,
    api_port: u16,
    home: PathBuf,
    operator_token: String,
    start: Start,
    process: Option<Process>,
    lines: Option<Lines>,
    clock: Option<Clock>,
}

impl Node {
    /// Writes its settings. It is not started yet.
    pub(crate) async fn new(name: &str, common: &Common, certificate: &NodeCertificate) -> Self {
        let home = common.home.join(name);
        fs::create_dir_all(home.join("holds")).expect("a folder for the node");
        let api_port = ports::free();
        let config = home.join("node.toml");
        let lines = match common.breakable {
            Some(servers) => Some(Lines::to(servers).await),
            None => None,
        };
        fs::write(&config, settings(name, api_port, common, certificate, lines.as_ref()))
            .expect("the settings can be written");
        let environment = [("FAILPOINTS", failpoints(&home)), ("RUST_BACKTRACE", "1".to_owned())];
        let mut environment: Vec<_> = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let clock = common.breakable.and_then(|_| Clock::below(&home));
        let clock = clock.map(|(clock, needs)| {
            environment.extend(needs);
            clock
        });
        let start = Start {
            program: places::starling(),
            arguments: vec!["node".to_owned(), "--config".to_owned(), config.display().to_string()],
            environment,
            user: None,
            log: home.join("node.log"),
        };
        let operator_token = common.operator_token.clone();
        Self { name: name.to_owned(), api_port, home, operator_token, start, process: None, lines, clock }
    }

    /// Its name in the ring.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its public API is.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// The value of one line of its metrics, such as `starling_jobs_finished_total{result="done"}`; 0 while there is
    /// none.
    pub async fn metric(&self, line: &str) -> f64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api_port)).await.expect("the node listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: node\r\n\r\n").await.expect("the node reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("the node answers");
        assert!(page.contains("\nstarling_"), "these are no metrics: {page}");
        let value = page.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a metric is a number"))
    }

    /// Posts a body with these headers: the status, the head and the body of the answer.
    pub async fn post(&self, path: &str, headers: &[(&str, String)], body: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api_port)).await.expect("the node listens");
        let mut head = format!("POST {path} HTTP/1.0\r\nhost: node\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("the node reads");
        // A node that refuses a body by its length may not read it to its end.
        let _ = stream.write_all(body).await;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("the node answers");
        let (head, body) = page.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }

    /// Clients that speak for a tenant.
    pub fn client(&self, tenant: &Tenant) -> Clients {
        Clients::new(&self.address(), Some(tenant.token()))
    }

    /// Clients that speak for the operators.
    pub fn operator(&self) -> Clients {
        Clients::new(&self.address(), Some(&self.operator_token))
    }

    /// Clients without a token.
    pub fn anonymous(&self) -> Clients {
        Clients::new(&self.address(), None)
    }

    /// Changes a setting, `section.name`, as of its next start.
    pub fn set(&self, key: &str, value: &str) {
        let file = self.home.join("node.toml");
        let text = fs::read_to_string(&file).expect("it has settings");
        let others = text.lines().filter(|line| !line.starts_with(&format!("{key} =")));
        let mut text: String = others.flat_map(|line| [line, "\n"]).collect();
        let _ = writeln!(text, "{key} = {value:?}");
        fs::write(&file, text).expect("the settings can be written");
    }

    /// Starts the process; does not wait for it to be of use.
    pub fn start(&mut self) {
        self.kill();
        self.process = Some(Process::start(&self.start).expect("the binary can be started"));
    }

    /// Whether a process runs, be it stopped.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").pid()
    }

    /// How it is connected, in a cluster that is breakable.
    pub fn lines(&self) -> &Lines {
        self.lines.as_ref().expect("the cluster is breakable")
    }

    /// Its wall clock, in a cluster that is breakable and where there is libfaketime.
    pub fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: it stands still and does not know.
    pub fn freeze(&self) {
        self.process.as_ref().expect("the node runs").signal(Signal::STOP);
    }

    /// SIGCONT: it goes on as if nothing had happened.
    pub fn thaw(&self) {
        self.process.as_ref().expect("the node runs").signal(Signal::CONT);
    }

    /// SIGTERM: it is asked to leave in order.
    pub fn ask_to_leave(&self) {
        self.process.as_ref().expect("the node runs").signal(Signal::TERM);
    }

    /// Waits for the process to end by itself.
    pub async fn end(&mut self, within: Duration) -> ExitStatus {
        self.process.as_mut().expect("the node runs").end(within).await
    }

    /// Whoever passes this place in this node waits there while the answer lives.
    pub fn hold(&self, point: Point) -> Hold {
        Hold::new(point, vec![self.place(point)])
    }

    /// The file that holds whoever passes this place, and the log that tells of it.
    pub(crate) fn place(&self, point: Point) -> (PathBuf, PathBuf) {
        (hold::file(&self.home, point), self.start.log.clone())
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.start.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        tail(&self.start.log, 40)
    }
}

/// Every failpoint is armed from the start; a file makes it hold.
fn failpoints(home: &Path) -> String {
    let armed =
        Point::ALL.map(|point| format!("{}=return({})", point.as_str(), hold::file(home, point).display()));
    armed.join(";")
}

fn settings(
    name: &str,
    api_port: u16,
    common: &Common,
    certificate: &NodeCertificate,
    lines: Option<&Lines>,
) -> String {
    let listen = lines.map_or_else(ports::free, |lines| lines.listen);
    let mut all = vec![
        ("node.name", name.to_owned()),
        ("api.listen", format!("127.0.0.1:{api_port}")),
        ("database.url", common.database_url.clone()),
        ("database.connections-max", "8".to_owned()),
        ("valkey.url", common.valkey_url.clone()),
        ("objects.url", format!("file://{}", common.home.join("objects").display())),
        ("cluster.id", "under-test".to_owned()),
        ("cluster.listen", format!("127.0.0.1:{listen}")),
        ("cluster.tls-authority", certificate.authority.display().to_string()),
        ("cluster.tls-certificate", certificate.certificate.display().to_string()),
        ("cluster.tls-key", certificate.key.display().to_string()),
        ("cluster.timing", "test".to_owned()),
        ("shutdown.deadline", "10s".to_owned()),
        ("log.level", "info".to_owned()),
        ("log.format", "json".to_owned()),
    ];
    if let (Some(lines), Some((database, valkey))) = (lines, common.breakable) {
        let through = |url: &str, port: u16, line: &Line| {
            url.replace(&format!(":{port}"), &format!(":{}", line.port()))
        };
        all.retain(|(key, _)| !matches!(*key, "database.url" | "valkey.url"));
        all.push(("database.url", through(&common.database_url, database, &lines.database)));
        all.push(("valkey.url", through(&common.valkey_url, valkey, &lines.valkey)));
        all.push(("cluster.advertise", format!("127.0.0.1:{}", lines.peers.port())));
    }
    for (key, value) in &common.settings {
        all.retain(|(known, _)| known != key);
        all.push((key, value.clone()));
    }
    let mut text = String::new();
    for (key, value) in all {
        let (section, name) = key.split_once('.').expect("section.name");
        let _ = writeln!(text, "{section}.{name} = {value:?}");
    }
    text
}
