//! A write that is asked for twice is done once: its answer is kept for a day under its request id.
//!
//! Jobs have their own way (the id is a column of the job). Here the answer is kept right after the write has
//! been committed: should the node die in between, the write is tried again, and each of them can bear that.

use model::{RequestId, TenantId};
use prost::Message;
use proto_api::common::v1::ErrorReason;
use sha2::{Digest as _, Sha256};
use store::Store;
use store::requests::{Recall, recall, remember};

use super::errors::{Refusal, invalid, refuse};

/// Reads a `request_id`.
pub fn request_id(text: &str) -> Result<RequestId, Refusal> {
    match text.parse::<RequestId>() {
        Ok(id) if !id.as_uuid().is_nil() => Ok(id),
        _ => Err(invalid("request_id", "must be a UUID, a new one for each new request")),
    }
}

/// Which request it is.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// The method's name.
    pub method: &'static str,
    /// Its `request_id`, as it came.
    pub id: &'a str,
}

/// Answers as before when this very request was answered, and otherwise does it.
pub async fn once<Q: Message, R: Message + Default>(
    store: &Store,
    asked: Asked<'_>,
    request: &Q,
    write: impl AsyncFnOnce() -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let id = request_id(asked.id)?;
    let hash = Sha256::digest(request.encode_to_vec());
    let mut tx = store.tenant(asked.tenant).await?;
    match recall(&mut tx, asked.method, id, &hash).await? {
        Recall::Answered(answer) => {
            return R::decode(answer.as_slice()).map_err(|_| refuse(ErrorReason::DataCorrupt));
        }
        Recall::Reused => return Err(refuse(ErrorReason::RequestIdReused)),
        Recall::New => drop(tx),
    }
    let answer = write().await?;
    let mut tx = store.tenant(asked.tenant).await?;
    match remember(&mut tx, asked.method, id, &hash, &answer.encode_to_vec()).await {
        Ok(()) => tx.commit().await?,
        // The same request came twice at once, and the other one was faster.
        Err(store::Error::Stale { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_uuid_and_not_nil() {
        assert!(request_id("01936e5e-0000-7000-8000-000000000001").is_ok());
        for bad in ["", "1", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(request_id(bad).unwrap_err().reason(), ErrorReason::RequestInvalid, "{bad}");
        }
    }
}
