//! `starling queue`: what waits, and what was given up.

use clap::Subcommand;
use proto_api::queue::v1::{
    DeadLetter, DiscardDeadLetterRequest, GetDeadLetterRequest, LaneStatus, ListDeadLettersRequest,
    ListLanesRequest, RequeueDeadLetterRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::list::{self, Gathered, Limit, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

const LANE: &str = "starling.queue.v1.LaneStatus";
const LETTER: &str = "starling.queue.v1.DeadLetter";

/// What to do with queues.
#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// Show what waits and what is worked on, lane by lane
    Lanes {
        /// Whose, by id or name (operators)
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Work that was given up after its last try
    #[command(subcommand)]
    DeadLetters(DeadLetters),
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List them, newest first
    List {
        /// Whose, by id or name (operators)
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show one
    Get {
        /// Its id
        id: String,
        /// Whose, by id or name (operators)
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Have its work tried again, by a new job
    Requeue {
        /// Its id
        id: String,
        /// Whose, by id or name (operators)
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Drop it for good
    Discard {
        /// Its id
        id: String,
        /// Whose, by id or name (operators)
        #[arg(long)]
        tenant: Option<String>,
    },
}

impl Queue {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::Lanes { tenant, output } => lanes(server, screen, tenant.unwrap_or_default(), output).await,
            Self::DeadLetters(command) => command.run(server, screen).await,
        }
    }
}

impl DeadLetters {
    async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let request_id = Uuid::now_v7().to_string();
        match self {
            Self::List { tenant, limit, output } => {
                letters(server, screen, tenant.unwrap_or_default(), limit.limit, output).await
            }
            Self::Get { id, tenant, output } => {
                let tenant = tenant.unwrap_or_default();
                let request = GetDeadLetterRequest { dead_letter_id: id, tenant };
                let answer =
                    call(request, async |request| server.queues().get_dead_letter(request).await).await?;
                let letter = answer
                    .dead_letter
                    .ok_or_else(|| Failure::new(Exit::Failed, "the server sent no dead letter"))?;
                list::show_one(screen, output.format, LETTER, &letter, show)
            }
            Self::Requeue { id, tenant } => {
                let tenant = tenant.unwrap_or_default();
                let request = RequeueDeadLetterRequest { request_id, dead_letter_id: id, tenant };
                let answer =
                    call(request, async |request| server.queues().requeue_dead_letter(request).await).await?;
                screen.data(&answer.job_id)?;
                screen.say(format!("follow it: starling jobs watch {}", answer.job_id));
                Ok(())
            }
            Self::Discard { id, tenant } => {
                let tenant = tenant.unwrap_or_default();
                let request = DiscardDeadLetterRequest { request_id, dead_letter_id: id.clone(), tenant };
                call(request, async |request| server.queues().discard_dead_letter(request).await).await?;
                screen.say(format!("{id} is dropped"));
                Ok(())
            }
        }
    }
}

async fn lanes(server: &Server, screen: &mut Screen, tenant: String, output: Output) -> Result<(), Failure> {
    let request = ListLanesRequest { tenant };
    let answer = call(request, async |request| server.queues().list_lanes(request).await).await?;
    let found = Gathered { items: answer.lanes, more: false };
    list::show(screen, output.format, LANE, &found, |screen, lanes: &[LaneStatus]| {
        let mut rows = Rows::new(screen, &["LANE", "WAITING", "WORKED ON", "OLDEST", "DEAD LETTERS"]);
        for lane in lanes {
            rows.row([
                words::lane(lane.lane()),
                lane.waiting.to_string(),
                lane.inflight.to_string(),
                words::length_of(lane.oldest_age),
                lane.dead_letters.to_string(),
            ]);
        }
        rows.right(&[1, 2, 3, 4])
    })
}

async fn letters(
    server: &Server,
    screen: &mut Screen,
    tenant: String,
    limit: usize,
    output: Output,
) -> Result<(), Failure> {
    let found = list::gather(limit, async |page_size, page_token| {
        let request = ListDeadLettersRequest { tenant: tenant.clone(), page_size, page_token };
        let page = call(request, async |request| server.queues().list_dead_letters(request).await).await?;
        Ok((page.dead_letters, page.next_page_token))
    });
    list::show(screen, output.format, LETTER, &found.await?, |screen, letters: &[DeadLetter]| {
        let mut rows =
            Rows::new(screen, &["DEAD LETTER", "GIVEN UP", "LANE", "TRIES", "IMAGE", "LAST REASON"]);
        let now = OffsetDateTime::now_utc();
        for letter in letters {
            rows.row([
                letter.dead_letter_id.clone(),
                words::ago(letter.create_time, now),
                words::lane(letter.lane()),
                letter.attempts.to_string(),
                words::short(&letter.image_digest).to_owned(),
                letter.last_reason.clone(),
            ]);
        }
        rows.right(&[3])
    })
}

fn show(screen: &mut Screen, letter: &DeadLetter) -> Result<(), Failure> {
    list::show_pairs(
        screen,
        &[
            ("dead letter", letter.dead_letter_id.clone()),
            ("tenant", letter.tenant_id.clone()),
            ("image", letter.image_digest.clone()),
            ("lane", words::lane(letter.lane())),
            ("given up", words::ago(letter.create_time, OffsetDateTime::now_utc())),
            ("tries", letter.attempts.to_string()),
            ("first reason", letter.first_reason.clone()),
            ("last reason", letter.last_reason.clone()),
            ("jobs", letter.job_ids.join(", ")),
        ],
    )
}
