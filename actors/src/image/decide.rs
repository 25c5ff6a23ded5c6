//! The next step of an image, from how far behind it is.
//!
//! Pure. An image takes one step at a time and looks again: each step is saved in one transaction and
//! moves jobs forward, so that the walk ends at [`Step::Rest`].

use model::{JobId, JobKind};
use store::images::{Behind, OpenJob};

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

impl Step {
    /// Whether to look again after this step, and so to take another. Whatever comes after the last look rings.
    pub const fn goes_on(&self, behind: &Behind) -> bool {
        match self {
            Self::SkipExtraction(_) => true,
            Self::Evaluate(_) => !behind.admitted.is_empty(),
            Self::Rest | Self::Dispatch(_) => false,
        }
    }
}

/// The next step. `extractor` is the one this build has.
///
/// Jobs that need no worker go first: they are done soonest.
pub fn decide(behind: &Behind, extractor: &str) -> Step {
    let made_by = behind.sbom.as_ref().map(|sbom| sbom.extractor.as_str());
    let fits = |kind| match (kind, made_by) {
        (_, None) => false,
        // Asks for the stored SBOM, whoever made it.
        (JobKind::Reevaluate, Some(_)) => true,
        (JobKind::Scan, Some(made_by)) => made_by == extractor,
    };
    let (ready, missing): (Vec<_>, Vec<_>) = behind.admitted.iter().partition(|job| fits(job.kind));
    if !ready.is_empty() {
        Step::SkipExtraction(ids(ready))
    } else if behind.owes_evaluation() {
        Step::Evaluate(ids(&behind.evaluating))
    } else if !missing.is_empty() {
        Step::Dispatch(ids(missing))
    } else {
        Step::Rest
    }
}

fn ids<'a>(jobs: impl IntoIterator<Item = &'a OpenJob>) -> Vec<JobId> {
    jobs.into_iter().map(|open| open.job).collect()
}

#[cfg(test)]
mod tests {
    use model::{Digest, Lane};
    use store::images::CurrentSbom;
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn job(n: u128, kind: JobKind) -> OpenJob {
        OpenJob { job: id(n), lane: Lane::Bulk, kind, trace: None }
    }

    fn scan(n: u128) -> OpenJob {
        job(n, JobKind::Scan)
    }

    fn reevaluate(n: u128) -> OpenJob {
        job(n, JobKind::Reevaluate)
    }

    /// An image without SBOM.
    fn new() -> Behind {
        Behind {
            revision: 0,
            evaluated_revision: 0,
            evaluated_snapshot: None,
            sbom: None,
            admitted: vec![],
            extracting: vec![],
            evaluating: vec![],
            open_work: false,
            last_verdict: 0,
        }
    }

    /// An image with an SBOM of this extractor, evaluated.
    fn known(extractor: &str) -> Behind {
        let sbom = Some(CurrentSbom { digest: Digest::of(b"sbom"), extractor: extractor.to_owned() });
        Behind { sbom, revision: 3, evaluated_revision: 3, ..new() }
    }

    #[track_caller]
    fn check(behind: &Behind, expected: &Step) {
        assert_eq!(&decide(behind, "2"), expected, "{behind:?}");
    }

    #[test]
    fn a_new_image_is_sent_to_a_worker() {
        check(&Behind { admitted: vec![scan(1), scan(2)], ..new() }, &Step::Dispatch(vec![id(1), id(2)]));
    }

    #[test]
    fn a_current_sbom_is_used_again() {
        check(&Behind { admitted: vec![scan(1)], ..known("2") }, &Step::SkipExtraction(vec![id(1)]));
    }

    #[test]
    fn an_sbom_of_another_extractor_is_made_anew_for_a_scan_only() {
        check(&Behind { admitted: vec![scan(1)], ..known("1") }, &Step::Dispatch(vec![id(1)]));
        check(&Behind { admitted: vec![reevaluate(1)], ..known("1") }, &Step::SkipExtraction(vec![id(1)]));
        check(
            &Behind { admitted: vec![scan(1), reevaluate(2)], ..known("1") },
            &Step::SkipExtraction(vec![id(2)]),
        );
    }

    #[test]
    fn an_evaluation_needs_an_sbom() {
        check(&Behind { admitted: vec![reevaluate(1)], ..new() }, &Step::Dispatch(vec![id(1)]));
        check(&Behind { evaluating: vec![scan(1)], ..new() }, &Step::Rest);
    }

    #[test]
    fn waiting_jobs_and_a_newer_revision_are_reasons_to_evaluate() {
        check(&Behind { evaluating: vec![scan(1)], ..known("2") }, &Step::Evaluate(vec![id(1)]));
        check(&Behind { revision: 4, ..known("2") }, &Step::Evaluate(vec![]));
        check(&Behind { evaluated_revision: 2, ..known("2") }, &Step::Evaluate(vec![]));
        check(&known("2"), &Step::Rest);
    }

    #[test]
    fn jobs_that_need_no_worker_go_first() {
        let view = Behind { admitted: vec![scan(1)], evaluating: vec![scan(2)], ..known("1") };
        check(&view, &Step::Evaluate(vec![id(2)]));
    }
}
