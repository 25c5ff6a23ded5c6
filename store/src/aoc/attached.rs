//! What people attached: its bytes, and that it is found by all that it says.

use ::vex::{Limits, Summary, Unreadable};
use model::{Digest, SnapshotId};
use uuid::Uuid;

use super::{Checked, Rule, Violation};
use crate::row::text;
use crate::vex::Words;
use crate::{Error, Store};

/// Files of a page; each may be some megabytes.
const PAGE_ROWS: i64 = 8;

/// A place among all that was attached.
#[derive(Debug, Default)]
pub(super) struct Place(Uuid, Uuid);

struct Row {
    tenant_id: Uuid,
    attachment_id: Uuid,
    digest: String,
    content: Vec<u8>,
    document_id: String,
    is_signed: bool,
    is_signed_beside: bool,
    words: Vec<String>,
    attached: bool,
    settled: bool,
}

/// Checks the next that count from a snapshot after `since`; `None` at the end.
pub(super) async fn next_page(
    store: &Store,
    since: SnapshotId,
    place: &mut Place,
) -> Result<Option<Checked>, Error> {
    let mut tx = store.fleet().await?;
    let rows = sqlx::query_as!(
        Row,
        r#"select a.tenant_id, a.attachment_id, a.digest, c.content, c.document_id, a.is_signed,
                  a.signature is not null as "is_signed_beside!",
                  array(select n.what || ' ' || n.name from vex.content_name n
                        where n.tenant_id = a.tenant_id and n.digest = a.digest) as "words!",
                  a.at <= clock_timestamp() as "attached!",
                  exists (select from vuln.snapshot s
                          where s.snapshot_id = a.snapshot_id and s.feed_id is null) as "settled!"
           from vex.attachment a
           join vex.content c on c.tenant_id = a.tenant_id and c.digest = a.digest
           where (a.tenant_id, a.attachment_id) > ($1, $2) and a.snapshot_id > $3
           order by a.tenant_id, a.attachment_id limit $4"#,
        place.0,
        place.1,
        since.0,
        PAGE_ROWS,
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let Some(last) = rows.last() else { return Ok(None) };
    *place = Place(last.tenant_id, last.attachment_id);
    let checked = tokio::task::spawn_blocking(move || check(&rows)).await;
    checked.map(Some).map_err(|error| Error::Reading(std::io::Error::other(error)))
}

fn check(rows: &[Row]) -> Checked {
    let mut checked = Checked::default();
    for row in rows {
        checked.revisions += 1;
        checked.bytes += row.content.len() as u64;
        row.check(&mut |rule, what| {
            checked.violations.push(Violation::new(rule, format!("attached {}", row.attachment_id), what));
        });
    }
    checked
}

impl Row {
    fn check(&self, violated: &mut dyn FnMut(Rule, String)) {
        let found = Digest::of(&self.content);
        if found.as_str() != self.digest {
            violated(Rule::Digest, format!("it is {found}, and was {}", self.digest));
        }
        if !self.attached {
            violated(Rule::Provenance, "it was attached in the future".to_owned());
        }
        if !self.settled {
            violated(Rule::Snapshots, "its snapshot is not there, or a feed's".to_owned());
        }
        let Some(summary) = read(&self.content, self.is_signed_beside, violated) else { return };
        if text(&summary.id) != self.document_id {
            violated(Rule::Content, format!("it is the document {}", summary.id));
        }
        if summary.is_signed != self.is_signed {
            violated(Rule::Content, "whether it is signed was kept otherwise".to_owned());
        }
        is_found(&summary, &self.words, violated);
    }
}

/// What a file of VEX says of itself, where it is one.
pub(super) fn read(
    file: &[u8],
    is_signed_beside: bool,
    violated: &mut dyn FnMut(Rule, String),
) -> Option<Summary> {
    match Summary::read(file, is_signed_beside, &Limits::default()) {
        Ok((summary, _)) => Some(summary),
        // A node may allow more than is usual.
        Err(Unreadable::TooMuch { .. }) => None,
        Err(error) => {
            violated(Rule::Content, error.to_string());
            None
        }
    }
}

/// Every word by which it should be found is kept. One too many finds it in vain, and does no harm.
pub(super) fn is_found(summary: &Summary, kept: &[String], violated: &mut dyn FnMut(Rule, String)) {
    let words = Words::of(summary);
    let all = words.what.iter().zip(&words.names).map(|(what, name)| format!("{what} {name}"));
    if let Some(missing) = all.into_iter().find(|word| !kept.contains(word)) {
        violated(Rule::Content, format!("it is not found by the {missing}"));
    }
}
