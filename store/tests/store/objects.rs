//! What lies under a digest's key has that digest.

use std::io;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use model::{Digest, TenantId};
use store::Error;
use store::objects::{Config, Objects};
use tempfile::TempDir;

const TENANT: TenantId = TenantId::SYSTEM;

fn open() -> (TempDir, Objects) {
    let dir = TempDir::new().unwrap();
    let location = dir.path().join("objects").to_str().unwrap().to_owned();
    let objects = Objects::open(&Config { location, ..Config::default() }).unwrap();
    (dir, objects)
}

fn chunks(content: &[u8]) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + use<> {
    let parts: Vec<_> = content.chunks(1_000_003).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(parts)
}

fn files(dir: &TempDir) -> usize {
    let mut pending = vec![dir.path().to_owned()];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { pending.push(entry.path()) } else { files += 1 }
        }
    }
    files
}

#[tokio::test]
async fn a_blob_of_several_parts_comes_back_as_it_was() {
    let (_dir, objects) = open();
    let content: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    let digest = Digest::of(&content);
    assert_eq!(objects.size_of(TENANT, &digest).await.unwrap(), None);
    objects.put_blob(TENANT, &digest, content.len() as u64, chunks(&content)).await.unwrap();
    assert_eq!(objects.size_of(TENANT, &digest).await.unwrap(), Some(content.len() as u64));
    let pieces: Vec<Bytes> = objects.get_blob(TENANT, &digest).await.unwrap().try_collect().await.unwrap();
    assert!(pieces.len() > 1, "it came in one piece");
    assert_eq!(Digest::of(&pieces.concat()), digest);
    let refused = objects.get_small(TENANT, &digest, 1_000).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let (_dir, objects) = open();
    let digest = Digest::of(b"");
    objects.put_blob(TENANT, &digest, 0, stream::empty()).await.unwrap();
    assert_eq!(objects.get_small(TENANT, &digest, 10).await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn wrong_content_leaves_nothing_behind() {
    let (dir, objects) = open();
    let content = vec![7_u8; 9_000_000]; // More than a part, so that some of it has been written.
    let size = content.len() as u64;
    let (right, wrong) = (Digest::of(&content), Digest::of(b"else"));
    for (digest, announced, what) in
        [(&wrong, size, "digest"), (&right, size + 1, "too short"), (&right, size - 1, "too long")]
    {
        let refused = objects.put_blob(TENANT, digest, announced, chunks(&content)).await;
        assert!(matches!(refused, Err(Error::WrongContent { .. })), "{what}: {refused:?}");
        assert_eq!(objects.size_of(TENANT, digest).await.unwrap(), None, "{what}");
        let read = objects.get_blob(TENANT, digest).await.map(|_| ());
        assert!(matches!(read, Err(Error::NotFound { .. })), "{what}: {read:?}");
    }
    let broken = chunks(&content).chain(stream::iter([Err(io::Error::other("cut"))]));
    let refused = objects.put_blob(TENANT, &right, size + 1, broken).await;
    assert!(matches!(refused, Err(Error::Reading(_))), "{refused:?}");
    assert_eq!(files(&dir), 0);
}
