//! What somebody outside, or a feed of our own, says has changed: feeds to be read now, packages to be looked at again.

use model::{FeedId, RunId, RunKind};

use crate::runs::{NewRun, Selector, request};
use crate::{Error, FleetTx, feeds};

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id; the same one makes one run.
    pub id: String,
    /// For people: what says so.
    pub cause: String,
    /// Feeds to be read now.
    pub feeds: Vec<FeedId>,
    /// Packages whose images are to be evaluated again, as package URLs.
    pub packages: Vec<String>,
}

/// What was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The run over its packages, if it names any.
    pub run: Option<RunId>,
}

/// Takes an event in: asks its feeds to be read, and for a run over its packages. `NotFound` for a feed that is not
/// known. All or nothing, with the caller's transaction.
pub async fn take(tx: &mut FleetTx, event: &Event) -> Result<Taken, Error> {
    for feed in &event.feeds {
        feeds::request_refresh(tx, feed, false).await?;
    }
    if event.packages.is_empty() {
        return Ok(Taken { run: None });
    }
    let run = NewRun {
        key: Some(format!("event/{}", event.id)),
        kind: RunKind::Packages,
        cause: event.cause.clone(),
        selector: Selector { packages: event.packages.clone(), ..Selector::default() },
        rate_per_s: None,
        schedule: None,
    };
    let (run, _) = request(tx, &run).await?;
    Ok(Taken { run: Some(run) })
}
