//! VEX on the server: what a feed publishes and what is attached changes the verdicts of the images it speaks of, and of
//! no others; taken back, they are as before; and what was known before is known again.

use std::fs;

use model::{ImageDigest, TenantId};
use proto_api::feed::v1::{CreateFeedRequest, RefreshFeedRequest};
use proto_api::run::v1::{Run, RunState};
use serde_json::{Value, json};
use store::issuers::NewIssuerChange;
use store::vex::Attaching;
use tests::clients::{SOON, request_id};
use tests::fleet::Fleet;
use tests::{Cli, FeedFolder, Settings, TestCluster, eventually_ok};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use vex::trust::{IssuerChangeKind, Tier};

const HUB: &str = "hub";

/// What is said of a vulnerability of a package, as OpenVEX.
fn document(id: &str, version: u32, vulnerability: &str, status: &str, package: &str) -> String {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": id, "author": "acme", "version": version,
        "timestamp": "2026-01-02T00:00:00Z",
        "statements": [{
            "vulnerability": {"name": vulnerability}, "products": [{"@id": format!("pkg:npm/{package}@1.0.0")}],
            "status": status, "justification": "vulnerable_code_not_present", "impact_statement": "not built",
        }],
    })
    .to_string()
}

/// A fleet, and a feed of VEX beside its feed of advisories.
struct Scene {
    cluster: TestCluster,
    fleet: Fleet,
    hub: FeedFolder,
}

impl Scene {
    async fn new(packages: &[&str]) -> Self {
        let cluster = TestCluster::start(Settings { nodes: 2, ..Settings::default() }).await;
        let fleet = Fleet::scanned(&cluster, "spoken", packages).await;
        Self { cluster, fleet, hub: FeedFolder::empty() }
    }

    /// Publishes this in the hub, in place of the file of that name.
    fn publish(&self, name: &str, document: &str) {
        fs::write(self.hub.path().join(name), document).unwrap();
    }

    async fn create_hub(&self) -> Run {
        let request = CreateFeedRequest {
            request_id: request_id(),
            feed_id: HUB.to_owned(),
            source_uri: self.hub.uri(),
            format: "vex".to_owned(),
            ..CreateFeedRequest::default()
        };
        self.fleet.operator(&self.cluster).feeds.create_feed(request).await.unwrap();
        self.cluster.feed_is_read(HUB).await;
        self.at_rest().await
    }

    /// Has the hub read again, and waits for the run over what changed.
    async fn read(&self) -> Run {
        let request = RefreshFeedRequest { request_id: request_id(), feed_id: HUB.to_owned(), whole: false };
        self.fleet.operator(&self.cluster).feeds.refresh_feed(request).await.unwrap();
        self.at_rest().await
    }

    async fn at_rest(&self) -> Run {
        let run = self.fleet.at_rest(&self.cluster).await;
        assert_eq!(run.state(), RunState::Completed, "{run:?}");
        run
    }

    /// The versions of the verdict on a package's image, the newest first: kinds of the cause, its documents, and
    /// the changes.
    async fn history(&self, package: &str) -> Vec<(Vec<String>, Vec<String>, Vec<String>)> {
        let history = self.json(&["image", "history", self.fleet.image(package), "-o", "json"]).await;
        let texts = |list: &Value, field: &str| -> Vec<String> {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
        };
        let words = |list: &Value| -> Vec<String> {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
        };
        let verdicts = history["items"].as_array().unwrap();
        let told = |verdict: &Value| {
            let cause = &verdict["cause"];
            (
                words(&cause["kinds"]),
                texts(&cause["documents"], "document"),
                texts(&verdict["changes"], "kind"),
            )
        };
        verdicts.iter().map(told).collect()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let user =
            Cli::new(self.cluster.folder(), &self.cluster.nodes()[0].address(), self.fleet.tenant.token());
        let outcome = user.run(arguments).await;
        assert!([0, 4].contains(&outcome.code), "{outcome:?}");
        outcome.json()
    }

    /// How many findings of a package's last verdict are kept as suppressed, and how many there are.
    async fn suppressed(&self, package: &str) -> (i64, i64) {
        let image = self.fleet.image(package);
        let count = async |what: &str| {
            let sql = format!(
                "select count(*) from scanner.image i
                 join scanner.verdict v on v.tenant_id = i.tenant_id and v.image_digest = i.digest
                                       and v.version = i.last_verdict
                 join scanner.fact f on f.tenant_id = v.tenant_id and f.fact_id = any (v.facts)
                 where i.digest = '{image}' and {what}"
            );
            self.cluster.truth().number(&sql).await
        };
        (count("f.suppressed").await, count("true").await)
    }

