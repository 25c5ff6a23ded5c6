//! Two ends of a link on loopback.

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::authority::MemberState;

const WITHIN: Duration = Duration::from_secs(5);

/// Answers with what it was asked, reversed; entities named `silent` never answer, `elsewhere` live elsewhere.
struct Echo {
    wakes: mpsc::UnboundedSender<EntityKey>,
}

#[async_trait]
impl Desk for Echo {
    fn wake(&self, key: EntityKey) -> Result<(), Refused> {
        self.wakes.send(key).map_err(|_| Refused::Gone)
    }

    async fn ask(&self, key: EntityKey, body: Bytes, _ttl: Duration) -> Result<Bytes, Refused> {
        match &*key.id {
            "silent" => std::future::pending().await,
            "elsewhere" => Err(Refused::NotOwner { view: 7 }),
            _ => Ok(body.iter().rev().copied().collect()),
        }
    }

    fn hint(&self, _view: i64, _released: Vec<u16>) {}

    fn health(&self) -> Pong {
        Pong { generation: 2, view: 3, ready: true, entities: 0 }
    }
}

/// An authority that signs the certificates of a cluster's nodes.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn node(&self, name: &str) -> TlsConfig {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        TlsConfig {
            ca: self.0.pem().into_bytes(),
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        }
    }
}

fn identity(cluster: &str, name: &str, generation: i64) -> Identity {
    let (cluster, name) = (cluster.to_owned(), name.to_owned());
    Identity { cluster, name, generation: Gen(generation), wire: Wire::default() }
}

struct Far {
    listening: Listening,
    member: Member,
    wakes: mpsc::UnboundedReceiver<EntityKey>,
}

async fn far(tls: Option<&TlsConfig>) -> Far {
    let (sender, wakes) = mpsc::unbounded_channel();
    let desk = Arc::new(Echo { wakes: sender });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listening = serve(listener, identity("c", "far", 2), tls, LinkLimits::default(), desk).unwrap();
    let member = Member {
        generation: Gen(2),
        name: "far".to_owned(),
        address: listening.address.to_string(),
        state: MemberState::Up,
        cordoned: false,
        heartbeat: 1,
        weight: 1.0,
        wire_min: 1,
        wire_max: 1,
        build: String::new(),
        drain_within: None,
    };
    Far { listening, member, wakes }
}

fn key(id: &str) -> EntityKey {
    EntityKey::new("counter", Uuid::nil(), id)
}

async fn ask(links: &Links, far: &Far, id: &str, ttl: Duration) -> Result<Bytes, Refused> {
    links.ask(&far.member, &key(id), Bytes::from_static(b"abc"), 3, ttl).await
}

#[tokio::test]
async fn questions_are_answered_and_wakes_arrive_over_mutual_tls() {
    let ca = Ca::new();
    let mut far = far(Some(&ca.node("far"))).await;
    let links = Links::new(identity("c", "near", 1), Some(ca.node("near")), LinkLimits::default());
    assert_eq!(ask(&links, &far, "one", WITHIN).await, Ok(Bytes::from_static(b"cba")));
    links.wake(&far.member, &key("two"), 3).unwrap();
    assert_eq!(tokio::time::timeout(WITHIN, far.wakes.recv()).await.unwrap(), Some(key("two")));
    assert!(links.probe(&far.member, WITHIN).await.unwrap().ready);
    links.close();
}

#[tokio::test]
async fn refusals_come_back_as_what_they_were() {
    let far = far(None).await;
    let links = Links::new(identity("c", "near", 1), None, LinkLimits::default());
    assert_eq!(ask(&links, &far, "elsewhere", WITHIN).await, Err(Refused::NotOwner { view: 7 }));
    assert_eq!(ask(&links, &far, "silent", Duration::from_millis(50)).await, Err(Refused::Expired));
    let large = Bytes::from(vec![0; LinkLimits::default().body_max + 1]);
    assert_eq!(links.ask(&far.member, &key("one"), large, 3, WITHIN).await, Err(Refused::Bad));
}

