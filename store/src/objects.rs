//! Blobs in a directory or an S3 bucket, under `tenants/<tenant>/blobs/sha256/<hex>`.
//!
//! What lies under a digest's key always has that digest: size and sha256 are checked while the bytes pass, and the
//! object appears only when they fit. Memory is bounded by one part, whatever the blob's size.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use model::{Digest, TenantId};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// S3 takes parts of 5 MiB and more, and some of its kin want them all of one size.
const PART: usize = 8 * 1024 * 1024;

/// The object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    inner: Arc<dyn ObjectStore>,
}

/// How to reach the object store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// A directory (it is made), or `s3://bucket/prefix`.
    pub location: String,
    /// Options of S3 by their usual names (`aws_endpoint`, `aws_region`, `aws_access_key_id` …).
    pub options: Vec<(String, String)>,
    /// Whether a local write waits for the disk. Off is for tests: a power cut may then lose what was acknowledged.
    pub durable: bool,
}

/// A blob's content, from its beginning.
pub enum Blob {
    /// An open file.
    File(std::fs::File),
    /// As it comes.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl Objects {
    /// Opens it. Nothing is written yet.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let inner: Arc<dyn ObjectStore> = match config.location.strip_prefix("s3://") {
            Some(place) => s3(place, &config.options)?,
            None => {
                std::fs::create_dir_all(&config.location).map_err(Error::Reading)?;
                Arc::new(LocalFileSystem::new_with_prefix(&config.location)?.with_fsync(config.durable))
            }
        };
        Ok(Self { inner })
    }

    /// Stores a blob while it comes in. `WrongContent` when it is not the one announced; then nothing is kept.
    /// Answers its size.
    pub async fn put_blob(
        &self,
        tenant: TenantId,
        digest: &Digest,
        size: u64,
        content: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<u64, Error> {
        let mut upload = self.inner.put_multipart(&key(tenant, digest)).await?;
        match copy(upload.as_mut(), digest, size, content).await {
            Ok(()) => {
                upload.complete().await?;
                Ok(size)
            }
            Err(error) => {
                // Where aborting fails too, the bucket's own rule for unfinished uploads cleans up.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// A blob's content, as it comes.
    pub async fn get_blob(
        &self,
        tenant: TenantId,
        digest: &Digest,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static, Error> {
        let found = self.inner.get(&key(tenant, digest)).await?;
        Ok(found.into_stream().map_err(io::Error::other))
    }

    /// A blob for somebody who may block: the file itself where the store is a directory, so that every few bytes of
    /// a layer do not take the way over another thread.
    pub async fn open_blob(&self, tenant: TenantId, digest: &Digest) -> Result<Blob, Error> {
        Ok(match self.inner.get(&key(tenant, digest)).await?.payload {
            GetResultPayload::File(file, _) => Blob::File(file),
            GetResultPayload::Stream(content) => Blob::Stream(content.map_err(io::Error::other).boxed()),
        })
    }

    /// A blob that is known to be small: `Conflict` when it is larger than this.
    pub async fn get_small(&self, tenant: TenantId, digest: &Digest, max: u64) -> Result<Bytes, Error> {
        let found = self.inner.get(&key(tenant, digest)).await?;
        if found.meta.size > max {
            return Err(Error::Conflict {
                what: format!("blob {digest} has {} bytes, more than {max}", found.meta.size),
            });
        }
        Ok(found.bytes().await?)
    }

    /// A blob's size, or none when it is not there.
    pub async fn size_of(&self, tenant: TenantId, digest: &Digest) -> Result<Option<u64>, Error> {
        match self.inner.head(&key(tenant, digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing lies in it.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.inner.list(None).try_next().await?.is_none())
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), Error> {
        match self.inner.head(&Path::from("ping")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn key(tenant: TenantId, digest: &Digest) -> Path {
    Path::from(format!("tenants/{tenant}/blobs/sha256/{}", digest.hex()))
}

fn s3(place: &str, options: &[(String, String)]) -> Result<Arc<dyn ObjectStore>, Error> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    for (name, value) in options {
        let name: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().map_err(|_| Error::Conflict {
            what: format!("{name} is not an option of an S3 object store"),
        })?;
        builder = builder.with_config(name, value);
    }
    Ok(Arc::new(PrefixStore::new(builder.build()?, Path::from(prefix))))
}

/// Passes the content on part by part, and refuses it as soon as it cannot be what was announced any more.
async fn copy(
    upload: &mut dyn MultipartUpload,
    digest: &Digest,
    size: u64,
    content: impl Stream<Item = io::Result<Bytes>> + Send,
) -> Result<(), Error> {
    let mut content = pin!(content);
    let (mut hash, mut seen, mut part) = (Sha256::new(), 0_u64, BytesMut::new());
    while let Some(chunk) = content.next().await {
        let mut chunk = chunk.map_err(Error::Reading)?;
        seen += chunk.len() as u64;
        if seen > size {
            return Err(wrong(&format!("{size} bytes"), "more"));
        }
        hash.update(&chunk);
        while part.len() + chunk.len() >= PART {
            part.extend_from_slice(&chunk.split_to(PART - part.len()));
            upload.put_part(part.split().freeze().into()).await?;
        }
        part.extend_from_slice(&chunk);
    }
    if seen < size {
        return Err(wrong(&format!("{size} bytes"), &format!("{seen} bytes")));
    }
    let found = Digest::from_sha256(hash.finalize().into());
    if found != *digest {
        return Err(wrong(digest.as_str(), found.as_str()));
    }
    if !part.is_empty() || size == 0 {
        upload.put_part(part.freeze().into()).await?;
    }
    Ok(())
}

fn wrong(expected: &str, found: &str) -> Error {
    Error::WrongContent { expected: expected.to_owned(), found: found.to_owned() }
}
