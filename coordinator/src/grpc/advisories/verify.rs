//! The proof of the store, as it goes on: structure first, then every revision.

use std::pin::Pin;

use model::SnapshotId;
use proto_api::advisory::v1::{self as wire, VerifyObservationsRequest, VerifyObservationsResponse};
use store::Store;
use store::aoc::{self, Documents, Violation};
use time::OffsetDateTime;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::Door;
use super::super::errors::{Refusal, invalid};
use super::messages::count;

/// What a proof answers.
pub(in crate::grpc) type Stream =
    Pin<Box<dyn futures::Stream<Item = Result<VerifyObservationsResponse, Status>> + Send>>;

/// Messages on their way to a client that is slow to read.
const BUFFER: usize = 4;
/// Violations in one message.
const TOLD: usize = 500;

/// Begins. What is wrong with the request is said at once and not in the stream.
pub(super) async fn begin(door: &Door, request: &VerifyObservationsRequest) -> Result<Stream, Refusal> {
    let since = since(&door.store, request).await?;
    let (sender, messages) = mpsc::channel(BUFFER);
    let proof = Proof { store: door.store.clone(), sender, revisions: 0, bytes: 0 };
    tokio::spawn(proof.run(since));
    Ok(Box::pin(ReceiverStream::new(messages)))
}

async fn since(store: &Store, request: &VerifyObservationsRequest) -> Result<SnapshotId, Refusal> {
    if request.since_snapshot < 0 {
        return Err(invalid("since_snapshot", "must not be negative"));
    }
    let Some(time) = request.since_time else { return Ok(SnapshotId(request.since_snapshot)) };
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .map_err(|_| invalid("since_time", "is no moment that can be told"))?;
    let mut tx = store.fleet().await?;
    let before = aoc::snapshot_before(&mut tx, moment).await?;
    Ok(SnapshotId(before.0.max(request.since_snapshot)))
}

struct Proof {
    store: Store,
    sender: Sender<Result<VerifyObservationsResponse, Status>>,
    revisions: u64,
    bytes: u64,
}

/// Nobody reads the answers any more.
struct Abandoned;

impl Proof {
    async fn run(mut self, since: SnapshotId) {
        let documents = aoc::documents(&self.store, since);
        if let Err(error) = self.go(documents).await {
            // A client that has left does not hear it.
            drop(self.sender.send(Err(Refusal::from(error).into())).await);
        }
    }

    async fn go(&mut self, mut documents: Documents) -> Result<(), store::Error> {
        let structure = aoc::structure(&self.store).await?;
        if self.tell(structure, false).await.is_err() {
            return Ok(());
        }
        while let Some(checked) = documents.next_page().await? {
            self.revisions += checked.revisions;
            self.bytes += checked.bytes;
            if self.tell(checked.violations, false).await.is_err() {
                return Ok(());
            }
        }
        drop(self.tell(Vec::new(), true).await);
        Ok(())
    }

    async fn tell(&self, violations: Vec<Violation>, complete: bool) -> Result<(), Abandoned> {
        let mut violations = violations.into_iter().map(violation).peekable();
        loop {
            let part: Vec<_> = violations.by_ref().take(TOLD).collect();
            let more = violations.peek().is_some();
            let message = VerifyObservationsResponse {
                violations: part,
                revisions: count(self.revisions),
                bytes: count(self.bytes),
                complete: complete && !more,
            };
            self.sender.send(Ok(message)).await.map_err(|_| Abandoned)?;
            if !more {
                return Ok(());
            }
        }
    }
}

fn violation(violation: Violation) -> wire::Violation {
    wire::Violation { rule: violation.rule.as_str().to_owned(), place: violation.place, what: violation.what }
}
