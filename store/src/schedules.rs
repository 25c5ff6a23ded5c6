//! Schedules: runs that come again, by the clock.

use model::RunId;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::runs::effects::fenced;
use crate::runs::{NewRun, Selector, request, wake};
use crate::{Error, Fence, FleetTx, Store};

/// A schedule as it is set.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    /// Its name.
    pub id: String,
    /// When: five fields, in UTC.
    pub cron: String,
    /// Which images.
    pub selector: Selector,
    /// At most so many images a second; `None` for what the scheduler is set to.
    pub rate_per_s: Option<f32>,
    /// When it comes next; `None` switches it off.
    pub next: Option<OffsetDateTime>,
}

/// A schedule as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub id: String,
    /// When.
    pub cron: String,
    /// Which images.
    pub selector: Selector,
    /// At most so many images a second.
    pub rate_per_s: Option<f32>,
    /// Whether it comes at all.
    pub enabled: bool,
    /// When it comes next.
    pub next: Option<OffsetDateTime>,
    /// When it last came, and the run it made.
    pub last: Option<(OffsetDateTime, RunId)>,
    /// When it was made.
    pub created: OffsetDateTime,
}

struct Row {
    schedule_id: String,
    cron: String,
    selector: Value,
    rate_per_s: Option<f32>,
    enabled: bool,
    next_at: Option<OffsetDateTime>,
    last_at: Option<OffsetDateTime>,
    last_run: Option<Uuid>,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for Schedule {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            selector: Selector::from_value("schedule", &row.selector)?,
            id: row.schedule_id,
            cron: row.cron,
            rate_per_s: row.rate_per_s,
            enabled: row.enabled,
            next: row.next_at,
            last: row.last_at.zip(row.last_run.map(RunId::from_uuid)),
            created: row.created_at,
        })
    }
}

/// Makes a schedule, or sets the one of this name anew. Says whether it is new.
pub async fn set(tx: &mut FleetTx, schedule: &NewSchedule) -> Result<bool, Error> {
    let new = sqlx::query_scalar!(
        r#"insert into scheduler.schedule as s (schedule_id, cron, selector, rate_per_s, enabled, next_at)
           values ($1, $2, $3, $4, $5::timestamptz is not null, $5)
           on conflict (schedule_id) do update set
               cron = excluded.cron, selector = excluded.selector, rate_per_s = excluded.rate_per_s,
               enabled = excluded.enabled, next_at = excluded.next_at
           returning xmax::text = '0' as "new!""#,
        schedule.id,
        schedule.cron,
        schedule.selector.to_value(),
        schedule.rate_per_s,
        schedule.next,
    )
    .fetch_one(tx.conn())
    .await?;
    wake(tx).await?;
    Ok(new)
}

/// A schedule.
pub async fn get(tx: &mut FleetTx, id: &str) -> Result<Schedule, Error> {
    let row = sqlx::query_as!(
        Row,
        "select schedule_id, cron, selector, rate_per_s, enabled, next_at, last_at, last_run, created_at
         from scheduler.schedule where schedule_id = $1",
        id,
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(Error::NotFound { entity: "schedule" })?.try_into()
}

/// All schedules, by name.
pub async fn list(tx: &mut FleetTx) -> Result<Vec<Schedule>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select schedule_id, cron, selector, rate_per_s, enabled, next_at, last_at, last_run, created_at
         from scheduler.schedule order by schedule_id limit 1000",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Schedule::try_from).collect()
}

/// Forgets a schedule. Its runs go on.
pub async fn remove(tx: &mut FleetTx, id: &str) -> Result<(), Error> {
    let done =
        sqlx::query!("delete from scheduler.schedule where schedule_id = $1", id).execute(tx.conn()).await?;
    if done.rows_affected() == 0 { Err(Error::NotFound { entity: "schedule" }) } else { Ok(()) }
}

/// The scheduler's step when a schedule's time has come: makes its run and says when it comes next. `Stale` when the
/// schedule was set anew meanwhile.
pub async fn come(
    store: &Store,
    fence: Fence,
    schedule: &Schedule,
    run: &NewRun,
    next: Option<OffsetDateTime>,
) -> Result<RunId, Error> {
    let mut tx = fenced(store, fence).await?;
    let (run, _) = request(&mut tx, run).await?;
    let done = sqlx::query!(
        "update scheduler.schedule set
             next_at = $3, enabled = $3::timestamptz is not null, last_at = clock_timestamp(), last_run = $4
         where schedule_id = $1 and enabled and next_at is not distinct from $2",
        schedule.id,
        schedule.next,
        next,
        run.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::Stale { entity: "schedule" });
    }
    tx.commit().await?;
    Ok(run)
}
