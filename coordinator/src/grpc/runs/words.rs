//! Runs in the words of the contract.

use model::{RunImageState, RunKind, RunState};
use proto_api::run::v1 as wire;
use store::runs::{Counts, Run, RunImage, Selector};

use crate::grpc::convert;
use crate::grpc::errors::{Refusal, invalid};

pub(super) fn message(run: &Run) -> wire::Run {
    let (after, until) = run.snapshots.map_or((0, 0), |(after, until)| (after.0, until.0));
    let marks = &run.marks;
    wire::Run {
        run_id: run.id.to_string(),
        kind: kind(run.kind).into(),
        cause: run.cause.clone(),
        state: state(run.state).into(),
        reason: run.reason.clone().unwrap_or_default(),
        after_snapshot: after,
        until_snapshot: until,
        selector: (run.kind != RunKind::Delta).then(|| selector_message(&run.selector)),
        schedule_id: run.schedule.clone().unwrap_or_default(),
        rate_per_second: rate(run.rate_per_s),
        cancel_asked: run.cancel_asked,
        counts: Some(counts(&run.counts)),
        publish_time: marks.published.map(convert::timestamp),
        observe_time: marks.observed.map(convert::timestamp),
        create_time: Some(convert::timestamp(marks.created)),
        plan_time: marks.planned.map(convert::timestamp),
        dispatch_time: marks.dispatched.map(convert::timestamp),
        release_time: run.released.map(convert::timestamp),
        end_time: marks.ended.map(convert::timestamp),
    }
}

fn counts(counts: &Counts) -> wire::RunCounts {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    wire::RunCounts {
        delta_records: count(counts.delta_records),
        withdrawn: count(counts.withdrawn),
        package_versions: count(counts.package_versions),
        images_known: count(counts.images_known),
        images: count(counts.images),
        images_losing: count(counts.losing),
        dispatched: count(counts.dispatched),
        evaluated: count(counts.evaluated),
        changed: count(counts.changed),
        failed: count(counts.failed),
    }
}

pub(super) fn image_message(image: &RunImage) -> wire::RunImage {
    wire::RunImage {
        tenant_id: image.tenant.to_string(),
        image: image.image.to_string(),
        state: image_state(image.state).into(),
        must_reach: image.must_reach.unwrap_or_default(),
        reason: image.reason.clone().unwrap_or_default(),
        dispatch_time: image.dispatched.map(convert::timestamp),
        end_time: image.ended.map(convert::timestamp),
    }
}

/// A selector in the words of the contract.
pub(in crate::grpc) fn selector_message(selector: &Selector) -> wire::Selector {
    wire::Selector {
        tenant: selector.tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        image: selector.image.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: selector.name.clone().unwrap_or_default(),
        stale_only: selector.stale_only,
        packages: selector.packages.clone(),
    }
}

/// A rate in the words of the contract, where 0 is none.
pub(in crate::grpc) fn rate(rate_per_s: Option<f32>) -> f32 {
    rate_per_s.unwrap_or_default()
}

/// The rate of a request.
pub(in crate::grpc) fn rate_of(rate: f32) -> Result<Option<f32>, Refusal> {
    if rate == 0.0 {
        Ok(None)
    } else if rate > 0.0 && rate <= 1e6 {
        Ok(Some(rate))
    } else {
        Err(invalid("rate_per_second", "must be above 0 and at most 1000000"))
    }
}

const fn kind(kind: RunKind) -> wire::RunKind {
    match kind {
        RunKind::Delta => wire::RunKind::Delta,
        RunKind::Packages => wire::RunKind::Packages,
        RunKind::Sweep => wire::RunKind::Sweep,
    }
}

const fn state(state: RunState) -> wire::RunState {
    match state {
        RunState::Planned => wire::RunState::Planned,
        RunState::Held => wire::RunState::Held,
        RunState::Running => wire::RunState::Running,
        RunState::Completed => wire::RunState::Completed,
        RunState::Failed => wire::RunState::Failed,
        RunState::Cancelled => wire::RunState::Cancelled,
    }
}

/// The state of a request; `None` when it names none.
pub(super) const fn state_of(state: wire::RunState) -> Option<RunState> {
    match state {
        wire::RunState::Unspecified => None,
        wire::RunState::Planned => Some(RunState::Planned),
        wire::RunState::Held => Some(RunState::Held),
        wire::RunState::Running => Some(RunState::Running),
        wire::RunState::Completed => Some(RunState::Completed),
        wire::RunState::Failed => Some(RunState::Failed),
        wire::RunState::Cancelled => Some(RunState::Cancelled),
    }
}

const fn image_state(state: RunImageState) -> wire::RunImageState {
    match state {
        RunImageState::Selected => wire::RunImageState::Selected,
        RunImageState::Dispatched => wire::RunImageState::Dispatched,
        RunImageState::Current => wire::RunImageState::Current,
        RunImageState::Unchanged => wire::RunImageState::Unchanged,
        RunImageState::Changed => wire::RunImageState::Changed,
        RunImageState::Failed => wire::RunImageState::Failed,
    }
}

/// The state of a filter; `None` for any.
pub(super) const fn image_state_of(state: wire::RunImageState) -> Option<RunImageState> {
    match state {
        wire::RunImageState::Unspecified => None,
        wire::RunImageState::Selected => Some(RunImageState::Selected),
        wire::RunImageState::Dispatched => Some(RunImageState::Dispatched),
        wire::RunImageState::Current => Some(RunImageState::Current),
        wire::RunImageState::Unchanged => Some(RunImageState::Unchanged),
        wire::RunImageState::Changed => Some(RunImageState::Changed),
        wire::RunImageState::Failed => Some(RunImageState::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_way_there_and_back() {
        assert!(RunState::ALL.iter().all(|s| state_of(state(*s)) == Some(*s)));
        assert!(RunImageState::ALL.iter().all(|s| image_state_of(image_state(*s)) == Some(*s)));
    }

    #[test]
    fn a_rate_is_above_nothing_or_not_said() {
        assert_eq!(rate_of(0.0).unwrap(), None);
        assert_eq!(rate_of(0.5).unwrap(), Some(0.5));
        for bad in [-1.0, f32::NAN, f32::INFINITY, 1e7] {
            assert!(rate_of(bad).is_err(), "{bad}");
        }
    }
}
