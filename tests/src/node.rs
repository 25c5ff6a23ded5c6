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
use crate::process::{Process, Start, tail};
use crate::{Clients, eventually_ok, places, ports};

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
}

impl Node {
    /// Writes its settings. It is not started yet.
    pub(crate) fn new(name: &str, common: &Common, certificate: &NodeCertificate) -> Self {
        let home = common.home.join(name);
        fs::create_dir_all(home.join("holds")).expect("a folder for the node");
        let api_port = ports::free();
        let config = home.join("node.toml");
        fs::write(&config, settings(name, api_port, common, certificate))
            .expect("the settings can be written");
        let environment = [("FAILPOINTS", failpoints(&home)), ("RUST_BACKTRACE", "1".to_owned())];
        let start = Start {
            program: places::starling(),
            arguments: vec!["node".to_owned(), "--config".to_owned(), config.display().to_string()],
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            user: None,
            log: home.join("node.log"),
        };
        let operator_token = common.operator_token.clone();
        Self { name: name.to_owned(), api_port, home, operator_token, start, process: None }
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
        Hold::new(point, vec![(hold_file(&self.home, point), self.start.log.clone())])
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

/// Holds a place in the code on one node or several; lets go when dropped.
#[derive(Debug)]
pub struct Hold {
    point: Point,
    /// The file that holds, the log that tells, and how often it had told before.
    places: Vec<(PathBuf, PathBuf, usize)>,
}

impl Hold {
    fn new(point: Point, places: Vec<(PathBuf, PathBuf)>) -> Self {
        let place = |(file, log): (PathBuf, PathBuf)| {
            let told = told(&log, &file);
            fs::write(&file, "").expect("the hold can be written");
            (file, log, told)
        };
        Self { point, places: places.into_iter().map(place).collect() }
    }

    /// Holds the same place on all of them.
    pub(crate) fn on(nodes: &[Node], point: Point) -> Self {
        let places = nodes.iter().map(|node| (hold_file(&node.home, point), node.start.log.clone()));
        Self::new(point, places.collect())
    }

    /// Waits until somebody stands at the place; which of the nodes it is, as an index.
    pub async fn reached(&self, within: Duration) -> usize {
        eventually_ok(within, &format!("somebody is held at {:?}", self.point), || async {
            self.places.iter().position(|(file, log, before)| told(log, file) > *before).ok_or("nobody")
        })
        .await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        for (file, ..) in &self.places {
            let _ = fs::remove_file(file);
        }
    }
}

/// How often the log tells that somebody was held by this file.
fn told(log: &Path, file: &Path) -> usize {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let file = file.display().to_string();
    text.lines().filter(|line| line.contains("held at a failpoint") && line.contains(&file)).count()
}

fn hold_file(home: &Path, point: Point) -> PathBuf {
    home.join("holds").join(point.as_str())
}

/// Every failpoint is armed from the start; a file makes it hold.
fn failpoints(home: &Path) -> String {
    let armed =
        Point::ALL.map(|point| format!("{}=return({})", point.as_str(), hold_file(home, point).display()));
    armed.join(";")
}

fn settings(name: &str, api_port: u16, common: &Common, certificate: &NodeCertificate) -> String {
    let mut all = vec![
        ("node.name", name.to_owned()),
        ("api.listen", format!("127.0.0.1:{api_port}")),
        ("database.url", common.database_url.clone()),
        ("database.connections-max", "8".to_owned()),
        ("valkey.url", common.valkey_url.clone()),
        ("objects.url", format!("file://{}", common.home.join("objects").display())),
        ("cluster.id", "under-test".to_owned()),
        ("cluster.listen", format!("127.0.0.1:{}", ports::free())),
        ("cluster.tls-authority", certificate.authority.display().to_string()),
        ("cluster.tls-certificate", certificate.certificate.display().to_string()),
        ("cluster.tls-key", certificate.key.display().to_string()),
        ("cluster.timing", "test".to_owned()),
        ("shutdown.deadline", "10s".to_owned()),
        ("log.level", "info".to_owned()),
        ("log.format", "json".to_owned()),
    ];
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
