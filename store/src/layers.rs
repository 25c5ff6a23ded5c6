//! Layers that were read, for the whole fleet: each is read once, also when several want it at the same moment.

use std::time::Duration;

use uuid::Uuid;

use crate::{Error, Store};

/// Who reads a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// On which node.
    pub generation: i64,
    /// Which of its readers.
    pub id: Uuid,
}

/// What came of asking for a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was read; this is what was kept.
    Known(Vec<u8>),
    /// The asker reads it, and says afterwards what came of it.
    Read,
    /// A node that lives reads it: ask again soon.
    Wait,
    /// It is not worth keeping: whoever wants it reads it.
    Alone,
}

/// Asks for a layer.
pub async fn take(store: &Store, key: &str, reader: Reader) -> Result<Taken, Error> {
    let mut tx = store.fleet().await?;
    let row = sqlx::query!(
        r#"select code as "code!", content from scanner.take_layer($1, $2, $3)"#,
        key,
        reader.generation,
        reader.id,
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(match (row.code.as_str(), row.content) {
        ("known", Some(content)) => Taken::Known(content),
        ("read", _) => Taken::Read,
        ("wait", _) => Taken::Wait,
        _ => Taken::Alone,
    })
}

/// Keeps what was read; without content nobody waits for it again. A reader that was taken over is not heard.
pub async fn put(store: &Store, key: &str, reader: Reader, content: Option<&[u8]>) -> Result<(), Error> {
    let mut tx = store.fleet().await?;
    sqlx::query!(
        "update scanner.layer_content
         set content = $3, holder = null, holder_gen = null, used_at = clock_timestamp()
         where key = $1 and holder = $2",
        key,
        reader.id,
        content,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Leaves a layer to the next who asks.
pub async fn leave(store: &Store, key: &str, reader: Reader) -> Result<(), Error> {
    let mut tx = store.fleet().await?;
    sqlx::query!("delete from scanner.layer_content where key = $1 and holder = $2", key, reader.id)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// Forgets layers that nobody asked for in so long; says how many.
pub async fn forget_unused(store: &Store, for_longer_than: Duration) -> Result<u64, Error> {
    let mut tx = store.fleet().await?;
    let done = sqlx::query!(
        "delete from scanner.layer_content
         where used_at < clock_timestamp() - $1::float8 * interval '1 second'
           and (holder_gen is null or not cluster.is_live(holder_gen))",
        for_longer_than.as_secs_f64(),
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
