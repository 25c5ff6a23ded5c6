//! `starling schedules`: runs that come again, by the clock.

use clap::Subcommand;
use proto_api::run::v1::{
    DeleteScheduleRequest, GetScheduleRequest, ListSchedulesRequest, Schedule, Selector, SetScheduleRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::list::{self, Gathered, Output};
use super::runs::SelectorFlags;
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

const SCHEDULE: &str = "starling.run.v1.Schedule";

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub(super) enum Schedules {
    /// List schedules
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show one
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make a schedule, or set it anew; without a choice of images, over all of them
    Set {
        /// Its name: 1 to 64 of a-z, 0-9, '-' and '.'
        #[arg(value_name = "NAME")]
        schedule: String,
        /// When, in UTC: minute, hour, day of the month, month, day of the week
        cron: String,
        #[command(flatten)]
        selector: SelectorFlags,
        /// Switch it off
        #[arg(long)]
        paused: bool,
    },
    /// Forget a schedule; its runs go on
    Delete {
        /// Its name
        name: String,
    },
}

impl Schedules {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let request_id = Uuid::now_v7().to_string();
        match self {
            Self::List { output } => {
                let request = ListSchedulesRequest {};
                let answer =
                    call(request, async |request| server.runs().list_schedules(request).await).await?;
                let found = Gathered { items: answer.schedules, more: false };
                list::show(screen, output.format, SCHEDULE, &found, rows)
            }
            Self::Get { name, output } => {
                let request = GetScheduleRequest { schedule_id: name };
                let answer = call(request, async |request| server.runs().get_schedule(request).await).await?;
                let schedule = answer
                    .schedule
                    .ok_or_else(|| Failure::new(Exit::Failed, "the server sent no schedule"))?;
                list::show_one(screen, output.format, SCHEDULE, &schedule, show)
            }
            Self::Set { schedule, cron, selector, paused } => {
                let (selector, rate_per_second) = selector.into_parts();
                let request = SetScheduleRequest {
                    request_id,
                    schedule_id: schedule.clone(),
                    cron,
                    selector: Some(selector),
                    rate_per_second,
                    paused,
                };
                call(request, async |request| server.runs().set_schedule(request).await).await?;
                screen.say(format!("schedule {schedule} is set"));
                Ok(())
            }
            Self::Delete { name } => {
                let request = DeleteScheduleRequest { request_id, schedule_id: name.clone() };
                call(request, async |request| server.runs().delete_schedule(request).await).await?;
                screen.say(format!("schedule {name} is forgotten"));
                Ok(())
            }
        }
    }
}

fn rows(screen: &Screen, schedules: &[Schedule]) -> Rows {
    let mut rows = Rows::new(screen, &["SCHEDULE", "CRON (UTC)", "IMAGES", "NEXT", "LAST", "LAST RUN"]);
    let now = OffsetDateTime::now_utc();
    for schedule in schedules {
        rows.row([
            schedule.schedule_id.clone(),
            schedule.cron.clone(),
            images(schedule.selector.as_ref()),
            next(schedule, now),
            words::ago(schedule.last_time, now),
            schedule.last_run_id.clone(),
        ]);
    }
    rows
}

fn show(screen: &mut Screen, schedule: &Schedule) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    list::show_pairs(
        screen,
        &[
            ("schedule", schedule.schedule_id.clone()),
            ("cron (UTC)", schedule.cron.clone()),
            ("images", images(schedule.selector.as_ref())),
            ("next", next(schedule, now)),
            ("last", words::ago(schedule.last_time, now)),
            ("last run", schedule.last_run_id.clone()),
        ],
    )
}

fn next(schedule: &Schedule, now: OffsetDateTime) -> String {
    if schedule.paused {
        return "paused".to_owned();
    }
    let Some(next) = schedule.next_time.and_then(words::moment) else { return words::NOTHING.to_owned() };
    format!("in {}", words::length((next - now).try_into().unwrap_or_default()))
}

/// A selector in a few words.
fn images(selector: Option<&Selector>) -> String {
    let Some(selector) = selector else { return "all".to_owned() };
    let mut said = Vec::new();
    for (name, value) in [("tenant", &selector.tenant), ("image", &selector.image), ("name", &selector.name)]
    {
        if !value.is_empty() {
            said.push(format!("{name} {value}"));
        }
    }
    if selector.stale_only {
        said.push("stale".to_owned());
    }
    said.extend(selector.packages.iter().cloned());
    if said.is_empty() { "all".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_told_in_a_few_words() {
        assert_eq!(images(Some(&Selector::default())), "all");
        let some = Selector { name: "app:*".to_owned(), stale_only: true, ..Selector::default() };
        assert_eq!(images(Some(&some)), "name app:*, stale");
    }
}
