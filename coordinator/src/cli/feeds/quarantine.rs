//! `starling feeds quarantine FEED`: records that could not be read, why, and trying them again.

use clap::{Args, ValueEnum};
use proto_api::advisory::v1::{ListQuarantineRequest, QuarantinedRecord, RetryQuarantineRequest};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::list::{self, Limit, Output};
use super::super::screen::Screen;
use super::super::server::{Server, call};
use super::super::table::Rows;
use super::super::words;

/// Whose records, and what to do with them.
#[derive(Debug, Args)]
pub(in crate::cli) struct Quarantine {
    /// The feed's name
    name: String,
    /// What to do; else they are listed
    #[arg(value_enum)]
    action: Option<Action>,
    /// Also list what is settled: its source was read without it
    #[arg(long)]
    settled: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Read the whole source again, whether it has changed or not
    Retry,
}

impl Quarantine {
    /// Does it.
    pub(in crate::cli) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        if self.action == Some(Action::Retry) {
            let request =
                RetryQuarantineRequest { request_id: Uuid::now_v7().to_string(), feed_id: self.name.clone() };
            let ask = async |request| server.advisories().retry_quarantine(request).await;
            let answer = call(request, ask).await?;
            let records = words::count(u64::try_from(answer.records).unwrap_or_default(), "record");
            screen.say(format!("feed {} is read again, and with it {records} set aside", self.name));
            return Ok(());
        }
        let found = list::gather(self.limit.limit, async |page_size, page_token| {
            let request = ListQuarantineRequest {
                feed_id: self.name.clone(),
                show_settled: self.settled,
                page_size,
                page_token,
            };
            let ask = async |request| server.advisories().list_quarantine(request).await;
            let answer = call(request, ask).await?;
            Ok((answer.records, answer.next_page_token))
        });
        let name = "starling.advisory.v1.QuarantinedRecord";
        list::show(screen, self.output.format, name, &found.await?, rows)
    }
}

fn rows(screen: &Screen, records: &[QuarantinedRecord]) -> Rows {
    let mut rows = Rows::new(screen, &["ENTRY", "SET ASIDE", "SETTLED", "DIGEST", "REASON"]);
    let now = OffsetDateTime::now_utc();
    for record in records {
        rows.row([
            record.entry.clone(),
            words::ago(record.create_time, now),
            words::ago(record.settle_time, now),
            words::short(&record.digest).to_owned(),
            record.reason.clone(),
        ]);
    }
    rows
}
