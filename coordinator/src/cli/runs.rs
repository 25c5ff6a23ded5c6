//! `starling runs`: many images that are evaluated again, and how far that is.

use clap::{Args, Subcommand};
use proto_api::run::v1::{
    CancelRunRequest, CreateRunRequest, GetRunRequest, ListRunImagesRequest, ListRunsRequest,
    ReleaseRunRequest, Run, RunImage, RunImageState, RunState, Selector, WatchRunRequest,
};
use time::OffsetDateTime;
use tonic::Request;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::list::{self, Format, Gathered, Limit, Output};
use super::screen::Screen;
use super::server::{Server, WATCHES_MAX, call, pause_before};
use super::table::Rows;
use super::words;

const RUN: &str = "starling.run.v1.Run";
const IMAGE: &str = "starling.run.v1.RunImage";

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub(super) enum Runs {
    /// List runs, newest first
    List {
        /// Only in this state: planned, held, running, completed, failed or cancelled
        #[arg(long, value_name = "STATE", value_parser = parse_state)]
        state: Vec<RunState>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show one
    Get {
        /// Its id
        run: String,
        #[command(flatten)]
        output: Output,
    },
    /// List a run's images and what became of them
    Images {
        /// The run's id
        run: String,
        /// Only in this state: selected, dispatched, current, unchanged, changed or failed
        #[arg(long, value_name = "STATE", value_parser = parse_image_state)]
        state: Option<RunImageState>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Follow a run until it has ended, or waits for a person's word
    Watch {
        /// Its id
        run: String,
    },
    /// Have images evaluated again; without a choice, all of them
    Create {
        #[command(flatten)]
        selector: SelectorFlags,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        cause: String,
    },
    /// Let a held run go on
    Release {
        /// Its id
        run: String,
    },
    /// End a run; what is dispatched is evaluated all the same
    Cancel {
        /// Its id
        run: String,
    },
}

/// Which images, and how fast.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectorFlags {
    /// Only of this tenant, by id or name
    #[arg(long)]
    tenant: Option<String>,
    /// Only this image: its digest; with --tenant the beginning of it or a name do too
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Only images called like this; '*' stands for any text
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what is not evaluated on the newest snapshot
    #[arg(long)]
    stale: bool,
    /// Only what holds this package, as a package URL; may be given again
    #[arg(long = "package", value_name = "PURL")]
    packages: Vec<String>,
    /// At most so many images a second
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    rate: f32,
}

impl SelectorFlags {
    /// As the server is told.
    pub(super) fn into_parts(self) -> (Selector, f32) {
        let selector = Selector {
            tenant: self.tenant.unwrap_or_default(),
            image: self.image.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            stale_only: self.stale,
            packages: self.packages,
        };
        (selector, self.rate)
    }
}

fn parse_state(word: &str) -> Result<RunState, String> {
    let known = RunState::from_str_name(&format!("RUN_STATE_{}", word.to_uppercase()));
    known
        .filter(|state| *state != RunState::Unspecified)
        .ok_or_else(|| format!("{word:?} is no state of a run"))
}

fn parse_image_state(word: &str) -> Result<RunImageState, String> {
    let known = RunImageState::from_str_name(&format!("RUN_IMAGE_STATE_{}", word.to_uppercase()));
    known
        .filter(|state| *state != RunImageState::Unspecified)
        .ok_or_else(|| format!("{word:?} is no state of a run's image"))
}

impl Runs {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let request_id = Uuid::now_v7().to_string();
        match self {
            Self::List { state, limit, output } => list_runs(server, screen, &state, limit, output).await,
            Self::Get { run, output } => {
                let request = GetRunRequest { run_id: run };
                let answer = call(request, async |request| server.runs().get_run(request).await).await?;
                list::show_one(screen, output.format, RUN, &sent(answer.run)?, show)
            }
            Self::Images { run, state, limit, output } => {
                list_images(server, screen, &run, state, limit, output.format).await
            }
            Self::Watch { run } => watch(server, screen, run).await,
            Self::Create { selector, cause } => {
                let (selector, rate_per_second) = selector.into_parts();
                let request =
                    CreateRunRequest { request_id, selector: Some(selector), rate_per_second, cause };
                let answer = call(request, async |request| server.runs().create_run(request).await).await?;
                let run = sent(answer.run)?;
                screen.say(format!("follow it: starling runs watch {}", run.run_id));
                screen.data(&run.run_id)
            }
            Self::Release { run } => {
                let request = ReleaseRunRequest { request_id, run_id: run };
                let answer = call(request, async |request| server.runs().release_run(request).await).await?;
                screen.say(format!("run {} may go on", sent(answer.run)?.run_id));
                Ok(())
            }
            Self::Cancel { run } => {
                let request = CancelRunRequest { request_id, run_id: run };
                let answer = call(request, async |request| server.runs().cancel_run(request).await).await?;
                screen.say(format!("run {} is to end", sent(answer.run)?.run_id));
                Ok(())
            }
        }
    }
}

fn sent(run: Option<Run>) -> Result<Run, Failure> {
    run.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no run"))
}

async fn list_runs(
    server: &Server,
    screen: &mut Screen,
    states: &[RunState],
    limit: Limit,
    output: Output,
) -> Result<(), Failure> {
    let states: Vec<i32> = states.iter().map(|state| (*state).into()).collect();
    let found = list::gather(limit.limit, async |page_size, page_token| {
        let request = ListRunsRequest { states: states.clone(), page_size, page_token };
        let page = call(request, async |request| server.runs().list_runs(request).await).await?;
        Ok((page.runs, page.next_page_token))
    });
    list::show(screen, output.format, RUN, &found.await?, rows)
}

