//! `POST /events/advisories` and `POST /events/vex`: aggregators outside say what has changed.
//!
//! ```text
//! body, bounded ─► signature ─► time and id ─► rate ─► seen before? ─► store::webhooks::take
//! ```
//!
//! The signature is over the raw body, so id and time are in the body as well as in the headers, and must agree: else
//! whoever has seen one request could send it again under a new id. Counting and remembering is Valkey's; while it
//! does not answer nothing is let through. Client certificates are not asked for: this door has none to check.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use cluster::streams::Windows;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::FeedId;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use store::Store;
use store::webhooks::{Event, Taken};
use time::OffsetDateTime;

use super::problem::Problem;
use crate::config::{Webhook, Webhooks};
use crate::grpc::is_purl;

/// `sha256=` and the HMAC-SHA256 of the raw body in hexadecimal digits.
const SIGNATURE: &str = "x-scheduler-signature";
/// When it was sent, in seconds since 1970.
const TIMESTAMP: &str = "x-scheduler-timestamp";
/// The sender's own id of it.
const ID: &str = "x-scheduler-id";

const FEEDS_MAX: usize = 100;
const PACKAGES_MAX: usize = 10_000;
const SOON: Duration = Duration::from_secs(1);

/// A door of one kind of events.
#[derive(Clone)]
struct Door {
    /// `advisories` or `vex`.
    name: &'static str,
    settings: Webhook,
    store: Store,
    windows: Windows,
}

/// The routes of the webhooks that are enabled.
pub(super) fn routes(webhooks: &Webhooks, store: &Store, windows: &Windows) -> Router {
    let doors = [("advisories", &webhooks.advisories), ("vex", &webhooks.vex)];
    let doors = doors.into_iter().filter_map(|(name, settings)| Some((name, settings.as_ref()?)));
    doors.fold(Router::new(), |router, (name, settings)| {
        let limit = DefaultBodyLimit::max(settings.bytes_max);
        let door = Door { name, settings: settings.clone(), store: store.clone(), windows: windows.clone() };
        router
            .merge(Router::new().route(&format!("/events/{name}"), post(take).layer(limit).with_state(door)))
    })
}

/// What is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: String,
    timestamp: i64,
    #[serde(default)]
    source: String,
    #[serde(default)]
    feeds: Vec<String>,
    #[serde(default)]
    packages: Vec<String>,
}

async fn take(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            let name =
                if error.status() == StatusCode::PAYLOAD_TOO_LARGE { "too-large" } else { "unreadable" };
            return Problem::new(error.status(), name, error.body_text()).into_response();
        }
    };
    let answer = door.take(&headers, &body).await;
    let outcome = answer.as_ref().map_or_else(|problem| problem.name, |_| "taken");
    metrics::counter!("starling_scheduler_events_total", "door" => door.name, "outcome" => outcome)
        .increment(1);
    match answer {
        Ok(taken) => {
            let run = taken.run.map(|run| run.to_string());
            let content = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::ACCEPTED, content, json!({ "run_id": run }).to_string()).into_response()
        }
        Err(problem) => {
            tracing::warn!(
                door = door.name,
                problem = problem.name,
                detail = problem.detail,
                "event refused"
            );
            problem.into_response()
        }
    }
}

impl Door {
    async fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<Taken, Problem> {
        verify(&self.settings.secret, headers, body)?;
        let body = parse(headers, body, OffsetDateTime::now_utc(), self.settings.replay)?;
        let event = event(self.name, &body)?;
        let settings = &self.settings;
        let key = format!("events/{}", self.name);
        let admitted = self.windows.admit(&key, settings.requests_max, settings.window).await;
        admitted.map_err(|error| unavailable(&error))?.map_err(|wait| {
            let per = settings.window.as_secs_f64();
            let detail = format!("at most {} events in {per} s", settings.requests_max);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail).retry_after(wait)
        })?;
        // As long as its time can still be taken for a fresh one, on either side.
        let seen = format!("{key}/{}", body.id);
        let new = self.windows.remember(&seen, settings.replay * 2 + SOON).await;
        if !new.map_err(|error| unavailable(&error))? {
            return Err(Problem::new(StatusCode::CONFLICT, "replayed", "this id was taken before"));
        }
        match self.store(&event).await {
            Ok(taken) => {
                tracing::info!(
                    door = self.name,
                    event.id = event.id,
                    feeds = event.feeds.len(),
                    packages = event.packages.len(),
                    run.id = taken.run.map(tracing::field::display),
                    "event taken"
                );
                Ok(taken)
            }
            Err(error) => {
                // It was not taken, so it may come again. Should this fail too, it may after the window.
                let _ = self.windows.forget(&seen).await;
                Err(stored(error))
            }
        }
    }

    async fn store(&self, event: &Event) -> Result<Taken, store::Error> {
        let mut tx = self.store.fleet().await?;
        let taken = store::webhooks::take(&mut tx, event).await?;
        tx.commit().await?;
        Ok(taken)
    }
}

fn unsigned(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "signature", detail)
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error, "events cannot be counted");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again").retry_after(SOON)
}

fn stored(error: store::Error) -> Problem {
    match error {
        store::Error::NotFound { entity } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown",
            format!("it names a {entity} that is not known"),
        ),
        store::Error::Conflict { what } => malformed(what),
        other => unavailable(&other),
    }
}