#[tokio::test]
async fn more_than_the_bound_is_busy_and_not_kept() {
    let far = far(None).await;
    let limits = LinkLimits { in_flight_max: 2, ..LinkLimits::default() };
    let links = Links::new(identity("c", "near", 1), None, limits);
    let silent = || ask(&links, &far, "silent", Duration::from_millis(500));
    let answers = futures::future::join_all((0..5).map(|_| silent())).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Err(Refused::Busy)).count(), 3, "{answers:?}");
    assert_eq!(
        ask(&links, &far, "one", WITHIN).await,
        Ok(Bytes::from_static(b"cba")),
        "the places are free again"
    );
}

#[tokio::test]
async fn strangers_are_refused() {
    let ca = Ca::new();
    let far = far(Some(&ca.node("far"))).await;
    let refused = |identity, tls| {
        let links = Links::new(identity, tls, LinkLimits::default());
        let far = &far;
        async move { ask(&links, far, "one", WITHIN).await }
    };
    let other_ca = refused(identity("c", "near", 1), Some(Ca::new().node("near"))).await;
    assert_eq!(other_ca, Err(Refused::Unreachable), "a certificate of another authority");
    let plain = refused(identity("c", "near", 1), None).await;
    assert_eq!(plain, Err(Refused::Unreachable), "no certificate at all");
    let borrowed = refused(identity("c", "near", 1), Some(ca.node("else"))).await;
    assert_eq!(borrowed, Err(Refused::Unreachable), "a name that the certificate does not bear");
    let cluster = refused(identity("d", "near", 1), Some(ca.node("near"))).await;
    assert_eq!(cluster, Err(Refused::Unreachable), "another cluster");
    let right = refused(identity("c", "near", 1), Some(ca.node("near"))).await;
    assert_eq!(right, Ok(Bytes::from_static(b"cba")));
}

/// A stopped process: its kernel takes connections, and nobody reads from them.
#[tokio::test]
async fn a_peer_that_does_not_read_costs_a_bounded_queue_and_is_busy() {
    let far = far(None).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = Member { address: silent.local_addr().unwrap().to_string(), ..far.member };
    let limits = LinkLimits { in_flight_max: 100_000, ..LinkLimits::default() };
    let links = Links::new(identity("c", "near", 1), None, limits);
    let (body, key) = (Bytes::from(vec![7; 1024]), key("one"));
    let one = || links.ask(&member, &key, body.clone(), 3, Duration::from_millis(500));
    let answers = futures::future::join_all((0..20_000).map(|_| one())).await;
    let count = |refused| answers.iter().filter(|answer| **answer == Err(refused)).count();
    let (busy, kept) = (count(Refused::Busy), count(Refused::Expired) + count(Refused::Unreachable));
    assert_eq!(busy + kept, 20_000);
    assert!(kept < 4_000, "{kept} of 20,000 were taken; the queue holds {}", limits.queue);
    let unanswered = |slot: &Slot| match slot {
        Slot::Open(peer) => peer.unanswered(),
        Slot::Failed(_) => 0,
    };
    assert_eq!(links.slots().values().map(unanswered).sum::<usize>(), 0, "nothing is kept of asks given up");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_unreachable_and_found_again() {
    let first = far(None).await;
    let links = Links::new(identity("c", "near", 1), None, LinkLimits::default());
    assert!(ask(&links, &first, "one", WITHIN).await.is_ok());
    let address = first.listening.address;
    drop(first.listening);
    let (sender, _wakes) = mpsc::unbounded_channel();
    let desk = Arc::new(Echo { wakes: sender });
    let freed = Instant::now() + WITHIN;
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < freed, "the port is still taken: {error}"),
        }
        tokio::task::yield_now().await;
    };
    let again = serve(listener, identity("c", "far", 2), None, LinkLimits::default(), desk).unwrap();
    let member = &first.member;
    let deadline = Instant::now() + WITHIN;
    loop {
        match links.ask(member, &key("one"), Bytes::from_static(b"abc"), 3, WITHIN).await {
            Ok(answer) => break assert_eq!(answer, Bytes::from_static(b"cba")),
            Err(error) => assert!(Instant::now() < deadline, "still {error}"),
        }
        tokio::task::yield_now().await;
    }
    drop(again);
}
