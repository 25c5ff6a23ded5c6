//! What people have feeds do: pause, pin, roll back, unregister. Each is written down with who asked, and logged.

use model::{FeedId, SnapshotId};
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::{
    FeedSteer, ListFeedSteersRequest, ListFeedSteersResponse, RollBackFeedRequest, RollBackFeedResponse,
    SteerKind, UnregisterFeedRequest, UnregisterFeedResponse,
};
use store::feed_control::{self, BUNDLES_ONLY, By, State};
use store::feed_orders::{self, Order, Steer, Task};
use store::feeds::{self, Feed, Kind};
use store::{FleetTx, observations};

use super::super::auth::Caller;
use super::super::convert;
use super::super::errors::{Refusal, invalid, named, refuse};
use super::{Feeds, message, parse_id, wire};

const REASON_MAX: usize = 1000;
const STEERS_USUAL: u32 = 50;
const STEERS_MAX: u32 = 500;

/// What is done at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Switch {
    /// Stop.
    Pause,
    /// Go on.
    Resume,
    /// Keep what it says.
    Pin,
    /// Be read again.
    Unpin,
}

impl Feeds {
    /// Switches a feed; answers it as it is then.
    pub(super) async fn switch(
        &self,
        caller: &Caller,
        switch: Switch,
        id: &str,
        reason: &str,
    ) -> Result<wire::Feed, Refusal> {
        let (feed, by) = (parse_id(id)?, by(caller, reason)?);
        let mut tx = self.0.store.fleet().await?;
        registered(&mut tx, &feed).await?;
        let word = match switch {
            Switch::Pause => feed_control::pause(&mut tx, &feed, by).await.map(|()| "paused"),
            Switch::Resume => feed_control::resume(&mut tx, &feed, by).await.map(|()| "resumed"),
            Switch::Pin => feed_control::pin(&mut tx, &feed, by).await.map(|_| "pinned"),
            Switch::Unpin => feed_control::unpin(&mut tx, &feed, by).await.map(|()| "unpinned"),
        }?;
        let now = feeds::get(&mut tx, &feed).await?;
        tx.commit().await?;
        audit(&feed, word, by);
        Ok(message(&now))
    }

    /// Asks for a refresh of a feed that may be read.
    pub(super) async fn read_now(
        &self,
        caller: &Caller,
        id: &str,
        whole: bool,
    ) -> Result<wire::Feed, Refusal> {
        let (feed, by) = (parse_id(id)?, by(caller, "")?);
        let mut tx = self.0.store.fleet().await?;
        let now = registered(&mut tx, &feed).await?;
        if matches!(now.state, State::Paused | State::Pinned) {
            return Err(held(&now));
        }
        if now.source == BUNDLES_ONLY {
            let problem =
                format!("feed {feed} has no source to read: it lives of the bundles that are imported");
            return Err(refuse(ErrorReason::FeedState).saying(problem).about("feed", &feed));
        }
        feeds::request_refresh(&mut tx, &feed, whole).await?;
        feed_control::note(&mut tx, &feed, "refresh", by).await?;
        let now = feeds::get(&mut tx, &feed).await?;
        tx.commit().await?;
        audit(&feed, "to be read now", by);
        Ok(message(&now))
    }

    pub(super) async fn roll_back(
        &self,
        caller: &Caller,
        request: &RollBackFeedRequest,
    ) -> Result<RollBackFeedResponse, Refusal> {
        let (feed, by) = (parse_id(&request.feed_id)?, by(caller, &request.reason)?);
        let mut tx = self.0.store.fleet().await?;
        let now = registered(&mut tx, &feed).await?;
        if now.kind == Kind::Enrichment {
            let problem = format!("feed {feed} keeps only what holds now: there is nothing to go back to");
            return Err(refuse(ErrorReason::FeedState).saying(problem).about("feed", &feed));
        }
        let latest = observations::latest_snapshot(&mut tx).await?;
        if !(0..=latest.0).contains(&request.snapshot) {
            return Err(invalid("snapshot", format!("must be between 0 and {}", latest.0)));
        }
        if now.state == State::Paused {
            return Err(held(&now));
        }
        let task = Task::RollBack(SnapshotId(request.snapshot));
        let order = feed_orders::order(&mut tx, &feed, task, by).await?;
        let now = feeds::get(&mut tx, &feed).await?;
        tx.commit().await?;
        audit(&feed, &format!("to be rolled back to snapshot {}", request.snapshot), by);
        Ok(RollBackFeedResponse { feed: Some(message(&now)), steer_id: order.id.to_string() })
    }

    pub(super) async fn unregister(
        &self,
        caller: &Caller,
        request: &UnregisterFeedRequest,
    ) -> Result<UnregisterFeedResponse, Refusal> {
        let (feed, by) = (parse_id(&request.feed_id)?, by(caller, &request.reason)?);
        let (now, order) = self.give_order(&feed, Task::Unregister, by).await?;
        audit(&feed, "to be unregistered", by);
        Ok(UnregisterFeedResponse { feed: Some(message(&now)), steer_id: order.id.to_string() })
    }

