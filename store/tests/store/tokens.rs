//! Tokens, tenants and remembered answers.

use model::RequestId;
use sqlx::PgPool;
use store::requests::{self, Recall};
use store::tokens::{self, TokenRefusal};
use store::{Error, lanes, tenants};
use time::Duration;
use uuid::Uuid;

use crate::fixture::{GENEROUS, World};

#[sqlx::test]
async fn a_token_speaks_for_its_tenant_until_it_ends(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let scopes = vec!["scan:write".to_owned()];
    let mut tx = world.store.fleet().await.unwrap();
    let (id, text) = tokens::issue(&mut tx, tenant, "ci", &scopes, None).await.unwrap();
    let (_, short) = tokens::issue(&mut tx, tenant, "old", &scopes, Some(Duration::ZERO)).await.unwrap();
    tx.commit().await.unwrap();

    let caller = tokens::verify(&world.store, &text).await.unwrap().unwrap();
    assert_eq!((caller.tenant, caller.scopes, caller.token_id, &*caller.label), (tenant, scopes, id, "ci"));
    let other_secret = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    for (token, refusal) in [
        (other_secret.as_str(), TokenRefusal::Unknown),
        (short.as_str(), TokenRefusal::Expired),
        ("stl_", TokenRefusal::Malformed),
        ("", TokenRefusal::Malformed),
        (&text[4..], TokenRefusal::Malformed),
    ] {
        assert_eq!(tokens::verify(&world.store, token).await.unwrap(), Err(refusal), "{token:?}");
    }
    let secret = text.rsplit('_').next().unwrap();
    let stored = world
        .number(&format!(
            "select count(*) from authority.token where to_jsonb(token)::text like '%{secret}%'"
        ))
        .await;
    assert_eq!(stored, 0, "the secret is kept");

    let mut tx = world.store.fleet().await.unwrap();
    tokens::revoke(&mut tx, tenant, id).await.unwrap();
    assert_eq!(tokens::list(&mut tx, tenant, None, 10).await.unwrap().len(), 2);
    tx.commit().await.unwrap();
    assert_eq!(tokens::verify(&world.store, &text).await.unwrap(), Err(TokenRefusal::Revoked));
}

#[sqlx::test]
async fn an_answer_is_remembered_for_its_request_alone(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let request = RequestId::from_uuid(Uuid::now_v7());
    let mut tx = world.store.tenant(tenant).await.unwrap();
    assert_eq!(requests::recall(&mut tx, "PutImage", request, b"body").await.unwrap(), Recall::New);
    requests::remember(&mut tx, "PutImage", request, b"body", b"answer").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.store.tenant(tenant).await.unwrap();
    let answered = requests::recall(&mut tx, "PutImage", request, b"body").await.unwrap();
    assert_eq!(answered, Recall::Answered(b"answer".to_vec()));
    assert_eq!(requests::recall(&mut tx, "PutImage", request, b"other").await.unwrap(), Recall::Reused);
    assert_eq!(requests::recall(&mut tx, "Other", request, b"body").await.unwrap(), Recall::New);
    let late = requests::remember(&mut tx, "PutImage", request, b"body", b"answer").await;
    assert!(matches!(late, Err(Error::Stale { .. })), "{late:?}");
    drop(tx);
    world.sql("update authority.request set at = at - interval '25 hours'").await;
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(requests::forget_old(&mut tx).await.unwrap(), 1);
}

#[sqlx::test]
async fn tenants_have_unique_names_and_quotas_that_change(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let mut tx = world.store.fleet().await.unwrap();
    let taken = tenants::create(&mut tx, "a", GENEROUS).await;
    assert!(matches!(taken, Err(Error::Conflict { .. })), "{taken:?}");
    let quota = tenants::Quota { weight: 2.5, max_inflight: 3, ..GENEROUS };
    assert_eq!(tenants::set_quota(&mut tx, tenant, quota).await.unwrap().quota, quota);
    assert_eq!(tenants::by_name(&mut tx, "a").await.unwrap().id, tenant);
    let names: Vec<_> = tenants::list(&mut tx, None, 10).await.unwrap().into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["a"], "the system's own tenant is not listed");
    let loads = lanes::load(&mut tx, Some(tenant)).await.unwrap();
    assert!(loads.iter().all(|l| l.waiting + l.inflight + l.dead_letters == 0), "{loads:?}");
    let bad = tenants::create(&mut tx, "No Name", GENEROUS).await;
    assert!(matches!(bad, Err(Error::Conflict { .. })), "{bad:?}");
}
