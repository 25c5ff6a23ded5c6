//! What was known: an SBOM evaluated once more, with the advisories and the VEX of a snapshot of before.

use evaluation::{Explanation, Index};
use model::{Digest, Sbom, SnapshotId};

use crate::Deps;
use crate::evaluator::{Asked, Evaluator, EvaluatorError};
use crate::index_cache::{IndexCache, IndexError};
use crate::vex_hearing::HearingError;

/// Evaluates again. Cheap to clone; what it computes counts against the node's evaluations.
#[derive(Debug, Clone)]
pub struct Recall {
    indexes: IndexCache,
    evaluator: Evaluator,
}

/// Why it could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The advisories of that snapshot are not to be had now.
    #[error("the advisories of the snapshot cannot be read")]
    Index(#[from] IndexError),
    /// The VEX of that snapshot is not to be had now.
    #[error("the VEX of the snapshot cannot be read")]
    Hearing(#[from] HearingError),
    /// The stored SBOM can never be evaluated.
    #[error("the stored sbom cannot be evaluated: {0}")]
    Sbom(String),
    /// The node leaves.
    #[error("the node evaluates nothing any more")]
    Leaving,
}

impl Recall {
    /// With the node's own indexes.
    pub fn new(deps: &Deps) -> Self {
        Self { indexes: deps.indexes.clone(), evaluator: deps.evaluator.clone() }
    }

    /// The digest of what these components' findings are by this snapshot.
    ///
    /// # Errors
    /// When what was known then cannot be had now.
    pub async fn findings_digest(&self, asked: Asked, snapshot: SnapshotId) -> Result<Digest, RecallError> {
        let then = self.indexes.at(snapshot).await?;
        let found = self.evaluator.evaluate_anew(asked, then, true).await;
        let found = found.map_err(|error| match error {
            EvaluatorError::Leaving(_) => RecallError::Leaving,
            EvaluatorError::Hearing(error) => error.into(),
        })?;
        let found = found.map_err(|error| RecallError::Sbom(error.to_string()))?;
        Ok(found.matched.findings.digest().clone())
    }

    /// Why a vulnerability holds for these components by this snapshot, or why it does not.
    pub async fn explain(
        &self,
        document: Vec<u8>,
        snapshot: SnapshotId,
        vulnerability: String,
    ) -> Result<Explanation, RecallError> {
        let then = self.indexes.at(snapshot).await?;
        let explain = move |sbom: &Sbom, index: &Index| evaluation::explain(sbom, index, &vulnerability);
        let explained = self.evaluator.look(document, then, true, explain).await;
        explained.map_err(|_| RecallError::Leaving)?.map_err(|error| RecallError::Sbom(error.to_string()))
    }
}
