//! The next step of an image, from how far behind it is.
//!
//! Pure. An image takes one step at a time and looks again: each step is saved in one transaction and
//! moves jobs forward, so that the walk ends at [`Step::Rest`].

use model::{JobId, JobKind};

/// A job whose turn has come and that has not been sent on yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Which one.
    pub job: JobId,
    /// What it asks for.
    pub kind: JobKind,
}

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The extractor that made its SBOM; `None` without one.
    pub extractor: Option<String>,
    /// Jobs whose turn has come.
    pub admitted: Vec<Admitted>,
    /// Jobs that wait for an evaluation.
    pub evaluating: Vec<JobId>,
    /// Rises with everything that may change its findings.
    pub revision: i64,
    /// The revision its last verdict was made from.
    pub evaluated_revision: Option<i64>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing is behind.
    Rest,
    /// These jobs need an SBOM from a worker.
    Dispatch(Vec<JobId>),
    /// These jobs can do with the SBOM there is.
    SkipExtraction(Vec<JobId>),
    /// Match the SBOM against the advisories, and end these jobs with the verdict.
    Evaluate(Vec<JobId>),
}

/// The next step. `extractor` is the one this build has.
///
/// Jobs that need no worker go first: they are done soonest.
pub fn decide(view: &View, extractor: &str) -> Step {
    let fits = |kind| match (kind, view.extractor.as_deref()) {
        (_, None) => false,
        // Asks for the stored SBOM, whoever made it.
        (JobKind::Reevaluate, Some(_)) => true,
        (JobKind::Scan, Some(made_by)) => made_by == extractor,
    };
    let (ready, missing): (Vec<_>, Vec<_>) = view.admitted.iter().partition(|job| fits(job.kind));
    let ids = |jobs: Vec<&Admitted>| jobs.into_iter().map(|admitted| admitted.job).collect();
    let behind = view.extractor.is_some()
        && (!view.evaluating.is_empty() || view.evaluated_revision < Some(view.revision));
    if !ready.is_empty() {
        Step::SkipExtraction(ids(ready))
    } else if behind {
        Step::Evaluate(view.evaluating.clone())
    } else if !missing.is_empty() {
        Step::Dispatch(ids(missing))
    } else {
        Step::Rest
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn scan(n: u128) -> Admitted {
        Admitted { job: job(n), kind: JobKind::Scan }
    }

    fn reevaluate(n: u128) -> Admitted {
        Admitted { job: job(n), kind: JobKind::Reevaluate }
    }

    /// An image with an SBOM of this extractor, evaluated.
    fn known(extractor: &str) -> View {
        let extractor = Some(extractor.to_owned());
        View { extractor, revision: 3, evaluated_revision: Some(3), ..View::default() }
    }

    #[track_caller]
    fn check(view: &View, expected: &Step) {
        assert_eq!(&decide(view, "2"), expected, "{view:?}");
    }

    #[test]
    fn a_new_image_is_sent_to_a_worker() {
        check(
            &View { admitted: vec![scan(1), scan(2)], ..View::default() },
            &Step::Dispatch(vec![job(1), job(2)]),
        );
    }

    #[test]
    fn a_current_sbom_is_used_again() {
        check(&View { admitted: vec![scan(1)], ..known("2") }, &Step::SkipExtraction(vec![job(1)]));
    }

    #[test]
    fn an_sbom_of_another_extractor_is_made_anew_for_a_scan_only() {
        check(&View { admitted: vec![scan(1)], ..known("1") }, &Step::Dispatch(vec![job(1)]));
        check(&View { admitted: vec![reevaluate(1)], ..known("1") }, &Step::SkipExtraction(vec![job(1)]));
        check(
            &View { admitted: vec![scan(1), reevaluate(2)], ..known("1") },
            &Step::SkipExtraction(vec![job(2)]),
        );
    }

    #[test]
    fn an_evaluation_needs_an_sbom() {
        check(&View { admitted: vec![reevaluate(1)], ..View::default() }, &Step::Dispatch(vec![job(1)]));
        check(&View { evaluating: vec![job(1)], ..View::default() }, &Step::Rest);
    }

    #[test]
    fn waiting_jobs_and_a_newer_revision_are_reasons_to_evaluate() {
        check(&View { evaluating: vec![job(1)], ..known("2") }, &Step::Evaluate(vec![job(1)]));
        check(&View { revision: 4, ..known("2") }, &Step::Evaluate(vec![]));
        check(&View { evaluated_revision: None, ..known("2") }, &Step::Evaluate(vec![]));
        check(&known("2"), &Step::Rest);
    }

    #[test]
    fn jobs_that_need_no_worker_go_first() {
        let view = View { admitted: vec![scan(1)], evaluating: vec![job(2)], ..known("1") };
        check(&view, &Step::Evaluate(vec![job(2)]));
    }
}
