//! An SBOM's findings by a snapshot, with the words of VEX on them: the one way in which anything here is evaluated.
//!
//! Thinking is done in the node's places ([`Places`]). What VEX says is asked for in between, by the names of what was
//! found, and only where there is any.

use std::sync::Arc;

use evaluation::{Evaluation, Index};
use model::{ImageDigest, Sbom, TenantId};
use tokio::sync::AcquireError;

use crate::index_cache::IndexedSnapshot;
use crate::places::{Places, Unevaluable};
use crate::vex_hearing::{About, HearingError, Testimony, VexHearing, names_of};

/// Evaluates. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Evaluator {
    places: Arc<Places>,
    vex: VexHearing,
}

/// What is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whose image.
    pub tenant: TenantId,
    /// Which image.
    pub image: ImageDigest,
    /// What the image was called up to this revision of it counts.
    pub revision: i64,
    /// Its SBOM as stored.
    pub sbom: Vec<u8>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// Findings with the words on them, and how far they can be trusted.
    pub(crate) evaluation: Evaluation,
    /// What was heard; nothing where there is no VEX.
    pub(crate) testimony: Option<Testimony>,
}

/// Why it cannot be evaluated now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluatorError {
    /// The node leaves.
    #[error("the node evaluates nothing any more")]
    Leaving(#[from] AcquireError),
    /// What VEX says cannot be had.
    #[error(transparent)]
    Hearing(#[from] HearingError),
}

impl Evaluator {
    /// In these places.
    pub(crate) const fn new(places: Arc<Places>, vex: VexHearing) -> Self {
        Self { places, vex }
    }

    /// What VEX says, for who asks for that alone.
    pub(crate) const fn vex(&self) -> &VexHearing {
        &self.vex
    }

    /// Looks at a stored SBOM and the advisories of a snapshot in one of the places, without VEX.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        sbom: Vec<u8>,
        against: Arc<IndexedSnapshot>,
        attended: bool,
        look: impl FnOnce(&Sbom, &Index) -> T + Send + 'static,
    ) -> Result<Result<T, Unevaluable>, AcquireError> {
        let _place = self.places.take(attended).await?;
        let thinking = move || Ok(look(&read(&sbom)?, &against.index));
        Ok(think(thinking).await)
    }

    /// Evaluates a stored SBOM against a snapshot, and makes of the result what the caller needs. `attended`: whether
    /// somebody waits for it. `Err` on the inside when the SBOM can never be evaluated.
    pub(crate) async fn evaluate<T: Send + 'static>(
        &self,
        asked: Asked,
        against: Arc<IndexedSnapshot>,
        attended: bool,
        then: impl FnOnce(Evaluated) -> T + Send + 'static,
    ) -> Result<Result<T, Unevaluable>, EvaluatorError> {
        let Asked { tenant, image, revision, sbom } = asked;
        let _place = self.places.take(attended).await?;
        let about = About { tenant, image, revision, snapshot: against.id };
        if !self.vex.is_any(about.tenant, about.snapshot).await? {
            let thinking = move || {
                let (_, evaluation) = matched(&sbom, &against)?;
                Ok(then(Evaluated { evaluation, testimony: None }))
            };
            return Ok(think(thinking).await);
        }
        let (sbom, mut evaluation) = match think(move || matched(&sbom, &against)).await {
            Ok(matched) => matched,
            Err(error) => return Ok(Err(error)),
        };
        let testimony = self.vex.about(&about, &names_of(&evaluation.findings)).await?;
        let thinking = move || {
            testimony.tell(&sbom, &mut evaluation.findings);
            Ok(then(Evaluated { evaluation, testimony: Some(testimony) }))
        };
        Ok(think(thinking).await)
    }
}

fn matched(document: &[u8], against: &IndexedSnapshot) -> Result<(Sbom, Evaluation), Unevaluable> {
    let sbom = read(document)?;
    let evaluation = evaluation::evaluate(&sbom, &against.index);
    Ok((sbom, evaluation))
}

fn read(document: &[u8]) -> Result<Sbom, Unevaluable> {
    inventory::sbom::parse(document).map_err(|error| Unevaluable::Unreadable(error.to_string()))
}

/// Away from the threads that wait.
async fn think<T: Send + 'static>(
    thinking: impl FnOnce() -> Result<T, Unevaluable> + Send + 'static,
) -> Result<T, Unevaluable> {
    tokio::task::spawn_blocking(thinking).await.unwrap_or(Err(Unevaluable::Panicked))
}
