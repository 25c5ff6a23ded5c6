//! Issuers: every change is kept, each makes a snapshot, and how it stands is their fold.

use ::vex::signature::Key;
use ::vex::trust::{IssuerChangeKind, Scope, Tier};
use model::{SnapshotId, TenantId};
use sqlx::PgPool;
use store::issuers::{self, NewIssuerChange};
use store::{Error, vex};
use time::OffsetDateTime;

use crate::fixture::World;

const SYSTEM: TenantId = TenantId::SYSTEM;

/// An Ed25519 public key made of this byte.
fn key(byte: u8) -> Key {
    const OF_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    Key::parse(&[&OF_ED25519[..], &[byte; 32]].concat()).unwrap()
}

async fn change(
    world: &World,
    tenant: TenantId,
    issuer: &str,
    kind: IssuerChangeKind,
) -> Result<SnapshotId, Error> {
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let change = NewIssuerChange {
        issuer: issuer.to_owned(),
        kind,
        by: "jo".to_owned(),
        reason: "it must be".to_owned(),
    };
    let snapshot = issuers::change(&mut tx, &change).await?;
    tx.commit().await.unwrap();
    Ok(snapshot)
}

pub(crate) async fn create(world: &World, tenant: TenantId, issuer: &str, authors: &[&str]) -> SnapshotId {
    change(world, tenant, issuer, created(authors)).await.unwrap()
}

fn created(authors: &[&str]) -> IssuerChangeKind {
    let authors = authors.iter().map(|author| (*author).to_owned()).collect();
    IssuerChangeKind::Created { name: "Somebody".to_owned(), authors, tier: Tier::Second }
}

fn added(byte: u8, replaces: Option<u8>) -> IssuerChangeKind {
    IssuerChangeKind::KeyAdded { key: key(byte), replaces: replaces.map(|byte| key(byte).id().to_owned()) }
}

fn revoked(byte: u8, since: OffsetDateTime) -> IssuerChangeKind {
    IssuerChangeKind::KeyRevoked { key: key(byte).id().to_owned(), since }
}

async fn now(world: &World) -> OffsetDateTime {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(&world.owner).await.unwrap()
}

/// Each issuer that is known with its tier and how many good keys it has now.
async fn known(world: &World, tenant: TenantId, at: i64) -> Vec<(String, Tier, usize)> {
    let now = now(world).await;
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let directory = issuers::changes(&mut tx, SnapshotId(at)).await.unwrap().register().directory();
    let good = |keys: &[Key]| keys.iter().filter(|key| key.is_valid_at(now)).count();
    directory.issuers.iter().map(|issuer| (issuer.id.clone(), issuer.tier, good(&issuer.keys))).collect()
}

fn one(id: &str, tier: Tier, keys: usize) -> (String, Tier, usize) {
    (id.to_owned(), tier, keys)
}

#[sqlx::test]
async fn how_it_stands_is_as_of_a_snapshot(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    create(&world, SYSTEM, "vendor", &["Vendor"]).await;
    change(&world, SYSTEM, "vendor", added(1, None)).await.unwrap();
    create(&world, a, "us", &["Us"]).await;
    change(&world, a, "vendor", IssuerChangeKind::Trusted { tier: Some(Tier::Untrusted) }).await.unwrap();
    let since = now(&world).await;
    change(&world, SYSTEM, "vendor", revoked(1, since)).await.unwrap();
    change(&world, SYSTEM, "vendor", IssuerChangeKind::Retired).await.unwrap();
    assert_eq!(known(&world, a, 0).await, []);
    assert_eq!(known(&world, a, 2).await, [one("vendor", Tier::Second, 1)]);
    assert_eq!(known(&world, a, 4).await, [one("us", Tier::Second, 0), one("vendor", Tier::Untrusted, 1)]);
    assert_eq!(known(&world, b, 4).await, [one("vendor", Tier::Second, 1)], "the other's is nothing to it");
    assert_eq!(known(&world, b, 5).await, [one("vendor", Tier::Second, 0)]);
    assert_eq!(known(&world, a, 6).await, [one("us", Tier::Second, 0)]);
    assert_eq!(known(&world, SYSTEM, 4).await, [one("vendor", Tier::Second, 1)]);
    let mut tx = world.store.tenant(b).await.unwrap();
    assert_eq!(issuers::last_change(&mut tx, SnapshotId(4)).await.unwrap(), SnapshotId(2));
    assert_eq!(issuers::changes(&mut tx, SnapshotId(4)).await.unwrap().last, SnapshotId(2));
}

