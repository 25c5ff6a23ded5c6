//! `starling advisories`: what the feeds said, when, and what of it changed.

mod linkset;

use std::io::Write as _;

use clap::Subcommand;
use proto_api::advisory::v1::{
    AdvisoryDelta, DiffSnapshotsRequest, GetAdvisoryRequest, GetAdvisoryResponse, GetLinksetRequest,
    ListSnapshotsRequest, Revision, Snapshot,
};
use time::OffsetDateTime;

use super::alone::pack::{PACK_EXAMPLES, Pack, Verify};
use super::failure::Failure;
use super::list::{self, Limit, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling advisories snapshots --feed go
  starling advisories diff 41 42 -o json
  starling advisories get GO-2026-4960 --at 41
  starling advisories get GO-2026-4960 --document
  starling advisories linkset CVE-2026-1234";

/// What to show.
#[derive(Debug, Subcommand)]
pub(super) enum Advisories {
    /// List snapshots: the state of all feeds and of VEX after something changed
    Snapshots {
        /// Only those that this feed made
        #[arg(long, value_name = "FEED")]
        feed: Option<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// List what changed in meaning between two snapshots
    Diff {
        /// Changes after this snapshot; 0 is before the first
        after: i64,
        /// Changes up to this snapshot
        until: i64,
        /// Of this feed only
        #[arg(long, value_name = "FEED")]
        feed: Option<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show the revisions of an advisory, and where they came from
    Get {
        /// Its own id, as a feed writes it
        id: String,
        /// As of this snapshot; else the latest
        #[arg(long, value_name = "SNAPSHOT", default_value_t = 0, hide_default_value = true)]
        at: i64,
        /// Print the newest documents instead, exactly as they were published
        #[arg(long, conflicts_with = "format")]
        document: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show what all feeds say of a vulnerability, and where they disagree
    Linkset {
        /// Any of its names: a CVE, or an advisory's id
        name: String,
        /// As of this snapshot; else the latest
        #[arg(long, value_name = "SNAPSHOT", default_value_t = 0, hide_default_value = true)]
        at: i64,
        #[command(flatten)]
        output: Output,
    },
    /// Pack folders of advisories into one file, which scan and explain read in place
    #[command(after_help = PACK_EXAMPLES)]
    Pack(Pack),
    /// Check a file of packed advisories, all of it
    Verify(Verify),
}

impl Advisories {
    /// Does it. Files need no server.
    pub(super) async fn run(
        self,
        server: impl FnOnce() -> Result<Server, Failure>,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        match self {
            Self::Pack(command) => command.run(screen).await,
            Self::Verify(command) => command.run(screen).await,
            asked => asked.ask(&server()?, screen).await,
        }
    }

    async fn ask(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::Pack(_) | Self::Verify(_) => Ok(()),
            Self::Snapshots { feed, limit, output } => {
                let found = list::gather(limit.limit, async |page_size, page_token| {
                    let feed_id = feed.clone().unwrap_or_default();
                    let request = ListSnapshotsRequest { page_size, page_token, feed_id };
                    let ask = async |request| server.advisories().list_snapshots(request).await;
                    let answer = call(request, ask).await?;
                    Ok((answer.snapshots, answer.next_page_token))
                });
                list::show(screen, output.format, "starling.advisory.v1.Snapshot", &found.await?, snapshots)
            }
            Self::Diff { after, until, feed, limit, output } => {
                let found = list::gather(limit.limit, async |page_size, page_token| {
                    let feed_id = feed.clone().unwrap_or_default();
                    let request = DiffSnapshotsRequest { after, until, feed_id, page_size, page_token };
                    let ask = async |request| server.advisories().diff_snapshots(request).await;
                    let answer = call(request, ask).await?;
                    Ok((answer.deltas, answer.next_page_token))
                });
                list::show(screen, output.format, "starling.advisory.v1.AdvisoryDelta", &found.await?, deltas)
            }
            Self::Get { id, at, document, output } => {
                let request = GetAdvisoryRequest { advisory_id: id, snapshot: at };
                let ask = async |request| server.advisories().get_advisory(request).await;
                let answer = call(request, ask).await?;
                if document {
                    return documents(screen, &answer);
                }
                let name = "starling.advisory.v1.GetAdvisoryResponse";
                list::show_one(screen, output.format, name, &answer, |screen, answer| {
                    revisions(screen, &answer.revisions).show(screen)
                })
            }
            Self::Linkset { name, at, output } => {
                let request = GetLinksetRequest { name, snapshot: at };
                let ask = async |request| server.advisories().get_linkset(request).await;
                let found = call(request, ask).await?.linkset.unwrap_or_default();
                list::show_one(screen, output.format, "starling.advisory.v1.Linkset", &found, linkset::show)
            }
        }
    }
}

fn snapshots(screen: &Screen, snapshots: &[Snapshot]) -> Rows {
    let heads = ["SNAPSHOT", "FEED", "MADE", "ADDED", "CHANGED", "REMOVED", "IN MEANING"];
    let mut rows = Rows::new(screen, &heads);
    let now = OffsetDateTime::now_utc();
    for snapshot in snapshots {
        let feed = if snapshot.feed_id.is_empty() { "(VEX)" } else { &snapshot.feed_id };
        rows.row([
            snapshot.snapshot.to_string(),
            feed.to_owned(),
            words::ago(snapshot.create_time, now),
            snapshot.added.to_string(),
            snapshot.changed.to_string(),
            snapshot.removed.to_string(),
            snapshot.meaningful.to_string(),
        ]);
    }
    rows.right(&[0, 3, 4, 5, 6])
}

fn deltas(screen: &Screen, deltas: &[AdvisoryDelta]) -> Rows {
    let mut rows = Rows::new(screen, &["FEED", "ADVISORY", "CHANGE", "IN", "REVISIONS", "SNAPSHOT"]);
    for delta in deltas {
        let revision = |number: i32| if number == 0 { words::NOTHING.to_owned() } else { number.to_string() };
        rows.row([
            delta.feed_id.clone(),
            delta.advisory_id.clone(),
            delta.kind.clone(),
            delta.parts.join(", "),
            format!("{} → {}", revision(delta.before_revision), revision(delta.after_revision)),
            delta.snapshot.to_string(),
        ]);
    }
    rows.right(&[5])
}

fn revisions(screen: &Screen, revisions: &[Revision]) -> Rows {
    let mut rows =
        Rows::new(screen, &["FEED", "REVISION", "SNAPSHOT", "TAKEN IN", "DIGEST", "SOURCE", "MARK", "BY"]);
    let now = OffsetDateTime::now_utc();
    for revision in revisions {
        let or_nothing = |text: &str| if text.is_empty() { words::NOTHING } else { text }.to_owned();
        let digest = if revision.digest.is_empty() { "not listed" } else { words::short(&revision.digest) };
        rows.row([
            revision.feed_id.clone(),
            revision.revision.to_string(),
            revision.snapshot.to_string(),
            words::ago(revision.observe_time, now),
            digest.to_owned(),
            revision.source_uri.clone(),
            or_nothing(&revision.mark),
            revision.collector.clone(),
        ]);
    }
    rows.right(&[1, 2])
}

/// One a line, feed after feed.
fn documents(screen: &mut Screen, answer: &GetAdvisoryResponse) -> Result<(), Failure> {
    let mut all = Vec::new();
    for revision in answer.revisions.iter().filter(|revision| !revision.document.is_empty()) {
        all.write_all(&revision.document)?;
        all.push(b'\n');
    }
    screen.exactly(&all)
}
