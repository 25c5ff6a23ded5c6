//! Brings an image to the server: only the blobs it does not have, several at once, in pieces.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use proto_api::image::v1::{
    BlobHeader, FindMissingBlobsRequest, PutImageRequest, UploadBlobRequest, upload_blob_request::Part,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::image_source::{Blob, SourceImage};
use super::screen::Screen;
use super::server::{CALLS_MAX, Server, call, pause_before};
use super::words::{self, count};

const CHUNK: usize = 256 << 10;
/// Chunks read ahead of the network.
const AHEAD: usize = 4;
/// Blobs on the way at once.
const AT_ONCE: usize = 3;

/// Uploads what is missing and puts the image. Answers its digest.
pub(super) async fn image(
    server: &Server,
    screen: &mut Screen,
    image: SourceImage,
) -> Result<String, Failure> {
    let image = Arc::new(image);
    let missing = missing(server, &image.blobs).await?;
    let bytes = missing.iter().map(|blob| blob.size).sum();
    screen.say(format!(
        "{} of {} to upload, {}",
        missing.len(),
        count(image.blobs.len() as u64, "layer"),
        words::size(bytes)
    ));
    let bar = progress(screen, "uploading", bytes);
    let uploads = stream::iter(missing.into_iter().map(|blob| {
        let (server, image, bar) = (server.clone(), image.clone(), bar.clone());
        async move { upload(&server, &image, &blob, &bar).await.map(|()| blob) }
    }));
    let mut uploads = uploads.buffer_unordered(AT_ONCE);
    while let Some(blob) = uploads.try_next().await? {
        let line = format!("uploaded {} {}", words::short(blob.digest.as_str()), words::size(blob.size));
        bar.suspend(|| screen.say(line));
    }
    bar.finish_and_clear();
    put(server, &image).await
}

async fn missing(server: &Server, blobs: &[Blob]) -> Result<Vec<Blob>, Failure> {
    let mut missing = Vec::new();
    for some in blobs.chunks(1000) {
        let digests = some.iter().map(|blob| blob.digest.to_string()).collect();
        let request = FindMissingBlobsRequest { digests };
        let answer = call(request, async |request| server.images().find_missing_blobs(request).await).await?;
        missing.extend(
            some.iter().filter(|b| answer.missing_digests.iter().any(|d| d == b.digest.as_str())).cloned(),
        );
    }
    Ok(missing)
}

async fn upload(
    server: &Server,
    image: &Arc<SourceImage>,
    blob: &Blob,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let request_id = Uuid::now_v7().to_string();
    let mut attempt = 0;
    loop {
        let before = bar.position();
        let (parts, failed) = read(image.clone(), blob.clone(), request_id.clone(), bar.clone());
        let sent = server.images().upload_blob(ReceiverStream::new(parts)).await;
        // A source that cannot be read ends the stream early; its own error says more than the server's.
        if let Ok(error) = failed.await {
            return Err(error);
        }
        match sent {
            Ok(_) => return Ok(()),
            Err(status) => match pause_before(&status, attempt, CALLS_MAX) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status.into()),
            },
        }
        bar.set_position(before);
        attempt += 1;
    }
}

type Failed = tokio::sync::oneshot::Receiver<Failure>;

/// Reads a blob on a thread of its own, a few chunks ahead of the network.
fn read(
    image: Arc<SourceImage>,
    blob: Blob,
    request_id: String,
    bar: ProgressBar,
) -> (mpsc::Receiver<UploadBlobRequest>, Failed) {
    let (sender, parts) = mpsc::channel(AHEAD);
    let (fail, failed) = tokio::sync::oneshot::channel();
    let header = BlobHeader {
        request_id,
        digest: blob.digest.to_string(),
        size_bytes: i64::try_from(blob.size).unwrap_or(i64::MAX),
        media_type: blob.media_type.clone(),
    };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&image, &blob, header, &sender, &bar) {
            drop(fail.send(error));
        }
    });
    (parts, failed)
}

fn send(
    image: &SourceImage,
    blob: &Blob,
    header: BlobHeader,
    parts: &mpsc::Sender<UploadBlobRequest>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut reader = image.read(blob)?;
    let part = |part| UploadBlobRequest { part: Some(part) };
    let mut open = parts.blocking_send(part(Part::Header(header))).is_ok();
    while open {
        let chunk = chunk(&mut reader)?;
        if chunk.is_empty() {
            break;
        }
        bar.inc(chunk.len() as u64);
        // The server refused and hung up: its answer says why.
        open = parts.blocking_send(part(Part::Chunk(chunk))).is_ok();
    }
    Ok(())
}

fn chunk(reader: &mut impl Read) -> std::io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK);
    reader.take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

async fn put(server: &Server, image: &SourceImage) -> Result<String, Failure> {
    let request = PutImageRequest {
        request_id: Uuid::now_v7().to_string(),
        manifest: image.manifest.clone().into(),
        media_type: image.media_type.clone(),
        config: image.config.clone().into(),
        names: image.names.clone(),
    };
    let answer = call(request, async |request| server.images().put_image(request).await).await?;
    let put = answer.image.unwrap_or_default().digest;
    if put == image.digest.as_str() {
        return Ok(put);
    }
    Err(Failure::new(Exit::Failed, format!("the server made {put:?} of an image that is {}", image.digest)))
}

/// A bar that is shown where somebody watches.
pub(super) fn progress(screen: &Screen, doing: &str, bytes: u64) -> ProgressBar {
    let bar = if screen.live && bytes > 0 { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    let template = format!("{doing} {{bar:30}} {{bytes}}/{{total_bytes}} {{bytes_per_sec}} {{eta}}");
    bar.set_style(ProgressStyle::with_template(&template).expect("the template is sound"));
    bar
}
