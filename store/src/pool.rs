//! The pool, and the settings that every connection gets.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use model::TenantId;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::Notify;

use crate::{Error, FleetTx, TenantTx};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct Config {
    /// `postgres://starling_app@…`; the role must be a member of `starling_tenant` and `starling_fleet`.
    pub url: String,
    /// How many connections at most.
    pub max_connections: u32,
    /// What the connections are called in `pg_stat_activity`: the node's name. The store adds a random part, so that
    /// a successor of the same name can cut the connections of its dead predecessor and not its own.
    pub application_name: String,
}

/// The database. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    bell_rung: Arc<Notify>,
}

impl Store {
    /// Connects, and checks that the schema has everything this binary was built with (`Schema` if not).
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(&config.url)?;
        Self::connect_with(options, config.max_connections, &config.application_name).await
    }

    /// As [`Store::connect`], with options that are already parsed.
    pub async fn connect_with(
        options: PgConnectOptions,
        max_connections: u32,
        application_name: &str,
    ) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(session(options, application_name))
            .await?;
        let store = Self { pool, bell_rung: Arc::new(Notify::new()) };
        store.check_schema().await?;
        Ok(store)
    }

    /// Brings the schema up to date. Takes the owner's URL; several nodes may do it at once.
    pub async fn migrate(owner_url: &str) -> Result<(), Error> {
        let mut owner = PgConnection::connect(owner_url).await?;
        MIGRATIONS.run_direct(None, &mut owner, false).await.map_err(Error::Schema)?;
        owner.close().await?;
        Ok(())
    }

    /// Refuses a schema that lacks what this binary was built with, or that has given up what it needs.
    async fn check_schema(&self) -> Result<(), Error> {
        let mut tx = self.fleet().await?;
        let applied: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select version, checksum from public._sqlx_migrations order by version")
                .fetch_all(tx.conn())
                .await
                .or_else(|error| if is_unmigrated(&error) { Ok(Vec::new()) } else { Err(error) })?;
        for migration in MIGRATIONS.iter() {
            match applied.iter().find(|(version, _)| *version == migration.version) {
                None => return Err(Error::Schema(MigrateError::VersionNotPresent(migration.version))),
                Some((_, checksum)) if checksum[..] != migration.checksum[..] => {
                    return Err(Error::Schema(MigrateError::VersionMismatch(migration.version)));
                }
                Some(_) => {}
            }
        }
        let needs: i64 = sqlx::query_scalar("select coalesce(max(needs), 0) from authority.contract")
            .fetch_one(tx.conn())
            .await?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        if needs > newest {
            return Err(Error::Schema(MigrateError::VersionTooNew(needs, newest)));
        }
        Ok(())
    }

    /// Opens a transaction that sees this tenant's rows alone.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, Error> {
        TenantTx::open(self, tenant).await
    }

    /// Opens a transaction for what belongs to no tenant or to all.
    pub async fn fleet(&self) -> Result<FleetTx, Error> {
        FleetTx::open(self).await
    }

    /// Notified after every commit made here that left a bell; the relay waits on it, and polls in case another
    /// node's commit left one.
    pub fn bell_rung(&self) -> Arc<Notify> {
        Arc::clone(&self.bell_rung)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query!("select 1 as one").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Connections in use and open, for metrics.
    pub fn connections(&self) -> (usize, usize) {
        let open = self.pool.size() as usize;
        (open.saturating_sub(self.pool.num_idle()), open)
    }

    /// Closes the pool; waits for transactions that are still open.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn notify_relay(&self) {
        self.bell_rung.notify_one();
    }
}

/// No role, no right or no table: nobody has migrated this database yet. (A newer schema is fine: changes are made so
/// that the binary before them still works, and `authority.contract` says when one does not.)
fn is_unmigrated(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    matches!(code.as_deref(), Some("42P01" | "42501" | "22023"))
}

/// Bounds on everything a session may hold: a stopped process must not keep a lock for long.
fn session(options: PgConnectOptions, application_name: &str) -> PgConnectOptions {
    let room = 63 - 1 - 8; // PostgreSQL cuts names at 63 bytes.
    let name: String = application_name.chars().filter(char::is_ascii).take(room).collect();
    options.application_name(&format!("{name}:{:08x}", rand::random::<u32>())).options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "2s"),
        ("tcp_user_timeout", "5s"),
        ("timezone", "UTC"),
    ])
}
