//! The rows that the invariants are asked of, read at one moment.

use ::invariants::{
    Act, Bell, Change, DeadLetter, Event, Image, Job, Load, Node, Partition, Rows, RunImage, Verdict, Work,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use crate::Truth;

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// What is not done yet: enough to tell whether anything is left.
    Open,
}

/// Reads them.
pub(super) async fn rows(truth: &Truth, part: Part) -> Rows {
    let mut session = truth.session().await;
    let moment = &mut session;
    begin(moment).await;
    let mut rows = open(moment, part).await;
    if part == Part::All {
        said(moment, &mut rows).await;
        owned(moment, &mut rows).await;
    }
    rows
}

async fn begin(session: &mut PgConnection) {
    let begun = sqlx::raw_sql("begin isolation level repeatable read read only").execute(session).await;
    begun.expect("a transaction begins");
}

async fn read<T>(session: &mut PgConnection, sql: &str, row: impl Fn(&PgRow) -> T) -> Vec<T> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(session).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(row).collect()
}

fn id(row: &PgRow, column: &str) -> u128 {
    row.get::<Uuid, _>(column).as_u128()
}

fn count(row: &PgRow, column: &str) -> u32 {
    u32::try_from(row.get::<i32, _>(column)).expect("not negative")
}

fn image(row: &PgRow) -> (u128, String) {
    (id(row, "tenant_id"), row.get("image_digest"))
}

/// What may be left to do.
async fn open(session: &mut PgConnection, part: Part) -> Rows {
    let only = |what: &str| if part == Part::Open { format!(" where {what}") } else { String::new() };
    let jobs = "select tenant_id, job_id, request_id, image_digest, state, events, verdict,
                       admitted_at is not null as is_admitted, ended_at is not null as has_ended
                from orchestrator.job";
    let images = "select tenant_id, digest as image_digest, revision, evaluated_revision, last_verdict
                  from scanner.image";
    Rows {
        jobs: read(session, &format!("{jobs}{}", only("ended_at is null")), |row| Job {
            id: id(row, "job_id"),
            tenant: id(row, "tenant_id"),
            request: id(row, "request_id"),
            image: row.get("image_digest"),
            state: row.get("state"),
            events: count(row, "events"),
            verdict: row
                .get::<Option<i32>, _>("verdict")
                .map(|version| u32::try_from(version).expect("positive")),
            is_admitted: row.get("is_admitted"),
            has_ended: row.get("has_ended"),
        })
        .await,
        images: read(session, &format!("{images}{}", only("evaluated_revision < revision")), |row| Image {
            id: image(row),
            revision: row.get("revision"),
            evaluated_revision: row.get("evaluated_revision"),
            last_verdict: count(row, "last_verdict"),
        })
        .await,
        work: read(session, "select work_id, state, attempt from orchestrator.work", |row| Work {
            id: id(row, "work_id"),
            state: row.get("state"),
            attempt: count(row, "attempt"),
        })
        .await,
        bells: read(session, "select concat_ws(' ', kind, key) as who from orchestrator.outbox", |row| {
            Bell { who: row.get("who") }
        })
        .await,
        dead_letters: read(
            session,
            "select tenant_id, image_digest, last_reason from orchestrator.dead_letter",
            |row| DeadLetter { image: image(row), reason: row.get("last_reason") },
        )
        .await,
        ..Rows::default()
    }
}

/// What was said of jobs and images.
async fn said(session: &mut PgConnection, rows: &mut Rows) {
    rows.events = read(
        session,
        "select tenant_id, job_id, seq, stage, state, attempt,
                (extract(epoch from started_at) * 1000000)::bigint as started,
                (extract(epoch from ended_at) * 1000000)::bigint as ended
         from orchestrator.job_event",
        |row| Event {
            tenant: id(row, "tenant_id"),
            job: id(row, "job_id"),
            seq: count(row, "seq"),
            stage: row.get("stage"),
            state: row.get("state"),
            attempt: count(row, "attempt"),
            started: row.get("started"),
            ended: row.get("ended"),
        },
    )
    .await;
    rows.verdicts = read(
        session,
        "select tenant_id, image_digest, version, revision, snapshot_id,
                concat_ws(' ', findings_digest, coverage, gaps) as says
         from scanner.verdict",
        |row| Verdict {
            image: image(row),
            version: count(row, "version"),
            revision: row.get("revision"),
            snapshot: row.get("snapshot_id"),
            says: row.get("says"),
        },
    )
    .await;
    rows.run_images =
        read(session, "select tenant_id, run_id, image_digest, must_reach from scheduler.run_image", |row| {
            RunImage { run: id(row, "run_id"), image: image(row), must_reach: row.get("must_reach") }
        })
        .await;
    rows.loads = read(
        session,
        "select tenant_id, open_jobs::bigint as open, inflight::bigint as inflight from orchestrator.tenant_load",
        |row| Load { tenant: id(row, "tenant_id"), open: row.get("open"), inflight: row.get("inflight") },
    )
    .await;
}

/// Who owned what.
async fn owned(session: &mut PgConnection, rows: &mut Rows) {
    rows.nodes = read(
        session,
        "select gen, application_name, (extract(epoch from ended_at) * 1000000)::bigint as ended from cluster.node",
        |row| Node {
            generation: row.get("gen"),
            name: row.get("application_name"),
            ended: row.get("ended"),
        },
    )
    .await;
    let number = |row: &PgRow| u16::try_from(row.get::<i32, _>("partition")).expect("below 1024");
    rows.partitions = read(session, "select partition, epoch from cluster.partition", |row| Partition {
        number: number(row),
        epoch: row.get("epoch"),
    })
    .await;
    rows.changes = read(
        session,
        "select partition, epoch, to_gen, (extract(epoch from at) * 1000000)::bigint as at
         from cluster.partition_log",
        |row| Change {
            partition: number(row),
            epoch: row.get("epoch"),
            to: row.get("to_gen"),
            at: row.get("at"),
        },
    )
    .await;
    rows.acts = read(
        session,
        "select partition, epoch, who, (extract(epoch from at) * 1000000)::bigint as at from public.act",
        |row| Act { partition: number(row), epoch: row.get("epoch"), by: row.get("who"), at: row.get("at") },
    )
    .await;
}