/// Whether the body was signed with the secret. Compared in constant time.
fn verify(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let header = text(headers, SIGNATURE).ok_or_else(|| unsigned("X-Scheduler-Signature is missing"))?;
    let digits = header.strip_prefix("sha256=").ok_or_else(|| unsigned("it must begin with sha256="))?;
    let signature = hex::decode(digits).map_err(|_| unsigned("it is not hexadecimal"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(body);
    mac.verify_slice(&signature).map_err(|_| unsigned("it does not belong to this body"))
}

/// Reads a body whose id and time are the headers', and whose time is of now, give or take the window.
fn parse(headers: &HeaderMap, body: &[u8], now: OffsetDateTime, replay: Duration) -> Result<Body, Problem> {
    let body: Body = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    if text(headers, ID) != Some(body.id.as_str()) {
        return Err(malformed("X-Scheduler-Id is missing, or is not the id of the body"));
    }
    if text(headers, TIMESTAMP) != Some(body.timestamp.to_string().as_str()) {
        return Err(malformed("X-Scheduler-Timestamp is missing, or is not the timestamp of the body"));
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    if !(1..=128).contains(&body.id.len()) || !body.id.bytes().all(word) {
        return Err(malformed("id: must be 1 to 128 of a-z, A-Z, 0-9, '-', '_', '.' and ':'"));
    }
    if u128::from(now.unix_timestamp().abs_diff(body.timestamp)) * 1000 > replay.as_millis() {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "stale", "its time is too far from now"));
    }
    Ok(body)
}

fn event(door: &str, body: &Body) -> Result<Event, Problem> {
    if body.feeds.is_empty() && body.packages.is_empty() {
        return Err(malformed("it must name feeds or packages"));
    }
    if body.feeds.len() > FEEDS_MAX || body.packages.len() > PACKAGES_MAX {
        return Err(malformed(format!("at most {FEEDS_MAX} feeds and {PACKAGES_MAX} packages")));
    }
    let feeds = body.feeds.iter().map(|feed| feed.parse::<FeedId>()).collect::<Result<Vec<_>, _>>();
    if let Some(bad) = body.packages.iter().find(|purl| !is_purl(purl)) {
        return Err(malformed(format!("packages: {bad:?} is no package URL")));
    }
    let source: String = body.source.chars().take(200).collect();
    let source = if source.is_empty() { body.id.clone() } else { source };
    Ok(Event {
        id: format!("{door}/{}", body.id),
        cause: format!("event about {door} from {source}"),
        feeds: feeds.map_err(|error| malformed(format!("feeds: {error}")))?,
        packages: body.packages.clone(),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the tests";
    const REPLAY: Duration = Duration::from_secs(300);

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn sign(body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn only_the_very_body_that_was_signed_is_taken() {
        let body = b"{}";
        let good = sign(body);
        assert_eq!(verify(SECRET, &headers(&[(SIGNATURE, &good)]), body), Ok(()));
        let refused =
            |header: &str, body: &[u8]| verify(SECRET, &headers(&[(SIGNATURE, header)]), body).is_err();
        assert!(refused(&good, b"{ }"), "another body");
        assert!(refused(&good.replace("sha256=", ""), body) && refused("sha256=", body));
        assert!(refused(&good[..good.len() - 2], body), "a part of it");
        assert!(verify(b"another secret", &headers(&[(SIGNATURE, &good)]), body).is_err());
        assert_eq!(verify(SECRET, &HeaderMap::new(), body).unwrap_err().status, StatusCode::UNAUTHORIZED);
    }

    /// The name of the problem, if there is one.
    fn parsed(body: &str, id: &str, time: &str) -> Option<&'static str> {
        let headers = headers(&[(ID, id), (TIMESTAMP, time)]);
        parse(&headers, body.as_bytes(), now(), REPLAY).err().map(|problem| problem.name)
    }

    #[test]
    fn headers_must_say_what_was_signed_and_the_time_must_be_of_now() {
        let at = |time: i64| format!(r#"{{"id":"e-1","timestamp":{time},"feeds":["osv"]}}"#);
        assert_eq!(parsed(&at(1_800_000_000), "e-1", "1800000000"), None);
        assert_eq!(parsed(&at(1_800_000_300), "e-1", "1800000300"), None);
        assert_eq!(parsed(&at(1_800_000_301), "e-1", "1800000301"), Some("stale"));
        assert_eq!(parsed(&at(1_799_999_699), "e-1", "1799999699"), Some("stale"));
        assert_eq!(parsed(&at(0), "e-1", "1800000000"), Some("malformed"), "a new time on an old body");
        assert_eq!(
            parsed(&at(1_800_000_000), "e-2", "1800000000"),
            Some("malformed"),
            "a new id on an old body"
        );
        assert_eq!(parsed(r#"{"id":"e-1","timestamp":1,"x":1}"#, "e-1", "1"), Some("malformed"));
        assert_eq!(parsed(&at(i64::MIN), "e-1", &i64::MIN.to_string()), Some("stale"));
    }

    #[test]
    fn an_event_names_feeds_or_packages() {
        let body = |feeds: &[&str], packages: &[&str]| Body {
            id: "e".to_owned(),
            timestamp: 0,
            source: String::new(),
            feeds: feeds.iter().map(|feed| (*feed).to_owned()).collect(),
            packages: packages.iter().map(|purl| (*purl).to_owned()).collect(),
        };
        let taken = event("vex", &body(&["osv-npm"], &["pkg:npm/a@1"])).unwrap();
        assert_eq!((taken.id.as_str(), taken.cause.as_str()), ("vex/e", "event about vex from e"));
        assert!(event("vex", &body(&[], &[])).is_err());
        assert!(event("vex", &body(&["No Feed"], &[])).is_err());
        assert!(event("vex", &body(&[], &["npm/a"])).is_err());
    }
}
