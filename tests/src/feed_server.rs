//! A web server that feeds are read from: files that a test puts there, answered as a web server does (ETag, 304,
//! ranges), and faults on demand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is always answered so.
    Status(u16),
    /// The next whole answer breaks off after so many bytes.
    BreaksOffOnce(usize),
    /// The answer begins and does not go on.
    Stalls,
}

#[derive(Debug, Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Fault>,
    asked: Vec<String>,
}

/// A running server; it ends with the value.
#[derive(Debug)]
pub struct FeedServer {
    port: u16,
    shelf: Arc<Mutex<Shelf>>,
    serving: JoinHandle<()>,
}

impl FeedServer {
    /// Starts one without files.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let shared = shelf.clone();
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let shelf = shared.clone();
                // A client that hangs up has had enough.
                tokio::spawn(async move { drop(answer(connection, &shelf).await) });
            }
        });
        Self { port, shelf, serving }
    }

    /// The address of a file or folder.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Puts a file there, in place of what was there.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.shelf().files.insert(format!("/{path}"), bytes);
    }

    /// Takes a file away.
    pub fn take_away(&self, path: &str) {
        self.shelf().files.remove(&format!("/{path}"));
    }

    /// From now on there is something wrong with the file; or nothing any more.
    pub fn fault(&self, path: &str, fault: Option<Fault>) {
        let path = format!("/{path}");
        match fault {
            Some(fault) => self.shelf().faults.insert(path, fault),
            None => self.shelf().faults.remove(&path),
        };
    }

    /// What was asked for since the last time, as `STATUS PATH`, sorted.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut self.shelf().asked);
        asked.sort();
        asked
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FeedServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request and closes the connection.
async fn answer(mut connection: TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let (head, body, stalls) = reply(&request, &mut shelf.lock().unwrap_or_else(PoisonError::into_inner));
    connection.write_all(head.as_bytes()).await?;
    if stalls {
        // Until the client hangs up.
        return connection.read_u8().await.map(drop);
    }
    connection.write_all(&body).await?;
    connection.shutdown().await
}

/// The head and the body to send, and whether it stalls after the head.
fn reply(request: &str, shelf: &mut Shelf) -> (String, Vec<u8>, bool) {
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let line =
            request.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")))?;
        Some(line[name.len() + 2..].trim().to_owned())
    };
    let fault = shelf.faults.get(&path).copied();
    let (status, headers, body) = match (shelf.files.get(&path), fault) {
        (_, Some(Fault::Status(status))) => (status, String::new(), Vec::new()),
        (None, _) => (404, String::new(), Vec::new()),
        (Some(bytes), _) => {
            let mark = format!("\"{}\"", Digest::of(bytes));
            let from = header("range")
                .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            let from = from.filter(|from| *from < bytes.len() && header("if-range").as_ref() == Some(&mark));
            match from {
                _ if header("if-none-match").as_ref() == Some(&mark) => (304, etag(&mark), Vec::new()),
                Some(from) => {
                    let range =
                        format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                    (206, etag(&mark) + &range, bytes[from..].to_vec())
                }
                None => (200, etag(&mark), bytes.clone()),
            }
        }
    };
    shelf.asked.push(format!("{status} {path}"));
    let length = body.len();
    let sent = match fault {
        Some(Fault::BreaksOffOnce(at)) if status == 200 => {
            shelf.faults.remove(&path);
            body[..at.min(length)].to_vec()
        }
        _ => body,
    };
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    (head, sent, fault == Some(Fault::Stalls))
}

fn etag(mark: &str) -> String {
    format!("ETag: {mark}\r\n")
}