#[sqlx::test]
async fn who_did_what_is_kept_for_whom_it_counts(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    create(&world, SYSTEM, "vendor", &["Vendor"]).await;
    create(&world, a, "us", &["Us"]).await;
    change(&world, a, "us", added(1, None)).await.unwrap();
    change(&world, a, "us", added(2, Some(1))).await.unwrap();
    let since = now(&world).await;
    change(&world, a, "us", revoked(2, since)).await.unwrap();
    change(&world, a, "", IssuerChangeKind::Policy { accepts_unknown: false, accepts_unsigned: true })
        .await
        .unwrap();
    let mut tx = world.store.tenant(a).await.unwrap();
    let audit = issuers::audit(&mut tx, None, None, 10).await.unwrap();
    let told: Vec<_> =
        audit.iter().map(|c| (c.snapshot.0, c.number, c.scope, c.change.kind.as_str())).collect();
    let own = |snapshot, number, word| (snapshot, number, Scope::Own, word);
    assert_eq!(
        told,
        [
            own(6, 5, "policy"),
            own(5, 4, "key_revoked"),
            own(4, 3, "key_added"),
            own(3, 2, "key_added"),
            own(2, 1, "created"),
            (1, 1, Scope::Global, "created"),
        ]
    );
    assert_eq!((audit[0].by.as_str(), audit[0].reason.as_str()), ("jo", "it must be"));
    assert_eq!(audit[2].change.kind, added(2, Some(1)), "it is read as it was written");
    assert_eq!(audit[1].change.kind, revoked(2, since));
    let page = issuers::audit(&mut tx, Some("us"), Some(SnapshotId(5)), 2).await.unwrap();
    assert_eq!(page.iter().map(|c| c.snapshot.0).collect::<Vec<_>>(), [4, 3]);
    let mut tx = world.store.tenant(b).await.unwrap();
    assert_eq!(issuers::audit(&mut tx, None, None, 10).await.unwrap().len(), 1);
}

#[sqlx::test]
async fn what_may_not_be_changed_is_refused_and_leaves_nothing(owner: PgPool) {
    let world = World::new(owner).await;
    let a = world.tenant("a").await;
    create(&world, SYSTEM, "vendor", &["Vendor"]).await;
    change(&world, SYSTEM, "vendor", added(1, None)).await.unwrap();
    create(&world, a, "us", &[]).await;
    let taken = change(&world, a, "vendor", created(&[])).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { entity: "issuer" })), "{taken:?}");
    let theirs = change(&world, a, "vendor", added(2, None)).await;
    assert!(matches!(theirs, Err(Error::NotFound { entity: "issuer" })), "{theirs:?}");
    let key_taken = change(&world, a, "us", added(1, None)).await;
    assert!(matches!(key_taken, Err(Error::Conflict { .. })), "{key_taken:?}");
    let unknown = change(&world, a, "us", added(3, Some(4))).await;
    assert!(matches!(unknown, Err(Error::NotFound { entity: "issuer key" })), "{unknown:?}");
    let author = change(&world, a, "them", created(&["Vendor"])).await;
    assert!(matches!(author, Err(Error::Conflict { .. })), "{author:?}");
    assert_eq!(world.number("select count(*) from vex.issuer_change").await, 3);
    assert_eq!(world.number("select snapshot_id from vuln.latest").await, 3);
}

#[sqlx::test]
async fn a_clock_that_is_a_little_ahead_revokes_now_and_no_later(owner: PgPool) {
    let world = World::new(owner).await;
    let a = world.tenant("a").await;
    create(&world, a, "us", &[]).await;
    change(&world, a, "us", added(1, None)).await.unwrap();
    let far = change(&world, a, "us", revoked(1, now(&world).await + time::Duration::hours(1))).await;
    assert!(matches!(far, Err(Error::Conflict { .. })), "{far:?}");
    change(&world, a, "us", revoked(1, now(&world).await + time::Duration::seconds(30))).await.unwrap();
    assert_eq!(known(&world, a, 9).await, [one("us", Tier::Second, 0)]);
}

#[sqlx::test]
async fn a_change_of_an_issuer_concerns_what_its_documents_name(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let document = crate::vex::document_by;
    crate::vex::attach(&world, a, &document("Us", "a1", "1", &["CVE-1"]), &[]).await;
    crate::vex::attach(&world, a, &document("Others", "a2", "1", &["CVE-2"]), &[]).await;
    crate::vex::attach(&world, b, &document("Us", "b1", "1", &["CVE-3"]), &[]).await;
    let signed = crate::vex::attaching_signed(&document("Others", "a3", "1", &["CVE-4"]));
    let mut tx = world.store.tenant(a).await.unwrap();
    vex::attach(&mut tx, &signed).await.unwrap();
    tx.commit().await.unwrap();
    create(&world, a, "us", &["Us"]).await; // 5
    change(&world, a, "us", added(1, None)).await.unwrap(); // 6
    change(&world, a, "", IssuerChangeKind::Policy { accepts_unknown: false, accepts_unsigned: true })
        .await
        .unwrap(); // 7
    let renamed =
        IssuerChangeKind::Changed { name: None, authors: Some(vec!["Others".to_owned()]), tier: None };
    change(&world, a, "us", renamed).await.unwrap(); // 8
    create(&world, SYSTEM, "vendor", &["Us"]).await; // 9
    create(&world, a, "nobody", &["Nobody"]).await; // 10: nothing is by them
    let found = crate::vex::concerns(&world, 4, 10).await;
    let told: Vec<_> =
        found.into_iter().map(|(snapshot, tenant, _, names)| (snapshot, tenant, names.join(" "))).collect();
    let of = |snapshot, tenant, names: &str| (snapshot, tenant, names.to_owned());
    assert_eq!(
        told,
        [
            of(5, Some(a), "CVE-1"),
            of(6, Some(a), "CVE-1 CVE-4"),
            of(7, Some(a), "CVE-1 CVE-2 CVE-4"),
            of(8, Some(a), "CVE-1 CVE-2 CVE-4"),
            of(9, None, "CVE-1 CVE-3"),
        ]
    );
}
