//! Which advisories say something else in one snapshot than in another.

use std::collections::BTreeSet;

use evaluation::RevisedAdvisory;
use model::{AdvisoryMatch, FeedId, SnapshotId};

use crate::row::{number, parse};
use crate::{Error, TenantTx};

/// An advisory that says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// Which one, and its revisions.
    pub advisory: RevisedAdvisory,
    /// Whether it says nothing any more: it was withdrawn, or its feed lists it no more.
    pub is_gone: bool,
}

/// Those of these advisories that say something else as of `until` than as of `after`, the older snapshot.
pub async fn among(
    tx: &mut TenantTx,
    advisories: &BTreeSet<(&FeedId, &str)>,
    after: SnapshotId,
    until: SnapshotId,
) -> Result<Vec<Revised>, Error> {
    // A name with NUL is no stored advisory's: PostgreSQL's text cannot hold it.
    let named = || advisories.iter().filter(|(_, advisory)| !advisory.contains('\0'));
    let feeds: Vec<String> = named().map(|(feed, _)| feed.to_string()).collect();
    let ids: Vec<String> = named().map(|(_, advisory)| (*advisory).to_owned()).collect();
    if ids.is_empty() || after >= until {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_file!("queries/revised_among.sql", &feeds, &ids, after.0, until.0)
        .fetch_all(tx.conn())
        .await?;
    rows.into_iter()
        .map(|row| {
            let revision = |of: Option<i32>| of.map(|of| number("observation", of)).transpose();
            let advisory = RevisedAdvisory {
                feed: parse("observation", &row.feed_id)?,
                advisory: row.advisory_id,
                before: revision(row.before)?,
                after: revision(row.after)?,
            };
            Ok(Revised { advisory, is_gone: row.is_gone })
        })
        .collect()
}

/// Whether evidence rests on one of those that say nothing any more.
pub fn gone(revised: &[Revised]) -> impl Fn(&AdvisoryMatch) -> bool {
    let gone = revised.iter().filter(|revised| revised.is_gone);
    let gone: BTreeSet<_> = gone.map(|r| (&r.advisory.feed, r.advisory.advisory.as_str())).collect();
    move |evidence| gone.contains(&(&evidence.feed, evidence.advisory.as_str()))
}
