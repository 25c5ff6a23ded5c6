//! Acknowledging bells: many in one round trip.

use std::collections::HashMap;

use redis::Pipeline;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::bell_reader::GROUP;
use super::valkey::Valkey;

/// At most so many in one round trip.
const BATCH: usize = 512;

/// A bell in hand. Settled, it is acknowledged and deleted; dropped, it stays with this node's name in the
/// stream, where the partition's next owner finds it.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(super) stream: String,
    pub(super) entry: String,
    /// The place it takes among the bells in hand.
    pub(super) _place: OwnedSemaphorePermit,
}

/// Where bells are settled.
#[derive(Debug, Clone)]
pub(crate) struct Acks {
    settled: mpsc::UnboundedSender<Ack>,
}

impl Acks {
    /// Settles bells in the background. There are never more of them than may be in hand. Not
    /// acknowledged for some reason, a bell rings again, which does no harm.
    pub(crate) fn start(valkey: Valkey) -> Self {
        let (settled, queue) = mpsc::unbounded_channel();
        tokio::spawn(run(valkey, queue));
        Self { settled }
    }

    pub(crate) fn settle(&self, acks: Vec<Ack>) {
        for ack in acks {
            let _ = self.settled.send(ack); // At the end of the node nobody listens.
        }
    }
}

async fn run(valkey: Valkey, mut queue: mpsc::UnboundedReceiver<Ack>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let mut by_stream: HashMap<&str, Vec<&str>> = HashMap::new();
        for ack in &batch {
            by_stream.entry(&ack.stream).or_default().push(&ack.entry);
        }
        let mut commands = Pipeline::with_capacity(2 * by_stream.len());
        for (stream, entries) in by_stream {
            commands.cmd("XACK").arg(stream).arg(GROUP).arg(&entries).ignore();
            commands.cmd("XDEL").arg(stream).arg(&entries).ignore();
        }
        if let Err(error) = valkey.run::<()>(&commands).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                bells = batch.len(),
                "not acknowledged"
            );
        }
        batch.clear();
    }
}
