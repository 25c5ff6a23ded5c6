//! The servers that one cluster stands on.

use std::path::Path;

use crate::{Disk, Postgres, Valkey};

/// A PostgreSQL and a Valkey of one's own.
#[derive(Debug)]
pub struct Servers {
    /// The truth.
    pub postgres: Postgres,
    /// What carries the bells.
    pub valkey: Valkey,
    /// Disks that can be full, where there are any.
    pub disks: Option<Disks>,
}

/// Disks of their own.
#[derive(Debug)]
pub struct Disks {
    /// The database's.
    pub data: Disk,
    /// The object store's.
    pub objects: Disk,
}

impl Disks {
    /// Small ones; `None` where nobody may mount them. The database keeps some hundred megabytes of log.
    pub(crate) fn below(home: &Path) -> Option<Self> {
        let (data, objects) = (Disk::at(&home.join("postgres"), 700)?, Disk::at(&home.join("objects"), 100)?);
        Some(Self { data, objects })
    }
}

impl Servers {
    /// Starts both. Their files go to `home`. `durable`: as one would have PostgreSQL outside of tests.
    pub async fn start(home: &Path, durable: bool) -> Self {
        let (postgres, valkey) =
            tokio::join!(Postgres::start(home, durable), Valkey::start(home.to_path_buf()));
        Self { postgres, valkey, disks: None }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, PgConnection, Row as _};

    use super::*;

    async fn count(url: &str) -> i64 {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("select count(*) from kept").fetch_one(&mut connection).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn a_killed_database_keeps_what_it_committed_and_a_killed_valkey_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut servers = Servers::start(home.path(), false).await;
        let url = servers.postgres.owner_url("postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query("create table kept (n int)").execute(&mut connection).await.unwrap();
        sqlx::query("insert into kept values (1), (2)").execute(&mut connection).await.unwrap();
        servers.postgres.kill();
        assert!(PgConnection::connect(&url).await.is_err());
        servers.postgres.restart().await;
        assert_eq!(count(&url).await, 2);

        assert_eq!(servers.valkey.order("SET kept 1").await.unwrap(), "+OK\r\n");
        servers.valkey.flush_all().await;
        assert_eq!(servers.valkey.order("EXISTS kept").await.unwrap(), ":0\r\n");
        assert_eq!(servers.valkey.order("SET kept 1").await.unwrap(), "+OK\r\n");
        servers.valkey.kill();
        assert!(servers.valkey.order("PING").await.is_err());
        servers.valkey.restart().await;
        assert_eq!(servers.valkey.order("EXISTS kept").await.unwrap(), ":0\r\n");
    }
}