    /// Leaves an order for a feed that carries orders out.
    pub(super) async fn give_order(
        &self,
        feed: &FeedId,
        task: Task,
        by: By<'_>,
    ) -> Result<(Feed, Order), Refusal> {
        let mut tx = self.0.store.fleet().await?;
        let now = registered(&mut tx, feed).await?;
        // A paused feed does nothing at all; a pinned one takes in nothing, but may be told to end.
        let pinned = now.pinned.is_some() && matches!(task, Task::Import(_));
        if now.state == State::Paused || pinned {
            return Err(held(&now));
        }
        let order = feed_orders::order(&mut tx, feed, task, by).await?;
        let now = feeds::get(&mut tx, feed).await?;
        tx.commit().await?;
        Ok((now, order))
    }

    pub(super) async fn steers(
        &self,
        request: &ListFeedSteersRequest,
    ) -> Result<ListFeedSteersResponse, Refusal> {
        let feed = parse_id(&request.feed_id)?;
        let limit = match u32::try_from(request.page_size) {
            Ok(0) => STEERS_USUAL,
            Ok(size) => size.min(STEERS_MAX),
            Err(_) => return Err(invalid("page_size", "must not be negative")),
        };
        let mut tx = self.0.store.fleet().await?;
        feeds::get(&mut tx, &feed).await.map_err(|error| named(error, &request.feed_id))?;
        let steers = feed_orders::history(&mut tx, &feed, limit).await?;
        Ok(ListFeedSteersResponse { steers: steers.iter().map(steer).collect() })
    }
}

/// A feed that was not unregistered.
pub(super) async fn registered(tx: &mut FleetTx, feed: &FeedId) -> Result<Feed, Refusal> {
    let found = feeds::get(tx, feed).await.map_err(|error| named(error, feed.as_str()))?;
    if found.enabled {
        return Ok(found);
    }
    Err(named(store::Error::NotFound { entity: "feed" }, feed.as_str()))
}

/// Who asks, and the words that go with it.
pub(super) fn by<'a>(caller: &'a Caller, reason: &'a str) -> Result<By<'a>, Refusal> {
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(invalid("reason", format!("must be one line of at most {REASON_MAX} characters")));
    }
    Ok(By { who: &caller.label, reason })
}

fn held(feed: &Feed) -> Refusal {
    let problem = format!("feed {} is {}", feed.id, feed.state.as_str());
    refuse(ErrorReason::FeedState).saying(problem).about("feed", &feed.id)
}

/// For operators: who had which feed do what. What the database keeps of it is in `vuln.feed_order`.
pub(super) fn audit(feed: &FeedId, what: &str, by: By<'_>) {
    tracing::info!(feed.id = %feed, what, by.who, by.reason, audit = true, "feed steered");
}

fn steer(steer: &Steer) -> FeedSteer {
    let bundle = steer.bundle.as_ref();
    let snapshot = |id: Option<SnapshotId>| id.map_or(0, |id| id.0);
    FeedSteer {
        steer_id: steer.id.to_string(),
        kind: kind(&steer.kind).into(),
        asked_by: steer.asked_by.clone(),
        reason: steer.reason.clone(),
        asked_time: Some(convert::timestamp(steer.asked_at)),
        end_time: steer.ended_at.map(convert::timestamp),
        failure: steer.failure.clone().unwrap_or_default(),
        snapshot: snapshot(steer.snapshot),
        made_snapshot: snapshot(steer.made),
        bundle_name: bundle.map(|bundle| bundle.name.clone()).unwrap_or_default(),
        bundle_digest: bundle.map(|bundle| bundle.digest.to_string()).unwrap_or_default(),
        bundle_bytes: bundle.map_or(0, |bundle| i64::try_from(bundle.bytes).unwrap_or(i64::MAX)),
    }
}

fn kind(word: &str) -> SteerKind {
    SteerKind::from_str_name(&format!("STEER_KIND_{}", word.to_uppercase())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::TenantId;

    use super::*;

    #[test]
    fn every_steer_has_its_word_in_the_contract() {
        for word in
            ["register", "refresh", "pause", "resume", "pin", "unpin", "roll_back", "import", "unregister"]
        {
            assert_ne!(kind(word), SteerKind::Unspecified, "{word}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let caller = Caller { tenant: TenantId::SYSTEM, scopes: vec![], label: "anna".to_owned() };
        assert_eq!(by(&caller, "bad data").map(|by| (by.who, by.reason)).unwrap(), ("anna", "bad data"));
        for bad in ["two\nlines", &"x".repeat(1001)] {
            assert_eq!(by(&caller, bad).unwrap_err().reason(), ErrorReason::RequestInvalid);
        }
    }
}
