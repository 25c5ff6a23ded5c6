//! FeedService: where advisories come from, how fresh they are, and what people have them do.

mod bundle;
mod steering;

use std::sync::Arc;
use std::time::Duration;

use actors::FeedFormat;
use advisory::enrichment::Catalogue;
use advisory::formats::FORMATS;
use model::FeedId;
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::feed_service_server::FeedService;
use proto_api::feed::v1::{
    self as wire, CreateFeedRequest, CreateFeedResponse, FeedFreshness, FeedState, GetFeedRequest,
    GetFeedResponse, GetFreshnessRequest, GetFreshnessResponse, ImportBundleRequest, ImportBundleResponse,
    ListFeedSteersRequest, ListFeedSteersResponse, ListFeedsRequest, ListFeedsResponse, PauseFeedRequest,
    PauseFeedResponse, PinFeedRequest, PinFeedResponse, RefreshFeedRequest, RefreshFeedResponse,
    ResumeFeedRequest, ResumeFeedResponse, RollBackFeedRequest, RollBackFeedResponse, UnpinFeedRequest,
    UnpinFeedResponse, UnregisterFeedRequest, UnregisterFeedResponse,
};
use store::feed_control::{self, BUNDLES_ONLY, State};
use store::feeds::{self, Feed, NewFeed};
use store::observations;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, Streaming};

use self::steering::{Switch, audit, by};
use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, refuse};
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
        let answer =
            once(&self.0.store, asked, request, async || self.create(&caller, request).await).await?;
        Ok(Response::new(answer))
    }

    async fn refresh_feed(
        &self,
        request: Request<RefreshFeedRequest>,
    ) -> Result<Response<RefreshFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RefreshFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let feed = self.read_now(&caller, &request.feed_id, request.whole).await?;
            Ok(RefreshFeedResponse { feed: Some(feed) })
        });
        Ok(Response::new(answer.await?))
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

    async fn pause_feed(
        &self,
        request: Request<PauseFeedRequest>,
    ) -> Result<Response<PauseFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "PauseFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let feed = self.switch(&caller, Switch::Pause, &request.feed_id, &request.reason).await?;
            Ok(PauseFeedResponse { feed: Some(feed) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn resume_feed(
        &self,
        request: Request<ResumeFeedRequest>,
    ) -> Result<Response<ResumeFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "ResumeFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let feed = self.switch(&caller, Switch::Resume, &request.feed_id, &request.reason).await?;
            Ok(ResumeFeedResponse { feed: Some(feed) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn pin_feed(&self, request: Request<PinFeedRequest>) -> Result<Response<PinFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "PinFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let feed = self.switch(&caller, Switch::Pin, &request.feed_id, &request.reason).await?;
            Ok(PinFeedResponse { feed: Some(feed) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn unpin_feed(
        &self,
        request: Request<UnpinFeedRequest>,
    ) -> Result<Response<UnpinFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "UnpinFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let feed = self.switch(&caller, Switch::Unpin, &request.feed_id, &request.reason).await?;
            Ok(UnpinFeedResponse { feed: Some(feed) })
        });
        Ok(Response::new(answer.await?))
    }

    async fn roll_back_feed(
        &self,
        request: Request<RollBackFeedRequest>,
    ) -> Result<Response<RollBackFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RollBackFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.roll_back(&caller, request).await);
        Ok(Response::new(answer.await?))
    }

    async fn unregister_feed(
        &self,
        request: Request<UnregisterFeedRequest>,
    ) -> Result<Response<UnregisterFeedResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "UnregisterFeed", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.unregister(&caller, request).await);
        Ok(Response::new(answer.await?))
    }

    async fn import_bundle(
        &self,
        request: Request<Streaming<ImportBundleRequest>>,
    ) -> Result<Response<ImportBundleResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.import(&caller, request.into_inner()).await?))
    }

    async fn list_feed_steers(
        &self,
        request: Request<ListFeedSteersRequest>,
    ) -> Result<Response<ListFeedSteersResponse>, Status> {
        Ok(Response::new(self.steers(request.get_ref()).await?))
    }
}

