//! `starling feeds`: where advisories come from, how fresh they are, and what they are to do.

mod bundle;
mod quarantine;
mod steering;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use proto_api::feed::v1::{
    CreateFeedRequest, Feed, FeedState, GetFeedRequest, GetFreshnessRequest, ListFeedsRequest,
    RefreshFeedRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::Failure;
use super::list::{self, Gathered, Limit, Output};
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
    /// Show one feed: how it is, since when and why
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Add a feed (operators)
    Create {
        /// Its name: 1 to 64 of a-z, 0-9, '-' and '.'
        name: String,
        /// Where to read it from, as the nodes see it: file:///DIRECTORY-OR-FILE, https://…, bucket+https://…/ECOSYSTEM
        /// for an OSV bucket, or bundle: for one that lives of imports
        source: String,
        /// How it is written: osv, secdb, debian-tracker or csaf-vex; kev and epss are catalogues of what is known beside
        /// advisories
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
        /// All of it, and not only what is new
        #[arg(long)]
        whole: bool,
    },
    /// Stop a feed until it is resumed; what it said still counts (operators)
    Pause(steering::Named),
    /// Let a paused feed go on (operators)
    Resume(steering::Named),
    /// Have a feed keep what it says now until it is unpinned (operators)
    Pin(steering::Named),
    /// Let a pinned feed be read again (operators)
    Unpin(steering::Named),
    /// Have a feed say again what it said as of a snapshot, and pin it to that (operators)
    RollBack {
        #[command(flatten)]
        named: steering::Named,
        /// The snapshot's number
        snapshot: i64,
    },
    /// Bring a file for a feed, without a network: an archive or a document of its format (operators)
    Import {
        #[command(flatten)]
        named: steering::Named,
        /// The file
        file: PathBuf,
        /// It holds only some of the feed's records: what it does not hold stays
        #[arg(long)]
        partial: bool,
    },
    /// Take back all that a feed says, and forget the feed; older snapshots keep it (operators)
    Unregister(steering::Named),
    /// Show who had a feed do what, newest first
    History {
        /// Its name
        name: String,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
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
            Self::Get { name, output } => get(server, screen, name, output).await,
            Self::Refresh { name, whole } => {
                let request = RefreshFeedRequest {
                    request_id: Uuid::now_v7().to_string(),
                    feed_id: name.clone(),
                    whole,
                };
                call(request, async |request| server.feeds().refresh_feed(request).await).await?;
                screen.say(format!("feed {name} is being read; see: starling feeds list"));
                Ok(())
            }
            Self::Quarantine(command) => command.run(server, screen).await,
            Self::Pause(named) => steering::pause(server, screen, named).await,
            Self::Resume(named) => steering::resume(server, screen, named).await,
            Self::Pin(named) => steering::pin(server, screen, named).await,
            Self::Unpin(named) => steering::unpin(server, screen, named).await,
            Self::RollBack { named, snapshot } => steering::roll_back(server, screen, named, snapshot).await,
            Self::Import { named, file, partial } => {
                bundle::import(server, screen, named, file, partial).await
            }
            Self::Unregister(named) => steering::unregister(server, screen, named).await,
            Self::History { name, limit, output } => {
                steering::history(server, screen, name, limit, output).await
            }
            Self::Freshness { output } => freshness(server, screen, output).await,
        }
    }
}

async fn get(server: &Server, screen: &mut Screen, name: String, output: Output) -> Result<(), Failure> {
    let request = GetFeedRequest { feed_id: name };
    let answer = call(request, async |request| server.feeds().get_feed(request).await).await?;
    let feed = answer.feed.unwrap_or_default();
    list::show_one(screen, output.format, FEED, &feed, |screen, feed| {
        let now = OffsetDateTime::now_utc();
        let kept = match feed.pinned_snapshot {
            0 => feed.snapshot.to_string(),
            pinned => format!("{pinned}, kept"),
        };
        let pairs = [
            ("feed", feed.feed_id.clone()),
            ("state", format!("{}, since {}", state_word(feed), words::ago(feed.state_time, now))),
            ("why", feed.state_reason.clone()),
            ("source", feed.source_uri.clone()),
            ("format", feed.format.clone()),
            ("read every", words::length_of(feed.interval)),
            ("promised every", words::length_of(feed.promise)),
            ("last read", words::ago(feed.last_success_time, now)),
            ("last tried", words::ago(feed.last_attempt_time, now)),
            ("last error", feed.last_error.clone()),
            ("snapshot", kept),
            ("advisories", feed.advisories.to_string()),
            ("set aside", feed.quarantined.to_string()),
        ];
        let said: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        list::show_pairs(screen, &said)
    })
}

fn rows(screen: &Screen, feeds: &[Feed]) -> Rows {
    let mut rows =
        Rows::new(screen, &["FEED", "STATE", "SINCE", "READ", "ADVISORIES", "SET ASIDE", "SOURCE", "WHY"]);
    let now = OffsetDateTime::now_utc();
    for feed in feeds {
        rows.row([
            feed.feed_id.clone(),
            state_word(feed),
            words::ago(feed.state_time, now),
            words::ago(feed.last_success_time, now),
            feed.advisories.to_string(),
            feed.quarantined.to_string(),
            feed.source_uri.clone(),
            feed.state_reason.clone(),
        ]);
    }
    rows.right(&[4, 5])
}

/// How it is; and that it is late, where its state does not say so.
fn state_word(feed: &Feed) -> String {
    let mut word = words::word(feed.state().as_str_name(), "FEED_STATE_");
    if feed.late && feed.state() != FeedState::Late {
        word.push_str(" and late");
    }
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
