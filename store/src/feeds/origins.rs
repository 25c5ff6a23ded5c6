//! Where observations came from: one row for each reading of which something was kept.

use super::Refresh;
use crate::{Error, FleetTx};

/// What takes documents in.
const COLLECTOR: &str = concat!("starling/", env!("CARGO_PKG_VERSION"));

/// The number of the refresh's origin, which is written when something of it is kept for the first time. The feed's row
/// is locked, so nobody else gives numbers.
pub(super) async fn number(tx: &mut FleetTx, refresh: &Refresh) -> Result<i32, Error> {
    let origin = sqlx::query_scalar!(
        r#"with known as (
               select origin from vuln.origin
               where feed_id = $1 and refresh = $2 and source = $3 and format = $4
                 and mark is not distinct from $5 and collector = $6),
           new as (
               insert into vuln.origin (feed_id, origin, refresh, source, format, mark, collector)
               select $1, (select coalesce(max(origin), 0) + 1 from vuln.origin where feed_id = $1), $2, $3, $4, $5, $6
               where not exists (select from known)
               returning origin)
           select origin as "origin!" from known union all select origin from new"#,
        refresh.feed.as_str(),
        refresh.number,
        refresh.origin.source,
        refresh.origin.format,
        refresh.origin.mark,
        COLLECTOR,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(origin)
}
