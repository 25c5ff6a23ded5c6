//! Commits the effects of all entities of a node together: while one batch is being committed, the next
//! one gathers. One commit for 64 costs little more than for one.
//!
//! What nobody waits for goes its own ways beside, in smaller batches: a job never stands behind a round over the fleet.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    /// While one batch is at the disk, another one computes.
    unattended: [Batcher<Effect, Answer>; 2],
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
        Self {
            attended: start(Batcher::<Effect, Answer>::USUAL_BATCH),
            unattended: [start(UNATTENDED_BATCH), start(UNATTENDED_BATCH)],
        }
    }

    /// Applies one effect; answers when it is durable, or refused.
    pub async fn commit(&self, effect: Effect) -> Result<Applied, CommitError> {
        self.way(&effect).submit(effect).await?
    }

    /// Effects of one image go the same way.
    fn way(&self, effect: &Effect) -> &Batcher<Effect, Answer> {
        let Some(image) = effect.unattended_image() else { return &self.attended };
        let mut hasher = DefaultHasher::new();
        image.as_str().hash(&mut hasher);
        if hasher.finish().is_multiple_of(2) { &self.unattended[0] } else { &self.unattended[1] }
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
