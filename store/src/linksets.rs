//! What all feeds say of one vulnerability, gathered when asked for from what they say now.

use std::collections::BTreeSet;

use advisory::linkset::{Gathering, Linkset, Member};
use model::{FeedId, SnapshotId};

use crate::observations::{self, Asked, Revision};
use crate::row::{number, parse};
use crate::{Error, FleetTx};

/// Advisories that one question for names may answer.
const FOUND_MAX: i64 = 1_000;

/// The linkset of a vulnerability as of a snapshot, by any of its names; `None` when no feed speaks of it.
pub async fn of(tx: &mut FleetTx, name: &str, at: SnapshotId) -> Result<Option<Linkset>, Error> {
    let mut gathering = Gathering::of(name);
    let mut seen = BTreeSet::new();
    loop {
        let names = gathering.names_to_ask();
        if names.is_empty() {
            return Ok(gathering.finish());
        }
        let mut asked = called(tx, &names, at).await?;
        asked.retain(|asked| seen.insert((asked.feed.clone(), asked.advisory_id.clone())));
        let found = observations::revisions(tx, &asked).await?;
        gathering.add(found.iter().filter_map(member));
    }
}

/// What of it is listed and can be read. A document that names itself otherwise than it is filed was never stored.
fn member(revision: &Revision) -> Option<Member> {
    Some(Member { feed: revision.feed.clone(), revision: revision.revision, advisory: revision.read()? })
}

/// The advisories that are called so or name it, each in the revision that counted then. Whether that one still
/// does is seen when it is read.
async fn called(tx: &mut FleetTx, names: &[String], at: SnapshotId) -> Result<Vec<Asked>, Error> {
    let rows = sqlx::query!(
        r#"with named as (
               select feed_id, advisory_id from vuln.alias where name = any ($1)
               union
               select f.feed_id, n.name from vuln.feed f cross join unnest($1::text[]) as n(name)
               where f.kind = 'advisories'
               order by 1, 2 limit $3)
           select n.feed_id as "feed_id!", n.advisory_id as "advisory_id!", o.revision as "revision!"
           from named n
           cross join lateral (
               select o.revision from vuln.observation o
               join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
               where o.feed_id = n.feed_id and o.advisory_id = n.advisory_id and s.snapshot_id <= $2
               order by o.revision desc limit 1) o"#,
        names,
        at.0,
        FOUND_MAX,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Asked {
                feed: parse::<FeedId>("alias", &row.feed_id)?,
                advisory_id: row.advisory_id,
                revision: number("alias", row.revision)?,
            })
        })
        .collect()
}
