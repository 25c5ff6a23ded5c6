//! A server of a few lines on a free port, which answers as it is told, however wrong that is.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each request in turn with one of `answers`; gives where, and the heads of the requests it saw.
pub(super) async fn serve(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("it is bound").to_string();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.expect("a client connects");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.expect("a whole request head"));
            }
            seen.push(String::from_utf8(request).expect("a request head is text"));
            // A client that has enough hangs up.
            let _ = connection.write_all(&answer).await;
        }
        seen
    });
    (host, seen)
}

/// An answer.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    cut(status, headers, body, body.len())
}

/// An answer that promises so many bytes, whatever it holds.
pub(super) fn cut(status: &str, headers: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// Answers every request as `answer` says, by its head, for as long as the test runs; gives where.
pub(super) async fn serve_by(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // A client that has enough hangs up, wherever it is.
            drop(answer_one(connection, &answer).await);
        }
    });
    host
}

async fn answer_one(mut connection: TcpStream, answer: impl Fn(&str) -> Vec<u8>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await?);
    }
    connection.write_all(&answer(&String::from_utf8_lossy(&request))).await
}
