//! Aggregators outside say what has changed: signed, fresh, once, and not too often.

use hmac::{Hmac, KeyInit as _, Mac as _};
use proto_api::run::v1::{RunKind, RunState};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::clients::SOON;
use tests::fleet::Fleet;
use tests::{Node, Settings, TestCluster};
use time::OffsetDateTime;

const SECRET: &str = "a secret of the tests";

struct Event {
    id: String,
    body: Vec<u8>,
    time: i64,
}

impl Event {
    fn new(id: &str, more: &Value) -> Self {
        Self::at(OffsetDateTime::now_utc().unix_timestamp(), id, more)
    }

    fn at(time: i64, id: &str, more: &Value) -> Self {
        let mut body = json!({ "id": id, "timestamp": time, "source": "tests" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self { id: id.to_owned(), body: body.to_string().into_bytes(), time }
    }

    /// The status, and the answer's body.
    async fn send(&self, node: &Node, secret: &str) -> (u16, String, Value) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        let headers = [
            ("X-Scheduler-Signature", format!("sha256={}", hex::encode(mac.finalize().into_bytes()))),
            ("X-Scheduler-Id", self.id.clone()),
            ("X-Scheduler-Timestamp", self.time.to_string()),
        ];
        let (status, head, body) = node.post("/events/advisories", &headers, &self.body).await;
        (status, head, serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn an_event_is_taken_once_when_it_is_signed_and_fresh() {
    let settings = [
        ("webhooks.advisories", "on"),
        ("webhooks.advisories-secret", SECRET),
        ("webhooks.requests-max", "5"),
        ("webhooks.window", "1h"),
        ("webhooks.bytes-max", "10000"),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let cluster = TestCluster::start(Settings { nodes: 2, settings, ..Settings::default() }).await;
    let fleet = Fleet::scanned(&cluster, "hooked", &["starling-a", "starling-b"]).await;
    let (one, other) = (&cluster.nodes()[0], &cluster.nodes()[1]);
    let packages = json!({ "packages": ["pkg:npm/starling-a"] });

    // Packages become a run over the images that hold them.
    let event = Event::new("e-1", &packages);
    let (status, _, answer) = event.send(one, SECRET).await;
    assert_eq!(status, 202, "{answer}");
    let run = answer["run_id"].as_str().unwrap();
    let run = fleet.operator(&cluster).run_is(run, RunState::Completed, SOON).await;
    assert_eq!((run.kind(), run.counts.unwrap().images), (RunKind::Packages, 1), "{run:?}");

    // Again, at another node; with a wrong secret; too old; too large; with nothing in it; at a door that is not there.
    let refused = async |event: &Event, node: &Node, secret: &str| {
        let (status, head, problem) = event.send(node, secret).await;
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert_eq!(problem["status"], status, "{problem}");
        (status, problem["type"].as_str().unwrap().to_owned())
    };
    let kind = |name: &str| format!("urn:starling:problem:{name}");
    assert_eq!(refused(&event, other, SECRET).await, (409, kind("replayed")));
    assert_eq!(
        refused(&Event::new("e-2", &packages), one, "a guess at the secret").await,
        (401, kind("signature"))
    );
    let old = Event::at(OffsetDateTime::now_utc().unix_timestamp() - 3600, "e-3", &packages);
    assert_eq!(refused(&old, one, SECRET).await, (401, kind("stale")));
    let large = Event::new("e-4", &json!({ "source": "x".repeat(20_000) }));
    assert_eq!(refused(&large, one, SECRET).await.0, 413);
    assert_eq!(refused(&Event::new("e-5", &json!({})), one, SECRET).await, (400, kind("malformed")));
    assert_eq!(one.post("/events/vex", &[], b"{}").await.0, 404);

    // A feed that is not known is refused, and its id may come again; one that is known is read.
    let unknown = Event::new("e-6", &json!({ "feeds": ["nobody"] }));
    assert_eq!(refused(&unknown, one, SECRET).await, (422, kind("unknown")));
    fleet.folder.put("STARLING-2026-2000", "npm", "SEMVER", "starling-b", "1.5.0");
    let feeds = Event::new("e-6", &json!({ "feeds": [fleet.feed] }));
    assert_eq!(feeds.send(one, SECRET).await.0, 202);
    assert_eq!(fleet.at_rest(&cluster).await.counts.unwrap().changed, 1);

    // Those that were signed count, on all nodes together: the fifth and last is let through.
    assert_eq!(Event::new("e-7", &packages).send(other, SECRET).await.0, 202);
    let (status, head, _) = Event::new("e-8", &packages).send(other, SECRET).await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: "), "{head}");
}

#[tokio::test]
async fn nothing_is_let_through_while_nobody_counts() {
    let settings = [("webhooks.advisories", "on"), ("webhooks.advisories-secret", SECRET)];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let mut cluster = TestCluster::start(Settings { nodes: 1, settings, ..Settings::default() }).await;
    cluster.servers.valkey.kill();
    let event = Event::new("e-1", &json!({ "packages": ["pkg:npm/starling-a"] }));
    let (status, head, _) = event.send(&cluster.nodes()[0], SECRET).await;
    assert_eq!(status, 503, "{head}");
    assert_eq!(cluster.truth().number("select count(*) from scheduler.run").await, 0);
}