impl Feeds {
    async fn all(&self) -> Result<Vec<Feed>, Refusal> {
        let mut tx = self.0.store.fleet().await?;
        let feeds = feeds::list(&mut tx).await?;
        Ok(feeds.into_iter().filter(|feed| feed.enabled).collect())
    }

    async fn one(&self, id: &str) -> Result<Feed, Refusal> {
        let mut tx = self.0.store.fleet().await?;
        steering::registered(&mut tx, &parse_id(id)?).await
    }

    async fn create(
        &self,
        caller: &Caller,
        request: &CreateFeedRequest,
    ) -> Result<CreateFeedResponse, Refusal> {
        let (new, by) = (parse_new(request)?, by(caller, "")?);
        let mut tx = self.0.store.fleet().await?;
        match feeds::get(&mut tx, &new.id).await {
            Err(store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
            // Its observations stay its own, so it may come back; in another format they could not be read.
            Ok(former) if !former.enabled && former.format == new.format => {}
            Ok(former) => {
                let problem = match former.enabled {
                    true => format!("there is a feed {} already", new.id),
                    false => format!("there was a feed {} in the format {}", new.id, former.format),
                };
                return Err(refuse(ErrorReason::FeedExists).saying(problem).about("feed", &new.id));
            }
        }
        let feed = feeds::register(&mut tx, &new).await?;
        feed_control::note(&mut tx, &feed.id, "register", by).await?;
        tx.commit().await?;
        audit(&feed.id, &format!("registered, to be read from {}", feed.source), by);
        Ok(CreateFeedResponse { feed: Some(message(&feed)) })
    }
}

fn parse_id(text: &str) -> Result<FeedId, Refusal> {
    text.parse().map_err(|error| invalid("feed_id", error))
}

fn parse_new(request: &CreateFeedRequest) -> Result<NewFeed, Refusal> {
    let format = if request.format.is_empty() { FORMATS[0].word } else { &request.format };
    if FeedFormat::by_word(format).is_none() && Catalogue::from_word(format).is_none() {
        let beside = Catalogue::ALL.map(Catalogue::as_str);
        let known: Vec<_> = FeedFormat::words().chain(beside).collect();
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
        next_time: is_read(feed).then(|| convert::timestamp(feed.due_at)),
        refreshing: feed.refreshing || feed.ordered || is_read(feed) && feed.done_revision < feed.revision,
        advisories: count(feed.advisories),
        quarantined: count(feed.problems),
        last_error: feed.last_error.clone().unwrap_or_default(),
        demonstration: is_demonstration(&feed.id),
        state: state(feed.state).into(),
        state_time: Some(convert::timestamp(feed.since)),
        state_reason: reason(feed),
        late: feed.late,
        snapshot: feed.snapshot.map_or(0, |id| id.0),
        pinned_snapshot: feed.pinned.map_or(0, |id| id.0),
    }
}

/// Whether it is read when its time comes.
fn is_read(feed: &Feed) -> bool {
    !matches!(feed.state, State::Paused | State::Pinned | State::Unregistered) && feed.source != BUNDLES_ONLY
}

const fn state(state: State) -> FeedState {
    match state {
        State::Fresh => FeedState::Fresh,
        State::Late => FeedState::Late,
        State::Failed => FeedState::Failed,
        State::Unsupported => FeedState::Unsupported,
        State::Blocked => FeedState::Blocked,
        State::Paused => FeedState::Paused,
        State::Pinned => FeedState::Pinned,
        State::Unregistered => FeedState::Unspecified,
    }
}

fn reason(feed: &Feed) -> String {
    match (feed.state, feed.succeeded_at) {
        (State::Late, None) => "it was never read".to_owned(),
        (State::Late, Some(_)) => "it was last read longer ago than it promises".to_owned(),
        _ => feed.reason.clone().unwrap_or_default(),
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
