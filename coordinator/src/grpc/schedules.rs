//! The part of RunService that is about schedules.

use actors::scheduler::cron::Cron;
use model::FeedId;
use proto_api::run::v1::{
    self as wire, DeleteScheduleResponse, ListSchedulesResponse, SetScheduleRequest, SetScheduleResponse,
};
use store::runs::Selector;
use store::schedules::{self, NewSchedule, Schedule};
use time::OffsetDateTime;

use super::Door;
use super::convert;
use super::errors::{Refusal, invalid, named};
use super::runs::{rate, rate_of, selector_message};

pub(super) async fn list(door: &Door) -> Result<ListSchedulesResponse, Refusal> {
    let mut tx = door.store.fleet().await?;
    let schedules = schedules::list(&mut tx).await?;
    Ok(ListSchedulesResponse { schedules: schedules.iter().map(message).collect() })
}

pub(super) async fn get(door: &Door, id: &str) -> Result<wire::Schedule, Refusal> {
    let mut tx = door.store.fleet().await?;
    Ok(message(&schedules::get(&mut tx, id).await.map_err(|error| named(error, id))?))
}

pub(super) async fn set(
    door: &Door,
    request: &SetScheduleRequest,
    selector: Selector,
) -> Result<SetScheduleResponse, Refusal> {
    let cron: Cron = request.cron.parse().map_err(|error| invalid("cron", error))?;
    // Names of schedules look like those of feeds.
    let id: FeedId = request.schedule_id.parse().map_err(|_| {
        invalid("schedule_id", "must be 1 to 64 of a-z, 0-9, '-' and '.', starting with a letter or digit")
    })?;
    if request.cron.len() > 200 {
        return Err(invalid("cron", "must have at most 200 characters"));
    }
    let next = cron.after(OffsetDateTime::now_utc()).filter(|_| !request.paused);
    let schedule = NewSchedule {
        id: id.to_string(),
        cron: request.cron.clone(),
        selector,
        rate_per_s: rate_of(request.rate_per_second)?,
        next,
    };
    let mut tx = door.store.fleet().await?;
    schedules::set(&mut tx, &schedule).await?;
    let schedule = schedules::get(&mut tx, &schedule.id).await?;
    tx.commit().await?;
    Ok(SetScheduleResponse { schedule: Some(message(&schedule)) })
}

pub(super) async fn remove(door: &Door, id: &str) -> Result<DeleteScheduleResponse, Refusal> {
    let mut tx = door.store.fleet().await?;
    schedules::remove(&mut tx, id).await.map_err(|error| named(error, id))?;
    tx.commit().await?;
    Ok(DeleteScheduleResponse {})
}

fn message(schedule: &Schedule) -> wire::Schedule {
    wire::Schedule {
        schedule_id: schedule.id.clone(),
        cron: schedule.cron.clone(),
        selector: Some(selector_message(&schedule.selector)),
        rate_per_second: rate(schedule.rate_per_s),
        paused: !schedule.enabled,
        next_time: schedule.next.map(convert::timestamp),
        last_time: schedule.last.map(|(at, _)| convert::timestamp(at)),
        last_run_id: schedule.last.map(|(_, run)| run.to_string()).unwrap_or_default(),
        create_time: Some(convert::timestamp(schedule.created)),
    }
}