    /// What was known of a package's image at a time is what its inputs give again.
    async fn is_recalled(&self, package: &str, time: &str, version: i64) {
        let recalled = self.json(&["findings", self.fleet.image(package), "--at", time, "-o", "json"]).await;
        assert_eq!(recalled["verdict"]["version"], version, "{recalled}");
        assert_eq!(recalled["recall"]["agreement"], "AGREEMENT_SAME", "{recalled}");
        assert_eq!(recalled["recall"]["findings_digest"], recalled["verdict"]["findings_digest"]);
    }

    /// After each run some verdicts are matched anew against everything: all of them, in a fleet this small.
    async fn deltas_equal_a_full_match(&self) {
        let sum = async |name: &str| {
            let mut sum = 0.0;
            for node in self.cluster.nodes() {
                sum += node.metric(name).await;
            }
            sum
        };
        eventually_ok(SOON, "verdicts are matched anew", || async {
            let sampled = sum("starling_delta_sampled_total").await;
            if sampled > 0.0 { Ok(()) } else { Err(sampled) }
        })
        .await;
        assert_eq!(sum("starling_delta_differences_total").await, 0.0);
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn a_feed_of_vex_changes_what_it_speaks_of_and_takes_it_back() {
    let scene = Scene::new(&["starling-a", "starling-b", "starling-c"]).await;
    let before = now();
    let others = [
        scene.fleet.evaluated(&scene.cluster, "starling-b").await,
        scene.fleet.evaluated(&scene.cluster, "starling-c").await,
    ];

    // By the other name of its vulnerability, and beside a file that is no VEX.
    scene.publish("a.json", &document("d/a", 1, "CVE-2026-91000", "not_affected", "starling-a"));
    scene.publish("index.json", r#"{"packages": []}"#);
    let run = scene.create_hub().await;
    let counts = run.counts.unwrap();
    assert_eq!((counts.delta_records, counts.images, counts.changed), (1, 1, 1), "{run:?}");
    assert!(run.publish_time.is_some() && run.observe_time.is_some(), "{run:?}");
    assert_eq!(scene.fleet.operator(&scene.cluster).feed(HUB).await.quarantined, 1);
    assert_eq!(scene.suppressed("starling-a").await, (1, 1));
    let told = scene.history("starling-a").await;
    assert_eq!(told[0], (words(&["vex"]), words(&["d/a"]), words(&["suppressed"])));
    assert_eq!(told.len(), 2);
    let suppressed = now();

    // A statement of what nobody has: a run, and no work.
    scene.publish("n.json", &document("d/n", 1, "CVE-2026-99999", "not_affected", "starling-nobody"));
    let run = scene.read().await;
    assert_eq!((run.reason.as_str(), run.counts.unwrap().images), ("no_work", 0), "{run:?}");

    // Said of another version: the image is looked at again, and its verdict stands.
    let near = document("d/c", 1, "STARLING-2026-1002", "fixed", "starling-c").replace("@1.0.0", "@1.0.1");
    scene.publish("c.json", &near);
    let counts = scene.read().await.counts.unwrap();
    assert_eq!((counts.images, counts.changed), (1, 0));
    assert_eq!(scene.history("starling-c").await.len(), 1);

    // A later version says something else, and then the document is gone.
    scene.publish("a.json", &document("d/a", 2, "CVE-2026-91000", "affected", "starling-a"));
    assert_eq!(scene.read().await.counts.unwrap().changed, 1);
    assert_eq!(scene.suppressed("starling-a").await, (0, 1));
    assert_eq!(scene.history("starling-a").await[0].2, words(&["unsuppressed"]));
    fs::remove_file(scene.hub.path().join("a.json")).unwrap();
    assert_eq!(scene.read().await.counts.unwrap().changed, 1);
    assert_eq!(
        scene.history("starling-a").await[0],
        (words(&["vex"]), words(&["d/a"]), words(&["restated"]))
    );

    let now_evaluated = [
        scene.fleet.evaluated(&scene.cluster, "starling-b").await,
        scene.fleet.evaluated(&scene.cluster, "starling-c").await,
    ];
    assert_eq!(now_evaluated, [others[0], others[1] + 1], "nothing was said of b, and once of c");
    for (time, version) in [(before, 1), (suppressed, 2), (now(), 4)] {
        scene.is_recalled("starling-a", &time, version).await;
    }
    scene.deltas_equal_a_full_match().await;
}

#[tokio::test]
async fn what_is_attached_counts_for_its_images_until_it_is_taken_back() {
    let scene = Scene::new(&["starling-a", "starling-b"]).await;
    let tenant = TenantId::from_uuid(scene.fleet.tenant.id());
    let store = scene.cluster.store(2).await;
    let attach = async |of: TenantId, text: String, images: &[&str]| {
        let content = text.into_bytes();
        let (summary, _) = vex::Summary::read(&content, false, &vex::Limits::default()).unwrap();
        let images: Vec<ImageDigest> = images.iter().map(|image| image.parse().unwrap()).collect();
        let (by, reason) = ("jo".to_owned(), "looked at".to_owned());
        let id = Uuid::now_v7();
        let attaching = Attaching { id, content, signature: None, summary, images, by, reason };
        let mut tx = store.tenant(of).await.unwrap();
        store::vex::attach(&mut tx, &attaching).await.unwrap();
        tx.commit().await.unwrap();
        id
    };
    let (a, b) = (scene.fleet.image("starling-a"), scene.fleet.image("starling-b"));

    // To the other image, of whose package it does not speak: that is looked at, and nothing changes.
    let said = || document("d/a", 1, "CVE-2026-91000", "not_affected", "starling-a");
    let elsewhere = attach(tenant, said(), &[b]).await;
    let counts = scene.at_rest().await.counts.unwrap();
    assert_eq!((counts.images, counts.changed), (1, 0));

    // To its own.
    let id = attach(tenant, said(), &[a]).await;
    let run = scene.at_rest().await;
    assert_eq!(run.counts.unwrap().changed, 1, "{run:?}");
    let told = scene.history("starling-a").await;
    assert_eq!(told[0], (words(&["vex"]), words(&["d/a"]), words(&["suppressed"])));
    let suppressed = now();
    let mut tx = store.tenant(tenant).await.unwrap();
    for id in [id, elsewhere] {
        store::vex::detach(&mut tx, id, "jo", "wrong").await.unwrap();
    }
    tx.commit().await.unwrap();
    scene.at_rest().await;
    let told = scene.history("starling-a").await;
    assert_eq!(told[0], (words(&["vex"]), words(&["d/a"]), words(&["unsuppressed"])));

    // By whatever it names, for everybody; and taken back.
    let id = attach(TenantId::SYSTEM, said(), &[]).await;
    scene.at_rest().await;
    assert_eq!(scene.suppressed("starling-a").await, (1, 1));
    assert_eq!(scene.history("starling-b").await.len(), 1);
    let mut tx = store.tenant(TenantId::SYSTEM).await.unwrap();
    store::vex::detach(&mut tx, id, "jo", "wrong").await.unwrap();
    tx.commit().await.unwrap();
    scene.at_rest().await;
    assert_eq!(scene.suppressed("starling-a").await, (0, 1));
    scene.is_recalled("starling-a", &suppressed, 2).await;
    scene.is_recalled("starling-a", &now(), 5).await;
    scene.deltas_equal_a_full_match().await;
}

#[tokio::test]
async fn whom_a_tenant_does_not_trust_is_not_heard_there() {
    let scene = Scene::new(&["starling-a", "starling-b"]).await;
    let tenant = TenantId::from_uuid(scene.fleet.tenant.id());
    let store = scene.cluster.store(2).await;
    scene.publish("a.json", &document("d/a", 1, "STARLING-2026-1000", "not_affected", "starling-a"));
    scene.create_hub().await;
    assert_eq!(scene.suppressed("starling-a").await, (1, 1));
    let b = scene.fleet.evaluated(&scene.cluster, "starling-b").await;

    let change = async |kind: IssuerChangeKind| {
        let (by, reason) = ("jo".to_owned(), "a doubt".to_owned());
        let change = NewIssuerChange { issuer: "acme".to_owned(), kind, by, reason };
        let mut tx = store.tenant(tenant).await.unwrap();
        store::issuers::change(&mut tx, &change).await.unwrap();
        tx.commit().await.unwrap();
        scene.at_rest().await
    };
    let (name, authors, tier) = ("Acme".to_owned(), vec!["acme".to_owned()], Tier::Untrusted);
    let run = change(IssuerChangeKind::Created { name, authors, tier }).await;
    assert_eq!(run.counts.unwrap().images, 1, "what its documents speak of, and no other: {run:?}");
    assert_eq!(scene.suppressed("starling-a").await, (0, 1));
    let told = scene.history("starling-a").await;
    assert_eq!(told[0], (words(&["vex"]), words(&["d/a"]), words(&["unsuppressed"])));
    let distrusted = now();

    change(IssuerChangeKind::Changed { name: None, authors: None, tier: Some(Tier::Second) }).await;
    assert_eq!(scene.suppressed("starling-a").await, (1, 1));
    assert_eq!(scene.history("starling-a").await[0].2, words(&["suppressed"]));
    assert_eq!(scene.fleet.evaluated(&scene.cluster, "starling-b").await, b);
    scene.is_recalled("starling-a", &distrusted, 3).await;
    scene.is_recalled("starling-a", &now(), 4).await;
    scene.deltas_equal_a_full_match().await;
}
