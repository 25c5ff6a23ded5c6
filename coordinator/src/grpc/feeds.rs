//! FeedService: where advisories come from, and how fresh they are.

use std::sync::Arc;
use std::time::Duration;

use advisory::formats::{self, FORMATS};
use model::FeedId;
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::feed_service_server::FeedService;
use proto_api::feed::v1::{
    self as wire, CreateFeedRequest, CreateFeedResponse, FeedFreshness, GetFeedRequest, GetFeedResponse,
    GetFreshnessRequest, GetFreshnessResponse, ListFeedsRequest, ListFeedsResponse, RefreshFeedRequest,
    RefreshFeedResponse,
};
use store::feeds::{self, Feed, NewFeed};
use store::observations;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::caller_of;
use super::convert;
use super::errors::{Refusal, invalid, named, refuse};
use super::findings::since;
use super::idempotent::{Asked, once};

/// The service.
pub(super) struct Feeds(pub(super) Arc<Door>);

const USUAL_INTERVAL: Duration = Duration::from_secs(60 * 60);
const USUAL_PROMISE: Duration = Duration::from_secs(24 * 60 * 60);
/// A year: longer is a mistake in units.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[tonic::async_trait]
impl FeedService for Feeds {
    async fn list_feeds(&self, _: Request<ListFeedsRequest>) -> Result<Response<ListFeedsResponse>, Status> {
        let feeds = self.all().await?;
        Ok(Response::new(ListFeedsResponse { feeds: feeds.iter().map(message).collect() }))
    }

    async fn get_feed(&self, request: Request<GetFeedRequest>) -> Result<Response<GetFeedResponse>, Status> {
        let feed = self.one(&request.get_ref().feed_id).await?;
        Ok(Response::new(GetFeedResponse { feed: Some(message(&feed)) }))
    }

    async fn create_feed(
        &self,
        request: Request<CreateFeedRequest>,
    ) -> Result<Response<CreateFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "CreateFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.create(request).await).await?;
        Ok(Response::new(answer))
    }

    async fn refresh_feed(
        &self,
        request: Request<RefreshFeedRequest>,
    ) -> Result<Response<RefreshFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RefreshFeed", id: &request.request_id };
        let answer =
            once(&self.0.store, asked, request, async || self.refresh(&request.feed_id).await).await?;
        Ok(Response::new(answer))
    }

    async fn get_freshness(
        &self,
        _: Request<GetFreshnessRequest>,
    ) -> Result<Response<GetFreshnessResponse>, Status> {
        let feeds = self.all().await?;
        let mut tx = self.0.store.fleet().await.map_err(Refusal::from)?;
        let snapshot = observations::latest_snapshot(&mut tx).await.map_err(Refusal::from)?;
        let now = OffsetDateTime::now_utc();
        let ages: Option<Vec<Duration>> = feeds.iter().map(|feed| age(feed, now)).collect();
        Ok(Response::new(GetFreshnessResponse {
            snapshot: snapshot.0,
            fresh: i32::try_from(feeds.iter().filter(|feed| !feed.late).count()).unwrap_or(i32::MAX),
            oldest_age: ages.and_then(|ages| ages.into_iter().max()).map(convert::duration),
            feeds: feeds.iter().map(message).collect(),
        }))
    }
}

impl Feeds {
    async fn all(&self) -> Result<Vec<Feed>, Refusal> {
        let mut tx = self.0.store.fleet().await?;
        Ok(feeds::list(&mut tx).await?)
    }

    async fn one(&self, id: &str) -> Result<Feed, Refusal> {
        let mut tx = self.0.store.fleet().await?;
        feeds::get(&mut tx, &parse_id(id)?).await.map_err(|error| named(error, id))
    }

