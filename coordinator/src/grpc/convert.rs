//! Between the words of the contract and those of the model, where both name the same thing.

use std::time::Duration;

use model::{Coverage, GapKind, JobKind, JobState, Lane, Origin, Severity, Stage};
use proto_api::common::v1 as common;
use proto_api::finding::v1 as finding;
use proto_api::issuer::v1 as issuer;
use proto_api::job::v1 as job;
use time::OffsetDateTime;
use vex::trust::Tier;

/// The contract's word for a lane.
pub const fn lane(lane: Lane) -> common::Lane {
    match lane {
        Lane::Interactive => common::Lane::Interactive,
        Lane::Bulk => common::Lane::Bulk,
        Lane::Sweep => common::Lane::Sweep,
    }
}

/// The lane of a request; `None` when it names none.
pub const fn lane_of(lane: common::Lane) -> Option<Lane> {
    match lane {
        common::Lane::Unspecified => None,
        common::Lane::Interactive => Some(Lane::Interactive),
        common::Lane::Bulk => Some(Lane::Bulk),
        common::Lane::Sweep => Some(Lane::Sweep),
    }
}

/// The contract's word for a state.
pub const fn state(state: JobState) -> job::JobState {
    match state {
        JobState::Accepted => job::JobState::Accepted,
        JobState::Extracting => job::JobState::Extracting,
        JobState::Evaluating => job::JobState::Evaluating,
        JobState::Done => job::JobState::Done,
        JobState::Failed => job::JobState::Failed,
        JobState::Cancelled => job::JobState::Cancelled,
    }
}

/// The state of a request; `None` when it names none.
pub const fn state_of(state: job::JobState) -> Option<JobState> {
    match state {
        job::JobState::Unspecified => None,
        job::JobState::Accepted => Some(JobState::Accepted),
        job::JobState::Extracting => Some(JobState::Extracting),
        job::JobState::Evaluating => Some(JobState::Evaluating),
        job::JobState::Done => Some(JobState::Done),
        job::JobState::Failed => Some(JobState::Failed),
        job::JobState::Cancelled => Some(JobState::Cancelled),
    }
}

/// Whether nothing more will happen to a job in this state.
pub fn is_final(state: job::JobState) -> bool {
    state_of(state).is_some_and(JobState::is_final)
}

/// Whether a job in this state has a verdict.
pub const fn is_done(state: job::JobState) -> bool {
    matches!(state, job::JobState::Done)
}

/// The contract's word for a kind of job.
pub const fn kind(kind: JobKind) -> job::JobKind {
    match kind {
        JobKind::Scan => job::JobKind::Scan,
        JobKind::Reevaluate => job::JobKind::Reevaluate,
    }
}

/// The kind of a request; a scan when it names none.
pub const fn kind_of(kind: job::JobKind) -> JobKind {
    match kind {
        job::JobKind::Unspecified | job::JobKind::Scan => JobKind::Scan,
        job::JobKind::Reevaluate => JobKind::Reevaluate,
    }
}

/// The contract's word for a stage.
pub const fn stage(stage: Stage) -> job::Stage {
    match stage {
        Stage::Queued => job::Stage::Queued,
        Stage::Dispatched => job::Stage::Dispatched,
        Stage::Extracting => job::Stage::Extracting,
        Stage::Evaluating => job::Stage::Evaluating,
    }
}

/// The contract's word for a severity.
pub const fn severity(severity: Severity) -> common::Severity {
    match severity {
        Severity::Unknown => common::Severity::Unknown,
        Severity::None => common::Severity::None,
        Severity::Low => common::Severity::Low,
        Severity::Medium => common::Severity::Medium,
        Severity::High => common::Severity::High,
        Severity::Critical => common::Severity::Critical,
    }
}

/// The severity of a filter; `None` for any.
pub const fn severity_of(severity: common::Severity) -> Option<Severity> {
    match severity {
        common::Severity::Unspecified => None,
        common::Severity::Unknown => Some(Severity::Unknown),
        common::Severity::None => Some(Severity::None),
        common::Severity::Low => Some(Severity::Low),
        common::Severity::Medium => Some(Severity::Medium),
        common::Severity::High => Some(Severity::High),
        common::Severity::Critical => Some(Severity::Critical),
    }
}

/// The contract's word for a coverage.
pub const fn coverage(coverage: Coverage) -> common::Coverage {
    match coverage {
        Coverage::Complete => common::Coverage::Complete,
        Coverage::Partial => common::Coverage::Partial,
        Coverage::Provisional => common::Coverage::Provisional,
    }
}

