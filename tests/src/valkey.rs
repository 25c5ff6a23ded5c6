//! A private Valkey (or Redis) that keeps nothing on disk: what is killed comes back empty.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, Start};
use crate::{eventually, places, ports};

/// The server.
#[derive(Debug)]
pub struct Valkey {
    start: Start,
    port: u16,
    process: Option<Process>,
}

impl Valkey {
    /// Starts it and waits until it answers. Its files go to `home`.
    pub(crate) async fn start(home: PathBuf) -> Self {
        let port = ports::free();
        let arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
        arguments.extend([port.to_string(), "--dir".to_owned(), home.display().to_string()]);
        let start = Start {
            program: places::valkey_program(),
            arguments,
            environment: Vec::new(),
            user: None,
            log: home.join("valkey.log"),
        };
        let mut valkey = Self { start, port, process: None };
        valkey.restart().await;
        valkey
    }

    /// The port of it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`. Everything it knew is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, empty, at the same port.
    pub async fn restart(&mut self) {
        self.kill();
        self.process = Some(Process::start(&self.start).expect("the Valkey server can be started"));
        eventually(Duration::from_secs(15), "Valkey answers", || async {
            self.order("PING").await.is_ok_and(|answer| answer.starts_with("+PONG"))
        })
        .await;
    }

    /// Forgets everything, streams and groups included.
    pub async fn flush_all(&self) {
        let answer = self.order("FLUSHALL").await.expect("Valkey takes an order");
        assert!(answer.starts_with("+OK"), "FLUSHALL: {answer}");
    }

    /// One command in words (the protocol calls it inline), and what is answered at once.
    pub async fn order(&self, words: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(format!("{words}\r\n").as_bytes()).await?;
        let mut answer = [0; 256];
        let read = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}