    async fn create(&self, request: &CreateFeedRequest) -> Result<CreateFeedResponse, Refusal> {
        let new = parse_new(request)?;
        let mut tx = self.0.store.fleet().await?;
        match feeds::get(&mut tx, &new.id).await {
            Err(store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                return Err(refuse(ErrorReason::FeedExists)
                    .saying(format!("there is a feed {} already", new.id))
                    .about("feed", &new.id));
            }
        }
        let feed = feeds::register(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(CreateFeedResponse { feed: Some(message(&feed)) })
    }

    async fn refresh(&self, id: &str) -> Result<RefreshFeedResponse, Refusal> {
        let feed = parse_id(id)?;
        let mut tx = self.0.store.fleet().await?;
        feeds::request_refresh(&mut tx, &feed).await.map_err(|error| named(error, id))?;
        let feed = feeds::get(&mut tx, &feed).await?;
        tx.commit().await?;
        Ok(RefreshFeedResponse { feed: Some(message(&feed)) })
    }
}

fn parse_id(text: &str) -> Result<FeedId, Refusal> {
    text.parse().map_err(|error| invalid("feed_id", error))
}

fn parse_new(request: &CreateFeedRequest) -> Result<NewFeed, Refusal> {
    let format = if request.format.is_empty() { FORMATS[0].word } else { &request.format };
    if formats::by_word(format).is_none() {
        let known: Vec<_> = FORMATS.iter().map(|format| format.word).collect();
        return Err(invalid("format", format!("{format:?} is not known: use {}", known.join(", "))));
    }
    let source = request.source_uri.trim();
    if source.is_empty() || source.len() > 2048 {
        return Err(invalid(
            "source_uri",
            "must be a directory, an archive or a URL of at most 2048 characters",
        ));
    }
    Ok(NewFeed {
        id: parse_id(&request.feed_id)?,
        source: source.to_owned(),
        format: format.to_owned(),
        interval: parse_time("interval", request.interval, USUAL_INTERVAL)?,
        promise: parse_time("promise", request.promise, USUAL_PROMISE)?,
    })
}

fn parse_time(
    field: &str,
    time: Option<prost_types::Duration>,
    usual: Duration,
) -> Result<Duration, Refusal> {
    let Some(time) = time else { return Ok(usual) };
    match Duration::try_from(time) {
        Ok(time) if time >= Duration::from_secs(1) && time <= TIME_MAX => Ok(time),
        _ => Err(invalid(field, "must be between a second and a year")),
    }
}

/// How long ago a feed was last read well.
pub(super) fn age(feed: &Feed, now: OffsetDateTime) -> Option<Duration> {
    feed.succeeded_at.map(|at| since(at, now))
}

/// A demonstration set says so by its name: real advisories, but few and old.
pub(super) fn is_demonstration(feed: &FeedId) -> bool {
    feed.as_str() == "demo" || feed.as_str().starts_with("demo-")
}

fn message(feed: &Feed) -> wire::Feed {
    let freshness = match (feed.succeeded_at, feed.late) {
        (None, _) => FeedFreshness::Never,
        (Some(_), false) => FeedFreshness::Fresh,
        (Some(_), true) => FeedFreshness::Stale,
    };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    wire::Feed {
        feed_id: feed.id.to_string(),
        source_uri: feed.source.clone(),
        format: feed.format.clone(),
        interval: Some(convert::duration(feed.interval)),
        promise: Some(convert::duration(feed.promise)),
        freshness: freshness.into(),
        last_attempt_time: feed.attempted_at.map(convert::timestamp),
        last_success_time: feed.succeeded_at.map(convert::timestamp),
        next_time: feed.enabled.then(|| convert::timestamp(feed.due_at)),
        refreshing: feed.refreshing || feed.done_revision < feed.revision,
        advisories: count(feed.advisories),
        quarantined: count(feed.problems),
        last_error: feed.last_error.clone().unwrap_or_default(),
        demonstration: is_demonstration(&feed.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> CreateFeedRequest {
        CreateFeedRequest {
            feed_id: "osv-npm".to_owned(),
            source_uri: "/feeds/npm".to_owned(),
            ..CreateFeedRequest::default()
        }
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let feed = parse_new(&new()).unwrap();
        assert_eq!(
            (feed.format.as_str(), feed.interval, feed.promise),
            ("osv", USUAL_INTERVAL, USUAL_PROMISE)
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_before_it_is_stored() {
        let refused = |change: fn(&mut CreateFeedRequest)| {
            let mut request = new();
            change(&mut request);
            parse_new(&request).unwrap_err().reason()
        };
        let second = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(second(1).map(|d| d.seconds), Some(1));
        for reason in [
            refused(|r| r.format = "csv".to_owned()),
            refused(|r| r.feed_id = "Not A Name".to_owned()),
            refused(|r| r.source_uri = " ".to_owned()),
            refused(|r| r.interval = Some(prost_types::Duration { seconds: 0, nanos: 5 })),
            refused(|r| r.promise = Some(prost_types::Duration { seconds: -1, nanos: 0 })),
        ] {
            assert_eq!(reason, ErrorReason::RequestInvalid);
        }
    }

    #[test]
    fn demonstration_sets_are_known_by_name() {
        let demo = |id: &str| is_demonstration(&id.parse().unwrap());
        assert!(demo("demo") && demo("demo-npm"));
        assert!(!demo("osv-npm") && !demo("demography"));
    }
}
