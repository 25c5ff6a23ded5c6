//! Every revision is read back, hashed again, and held against what is written beside it.

use advisory::{Limits, contract, formats};
use model::{Digest, SnapshotId};

use super::{Rule, Violation, attached};
use crate::{Error, Store};

/// Bytes of a page at most; one document more may be read.
const PAGE_ROWS: i64 = 500;

/// Checks the revisions that count from a snapshot after `since`, or from none yet; and what people attached since.
pub fn documents(store: &Store, since: SnapshotId) -> Documents {
    let after = (String::new(), String::new(), 0);
    Documents { store: store.clone(), since, after, attached: attached::Place::default() }
}

/// A place among all revisions.
#[derive(Debug)]
pub struct Documents {
    store: Store,
    since: SnapshotId,
    after: (String, String, i32),
    attached: attached::Place,
}

/// What a page came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Revisions, and files that people attached, that were looked at.
    pub revisions: u64,
    /// Bytes of their documents.
    pub bytes: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

struct Row {
    feed_id: String,
    advisory_id: String,
    revision: i32,
    digest: String,
    document: Option<Vec<u8>>,
    supersedes: Option<i32>,
    follows: bool,
    source: Option<String>,
    format: Option<String>,
    words: Option<Vec<String>>,
    observed: bool,
    settled: bool,
}

impl Documents {
    /// Checks the next revisions, and then what people attached; `None` at the end.
    pub async fn next_page(&mut self) -> Result<Option<Checked>, Error> {
        match self.revisions().await? {
            None => attached::next_page(&self.store, self.since, &mut self.attached).await,
            some => Ok(some),
        }
    }

    async fn revisions(&mut self) -> Result<Option<Checked>, Error> {
        let mut tx = self.store.fleet().await?;
        let rows = sqlx::query_as!(
            Row,
            r#"select o.feed_id, o.advisory_id, o.revision, o.digest, o.document, o.supersedes,
                      (o.revision = 1 or exists (
                          select from vuln.observation p
                          where p.feed_id = o.feed_id and p.advisory_id = o.advisory_id
                            and p.revision = o.revision - 1)) as "follows!",
                      g.source as "source?", g.format as "format?",
                      case when f.kind = 'vex' then array(
                          select m.what || ' ' || m.name from vex.mention m
                          where m.feed_id = o.feed_id and m.advisory_id = o.advisory_id
                            and m.revision = o.revision) end as words,
                      coalesce(o.observed_at <= clock_timestamp(), false) as "observed!",
                      (s.snapshot_id is not null or f.refreshing and f.refresh = o.refresh) as "settled!"
               from vuln.observation o
               join vuln.feed f on f.feed_id = o.feed_id
               left join vuln.origin g on g.feed_id = o.feed_id and g.origin = o.origin
               left join vuln.snapshot s on s.feed_id = o.feed_id and s.refresh = o.refresh
               where (o.feed_id, o.advisory_id, o.revision) > ($1, $2, $3)
                 and (s.snapshot_id is null or s.snapshot_id > $4)
               order by o.feed_id, o.advisory_id, o.revision limit $5"#,
            self.after.0,
            self.after.1,
            self.after.2,
            self.since.0,
            PAGE_ROWS,
        )
        .fetch_all(tx.conn())
        .await?;
        tx.commit().await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = (last.feed_id.clone(), last.advisory_id.clone(), last.revision);
        let checked = tokio::task::spawn_blocking(move || check(&rows)).await;
        checked.map(Some).map_err(|error| Error::Reading(std::io::Error::other(error)))
    }
}

fn check(rows: &[Row]) -> Checked {
    let mut checked = Checked::default();
    for row in rows {
        checked.revisions += 1;
        checked.bytes += row.document.as_ref().map_or(0, Vec::len) as u64;
        row.check(&mut |rule, what| {
            let place = format!("{} {} revision {}", row.feed_id, row.advisory_id, row.revision);
            checked.violations.push(Violation::new(rule, place, what));
        });
    }
    checked
}

impl Row {
    fn check(&self, violated: &mut dyn FnMut(Rule, String)) {
        match &self.document {
            Some(document) => self.check_document(document, violated),
            None if self.digest.is_empty() => {}
            None => violated(Rule::Digest, format!("it has no document, but the digest {}", self.digest)),
        }
        if !self.follows || self.revision < 1 {
            violated(Rule::Supersession, "the revision before it is not there".to_owned());
        }
        if self.supersedes != Some(self.revision - 1).filter(|before| *before > 0) {
            violated(Rule::Supersession, format!("it claims to supersede {:?}", self.supersedes));
        }
        let known = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !known(&self.source) || !known(&self.format) {
            violated(Rule::Provenance, "it is not known where it came from".to_owned());
        }
        if !self.observed {
            violated(Rule::Provenance, "it was observed in the future".to_owned());
        }
        if !self.settled {
            violated(Rule::Snapshots, "it belongs to no snapshot and to no refresh under way".to_owned());
        }
    }

    fn check_document(&self, document: &[u8], violated: &mut dyn FnMut(Rule, String)) {
        let found = Digest::of(document);
        if found.as_str() != self.digest {
            violated(Rule::Digest, format!("it is {found}, and was {}", self.digest));
        }
        if let Some(field) = contract::derived_field(document) {
            violated(Rule::Content, format!("it carries {field}, which no source may"));
        }
        if let Some(words) = &self.words {
            let Some(summary) = attached::read(document, false, violated) else { return };
            if summary.id != self.advisory_id {
                violated(Rule::Content, format!("it is the document {}", summary.id));
            }
            return attached::is_found(&summary, words, violated);
        }
        let Some(format) = self.format.as_deref().and_then(formats::by_word) else { return };
        match (format.parse)(document, &Limits::default()) {
            Ok((advisory, _)) if advisory.id == self.advisory_id => {}
            Ok((advisory, _)) => violated(Rule::Content, format!("it is the advisory {}", advisory.id)),
            // A node may allow more than is usual.
            Err(formats::Unreadable::TooMuch { .. }) => {}
            Err(error) => violated(Rule::Content, error.to_string()),
        }
    }
}
