//! Commits the effects of all entities of a node together: while one batch is being committed, the next
//! one gathers. One commit for 64 costs little more than for one.
//!
//! What nobody waits for goes its own way beside, in smaller batches: a job never stands behind a round over the fleet.

use std::sync::Arc;

use cluster::{BatchError, Batcher};
use store::Store;
use store::effects::{Applied, Effect};

/// Effects in one batch of those that nobody waits for: what they lock is locked for no longer.
const UNATTENDED_BATCH: usize = 16;
/// How many effects may wait for their batch before those who bring more have to wait too.
const QUEUE_MAX: usize = 1024;

/// Why an effect is not known to be applied.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store says why.
    #[error(transparent)]
    Refused(#[from] store::Error),
    /// The whole batch failed: it may have been applied or not. Doing it again is safe.
    #[error("the effects of a batch may have been applied or not")]
    Batch(#[source] Arc<store::Error>),
    /// The committer ended meanwhile: it may have been applied or not.
    #[error(transparent)]
    Unknown(#[from] BatchError),
}

/// Commits effects. Cheap to clone; all clones share its queues.
#[derive(Debug, Clone)]
pub struct Committer {
    attended: Batcher<Effect, Answer>,
    unattended: Batcher<Effect, Answer>,
}

type Answer = Result<Applied, CommitError>;

impl Committer {
    /// Starts committing to this store. Ends when the last clone is dropped.
    pub fn start(store: Store) -> Self {
        let start = |batch| {
            let store = store.clone();
            Batcher::start(batch, QUEUE_MAX, move |effects| {
                let store = store.clone();
                async move { apply(&store, effects).await }
            })
        };
        Self { attended: start(Batcher::<Effect, Answer>::USUAL_BATCH), unattended: start(UNATTENDED_BATCH) }
    }

    /// Applies one effect; answers when it is durable, or refused.
    pub async fn commit(&self, effect: Effect) -> Result<Applied, CommitError> {
        let queue = if effect.is_attended() { &self.attended } else { &self.unattended };
        queue.submit(effect).await?
    }
}

/// An answer for each effect, whatever happens to the batch.
async fn apply(store: &Store, effects: Vec<Effect>) -> Vec<Answer> {
    let count = effects.len();
    match store::effects::apply(store, effects).await {
        Ok(answers) => answers.into_iter().map(|answer| answer.map_err(CommitError::Refused)).collect(),
        Err(error) => {
            let error = Arc::new(error);
            (0..count).map(|_| Err(CommitError::Batch(error.clone()))).collect()
        }
    }
}
