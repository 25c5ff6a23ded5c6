//! Migrating, and refusing a schema that does not fit.

use sqlx::{AssertSqlSafe, PgPool};
use store::{Config, Error, Store};

/// Two empty databases of one server.
async fn databases(owner: &PgPool, test: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for place in 0..2 {
        let name = format!("starling_{test}_{place}");
        for statement in [format!("drop database if exists {name}"), format!("create database {name}")] {
            sqlx::query(AssertSqlSafe(statement)).execute(owner).await.unwrap();
        }
        let options = (*owner.connect_options()).clone().database(&name);
        urls.push(sqlx::ConnectOptions::to_url_lossy(&options).to_string());
    }
    urls
}

fn app(owner_url: &str) -> Config {
    let (_, place) = owner_url.split_once('@').unwrap();
    Config {
        url: format!("postgres://starling_app@{place}"),
        max_connections: 2,
        application_name: "schema".to_owned(),
    }
}

#[sqlx::test(migrations = false)]
async fn databases_of_one_server_migrate_at_once_and_again(owner: PgPool) {
    let urls = databases(&owner, "migrating").await;
    let both = urls.iter().chain(&urls).map(|url| Store::migrate(url));
    futures::future::try_join_all(both).await.unwrap();
    Store::migrate(&urls[0]).await.unwrap();
    for url in &urls {
        Store::connect(&app(url)).await.unwrap().ping().await.unwrap();
    }
}

#[sqlx::test(migrations = false)]
async fn a_database_that_is_not_migrated_is_refused(owner: PgPool) {
    let urls = databases(&owner, "refusing").await;
    Store::migrate(&urls[1]).await.unwrap(); // so that the roles exist
    let refused = Store::connect(&app(&urls[0])).await;
    assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
    let other = PgPool::connect(&urls[1]).await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = '' where version = 1").execute(&other).await.unwrap();
    let refused = Store::connect(&app(&urls[1])).await;
    assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
}

#[sqlx::test(migrations = false)]
async fn a_newer_schema_is_taken_until_it_says_that_it_needs_a_newer_node(owner: PgPool) {
    let [url, _] = databases(&owner, "contracting").await.try_into().unwrap();
    Store::migrate(&url).await.unwrap();
    let newer = PgPool::connect(&url).await.unwrap();
    let expand = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                  values (999999, 'expands', true, '', 0)";
    sqlx::query(expand).execute(&newer).await.unwrap();
    Store::connect(&app(&url)).await.unwrap().ping().await.unwrap();
    sqlx::query("insert into authority.contract (needs) values (999999)").execute(&newer).await.unwrap();
    let refused = Store::connect(&app(&url)).await;
    let too_new = |error: &Error| matches!(error, Error::Schema(sqlx::migrate::MigrateError::VersionTooNew(999_999, newest)) if *newest < 999_999);
    assert!(refused.as_ref().is_err_and(too_new), "{refused:?}");
}
