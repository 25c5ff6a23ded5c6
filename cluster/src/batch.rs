//! Group commit: items that arrive while one batch is being committed make up the next.
//!
//! One commit for 64 effects costs little more than for one, so this is the largest single gain there is
//! on a database that syncs. No item waits for company: an idle batcher commits the first item alone.

use std::fmt;
use std::future::Future;

use tokio::sync::{mpsc, oneshot};

/// Gathers items into batches and hands each item its own result.
pub struct Batcher<E, R> {
    queue: mpsc::Sender<Waiting<E, R>>,
}

struct Waiting<E, R> {
    item: E,
    answer: oneshot::Sender<R>,
}

/// Why an item has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The queue is full; the item was not taken.
    #[error("too many effects are waiting")]
    Busy,
    /// The commit ended without a result for this item: its outcome is unknown.
    #[error("the outcome of the effect is unknown")]
    Lost,
}

impl<E, R> Clone for Batcher<E, R> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<E, R> fmt::Debug for Batcher<E, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("free", &self.queue.capacity()).finish()
    }
}

impl<E: Send + 'static, R: Send + 'static> Batcher<E, R> {
    /// The usual size of a batch.
    pub const USUAL_BATCH: usize = 64;

    /// Starts a batcher: at most `batch_max` items in one call of `commit`, at most `queue_max` waiting.
    /// `commit` answers one result per item, in order. The next batch goes when the former has answered.
    /// It ends when the last handle is dropped.
    pub fn start<F, C>(batch_max: usize, queue_max: usize, commit: F) -> Self
    where
        F: Fn(Vec<E>) -> C + Send + 'static,
        C: Future<Output = Vec<R>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(queue_max.max(1));
        tokio::spawn(run(waiting, batch_max.max(1), commit));
        Self { queue }
    }

    /// Has the item committed with others; waits for a place in the queue when it is full.
    pub async fn submit(&self, item: E) -> Result<R, BatchError> {
        let (answer, result) = oneshot::channel();
        self.queue.send(Waiting { item, answer }).await.map_err(|_| BatchError::Lost)?;
        result.await.map_err(|_| BatchError::Lost)
    }

    /// Has the item committed with others, or refuses it at once when the queue is full.
    pub async fn try_submit(&self, item: E) -> Result<R, BatchError> {
        let (answer, result) = oneshot::channel();
        self.queue.try_send(Waiting { item, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => BatchError::Busy,
            mpsc::error::TrySendError::Closed(_) => BatchError::Lost,
        })?;
        result.await.map_err(|_| BatchError::Lost)
    }
}

async fn run<E, R, F, C>(mut waiting: mpsc::Receiver<Waiting<E, R>>, batch_max: usize, commit: F)
where
    E: Send + 'static,
    R: Send + 'static,
    F: Fn(Vec<E>) -> C,
    C: Future<Output = Vec<R>> + Send + 'static,
{
    let mut batch = Vec::with_capacity(batch_max);
    while waiting.recv_many(&mut batch, batch_max).await > 0 {
        let (items, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|w| (w.item, w.answer)).unzip();
        // Its own task, so that a panic in one commit loses that batch and not the batcher.
        let results = tokio::spawn(commit(items)).await.unwrap_or_default();
        for (answer, result) in answers.into_iter().zip(results) {
            drop(answer.send(result)); // Nobody waits any more: the effect stands all the same.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Sized = Batcher<u32, (u32, usize)>;

    /// A batcher that answers (item, size of its batch), one batch for each permit of the gate; and a
    /// channel that tells of each batch when it begins.
    fn gated(batch_max: usize, queue_max: usize) -> (Sized, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
        let gate = Arc::new(Semaphore::new(0));
        let (begun, begins) = mpsc::unbounded_channel();
        let pass = gate.clone();
        let batcher = Batcher::start(batch_max, queue_max, move |items: Vec<u32>| {
            let size = items.len();
            begun.send(size).expect("the test listens");
            let pass = pass.clone();
            async move {
                pass.acquire().await.expect("gate is open").forget();
                assert!(!items.contains(&1313), "unlucky");
                items.into_iter().map(|item| (item, size)).collect()
            }
        });
        (batcher, gate, begins)
    }

    async fn submit(batcher: Sized, item: u32) -> Result<(u32, usize), BatchError> {
        batcher.submit(item).await
    }

    async fn until_waiting(batcher: &Sized, items: usize) {
        let waiting = async {
            while batcher.queue.max_capacity() - batcher.queue.capacity() < items {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the items are queued");
    }

    #[tokio::test]
    async fn what_arrives_during_a_commit_makes_up_the_next_batch() {
        let (batcher, gate, mut begins) = gated(64, 1024);
        let first = tokio::spawn(submit(batcher.clone(), 0));
        assert_eq!(begins.recv().await, Some(1));
        let later: Vec<_> = (1..=100).map(|n| tokio::spawn(submit(batcher.clone(), n))).collect();
        until_waiting(&batcher, 100).await;
        gate.add_permits(3);
        assert_eq!(first.await.unwrap(), Ok((0, 1)));
        let answers: Vec<_> = join_all(later).await.into_iter().map(|r| r.unwrap().unwrap()).collect();
        assert_eq!(answers.iter().map(|(item, _)| *item).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        let of = |size| answers.iter().filter(|(_, s)| *s == size).count();
        assert_eq!((of(64), of(36)), (64, 36));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_panic_loses_one_batch_only() {
        let (batcher, gate, mut begins) = gated(1, 1);
        let unlucky = tokio::spawn(submit(batcher.clone(), 1313));
        assert_eq!(begins.recv().await, Some(1));
        let queued = tokio::spawn(submit(batcher.clone(), 2));
        until_waiting(&batcher, 1).await;
        assert_eq!(batcher.try_submit(3).await, Err(BatchError::Busy));
        gate.add_permits(2);
        assert_eq!(unlucky.await.unwrap(), Err(BatchError::Lost));
        assert_eq!(queued.await.unwrap(), Ok((2, 1)));
    }
}
