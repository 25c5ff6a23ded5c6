//! Tokens as an operator with access to the database makes them.

use std::time::Duration;

use coordinator::grpc::scopes::Scope;
use model::TenantId;
use store::{Config, Store};

/// A token with every scope that fits the tenant.
pub(crate) async fn issue(app_url: &str, tenant: TenantId, expires_in: Option<Duration>) -> String {
    let store = connect(app_url, 1).await;
    let scopes: Vec<_> = Scope::ALL
        .into_iter()
        .filter(|scope| scope.fits(tenant))
        .map(|scope| scope.as_str().to_owned())
        .collect();
    let lifetime = expires_in.map(|time| time.try_into().expect("not longer than a life"));
    let mut tx = store.fleet().await.expect("the database answers");
    let (_, text) = store::tokens::issue(&mut tx, tenant, "test", &scopes, lifetime).await.expect("a token");
    tx.commit().await.expect("the database answers");
    store.close().await;
    text
}

/// Takes a token back.
pub(crate) async fn revoke(app_url: &str, tenant: TenantId, token: &str) {
    let store = connect(app_url, 1).await;
    let id = token.split('_').nth(1).and_then(|id| id.parse().ok()).expect("a token says its id");
    let mut tx = store.fleet().await.expect("the database answers");
    store::tokens::revoke(&mut tx, tenant, id).await.expect("the token is known");
    tx.commit().await.expect("the database answers");
    store.close().await;
}

/// The store as a node has it.
pub(crate) async fn connect(app_url: &str, max_connections: u32) -> Store {
    let config = Config { url: app_url.to_owned(), max_connections, application_name: "test".to_owned() };
    Store::connect(&config).await.expect("the database answers the application's role")
}
