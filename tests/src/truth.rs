//! A look behind the nodes: the database as its owner sees it, past row-level security.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

/// The owner's view. It connects anew for each question: servers die here, and tests that share a
/// cluster have runtimes of their own.
#[derive(Debug, Clone)]
pub struct Truth {
    owner_url: String,
}

impl Truth {
    /// The database at this address.
    pub(crate) fn new(owner_url: String) -> Self {
        Self { owner_url }
    }

    /// A session as owner, for what takes several statements.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.owner_url).await.expect("the database answers its owner")
    }

    /// Runs statements that answer nothing.
    pub async fn run(&self, sql: &str) {
        let outcome = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.session().await).await;
        outcome.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The rows.
    pub async fn rows(&self, sql: &str) -> Vec<PgRow> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.session().await).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The first column of every row, as text. The query casts.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.iter().map(|row| row.get(0)).collect()
    }

    /// The one number that this query answers.
    pub async fn number(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].get(0)
    }

    /// The results of a tenant's images: each fact and verdict row with the place and the transaction
    /// it was written by, so that a rewritten row is another one.
    pub async fn results(&self, tenant: Uuid) -> Vec<String> {
        self.texts(&format!(
            "select concat_ws(' ', 'fact', ctid, xmin) from scanner.fact where tenant_id = '{tenant}'
             union all
             select concat_ws(' ', 'verdict', ctid, xmin) from scanner.verdict where tenant_id = '{tenant}'
             order by 1"
        ))
        .await
    }

    /// Gives up an image of a tenant, as if all attempts to read it had failed: the dead letter's id.
    pub async fn bury(&self, tenant: Uuid, image: &str) -> String {
        let id = Uuid::now_v7();
        self.run(&format!(
            "insert into orchestrator.dead_letter
                 (tenant_id, dead_letter_id, image_digest, lane, attempts, first_reason, last_reason, job_ids)
             values ('{tenant}', '{id}', '{image}', 1, 5, 'first', 'last', '{{}}')"
        ))
        .await;
        id.to_string()
    }
}
