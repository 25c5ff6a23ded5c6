//! What a new cluster holds: the roles, the schema, the tenant `demo`, and a token for it and for the operator.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use model::TenantId;
use store::tenants::Quota;
use store::{Store, tenants, tokens};

use super::postgres::Postgres;
use super::settings::{DataDir, Settings};
use super::{context, files};
use crate::config::Environment;
use crate::grpc::scopes::Scope;

/// The role that nodes log in as.
pub(super) const APP: &str = "starling_app";
/// The role that owns everything.
const OWNER: &str = "starling_owner";
/// The database.
pub(super) const DATABASE: &str = "starling";
/// The tenant to try things out with.
const TENANT: &str = "demo";

/// SQL for a new server: the roles that log in, and the database.
///
/// The owner writes rows of its own in migrations, so the walls around tenants do not hold for it.
pub(super) fn bootstrap(settings: &Settings) -> Vec<String> {
    vec![
        format!("alter role postgres password '{}';", settings.superuser_password),
        format!("create role {OWNER} login createrole bypassrls password '{}';", settings.owner_password),
        format!("create role {APP} login noinherit password '{}';", settings.app_password),
        format!("create database {DATABASE} owner {OWNER};"),
    ]
}

/// Brings the schema up to date and makes the tenant and tokens that are missing.
pub(super) async fn prepare(dir: &DataDir, postgres: &Postgres, settings: &Settings) -> Result<()> {
    let owner = postgres.url(OWNER, &settings.owner_password, DATABASE);
    Store::migrate(&owner).await.context("cannot bring the schema up to date")?;
    let config = store::Config {
        url: postgres.url(APP, &settings.app_password, DATABASE),
        max_connections: 2,
        application_name: "starling-dev".to_owned(),
    };
    let store = Store::connect(&config).await.context("cannot connect to the new database")?;
    let tenant = demo_tenant(&store).await?;
    token(&store, &demo_token_file(dir), tenant, Scope::of_tenants()).await?;
    token(&store, &operator_token_file(dir), TenantId::SYSTEM, Scope::of_operators()).await?;
    store.close().await;
    Ok(())
}

/// Tells the command line of this user where the cluster is.
pub(super) fn remember_contexts(dir: &DataDir, endpoint: &str, env: &Environment) -> Result<()> {
    let file =
        env.context_file().context("HOME is not set: where should the command line find its context?")?;
    context::remember(&file, "dev", endpoint, &demo_token_file(dir))?;
    context::remember(&file, "dev-operator", endpoint, &operator_token_file(dir))
}

async fn demo_tenant(store: &Store) -> Result<TenantId> {
    let mut tx = store.fleet().await?;
    let tenant = match tenants::by_name(&mut tx, TENANT).await {
        Err(store::Error::NotFound { .. }) => tenants::create(&mut tx, TENANT, Quota::default()).await?,
        found => found?,
    };
    tx.commit().await?;
    Ok(tenant.id)
}

/// Keeps a token in a file; makes another when it is missing, no longer good, or lacks what there is by now.
async fn token(
    store: &Store,
    file: &Path,
    tenant: TenantId,
    scopes: impl Iterator<Item = Scope>,
) -> Result<()> {
    let scopes: Vec<_> = scopes.map(|scope| scope.as_str().to_owned()).collect();
    if let Ok(text) = std::fs::read_to_string(file)
        && let Ok(caller) = tokens::verify(store, text.trim()).await?
        && scopes.iter().all(|scope| caller.scopes.contains(scope))
    {
        return Ok(());
    }
    let mut tx = store.fleet().await?;
    let (_, text) = tokens::issue(&mut tx, tenant, "starling dev", &scopes, None).await?;
    // The file first: a token that is in no file is of no use to anybody.
    files::write_private(file, &format!("{text}\n"))?;
    tx.commit().await?;
    Ok(())
}

fn demo_token_file(dir: &DataDir) -> PathBuf {
    dir.join("tokens/demo")
}

fn operator_token_file(dir: &DataDir) -> PathBuf {
    dir.join("tokens/operator")
}
