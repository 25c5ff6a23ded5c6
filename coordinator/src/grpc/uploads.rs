//! Files that clients bring in pieces: a message that announces one, and then its bytes in chunks.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use proto_api::common::v1::ErrorReason;
use tonic::Streaming;

use super::errors::{Refusal, invalid, refuse};

const CHUNK_MAX: usize = 1 << 20;
/// An upload from which nothing comes for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What a message of an upload brings.
pub(super) enum Piece<H> {
    /// What is announced of the file.
    Header(H),
    /// The next of its bytes.
    Chunk(Bytes),
}

/// A message of an upload.
pub(super) trait Message: Send + 'static {
    /// What announces a file.
    type Header;

    /// What it brings; `None` where it is empty.
    fn piece(self) -> Option<Piece<Self::Header>>;
}

/// What is announced: the first message.
pub(super) async fn header<M: Message>(parts: &mut Streaming<M>) -> Result<M::Header, Refusal> {
    let first = tokio::time::timeout(SILENCE_MAX, parts.message()).await;
    let first = first.map_err(|_| refuse(ErrorReason::DeadlineExceeded))?;
    match first.map(|message| message.and_then(M::piece)) {
        Ok(Some(Piece::Header(header))) => Ok(header),
        Ok(_) => Err(invalid("header", "must come first")),
        Err(status) => Err(invalid("header", status.message())),
    }
}

/// The bytes of an upload, as they come behind its header.
pub(super) fn chunks<M: Message>(parts: Streaming<M>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(parts, |mut parts| async move {
        let next = tokio::time::timeout(SILENCE_MAX, parts.message()).await;
        let next = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        match next.map_err(io::Error::other)?.map(M::piece) {
            None => Ok(None),
            Some(Some(Piece::Chunk(chunk))) if chunk.len() <= CHUNK_MAX => Ok(Some((chunk, parts))),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only chunks of at most 1 MiB may follow the header",
            )),
        }
    })
}

/// Whose fault it was that an upload failed.
pub(super) fn of_upload(error: store::Error) -> Refusal {
    match error {
        store::Error::WrongContent { expected, found } => {
            let digest = expected.starts_with("sha256:");
            let reason = if digest { ErrorReason::BlobDigestMismatch } else { ErrorReason::BlobSizeMismatch };
            refuse(reason)
                .saying(format!("the blob was announced as {expected}, but is {found}"))
                .with("expected", expected)
                .with("found", found)
        }
        store::Error::Reading(error) => of_reading(&error),
        other => other.into(),
    }
}

/// Whose fault it was that no more bytes came.
pub(super) fn of_reading(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::TimedOut => refuse(ErrorReason::DeadlineExceeded)
            .saying(format!("nothing came for {} s", SILENCE_MAX.as_secs())),
        _ => invalid("chunk", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_are_told_from_wrong_sizes() {
        let reason = |expected: &str| {
            let error = store::Error::WrongContent { expected: expected.to_owned(), found: "x".to_owned() };
            of_upload(error).reason()
        };
        assert_eq!(reason("sha256:00"), ErrorReason::BlobDigestMismatch);
        assert_eq!(reason("17 bytes"), ErrorReason::BlobSizeMismatch);
    }
}
