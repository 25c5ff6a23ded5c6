//! An SBOM's findings by a snapshot, with the words of VEX on them: the one way in which anything here is evaluated.
//!
//! Thinking is done in the node's places ([`Places`]). What VEX says is asked for in between, by the names of what was
//! found, and only where there is any.

use std::sync::Arc;

use evaluation::{Index, Matched};
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
    pub(crate) matched: Matched,
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
        let thinking = move || Ok(look(&read(&sbom)?, against.known.index()));
        Ok(think(thinking).await)
    }

    /// Evaluates a stored SBOM against a snapshot, with what is known there of package versions. `attended`: whether
    /// somebody waits for it. `Err` on the inside when the SBOM can never be evaluated.
    pub(crate) async fn evaluate(
        &self,
        asked: Asked,
        against: Arc<IndexedSnapshot>,
        attended: bool,
    ) -> Result<Result<Evaluated, Unevaluable>, EvaluatorError> {
        self.evaluate_by(|sbom, against| against.known.evaluate(sbom), asked, against, attended).await
    }

    /// As [`Self::evaluate`], and everything is matched anew: to hold what was kept against it.
    pub(crate) async fn evaluate_anew(
        &self,
        asked: Asked,
        against: Arc<IndexedSnapshot>,
        attended: bool,
    ) -> Result<Result<Evaluated, Unevaluable>, EvaluatorError> {
        let anew =
            |sbom: &Sbom, against: &IndexedSnapshot| evaluation::evaluate(sbom, against.known.index()).into();
        self.evaluate_by(anew, asked, against, attended).await
    }

    async fn evaluate_by(
        &self,
        evaluate: fn(&Sbom, &IndexedSnapshot) -> Matched,
        asked: Asked,
        against: Arc<IndexedSnapshot>,
        attended: bool,
    ) -> Result<Result<Evaluated, Unevaluable>, EvaluatorError> {
        let Asked { tenant, image, revision, sbom } = asked;
        let _place = self.places.take(attended).await?;
        let about = About { tenant, image, revision, snapshot: against.id };
        let thinking = move || {
            let sbom = read(&sbom)?;
            let matched = evaluate(&sbom, &against);
            Ok((sbom, matched))
        };
        let (sbom, matched) = match think(thinking).await {
            Ok(done) => done,
            Err(error) => return Ok(Err(error)),
        };
        if !self.vex.is_any(about.tenant, about.snapshot).await? {
            return Ok(Ok(Evaluated { matched, testimony: None }));
        }
        let testimony = self.vex.about(&about, &names_of(matched.findings.findings())).await?;
        let thinking = move || {
            let Matched { findings, coverage, gaps } = matched;
            let findings = testimony.tell(&sbom, findings);
            Ok(Evaluated { matched: Matched { findings, coverage, gaps }, testimony: Some(testimony) })
        };
        Ok(think(thinking).await)
    }
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
