//! Named places where a test may hold or break an actor. Without the feature `failpoints` they compile
//! to nothing.
//!
//! With it, `FAILPOINTS="worker-before-complete=return(/tmp/hold)"` makes whoever passes that place
//! wait for as long as the file `/tmp/hold` exists, and `=panic` makes it panic (crate `fail` has the
//! grammar: `1*return(…)` for the first one only). Waiting does not block a thread.

/// A place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The worker holds an attempt and has read nothing yet.
    WorkerAfterClaim,
    /// The worker has read the first layer.
    WorkerMidExtraction,
    /// The worker has the SBOM and has stored nothing.
    WorkerBeforeComplete,
    /// The image has decided to send work out.
    ImageBeforeDispatch,
    /// The image has findings and has stored nothing.
    ImageBeforeSave,
    /// The relay has rung the bells and has not committed their removal.
    RelayBeforeCommit,
    /// The tenant has decided whom to admit.
    TenantBeforeAdmit,
    /// The feed has stored one batch of several.
    FeedMidIngest,
    /// The scheduler has written down one page of a run's images.
    SchedulerMidPlan,
    /// The scheduler has asked for one page of a run's images.
    SchedulerMidDispatch,
}

impl Point {
    /// Every place.
    pub const ALL: [Self; 10] = [
        Self::WorkerAfterClaim,
        Self::WorkerMidExtraction,
        Self::WorkerBeforeComplete,
        Self::ImageBeforeDispatch,
        Self::ImageBeforeSave,
        Self::RelayBeforeCommit,
        Self::TenantBeforeAdmit,
        Self::FeedMidIngest,
        Self::SchedulerMidPlan,
        Self::SchedulerMidDispatch,
    ];

    /// Its name in the setting.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkerAfterClaim => "worker-after-claim",
            Self::WorkerMidExtraction => "worker-mid-extraction",
            Self::WorkerBeforeComplete => "worker-before-complete",
            Self::ImageBeforeDispatch => "image-before-dispatch",
            Self::ImageBeforeSave => "image-before-save",
            Self::RelayBeforeCommit => "relay-before-commit",
            Self::TenantBeforeAdmit => "tenant-before-admit",
            Self::FeedMidIngest => "feed-mid-ingest",
            Self::SchedulerMidPlan => "scheduler-mid-plan",
            Self::SchedulerMidDispatch => "scheduler-mid-dispatch",
        }
    }
}

#[cfg(not(feature = "failpoints"))]
mod switched {
    use super::Point;

    /// Nothing: the feature `failpoints` is off.
    #[inline]
    #[expect(clippy::unused_async, reason = "the same call as with the feature")]
    pub async fn hit(_point: Point) {}
}

#[cfg(feature = "failpoints")]
mod switched {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::Point;

    const POLL: Duration = Duration::from_millis(20);

    /// Keeps the failpoints of the environment variable `FAILPOINTS` armed while it lives.
    pub struct Armed(#[expect(dead_code, reason = "dropping it disarms")] fail::FailScenario<'static>);

    /// Reads `FAILPOINTS` and arms what it names.
    pub fn arm() -> Armed {
        Armed(fail::FailScenario::setup())
    }

    /// Waits here while the file that the point is armed with exists.
    pub async fn hit(point: Point) {
        let Some(file) = fail::eval(point.as_str(), |file| file).flatten().map(PathBuf::from) else { return };
        tracing::info!(point = point.as_str(), file = %file.display(), "held at a failpoint");
        while tokio::fs::try_exists(&file).await.unwrap_or(false) {
            tokio::time::sleep(POLL).await;
        }
    }
}

pub use switched::*;

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_held_point_lets_go_when_its_file_is_gone() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fail::cfg(Point::FeedMidIngest.as_str(), &format!("return({})", file.path().display()))
            .expect("the grammar of `fail`");
        hit(Point::WorkerAfterClaim).await;
        let held = tokio::time::timeout(Duration::from_secs(3600), hit(Point::FeedMidIngest)).await;
        assert!(held.is_err(), "it did not wait");
        file.close().expect("it is still there");
        hit(Point::FeedMidIngest).await;
        fail::remove(Point::FeedMidIngest.as_str());
    }

    #[test]
    fn points_have_names_of_their_own() {
        let names: std::collections::HashSet<_> = Point::ALL.iter().map(|point| point.as_str()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