fn rows(screen: &Screen, runs: &[Run]) -> Rows {
    let mut rows = Rows::new(
        screen,
        &["RUN", "STATE", "KIND", "CAUSE", "IMAGES", "DONE", "CHANGED", "FAILED", "MADE", "TOOK"],
    );
    let now = OffsetDateTime::now_utc();
    for run in runs {
        let counts = run.counts.unwrap_or_default();
        let took = words::between(run.create_time, run.end_time);
        rows.row([
            run.run_id.clone(),
            state_word(run),
            words::word(run.kind().as_str_name(), "RUN_KIND_"),
            run.cause.clone(),
            counts.images.to_string(),
            counts.evaluated.to_string(),
            counts.changed.to_string(),
            counts.failed.to_string(),
            words::ago(run.create_time, now),
            took.map_or_else(|| words::NOTHING.to_owned(), words::length),
        ]);
    }
    rows.right(&[4, 5, 6, 7])
}

fn state_word(run: &Run) -> String {
    words::word(run.state().as_str_name(), "RUN_STATE_")
}

async fn list_images(
    server: &Server,
    screen: &mut Screen,
    run: &str,
    state: Option<RunImageState>,
    limit: Limit,
    format: Format,
) -> Result<(), Failure> {
    let found: Gathered<RunImage> = list::gather(limit.limit, async |page_size, page_token| {
        let state = state.unwrap_or_default().into();
        let request = ListRunImagesRequest { run_id: run.to_owned(), state, page_size, page_token };
        let page = call(request, async |request| server.runs().list_run_images(request).await).await?;
        Ok((page.images, page.next_page_token))
    })
    .await?;
    list::show(screen, format, IMAGE, &found, |screen, images| {
        let mut rows = Rows::new(screen, &["TENANT", "IMAGE", "STATE", "TOOK", "REASON"]);
        for image in images {
            let took = words::between(image.dispatch_time, image.end_time);
            rows.row([
                image.tenant_id.clone(),
                image.image.clone(),
                words::word(image.state().as_str_name(), "RUN_IMAGE_STATE_"),
                took.map_or_else(|| words::NOTHING.to_owned(), words::length),
                image.reason.clone(),
            ]);
        }
        rows
    })
}

fn show(screen: &mut Screen, run: &Run) -> Result<(), Failure> {
    let counts = run.counts.unwrap_or_default();
    let since = |from, to| words::between(from, to).map_or_else(|| words::NOTHING.to_owned(), words::length);
    let mut pairs = vec![
        ("run", run.run_id.clone()),
        ("state", state_word(run)),
        ("reason", run.reason.clone()),
        ("kind", words::word(run.kind().as_str_name(), "RUN_KIND_")),
        ("cause", run.cause.clone()),
    ];
    if run.until_snapshot > 0 {
        pairs.push(("snapshots", format!("after {}, up to {}", run.after_snapshot, run.until_snapshot)));
        pairs.push(("changes", format!("{}, {} of them taken back", counts.delta_records, counts.withdrawn)));
    }
    pairs.extend([
        ("package versions", counts.package_versions.to_string()),
        ("images", format!("{} of {}", counts.images, counts.images_known)),
        ("dispatched", counts.dispatched.to_string()),
        ("evaluated", format!("{}, {} of them with a new verdict", counts.evaluated, counts.changed)),
        ("failed", counts.failed.to_string()),
        ("published to read", since(run.publish_time, run.observe_time)),
        ("read to planned", since(run.observe_time.or(run.create_time), run.plan_time)),
        ("planned to evaluated", since(run.plan_time, run.end_time)),
    ]);
    pairs.retain(|(_, value)| !value.is_empty());
    list::show_pairs(screen, &pairs)
}

/// Follows a run across lost connections; a line for each change.
async fn watch(server: &Server, screen: &mut Screen, run_id: String) -> Result<(), Failure> {
    let mut attempt = 0;
    loop {
        let begun = server.runs().watch_run(Request::new(WatchRunRequest { run_id: run_id.clone() })).await;
        let status = match begun {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(answer)) => {
                            attempt = 0;
                            let run = sent(answer.run)?;
                            screen.data(line(&run))?;
                            if is_over(&run) {
                                return outcome(&run);
                            }
                        }
                        // It was followed for as long as the server does at once.
                        Ok(None) => break None,
                        Err(status) => break Some(status),
                    }
                }
            }
            Err(status) => Some(status),
        };
        if let Some(status) = status {
            let Some(pause) = pause_before(&status, attempt, WATCHES_MAX) else { return Err(status.into()) };
            tokio::time::sleep(pause).await;
        }
        attempt += 1;
    }
}

fn is_over(run: &Run) -> bool {
    !matches!(run.state(), RunState::Planned | RunState::Running)
}

fn outcome(run: &Run) -> Result<(), Failure> {
    let id = &run.run_id;
    match run.state() {
        RunState::Held => Err(Failure::new(Exit::Failed, format!("run {id} is held: {}", run.reason))
            .next(format!("starling runs release {id}, or starling runs cancel {id}"))),
        RunState::Failed => Err(Failure::new(Exit::Failed, format!("run {id} failed: {}", run.reason))
            .next(format!("see which images: starling runs images {id} --state failed"))),
        _ => Ok(()),
    }
}

fn line(run: &Run) -> String {
    let counts = run.counts.unwrap_or_default();
    let reason = if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) };
    format!(
        "{}  {} of {} images evaluated, {} changed, {} failed{reason}",
        state_word(run),
        counts.evaluated,
        counts.images,
        counts.changed,
        counts.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_named_as_they_are_shown() {
        assert_eq!(parse_state("held"), Ok(RunState::Held));
        assert_eq!(parse_image_state("changed"), Ok(RunImageState::Changed));
        assert!(parse_state("unspecified").is_err() && parse_image_state("held").is_err());
    }
}
