//! What feeds are to do: pause, pin, roll back, unregister. What takes long is waited for.

use std::time::Duration;

use clap::Args;
use proto_api::feed::v1::{
    FeedSteer, ListFeedSteersRequest, PauseFeedRequest, PinFeedRequest, ResumeFeedRequest,
    RollBackFeedRequest, UnpinFeedRequest, UnregisterFeedRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::failure::{Exit, Failure};
use super::super::list::{self, Gathered, Limit, Output};
use super::super::screen::Screen;
use super::super::server::{Server, call};
use super::super::table::Rows;
use super::super::words;

const STEER: &str = "starling.feed.v1.FeedSteer";
/// Between two looks at what became of an order.
const LOOK: Duration = Duration::from_millis(300);
/// Of a feed's newest steers, so many are looked at to find one.
const NEWEST: i32 = 100;

/// A feed, and why it is steered.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The feed's name
    pub(super) name: String,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
}

macro_rules! switch {
    ($name:ident, $request:ident, $method:ident, $said:literal) => {
        pub(super) async fn $name(server: &Server, screen: &mut Screen, named: Named) -> Result<(), Failure> {
            let Named { name, reason } = named;
            let request = $request { request_id: request_id(), feed_id: name.clone(), reason };
            call(request, async |request| server.feeds().$method(request).await).await?;
            screen.say(format!($said, name));
            Ok(())
        }
    };
}

switch!(pause, PauseFeedRequest, pause_feed, "feed {} is paused until it is resumed");
switch!(resume, ResumeFeedRequest, resume_feed, "feed {} goes on");
switch!(pin, PinFeedRequest, pin_feed, "feed {} keeps what it says until it is unpinned");
switch!(unpin, UnpinFeedRequest, unpin_feed, "feed {} is unpinned and being read");

pub(super) async fn roll_back(
    server: &Server,
    screen: &mut Screen,
    Named { name, reason }: Named,
    snapshot: i64,
) -> Result<(), Failure> {
    let request = RollBackFeedRequest { request_id: request_id(), feed_id: name.clone(), reason, snapshot };
    let answer = call(request, async |request| server.feeds().roll_back_feed(request).await).await?;
    let made = ended(server, screen, &name, &answer.steer_id).await?.made_snapshot;
    screen.say(match made {
        0 => format!("feed {name} said nothing else as of snapshot {snapshot}; it is pinned"),
        made => format!(
            "feed {name} says what it said as of snapshot {snapshot}, in snapshot {made}; it is pinned"
        ),
    });
    Ok(())
}

pub(super) async fn unregister(
    server: &Server,
    screen: &mut Screen,
    Named { name, reason }: Named,
) -> Result<(), Failure> {
    let request = UnregisterFeedRequest { request_id: request_id(), feed_id: name.clone(), reason };
    let answer = call(request, async |request| server.feeds().unregister_feed(request).await).await?;
    ended(server, screen, &name, &answer.steer_id).await?;
    screen.say(format!("feed {name} is unregistered; what it said is taken back"));
    Ok(())
}

pub(super) async fn history(
    server: &Server,
    screen: &mut Screen,
    name: String,
    limit: Limit,
    output: Output,
) -> Result<(), Failure> {
    let page_size = i32::try_from(limit.limit).unwrap_or(i32::MAX);
    let request = ListFeedSteersRequest { feed_id: name, page_size };
    let answer = call(request, async |request| server.feeds().list_feed_steers(request).await).await?;
    list::show(screen, output.format, STEER, &Gathered { items: answer.steers, more: false }, rows)
}

fn rows(screen: &Screen, steers: &[FeedSteer]) -> Rows {
    let mut rows = Rows::new(screen, &["ASKED", "BY", "STEER", "RESULT", "WHY"]);
    let now = OffsetDateTime::now_utc();
    for steer in steers {
        rows.row([
            words::ago(steer.asked_time, now),
            steer.asked_by.clone(),
            what(steer),
            result(steer),
            steer.reason.clone(),
        ]);
    }
    rows
}

fn what(steer: &FeedSteer) -> String {
    let word = words::word(steer.kind().as_str_name(), "STEER_KIND_");
    match (steer.snapshot, steer.bundle_name.as_str()) {
        (0, "") => word,
        (0, bundle) => format!("{word} {bundle} {}", words::short(&steer.bundle_digest)),
        (snapshot, _) => format!("{word} snapshot {snapshot}"),
    }
}

fn result(steer: &FeedSteer) -> String {
    match (steer.end_time, steer.failure.as_str(), steer.made_snapshot) {
        (None, ..) => "waits".to_owned(),
        (Some(_), "", 0) => "done".to_owned(),
        (Some(_), "", made) => format!("done, snapshot {made}"),
        (Some(_), failure, _) => format!("given up: {failure}"),
    }
}

/// Waits until a steer was done.
pub(super) async fn ended(
    server: &Server,
    screen: &mut Screen,
    feed: &str,
    steer: &str,
) -> Result<FeedSteer, Failure> {
    let waiting = screen.progress("waiting for the feed");
    let ended = loop {
        let request = ListFeedSteersRequest { feed_id: feed.to_owned(), page_size: NEWEST };
        let steers =
            call(request, async |request| server.feeds().list_feed_steers(request).await).await?.steers;
        let Some(found) = steers.into_iter().find(|found| found.steer_id == steer) else {
            return Err(Failure::new(Exit::Failed, format!("the steer {steer} is not known any more")));
        };
        if found.end_time.is_some() {
            break found;
        }
        tokio::time::sleep(LOOK).await;
    };
    waiting.finish_and_clear();
    if ended.failure.is_empty() {
        return Ok(ended);
    }
    Err(Failure::new(Exit::Failed, format!("feed {feed}: {}", ended.failure)))
}

pub(super) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use proto_api::feed::v1::SteerKind;

    use super::*;

    fn end() -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp::default())
    }

    #[test]
    fn a_steer_says_what_became_of_it() {
        let steer = |kind: SteerKind, change: fn(&mut FeedSteer)| {
            let mut steer = FeedSteer { kind: kind.into(), ..FeedSteer::default() };
            change(&mut steer);
            (what(&steer), result(&steer))
        };
        let said = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(steer(SteerKind::Pause, |s| s.end_time = end()), said("pause", "done"));
        assert_eq!(steer(SteerKind::RollBack, |s| s.snapshot = 7), said("roll-back snapshot 7", "waits"));
        let failed = |s: &mut FeedSteer| (s.end_time, s.failure) = (end(), "broken".to_owned());
        assert_eq!(steer(SteerKind::Unregister, failed), said("unregister", "given up: broken"));
        let made = |s: &mut FeedSteer| (s.end_time, s.made_snapshot) = (end(), 9);
        assert_eq!(steer(SteerKind::Import, made).1, "done, snapshot 9");
    }
}
