//! A registry on this machine: docker's own, as Debian packages it, with images that tests push.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::images::Image;
use crate::process::{Process, Start};
use crate::{eventually, places, ports};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The server. Its only user, where it asks for one, is `anna` with the password `secret`.
#[derive(Debug)]
pub struct Registry {
    home: PathBuf,
    port: u16,
    asks: bool,
    _process: Process,
}

/// What is answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
}

impl Registry {
    /// `anna:secret` as HTTP and docker write it.
    pub const ANNA: &str = "YW5uYTpzZWNyZXQ=";

    /// Starts one that lets everybody in, or only its user. `None` where the program is not installed.
    pub async fn start(home: &Path, asks: bool) -> Option<Self> {
        let program = places::registry_program()?;
        let home = home.join(format!("registry-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&home).expect("a home can be made");
        let port = ports::free();
        let start = Start {
            program,
            arguments: vec!["serve".to_owned(), configure(&home, port, asks).display().to_string()],
            environment: Vec::new(),
            user: None,
            log: home.join("log"),
        };
        let process = Process::start(&start).expect("the registry can be started");
        let registry = Self { home, port, asks, _process: process };
        eventually(Duration::from_secs(15), "the registry answers", || async {
            registry.ask("GET", "/v2/", "", b"").await.is_some_and(|answer| answer.status == 200)
        })
        .await;
        Some(registry)
    }

    /// Where it is, as names of images begin.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes an image under a name and tag.
    pub async fn push(&self, name: &str, tag: &str, image: &Image) {
        for layer in &image.layers {
            self.push_blob(name, &layer.bytes).await;
        }
        self.push_blob(name, &image.config).await;
        self.put_manifest(name, tag, &image.media_type, &image.manifest).await;
    }

    /// Pushes images for platforms (`amd64`, `arm64`) under one name.
    pub async fn push_index(&self, name: &str, tag: &str, images: &[(&str, &Image)]) {
        let mut manifests: Vec<Value> = Vec::new();
        for (architecture, image) in images {
            self.push(name, &image.digest(), image).await;
            manifests.push(json!({
                "mediaType": image.media_type,
                "digest": image.digest(),
                "size": image.manifest.len(),
                "platform": { "os": "linux", "architecture": architecture },
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.put_manifest(name, tag, INDEX, index.to_string().as_bytes()).await;
    }

    /// Pushes a manifest of any kind, and the blobs that it names.
    pub async fn push_manifest(
        &self,
        name: &str,
        tag: &str,
        media_type: &str,
        manifest: &Value,
        blobs: &[&[u8]],
    ) {
        for blob in blobs {
            self.push_blob(name, blob).await;
        }
        self.put_manifest(name, tag, media_type, manifest.to_string().as_bytes()).await;
    }

    /// Changes a byte of a blob where it is stored.
    pub fn damage(&self, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        let file = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let file = self.home.join("data").join(file);
        let mut bytes = fs::read(&file).expect("the blob is stored");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).expect("the blob can be written");
    }

    async fn push_blob(&self, name: &str, bytes: &[u8]) {
        let begun = self.must("POST", &format!("/v2/{name}/blobs/uploads/"), "", b"", 202).await;
        let location =
            begun.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place to put it");
        let path = location.split_once(&self.host()).map_or(location, |(_, path)| path);
        let between = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{between}digest={}", Digest::of(bytes));
        self.must("PUT", &path, "Content-Type: application/octet-stream\r\n", bytes, 201).await;
    }

    async fn put_manifest(&self, name: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let kind = format!("Content-Type: {media_type}\r\n");
        self.must("PUT", &format!("/v2/{name}/manifests/{tag}"), &kind, bytes, 201).await;
    }

    async fn must(&self, method: &str, path: &str, headers: &str, body: &[u8], status: u16) -> String {
        let answer = self.ask(method, path, headers, body).await.expect("the registry answers");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.head);
        answer.head
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
        let sign_in =
            if self.asks { format!("Authorization: Basic {}\r\n", Self::ANNA) } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{sign_in}{headers}\r\n",
            self.host(),
            body.len()
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let head = String::from_utf8_lossy(&answer).replace("\r\n", "\n");
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head })
    }
}

fn configure(home: &Path, port: u16, asks: bool) -> PathBuf {
    let users = home.join("htpasswd");
    // `anna` and what bcrypt makes of `secret`.
    let anna = "anna:$2b$04$SNY0E43Xc2eZAf2FIV.CdOPhBZoku3RLtZTTgwd8LGKnIc/hV2mcO\n";
    fs::write(&users, anna).expect("the users can be written");
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "error", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": home.join("data") } },
        "http": { "addr": format!("127.0.0.1:{port}"), "secret": "of these tests" },
        // Where layers may be that it does not have.
        "validation": { "manifests": { "urls": { "allow": ["^https://elsewhere\\.example/"] } } },
    });
    if asks {
        config["auth"] = json!({ "htpasswd": { "realm": "tests", "path": users } });
    }
    let file = home.join("config.yml");
    // YAML takes JSON.
    fs::write(&file, config.to_string()).expect("the configuration can be written");
    file
}
