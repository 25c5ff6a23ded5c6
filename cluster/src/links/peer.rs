//! The calling end of a link: one task that writes, and one that reads the answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use proto_cluster::v1::frame::Says;
use proto_cluster::v1::node_client::NodeClient;
use proto_cluster::v1::{Bye, Frame, Hint};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::frames::{self, Numbered};
use super::{Identity, Refused};
use crate::config::LinkLimits;
use crate::key::EntityKey;

/// A link to one peer. Dropped by all who hold it, it closes.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    queue: mpsc::Sender<Says>,
    waiting: Arc<Waiting>,
    places: Arc<Semaphore>,
}

/// Asks without an answer yet, by their ids.
#[derive(Debug, Default)]
struct Waiting {
    next: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, Refused>>>>,
}

/// Forgets an ask when whoever asked has given up.
struct Asked<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.waiting.answers().remove(&self.id);
    }
}

impl Waiting {
    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Bytes, Refused>>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, id: u64, answer: Result<Bytes, Refused>) {
        if let Some(asker) = self.answers().remove(&id) {
            let _ = asker.send(answer); // Whoever asked may have given up.
        }
    }
}

impl Peer {
    /// Opens a link in the background; what is sent meanwhile waits in its queue.
    pub(super) fn open(endpoint: Endpoint, identity: &Identity, limits: LinkLimits) -> Self {
        let (queue, frames) = mpsc::channel(limits.queue);
        let waiting = Arc::<Waiting>::default();
        let peer =
            Self { queue, waiting: waiting.clone(), places: Arc::new(Semaphore::new(limits.in_flight_max)) };
        let identity = identity.clone();
        tokio::spawn(async move {
            if let Err(error) = run(endpoint, &identity, frames, &waiting, limits).await {
                tracing::debug!(error, "a link to another node ended");
            }
            // Dropping the senders tells everybody that no answer comes.
            waiting.answers().clear();
        });
        peer
    }

    /// Whether the link has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(super) async fn ask(
        &self,
        key: &EntityKey,
        body: Bytes,
        view: i64,
        ttl: Duration,
    ) -> Result<Bytes, Refused> {
        let _place = self.places.try_acquire().map_err(|_| Refused::Busy)?;
        let id = self.waiting.next.fetch_add(1, Ordering::Relaxed);
        let (asker, answer) = oneshot::channel();
        self.waiting.answers().insert(id, asker);
        let _asked = Asked { waiting: &self.waiting, id };
        self.send(frames::deliver(id, key, Some((body, ttl)), view))?;
        answer.await.unwrap_or(Err(Refused::Unreachable))
    }

    /// Asks without an answer yet.
    #[cfg(test)]
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.answers().len()
    }

    pub(super) fn wake(&self, key: &EntityKey, view: i64) -> Result<(), Refused> {
        let id = self.waiting.next.fetch_add(1, Ordering::Relaxed);
        self.send(frames::deliver(id, key, None, view))
    }

    pub(super) fn hint(&self, view: i64, released: &[u16]) -> Result<(), Refused> {
        let released = released.iter().map(|partition| u32::from(*partition)).collect();
        self.send(Says::Hint(Hint { view, released }))
    }

    pub(super) fn bye(&self) {
        let _ = self.send(Says::Bye(Bye {}));
    }

    fn send(&self, says: Says) -> Result<(), Refused> {
        self.queue.try_send(says).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                metrics::counter!(crate::metrics::LINK_BUSY).increment(1);
                Refused::Busy
            }
            mpsc::error::TrySendError::Closed(_) => Refused::Unreachable,
        })
    }
}

/// Connects, greets, and carries frames until either end closes. The error is for the log.
async fn run(
    endpoint: Endpoint,
    identity: &Identity,
    queue: mpsc::Receiver<Says>,
    waiting: &Waiting,
    limits: LinkLimits,
) -> Result<(), String> {
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    let mut client = NodeClient::new(channel).max_decoding_message_size(2 * limits.body_max);
    let mut numbered = Numbered::default();
    let hello = numbered.frame(frames::hello(identity));
    let rest = ReceiverStream::new(queue).map(move |says| numbered.frame(says));
    let outgoing = futures::stream::iter([hello]).chain(rest);
    let answers = client.link(outgoing).await.map_err(|status| status.to_string())?.into_inner();
    read(answers, identity, waiting).await
}

async fn read(mut answers: Streaming<Frame>, identity: &Identity, waiting: &Waiting) -> Result<(), String> {
    while let Some(frame) = answers.message().await.map_err(|status| status.to_string())? {
        match frame.says {
            Some(Says::Hello(hello)) => drop(frames::greeted(&hello, identity)?),
            Some(Says::Reply(reply)) => waiting.settle(reply.id, Ok(reply.body)),
            Some(Says::Nack(nack)) => waiting.settle(nack.id, Err(frames::refused(&nack))),
            Some(Says::Bye(_)) => return Ok(()),
            Some(Says::Deliver(_) | Says::Hint(_)) | None => {} // From a newer node, perhaps.
        }
    }
    Ok(())
}
