//! What a backup has to ask of the database, as its owner: one moment, all blobs that it names, and whether a database
//! is empty enough to be restored into.

use std::collections::BTreeSet;

use model::{Digest, TenantId};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::Error;
use crate::pool::MIGRATIONS;
use crate::row::word;

/// One moment of the database, which stays readable while this lives. It holds back the cleaning up of old rows.
#[derive(Debug)]
pub struct Moment {
    owner: PgConnection,
    id: String,
}

/// A blob that a row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBlob {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}

impl Moment {
    /// Holds on to this moment.
    pub async fn take(owner_url: &str) -> Result<Self, Error> {
        let mut owner = PgConnection::connect(owner_url).await?;
        // PostgreSQL's own tools wait longer than a session of ours may be idle.
        sqlx::raw_sql(
            "set idle_in_transaction_session_timeout = 0; begin transaction isolation level repeatable read read only",
        )
        .execute(&mut owner)
        .await?;
        let id = sqlx::query_scalar("select pg_export_snapshot()").fetch_one(&mut owner).await?;
        Ok(Self { owner, id })
    }

    /// By which others see the same moment, while this lives.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All blobs that rows name, by tenant and digest.
    pub async fn blobs(&mut self) -> Result<Vec<NamedBlob>, Error> {
        let rows = sqlx::query("select tenant_id, digest, size from scanner.blob order by tenant_id, digest")
            .fetch_all(&mut self.owner)
            .await?;
        rows.iter()
            .map(|row| {
                let digest: String = row.get("digest");
                Ok(NamedBlob {
                    tenant: TenantId::from_uuid(row.get("tenant_id")),
                    digest: word("blob", &digest, |text| text.parse().ok())?,
                    size: row.get::<i64, _>("size").unsigned_abs(),
                })
            })
            .collect()
    }

    /// The migrations that have been applied.
    pub async fn schema(&mut self) -> Result<BTreeSet<i64>, Error> {
        let versions = sqlx::query_scalar("select version from public._sqlx_migrations")
            .fetch_all(&mut self.owner)
            .await?;
        Ok(versions.into_iter().collect())
    }

    /// How many jobs had been accepted.
    pub async fn jobs(&mut self) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("select count(*) from orchestrator.job").fetch_one(&mut self.owner).await?)
    }
}

/// The tables of a database, whoever made them: none where something may be restored into.
pub async fn tables(owner_url: &str) -> Result<Vec<String>, Error> {
    let mut owner = PgConnection::connect(owner_url).await?;
    let found = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'm', 'S') and n.nspname <> 'information_schema'
           and n.nspname !~ '^pg_' order by 1",
    )
    .fetch_all(&mut owner)
    .await?;
    owner.close().await?;
    Ok(found)
}

/// Makes the roles that rights are given to. They belong to the server, and so to no backup of a database.
pub async fn make_roles(owner_url: &str) -> Result<(), Error> {
    let mut owner = PgConnection::connect(owner_url).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(roles().to_owned())).execute(&mut owner).await?;
    owner.close().await?;
    Ok(())
}

/// The first statement of the first migration, which makes what it does not find.
fn roles() -> &'static str {
    let first = MIGRATIONS.iter().next().map_or("", |migration| migration.sql.as_str());
    let end = "\nend $$;";
    first.find(end).map_or(first, |at| &first[..at + end.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_that_makes_roles_makes_nothing_else() {
        let roles = roles();
        assert!(roles.contains("starling_fleet") && roles.trim_end().ends_with("end $$;"));
        assert!(!roles.contains("create schema"));
    }
}
