//! What arriving documents mean beside those they supersede. The documents are read here once more, whoever read them
//! before: what is written of their meaning cannot differ from what they say.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use advisory::Advisory;
use advisory::delta::{self, Delta, Kind};
use advisory::formats;
use model::Digest;

use crate::feeds::Refresh;
use crate::observations::advisory_of;
use crate::{Error, FleetTx};

/// A document that is about to become a revision.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) advisory_id: String,
    pub(crate) revision: i32,
    /// Whether the feed listed the advisory before.
    pub(crate) was_listed: bool,
    pub(crate) digest: Digest,
    pub(crate) document: Vec<u8>,
}

/// What is superseded, by the advisory's id: how it is written, and the document.
type Past = HashMap<String, (String, Vec<u8>)>;

/// What a batch means.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    differences: Vec<(String, i32, Delta)>,
    aliases: Vec<Alias>,
}

#[derive(Debug)]
struct Alias {
    name: String,
    advisory_id: String,
    revision: i32,
    upstream: bool,
}

/// The documents that the arriving ones supersede.
pub(crate) async fn past_of(
    tx: &mut FleetTx,
    refresh: &Refresh,
    arrivals: &[Arrival],
) -> Result<Past, Error> {
    let superseding = || arrivals.iter().filter(|a| a.was_listed);
    let ids: Vec<String> = superseding().map(|a| a.advisory_id.clone()).collect();
    if ids.is_empty() {
        return Ok(Past::new());
    }
    let revisions: Vec<i32> = superseding().map(|a| a.revision - 1).collect();
    let rows = sqlx::query!(
        r#"select o.advisory_id, o.document as "document!", g.format
           from unnest($2::text[], $3::int[]) as a(advisory_id, revision)
           join vuln.observation o
             on o.feed_id = $1 and o.advisory_id = a.advisory_id and o.revision = a.revision
           join vuln.origin g on g.feed_id = o.feed_id and g.origin = o.origin
           where o.document is not null"#,
        refresh.feed.as_str(),
        &ids,
        &revisions,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.advisory_id, (row.format, row.document))).collect())
}

/// Reads them on a thread of its own, which begins at once.
pub(crate) fn read(
    format: String,
    arrivals: Arc<Vec<Arrival>>,
    past: Past,
) -> impl Future<Output = Result<Meaning, Error>> {
    let reading = tokio::task::spawn_blocking(move || meaning(&format, &arrivals, &past));
    async { reading.await.map_err(|error| Error::Reading(std::io::Error::other(error))) }
}

fn meaning(format: &str, arrivals: &[Arrival], past: &Past) -> Meaning {
    let format = formats::by_word(format);
    let mut meaning = Meaning::default();
    for arrival in arrivals {
        let after = format.and_then(|format| advisory_of(format, &arrival.document));
        if arrival.revision > 1
            && let Some(delta) = difference(arrival, past.get(&arrival.advisory_id), after.as_ref())
        {
            meaning.differences.push((arrival.advisory_id.clone(), arrival.revision, delta));
        }
        if let Some(after) = after {
            meaning.name(arrival, after);
        }
    }
    meaning
}

/// Where one of both cannot be read, all may be different.
fn difference(
    arrival: &Arrival,
    past: Option<&(String, Vec<u8>)>,
    after: Option<&Advisory>,
) -> Option<Delta> {
    if !arrival.was_listed {
        return Some(Delta { kind: Kind::Restored, parts: BTreeSet::new() });
    }
    let read = |(format, document): &(String, Vec<u8>)| advisory_of(formats::by_word(format)?, document);
    match (past.and_then(read), after) {
        (Some(before), Some(after)) => delta::compare(Some(&before), Some(after)),
        _ => Some(Delta::whole(Kind::Modified)),
    }
}

impl Meaning {
    fn name(&mut self, arrival: &Arrival, advisory: Advisory) {
        let alias = |name, upstream| Alias {
            name,
            advisory_id: arrival.advisory_id.clone(),
            revision: arrival.revision,
            upstream,
        };
        let upstream: Vec<String> =
            advisory.upstream.into_iter().filter(|name| !advisory.aliases.contains(name)).collect();
        // PostgreSQL's text holds every character but NUL; no name that can be asked for has one.
        let speakable = |alias: &Alias| !alias.name.contains('\0') && alias.name != arrival.advisory_id;
        let names = advisory.aliases.into_iter().map(|name| alias(name, false));
        let all = names.chain(upstream.into_iter().map(|name| alias(name, true)));
        self.aliases.extend(all.filter(speakable));
    }
}

/// Writes what a batch means, beside its revisions.
pub(crate) async fn write(tx: &mut FleetTx, refresh: &Refresh, meaning: &Meaning) -> Result<(), Error> {
    write_differences(tx, refresh, &meaning.differences).await?;
    write_aliases(tx, refresh, &meaning.aliases).await
}

async fn write_differences(
    tx: &mut FleetTx,
    refresh: &Refresh,
    differences: &[(String, i32, Delta)],
) -> Result<(), Error> {
    if differences.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = differences.iter().map(|(id, ..)| id.as_str()).collect();
    let revisions: Vec<i32> = differences.iter().map(|(_, revision, _)| *revision).collect();
    let kinds: Vec<&str> = differences.iter().map(|(.., delta)| delta.kind.as_str()).collect();
    let parts: Vec<String> = differences
        .iter()
        .map(|(.., delta)| delta.parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(","))
        .collect();
    sqlx::query!(
        "insert into vuln.difference (feed_id, refresh, advisory_id, revision, kind, parts)
         select $1, $2, d.advisory_id, d.revision, d.kind, string_to_array(d.parts, ',')
         from unnest($3::text[], $4::int[], $5::text[], $6::text[]) as d(advisory_id, revision, kind, parts)",
        refresh.feed.as_str(),
        refresh.number,
        &ids as &[&str],
        &revisions,
        &kinds as &[&str],
        &parts,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn write_aliases(tx: &mut FleetTx, refresh: &Refresh, aliases: &[Alias]) -> Result<(), Error> {
    if aliases.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = aliases.iter().map(|alias| alias.name.as_str()).collect();
    let ids: Vec<&str> = aliases.iter().map(|alias| alias.advisory_id.as_str()).collect();
    let revisions: Vec<i32> = aliases.iter().map(|alias| alias.revision).collect();
    let upstream: Vec<bool> = aliases.iter().map(|alias| alias.upstream).collect();
    sqlx::query!(
        "insert into vuln.alias (name, feed_id, advisory_id, revision, upstream)
         select a.name, $1, a.advisory_id, a.revision, a.upstream
         from unnest($2::text[], $3::text[], $4::int[], $5::bool[]) as a(name, advisory_id, revision, upstream)
         on conflict do nothing",
        refresh.feed.as_str(),
        &names as &[&str],
        &ids as &[&str],
        &revisions,
        &upstream,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
