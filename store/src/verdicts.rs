//! The verdicts on an image, every version of them: what each was made from, why, and what it changed.

use evaluation::{Cause, CauseKind, ChangeKind, DocumentSource, HeardDocument, RevisedAdvisory};
use model::{Coverage, Digest, Finding, Gap, ImageDigest, Severity, SnapshotId};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::facts::finding;
use crate::row::{number, parse, text, word};
use crate::{Error, TenantTx, gaps};

/// A verdict on an image. Append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Counts up from 1 for each image, without gaps.
    pub version: u32,
    /// The image's revision it was made from.
    pub revision: i64,
    /// The snapshot it was made from.
    pub snapshot: SnapshotId,
    /// How far it can be trusted.
    pub coverage: Coverage,
    /// Why no further, by what was read when it was made; not kept with versions of before.
    pub gaps: Option<Vec<Gap>>,
    /// Digest of the findings in canonical form.
    pub findings_digest: Digest,
    /// Digest of the SBOM it was made from.
    pub sbom_digest: Digest,
    /// How many findings of each severity, as in `Severity::ALL`; without those that are suppressed.
    pub counts: Vec<(Severity, u32)>,
    /// How many findings VEX suppresses.
    pub suppressed: u32,
    /// Why it was made; none for versions of long ago, which kept no findings either.
    pub cause: Option<Cause>,
    /// How many changes of each kind it brought against the version before; none of those that it brought none of.
    pub changes: Vec<(ChangeKind, u32)>,
    /// When it was made.
    pub at: OffsetDateTime,
}

/// A change that a verdict brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// How the finding differs.
    pub kind: ChangeKind,
    /// As it was; none where it appeared.
    pub before: Option<Finding>,
    /// As it is; none where it is there no more.
    pub after: Option<Finding>,
}

/// Which verdicts of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Older than this version.
    pub before: Option<u32>,
    /// Made at this time or earlier.
    pub until: Option<OffsetDateTime>,
}

/// An image's verdicts, newest first.
pub async fn list(
    tx: &mut TenantTx,
    image: &ImageDigest,
    range: Range,
    limit: u32,
) -> Result<Vec<Verdict>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        r#"select version, revision, snapshot_id, coverage, gaps, findings_digest, sbom_digest, counts, suppressed,
                  cause, at,
                  (select coalesce(jsonb_object_agg(kind, number), '{}')
                   from (select c ->> 0 as kind, count(*) as number from jsonb_array_elements(changes) c group by 1) k)
                      as "changes!"
           from scanner.verdict
           where tenant_id = $1 and image_digest = $2 and version < $3 and ($4::timestamptz is null or at <= $4)
           order by version desc limit $5"#,
        tenant,
        image.as_str(),
        range.before.map_or(i32::MAX, |v| i32::try_from(v).unwrap_or(i32::MAX)),
        range.until,
        i64::from(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Verdict {
                version: number("verdict", r.version)?,
                revision: r.revision,
                snapshot: SnapshotId(r.snapshot_id),
                coverage: word("verdict", &r.coverage, Coverage::from_word)?,
                gaps: gaps::read(r.gaps.as_ref())?,
                findings_digest: parse("verdict", &r.findings_digest)?,
                sbom_digest: parse("verdict", &r.sbom_digest)?,
                counts: counts(&r.counts)?,
                suppressed: number("verdict", r.suppressed)?,
                cause: r.cause.as_ref().map(read_cause).transpose()?,
                changes: change_counts(&r.changes)?,
                at: r.at,
            })
        })
        .collect()
}

/// An image's last verdict, if it was ever evaluated.
pub async fn last(tx: &mut TenantTx, image: &ImageDigest) -> Result<Option<Verdict>, Error> {
    Ok(list(tx, image, Range::default(), 1).await?.pop())
}

/// An image's verdict of this version, if there is one.
pub async fn version(tx: &mut TenantTx, image: &ImageDigest, version: u32) -> Result<Option<Verdict>, Error> {
    let range = Range { before: Some(version.saturating_add(1)), until: None };
    let found = list(tx, image, range, 1).await?.pop();
    Ok(found.filter(|verdict| verdict.version == version))
}

/// The verdict that was valid at this time, if the image had one by then.
pub async fn at(
    tx: &mut TenantTx,
    image: &ImageDigest,
    time: OffsetDateTime,
) -> Result<Option<Verdict>, Error> {
    Ok(list(tx, image, Range { before: None, until: Some(time) }, 1).await?.pop())
}

