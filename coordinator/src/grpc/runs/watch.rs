//! Following a run: read again a few times a second, and sent when it has changed, until it has ended.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use proto_api::common::v1::ErrorReason;
use proto_api::run::v1::WatchRunResponse;
use store::Store;
use store::runs::{self, Run};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::words::message;
use crate::grpc::Door;
use crate::grpc::errors::{RETRY_SOON, Refusal, refuse};
use crate::node::Phase;

/// What a watch of a run answers.
pub(super) type RunStream = Pin<Box<dyn Stream<Item = Result<WatchRunResponse, Status>> + Send>>;

const PACE: Duration = Duration::from_millis(250);
/// A watch of a run that goes on is ended after so long; who follows it begins again, on any node.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Follows a run. Counts as a watch, of which a node takes so many.
pub(super) fn follow(door: &Door, first: Run) -> Result<RunStream, Refusal> {
    let place = door.watches.place()?;
    let (sender, messages) = mpsc::channel(2);
    let (store, mut phase) = (door.store.clone(), door.phase.clone());
    tokio::spawn(async move {
        let _place = place;
        let leaving = async { drop(phase.wait_for(|phase| *phase == Phase::Leaving).await) };
        let left = tokio::select! {
            () = send(&store, first, &sender) => false,
            () = leaving => true,
            () = tokio::time::sleep(LONGEST) => false,
        };
        if left {
            // Nobody listens: nobody needs to be told.
            drop(sender.send(Err(refuse(ErrorReason::NodeLeaving).retry_after(RETRY_SOON).into())).await);
        }
    });
    Ok(Box::pin(ReceiverStream::new(messages)))
}

/// Ends with the run, or when nobody listens any more.
async fn send(store: &Store, mut run: Run, sender: &mpsc::Sender<Result<WatchRunResponse, Status>>) {
    let mut answer = Ok(WatchRunResponse { run: Some(message(&run)) });
    loop {
        let over = answer.is_err() || run.state.is_final();
        if sender.send(answer).await.is_err() || over {
            return;
        }
        answer = loop {
            tokio::time::sleep(PACE).await;
            if sender.is_closed() {
                return;
            }
            match read(store, &run).await {
                Ok(now) if now == run => {}
                Ok(now) => {
                    run = now;
                    break Ok(WatchRunResponse { run: Some(message(&run)) });
                }
                Err(error) => break Err(Refusal::from(error).into()),
            }
        };
    }
}

async fn read(store: &Store, run: &Run) -> Result<Run, store::Error> {
    let mut tx = store.fleet().await?;
    runs::get(&mut tx, run.id).await
}