/// The coverage of a contract's word; what a newer server calls otherwise is not trusted.
pub const fn coverage_of(coverage: common::Coverage) -> Coverage {
    match coverage {
        common::Coverage::Complete => Coverage::Complete,
        common::Coverage::Partial => Coverage::Partial,
        common::Coverage::Provisional | common::Coverage::Unspecified => Coverage::Provisional,
    }
}

/// The contract's word for a state in which a result is not to be trusted.
pub const fn gap_kind(kind: GapKind) -> finding::CoverageState {
    match kind {
        GapKind::NoFeeds => finding::CoverageState::NoFeeds,
        GapKind::UnknownDistro => finding::CoverageState::UnknownDistro,
        GapKind::EndOfLife => finding::CoverageState::EndOfLife,
        GapKind::MissingFeed => finding::CoverageState::MissingFeed,
        GapKind::LateFeed => finding::CoverageState::LateFeed,
        GapKind::ThirdParty => finding::CoverageState::ThirdParty,
        GapKind::PartialScan => finding::CoverageState::PartialScan,
    }
}

/// The state of a contract's word; one that only a newer server knows is a partial scan.
pub const fn gap_kind_of(state: finding::CoverageState) -> GapKind {
    match state {
        finding::CoverageState::NoFeeds => GapKind::NoFeeds,
        finding::CoverageState::UnknownDistro => GapKind::UnknownDistro,
        finding::CoverageState::EndOfLife => GapKind::EndOfLife,
        finding::CoverageState::MissingFeed => GapKind::MissingFeed,
        finding::CoverageState::LateFeed => GapKind::LateFeed,
        finding::CoverageState::ThirdParty => GapKind::ThirdParty,
        finding::CoverageState::PartialScan | finding::CoverageState::Unspecified => GapKind::PartialScan,
    }
}

/// The contract's word for who brought a component.
pub const fn origin(origin: Option<Origin>) -> finding::Origin {
    match origin {
        None => finding::Origin::Unspecified,
        Some(Origin::Base) => finding::Origin::Base,
        Some(Origin::Own) => finding::Origin::Own,
    }
}

/// Who brought a component, where the contract's word says it.
pub const fn origin_of(origin: finding::Origin) -> Option<Origin> {
    match origin {
        finding::Origin::Unspecified => None,
        finding::Origin::Base => Some(Origin::Base),
        finding::Origin::Own => Some(Origin::Own),
    }
}

/// The contract's word for how far an issuer is trusted.
pub const fn tier(tier: Tier) -> issuer::Tier {
    match tier {
        Tier::Untrusted => issuer::Tier::Untrusted,
        Tier::Third => issuer::Tier::Hub,
        Tier::Second => issuer::Tier::Supplier,
        Tier::First => issuer::Tier::Own,
    }
}

/// The tier of a request; `None` when it names none.
pub const fn tier_of(tier: issuer::Tier) -> Option<Tier> {
    match tier {
        issuer::Tier::Unspecified => None,
        issuer::Tier::Untrusted => Some(Tier::Untrusted),
        issuer::Tier::Hub => Some(Tier::Third),
        issuer::Tier::Supplier => Some(Tier::Second),
        issuer::Tier::Own => Some(Tier::First),
    }
}

/// A moment as the contract writes it.
pub fn timestamp(moment: OffsetDateTime) -> prost_types::Timestamp {
    let nanos = i32::try_from(moment.nanosecond()).expect("below a second");
    prost_types::Timestamp { seconds: moment.unix_timestamp(), nanos }
}

/// A moment of the contract.
pub fn moment(time: prost_types::Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

/// A length of time as the contract writes it.
pub fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_way_there_and_back() {
        assert!(Lane::ALL.iter().all(|l| lane_of(lane(*l)) == Some(*l)));
        assert!(JobState::ALL.iter().all(|s| state_of(state(*s)) == Some(*s)));
        assert!(JobKind::ALL.iter().all(|k| kind_of(kind(*k)) == *k));
        assert!(Severity::ALL.iter().all(|s| severity_of(severity(*s)) == Some(*s)));
        assert!(GapKind::ALL.iter().all(|k| gap_kind_of(gap_kind(*k)) == *k));
        assert!([None, Some(Origin::Base), Some(Origin::Own)].iter().all(|o| origin_of(origin(*o)) == *o));
        assert!(Tier::ALL.iter().all(|t| tier_of(tier(*t)) == Some(*t)));
        let coverages = [Coverage::Complete, Coverage::Partial, Coverage::Provisional];
        assert!(coverages.iter().all(|c| coverage_of(coverage(*c)) == *c));
    }

    #[test]
    fn final_states_are_the_models() {
        for state in JobState::ALL {
            assert_eq!(is_final(super::state(*state)), state.is_final());
        }
    }
}