/// The newest snapshot there was at this time; 0 before the first.
pub async fn snapshot_at(tx: &mut TenantTx, time: OffsetDateTime) -> Result<SnapshotId, Error> {
    let id = sqlx::query_scalar!(
        r#"select coalesce(max(snapshot_id), 0) as "id!" from vuln.snapshot where at <= $1"#,
        time,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(SnapshotId(id))
}

/// The changes that a version brought, in their order.
pub async fn changes(tx: &mut TenantTx, image: &ImageDigest, version: u32) -> Result<Vec<Changed>, Error> {
    let tenant = tx.tenant().as_uuid();
    let rows = sqlx::query!(
        r#"select c.change ->> 0 as "kind!", b.document as "before?", a.document as "after?"
           from scanner.verdict v
           cross join jsonb_array_elements(v.changes) with ordinality as c(change, place)
           left join scanner.fact b on b.tenant_id = v.tenant_id and b.fact_id = (c.change ->> 1)::bigint
           left join scanner.fact a on a.tenant_id = v.tenant_id and a.fact_id = (c.change ->> 2)::bigint
           where v.tenant_id = $1 and v.image_digest = $2 and v.version = $3 order by c.place"#,
        tenant,
        image.as_str(),
        i32::try_from(version).unwrap_or(i32::MAX),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Changed {
                kind: word("verdict", &row.kind, ChangeKind::from_word)?,
                before: row.before.as_deref().map(finding).transpose()?,
                after: row.after.as_deref().map(finding).transpose()?,
            })
        })
        .collect()
}

/// A cause as its column holds it.
pub(crate) fn cause_row(cause: &Cause) -> Value {
    let advisory = |a: &RevisedAdvisory| json!([a.feed.as_str(), text(&a.advisory), a.before, a.after]);
    let document = |heard: &HeardDocument| {
        let (feed, attached) = match &heard.source {
            DocumentSource::Feed(feed) => (Some(feed.as_str()), None),
            DocumentSource::Attached(id) => (None, Some(id.as_str())),
        };
        json!([feed, attached, text(&heard.document), text(&heard.version)])
    };
    json!({
        "kinds": cause.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "advisories": cause.advisories.iter().map(advisory).collect::<Vec<_>>(),
        "more": cause.more_advisories,
        "documents": cause.documents.iter().map(document).collect::<Vec<_>>(),
        "more_documents": cause.more_documents,
    })
}

fn read_cause(stored: &Value) -> Result<Cause, Error> {
    let list = |field: &str| stored[field].as_array().ok_or_else(|| corrupt("a cause lacks a field"));
    let kind = |value: &Value| word("verdict", value.as_str().unwrap_or_default(), CauseKind::from_word);
    Ok(Cause {
        kinds: list("kinds")?.iter().map(kind).collect::<Result<_, _>>()?,
        advisories: list("advisories")?.iter().map(read_advisory).collect::<Result<_, _>>()?,
        more_advisories: number("verdict", stored["more"].as_u64().unwrap_or_default())?,
        // Causes of before VEX have none.
        documents: match stored.get("documents") {
            None => Vec::new(),
            Some(_) => list("documents")?.iter().map(read_document).collect::<Result<_, _>>()?,
        },
        more_documents: number("verdict", stored["more_documents"].as_u64().unwrap_or_default())?,
    })
}

fn read_document(stored: &Value) -> Result<HeardDocument, Error> {
    let text = |place: usize| stored[place].as_str().map(str::to_owned);
    let lacks = || corrupt("a document of a cause lacks a field");
    Ok(HeardDocument {
        source: match (text(0), text(1)) {
            (Some(feed), _) => DocumentSource::Feed(parse("verdict", &feed)?),
            (None, Some(id)) => DocumentSource::Attached(id),
            (None, None) => return Err(lacks()),
        },
        document: text(2).ok_or_else(lacks)?,
        version: text(3).ok_or_else(lacks)?,
    })
}

fn read_advisory(stored: &Value) -> Result<RevisedAdvisory, Error> {
    let text =
        |place: usize| stored[place].as_str().ok_or_else(|| corrupt("an advisory of a cause lacks a field"));
    let revision = |place: usize| stored[place].as_u64().map(|n| number("verdict", n)).transpose();
    Ok(RevisedAdvisory {
        feed: parse("verdict", text(0)?)?,
        advisory: text(1)?.to_owned(),
        before: revision(2)?,
        after: revision(3)?,
    })
}

fn change_counts(stored: &Value) -> Result<Vec<(ChangeKind, u32)>, Error> {
    let counted = stored.as_object().ok_or_else(|| corrupt("changes are not counted by kind"))?;
    let count = |(kind, count): (&String, &Value)| {
        let kind = word("verdict", kind, ChangeKind::from_word)?;
        Ok((kind, number("verdict", count.as_u64().unwrap_or_default())?))
    };
    let mut counts: Vec<_> = counted.iter().map(count).collect::<Result<_, Error>>()?;
    counts.sort();
    Ok(counts)
}

fn counts(stored: &[i32]) -> Result<Vec<(Severity, u32)>, Error> {
    Severity::ALL.iter().zip(stored).map(|(s, &n)| Ok((*s, number("verdict", n)?))).collect()
}

fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { table: "verdict", source: what.into() }
}
