//! What is known of vulnerabilities beside advisories: whether they are exploited, and how likely that is.
//!
//! Only what holds now is kept. A catalogue has hundreds of thousands of entries, most of which stay as they are from one
//! day to the next: a reading writes what differs, page by page, and each page is whole in itself. It is joined with
//! findings when they are read.

use advisory::enrichment::{Enrichment, Entry, Score};
use model::ImageDigest;

use crate::feeds::{self, Counts, Refresh};
use crate::row::number;
use crate::{Error, Store, TenantTx};

/// A share from 0 to 1 is kept in so many parts: as many digits as its source writes, in four bytes.
const PARTS: f64 = 1e9;

/// The names that a page of a whole reading is all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// Behind this name; of the first page the empty text.
    pub after: &'a str,
    /// Up to and with this one; of the last page to the end.
    pub until: Option<&'a str>,
}

/// Takes in a page of a catalogue; some thousand entries at once are best. Answers what was written, and how many are
/// gone. `span`: what is stored within it and not on the page is removed.
pub async fn take_in(
    store: &Store,
    refresh: &Refresh,
    page: &[Entry],
    span: Option<Span<'_>>,
) -> Result<(Counts, u64), Error> {
    let names: Vec<&str> = page.iter().map(|entry| entry.name.as_str()).collect();
    let exploited: Vec<bool> = page.iter().map(|entry| entry.exploited).collect();
    let part = |of: fn(&Score) -> f64| -> Vec<Option<i32>> {
        page.iter().map(|entry| entry.score.as_ref().map(|score| parts(of(score)))).collect()
    };
    let mut tx = feeds::open(store, refresh).await?;
    // What stays as it is, is not touched: an upsert would lock it, and that is a write too.
    let row = sqlx::query!(
        r#"with given as (
               select * from unnest($2::text[], $3::boolean[], $4::int[], $5::int[])
                   as g(name, exploited, probability, percentile)),
           gone as (
               delete from vuln.enrichment e
               where e.feed_id = $1 and e.name > $6 and ($7::text is null or e.name <= $7)
                 and not exists (select from given g where g.name = e.name)
               returning 1),
           written as (
               insert into vuln.enrichment as e (name, feed_id, exploited, probability, percentile)
               select g.name, $1, g.exploited, g.probability, g.percentile from given g
               where not exists (
                   select from vuln.enrichment k
                   where k.name = g.name and k.feed_id = $1
                     and (k.exploited, k.probability, k.percentile)
                         is not distinct from (g.exploited, g.probability, g.percentile))
               on conflict (name, feed_id) do update set
                   exploited = excluded.exploited, probability = excluded.probability,
                   percentile = excluded.percentile
               returning e.xmax = 0 as is_new)
           select (select count(*) from gone) as "removed!", count(*) filter (where is_new) as "added!",
                  count(*) filter (where not is_new) as "changed!"
           from written"#,
        refresh.feed.as_str(),
        &names as &[&str],
        &exploited,
        &part(|score| score.probability) as &[Option<i32>],
        &part(|score| score.percentile) as &[Option<i32>],
        span.map(|span| span.after),
        span.and_then(|span| span.until),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    let (added, changed) = (number("enrichment", row.added)?, number("enrichment", row.changed)?);
    let unchanged = (page.len() as u64).saturating_sub(added + changed);
    Ok((Counts { added, changed, unchanged }, number("enrichment", row.removed)?))
}

/// After the last page: how many entries the feed has.
pub async fn count(store: &Store, refresh: &Refresh) -> Result<u64, Error> {
    let mut tx = feeds::open(store, refresh).await?;
    let entries = sqlx::query_scalar!(
        r#"update vuln.feed f
           set advisories = (select count(*) from vuln.enrichment e where e.feed_id = f.feed_id)
           where f.feed_id = $1 returning advisories as "entries!""#,
        refresh.feed.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    number("enrichment", entries)
}

/// What is known of the vulnerabilities with these names.
pub async fn of(tx: &mut TenantTx, names: &[&str]) -> Result<Enrichment, Error> {
    let rows = sqlx::query!(
        "select name, exploited, probability, percentile from vuln.enrichment where name = any ($1)",
        names as &[&str],
    )
    .fetch_all(tx.conn())
    .await?;
    let mut known = Enrichment::default();
    for row in rows {
        let score = row.probability.zip(row.percentile);
        let score = score.map(|(probability, percentile)| Score {
            probability: share(probability),
            percentile: share(percentile),
        });
        known.insert(Entry { name: row.name, exploited: row.exploited, score });
    }
    Ok(known)
}

/// How many findings of a version of an image's verdict are known to be exploited; without those that are suppressed.
pub async fn exploited(tx: &mut TenantTx, image: &ImageDigest, version: u32) -> Result<u64, Error> {
    let tenant = tx.tenant().as_uuid();
    let found = sqlx::query_scalar!(
        r#"select count(*) as "found!"
           from scanner.verdict v cross join unnest(v.facts) as u(fact_id)
           join scanner.fact f on f.tenant_id = v.tenant_id and f.fact_id = u.fact_id
           where v.tenant_id = $1 and v.image_digest = $2 and v.version = $3
             and not f.suppressed
             and exists (select from vuln.enrichment e
                         where e.name = any (f.aliases || f.vulnerability) and e.exploited)"#,
        tenant,
        image.as_str(),
        i32::try_from(version).unwrap_or(i32::MAX),
    )
    .fetch_one(tx.conn())
    .await?;
    number("verdict", found)
}

#[expect(clippy::cast_possible_truncation, reason = "a share is at most 1, so that its parts fit")]
fn parts(share: f64) -> i32 {
    (share.clamp(0.0, 1.0) * PARTS).round() as i32
}

/// Divided, and not multiplied by the inverse: so it is the number that its decimal digits are read as.
fn share(parts: i32) -> f64 {
    f64::from(parts) / PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_comes_back_as_its_source_wrote_it() {
        for text in ["0", "1", "0.94358", "0.99961", "0.00042", "0.000430000", "0.123456789"] {
            let written: f64 = text.parse().unwrap();
            assert_eq!(share(parts(written)).to_bits(), written.to_bits(), "{text}");
        }
        assert_eq!((parts(2.0), parts(-1.0), parts(f64::NAN)), (1_000_000_000, 0, 0));
    }
}
