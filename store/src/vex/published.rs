//! What feeds of VEX publish: by which words each record is found, written with its observation. The documents are
//! read here once more, whoever read them before: what is kept of them cannot differ from what they say.

use std::future::Future;
use std::sync::Arc;

use ::vex::{Limits, Summary};

use super::{Words, count};
use crate::deltas::Arrival;
use crate::feeds::Refresh;
use crate::{Error, FleetTx};

/// A record and what it says of itself.
#[derive(Debug)]
pub(crate) struct Published {
    advisory_id: String,
    revision: i32,
    summary: Summary,
}

/// Reads them on a thread of its own, which begins at once. One that cannot be read is refused.
pub(crate) fn read(arrivals: Arc<Vec<Arrival>>) -> impl Future<Output = Result<Vec<Published>, Error>> {
    let reading = tokio::task::spawn_blocking(move || arrivals.iter().map(one).collect());
    async { reading.await.map_err(|error| Error::Reading(std::io::Error::other(error)))? }
}

fn one(arrival: &Arrival) -> Result<Published, Error> {
    let Arrival { advisory_id, revision, document, .. } = arrival;
    let read = Summary::read(document, false, &Limits::default());
    let (summary, _) =
        read.map_err(|error| Error::Conflict { what: format!("{advisory_id} is no VEX: {error}") })?;
    Ok(Published { advisory_id: advisory_id.clone(), revision: *revision, summary })
}

/// Writes what is asked for without reading the documents.
pub(crate) async fn write(tx: &mut FleetTx, refresh: &Refresh, published: &[Published]) -> Result<(), Error> {
    let ids: Vec<&str> = published.iter().map(|p| p.advisory_id.as_str()).collect();
    let revisions: Vec<i32> = published.iter().map(|p| p.revision).collect();
    let formats: Vec<&str> = published.iter().map(|p| p.summary.format.as_str()).collect();
    let versions: Vec<String> = published.iter().map(|p| ::vex::summary::name(&p.summary.version)).collect();
    let authors: Vec<String> = published.iter().map(|p| ::vex::summary::name(&p.summary.author)).collect();
    let stated: Vec<_> = published.iter().map(|p| p.summary.stated_at).collect();
    let signed: Vec<bool> = published.iter().map(|p| p.summary.is_signed).collect();
    let statements: Vec<i32> = published.iter().map(|p| count(p.summary.statements)).collect();
    sqlx::query!(
        "insert into vex.published
             (feed_id, advisory_id, revision, format, version, author, stated_at, is_signed, statements)
         select $1, p.id, p.revision, p.format, p.version, p.author, p.stated_at, p.is_signed, p.statements
         from unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[],
                     $9::int[])
             as p(id, revision, format, version, author, stated_at, is_signed, statements)",
        refresh.feed.as_str(),
        &ids as &[&str],
        &revisions,
        &formats as &[&str],
        &versions,
        &authors,
        &stated as &[Option<time::OffsetDateTime>],
        &signed,
        &statements,
    )
    .execute(tx.conn())
    .await?;
    for record in published {
        write_mentions(tx, refresh, record).await?;
    }
    Ok(())
}

async fn write_mentions(tx: &mut FleetTx, refresh: &Refresh, record: &Published) -> Result<(), Error> {
    let words = Words::of(&record.summary);
    sqlx::query!(
        "insert into vex.mention (name, what, feed_id, advisory_id, revision)
         select w.name, w.what, $1, $2, $3 from unnest($4::text[], $5::text[]) as w(name, what)",
        refresh.feed.as_str(),
        record.advisory_id,
        record.revision,
        &words.names,
        &words.what,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
