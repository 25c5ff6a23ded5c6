//! `starling feeds`: where advisories come from, and how fresh they are.

mod quarantine;

use std::time::Duration;

use clap::Subcommand;
use proto_api::feed::v1::{
    CreateFeedRequest, Feed, GetFreshnessRequest, ListFeedsRequest, RefreshFeedRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::Failure;
use super::list::{self, Gathered, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;
use crate::config::parse_duration;
use crate::grpc::convert;

const FEED: &str = "starling.feed.v1.Feed";

/// What to do with feeds.
#[derive(Debug, Subcommand)]
pub(super) enum Feeds {
    /// List feeds
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Add a feed (operators)
    Create {
        /// Its name: 1 to 64 of a-z, 0-9, '-' and '.'
        name: String,
        /// Where to read it from, as the nodes see it: a directory, an archive or a URL
        source: String,
        /// How it is written: osv, secdb, debian-tracker or csaf-vex
        #[arg(long, value_name = "FORMAT", default_value = "osv")]
        format: String,
        /// How often to read it
        #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1h")]
        interval: Duration,
        /// How old it may become before its results are called stale
        #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1d")]
        promise: Duration,
    },
    /// Have a feed read now (operators)
    Refresh {
        /// Its name
        name: String,
    },
    /// List records of a feed that could not be read, or try them again (operators)
    Quarantine(quarantine::Quarantine),
    /// Show how fresh the advisories are
    Freshness {
        #[command(flatten)]
        output: Output,
    },
}

impl Feeds {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::List { output } => {
                let answer =
                    call(ListFeedsRequest {}, async |request| server.feeds().list_feeds(request).await)
                        .await?;
                let found = Gathered { items: answer.feeds, more: false };
                list::show(screen, output.format, FEED, &found, rows)
            }
            Self::Create { name, source, format, interval, promise } => {
                let request = CreateFeedRequest {
                    request_id: Uuid::now_v7().to_string(),
                    feed_id: name.clone(),
                    source_uri: source,
                    format,
                    interval: Some(convert::duration(interval)),
                    promise: Some(convert::duration(promise)),
                };
                call(request, async |request| server.feeds().create_feed(request).await).await?;
                screen.say(format!("feed {name} is added and being read"));
                Ok(())
            }
            Self::Refresh { name } => {
                let request =
                    RefreshFeedRequest { request_id: Uuid::now_v7().to_string(), feed_id: name.clone() };
                call(request, async |request| server.feeds().refresh_feed(request).await).await?;
                screen.say(format!("feed {name} is being read; see: starling feeds list"));
                Ok(())
            }
            Self::Quarantine(command) => command.run(server, screen).await,
            Self::Freshness { output } => freshness(server, screen, output).await,
        }
    }
}

fn rows(screen: &Screen, feeds: &[Feed]) -> Rows {
    let mut rows =
        Rows::new(screen, &["FEED", "FRESHNESS", "READ", "ADVISORIES", "SET ASIDE", "SOURCE", "ERROR"]);
    let now = OffsetDateTime::now_utc();
    for feed in feeds {
        rows.row([
            feed.feed_id.clone(),
            freshness_word(feed),
            words::ago(feed.last_success_time, now),
            feed.advisories.to_string(),
            feed.quarantined.to_string(),
            feed.source_uri.clone(),
            feed.last_error.clone(),
        ]);
    }
    rows.right(&[3, 4])
}

fn freshness_word(feed: &Feed) -> String {
    let word = words::word(feed.freshness().as_str_name(), "FEED_FRESHNESS_");
    if feed.refreshing { format!("{word}, being read") } else { word }
}

async fn freshness(server: &Server, screen: &mut Screen, output: Output) -> Result<(), Failure> {
    let answer =
        call(GetFreshnessRequest {}, async |request| server.feeds().get_freshness(request).await).await?;
    let name = "starling.feed.v1.GetFreshnessResponse";
    list::show_one(screen, output.format, name, &answer, |screen, answer| {
        rows(screen, &answer.feeds).show(screen)?;
        let oldest = words::length_of(answer.oldest_age);
        let (fresh, all) = (answer.fresh, answer.feeds.len());
        screen.data(format!(
            "\nsnapshot {}; {fresh} of {all} feeds fresh, the oldest {oldest} old",
            answer.snapshot
        ))
    })
}
