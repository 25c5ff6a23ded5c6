//! A counter: an entity whose effects can be counted, so that one lost or doubled shows.
//!
//! Each add has an id. Its effect is one transaction: fence, inbox, sum. The sum is not idempotent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use cluster::{EntityContext, EntityFactory, EntityKey, EntityMessage, Lease};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub(crate) const KIND: &str = "counter";

pub(crate) fn key(n: u32) -> EntityKey {
    EntityKey::new(KIND, Uuid::nil(), n.to_string())
}

/// The test's own tables.
pub(crate) async fn create_tables(database: &PgPool) {
    for table in [
        "create table counter (key text primary key, sum bigint not null)",
        "create table addition (id bigint primary key, key text not null, amount bigint not null)",
        "create table inbox (id bigint primary key)",
    ] {
        sqlx::query(table).execute(database).await.expect("the table is made");
    }
}

/// Makes counters.
pub(crate) struct Counters {
    pub(crate) database: PgPool,
    /// Effects that were refused because another node owns the partition by now.
    pub(crate) fenced: Arc<AtomicU64>,
}

#[async_trait]
impl EntityFactory for Counters {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr> {
        let counter = Counter {
            database: self.database.clone(),
            fenced: self.fenced.clone(),
            key: context.key.id.to_string(),
            lease: context.lease,
        };
        Ok(Actor::spawn_linked(None, counter, (), context.supervisor).await?.0)
    }
}

struct Counter {
    database: PgPool,
    fenced: Arc<AtomicU64>,
    key: String,
    lease: Lease,
}

/// Another node owns the partition.
#[derive(Debug, thiserror::Error)]
#[error("fenced")]
struct Fenced;

impl Actor for Counter {
    type Msg = EntityMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EntityMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<EntityMessage>,
        message: EntityMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let done = match message {
            EntityMessage::Wake(receipt) => self.catch_up().await.map(|()| receipt.done()),
            EntityMessage::Ask { body, reply, permit } => {
                let done = self.add(&String::from_utf8_lossy(&body)).await;
                done.map(|()| {
                    reply.send(body);
                    drop(permit);
                })
            }
        };
        match done {
            Err(error) if error.is::<Fenced>() => {
                self.fenced.fetch_add(1, Ordering::Relaxed);
                myself.stop(None);
                Ok(())
            }
            done => done,
        }
    }
}

impl Counter {
    /// Everything added by row and not yet counted, in one transaction.
    async fn catch_up(&self) -> Result<(), ActorProcessingErr> {
        let mut tx = self.database.begin().await?;
        self.fence(&mut tx).await?;
        let open: Vec<(i64, i64)> = sqlx::query_as(
            "select id, amount from addition where key = $1 and not exists
             (select from inbox where inbox.id = addition.id)",
        )
        .bind(&self.key)
        .fetch_all(&mut *tx)
        .await?;
        for (id, amount) in open {
            self.count(&mut tx, id, amount).await?;
        }
        Ok(tx.commit().await?)
    }

    /// One add by question: `id amount`.
    async fn add(&self, body: &str) -> Result<(), ActorProcessingErr> {
        let (id, amount) = body.split_once(' ').ok_or("not an add")?;
        let mut tx = self.database.begin().await?;
        self.fence(&mut tx).await?;
        self.count(&mut tx, id.parse()?, amount.parse()?).await?;
        Ok(tx.commit().await?)
    }

    async fn fence(&self, tx: &mut PgConnection) -> Result<(), ActorProcessingErr> {
        let holds: bool = sqlx::query_scalar("select cluster.fence($1, $2)")
            .bind(i32::from(self.lease.partition))
            .bind(self.lease.epoch)
            .fetch_one(tx)
            .await?;
        if holds { Ok(()) } else { Err(Box::new(Fenced)) }
    }

    async fn count(&self, tx: &mut PgConnection, id: i64, amount: i64) -> Result<(), ActorProcessingErr> {
        let fresh = sqlx::query("insert into inbox (id) values ($1) on conflict do nothing")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if fresh.rows_affected() == 1 {
            let add = "insert into counter (key, sum) values ($1, $2)
                       on conflict (key) do update set sum = counter.sum + excluded.sum";
            sqlx::query(add).bind(&self.key).bind(amount).execute(tx).await?;
        }
        Ok(())
    }
}
