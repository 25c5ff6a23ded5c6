//! `starling feeds import`: a file goes to the server under its digest, and from there into the feed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proto_api::feed::v1::import_bundle_request::Part;
use proto_api::feed::v1::{BundleHeader, ImportBundleRequest, ImportBundleResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::digesting::digest_of;
use super::super::failure::{Exit, Failure};
use super::super::screen::Screen;
use super::super::server::{CALLS_MAX, Server, pause_before};
use super::super::words;
use super::steering::{self, Named};

const CHUNK: usize = 256 << 10;
/// Chunks read ahead of the network.
const AHEAD: usize = 4;

pub(super) async fn import(
    server: &Server,
    screen: &mut Screen,
    named: Named,
    path: PathBuf,
    partial: bool,
) -> Result<(), Failure> {
    let header = announce(&named, &path, partial).map_err(|error| unreadable(&path, &error))?;
    let size = words::size(header.size_bytes.unsigned_abs());
    screen.say(format!("{}: {size}, {}", path.display(), header.digest));
    let answer = upload(server, &header, &path).await?;
    let ended = steering::ended(server, screen, &named.name, &answer.steer_id).await?;
    screen.say(match ended.made_snapshot {
        0 => format!("feed {} held all of it already", named.name),
        made => format!("feed {} has taken it in, in snapshot {made}", named.name),
    });
    Ok(())
}

/// Reads the file once for its size and digest.
fn announce(named: &Named, path: &Path, partial: bool) -> io::Result<BundleHeader> {
    let (digest, bytes) = digest_of(File::open(path)?)?;
    Ok(BundleHeader {
        request_id: steering::request_id(),
        feed_id: named.name.clone(),
        reason: named.reason.clone(),
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        digest: digest.to_string(),
        size_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        partial,
    })
}

async fn upload(
    server: &Server,
    header: &BundleHeader,
    path: &Path,
) -> Result<ImportBundleResponse, Failure> {
    let mut attempt = 0;
    loop {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let (parts, failed) = read(header.clone(), file);
        let sent = server.feeds().import_bundle(ReceiverStream::new(parts)).await;
        // A file that cannot be read ends the stream early; its own error says more than the server's.
        if let Ok(error) = failed.await {
            return Err(unreadable(path, &error));
        }
        match sent {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => match pause_before(&status, attempt, CALLS_MAX) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status.into()),
            },
        }
        attempt += 1;
    }
}

type Failed = tokio::sync::oneshot::Receiver<io::Error>;

/// Reads the file on a thread of its own, a few chunks ahead of the network.
fn read(header: BundleHeader, file: File) -> (mpsc::Receiver<ImportBundleRequest>, Failed) {
    let (sender, parts) = mpsc::channel(AHEAD);
    let (fail, failed) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(header, file, &sender) {
            drop(fail.send(error));
        }
    });
    (parts, failed)
}

fn send(header: BundleHeader, mut file: File, sender: &mpsc::Sender<ImportBundleRequest>) -> io::Result<()> {
    let part = |part| ImportBundleRequest { part: Some(part) };
    file.rewind()?;
    // When the server refused and hung up, its answer says why.
    let mut open = sender.blocking_send(part(Part::Header(header))).is_ok();
    while open {
        let mut chunk = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        open = sender.blocking_send(part(Part::Chunk(Bytes::from(chunk).into()))).is_ok();
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
}
