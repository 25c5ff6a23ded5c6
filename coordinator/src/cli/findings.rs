//! `starling findings IMAGE`: what was found, and how far to trust it.

use clap::Args;
use model::Severity;
use time::OffsetDateTime;

use super::failure::{Exit, Failure};
use super::moment::parse_moment;
use super::report::{self, Report, ResultOutput, ServerGate};
use super::screen::Screen;
use super::server::Server;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling findings app:1.2
  starling findings app:1.2 --min-severity high --only-fixed
  starling findings app:1.2 --at 2026-05-31
  starling findings sha256:9f2c… -o json | jq '.counts'
  starling findings app:1.2 --fail-on critical --max-feed-age 24h
  starling findings app:1.2 --fail-on-kev
  starling findings app:1.2 -o table -o sarif=app.sarif -o junit=app.xml";

/// What to show of which image.
#[derive(Debug, Args)]
pub(super) struct Findings {
    /// The image: its digest, the beginning of it, or a name
    image: String,
    /// Show only findings at least this bad
    #[arg(long, value_name = "SEVERITY", value_parser = report::parse_severity)]
    min_severity: Option<Severity>,
    /// Show only findings that a newer version fixes
    #[arg(long)]
    only_fixed: bool,
    /// Show this version of the verdict instead of the latest; `starling image history` lists them
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    verdict: Option<i32>,
    /// Show what was known at this time, evaluated once more with the advisories of then: a day (its end, in UTC) or a
    /// moment such as 2026-05-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "verdict")]
    at: Option<OffsetDateTime>,
    #[command(flatten)]
    gate: ServerGate,
    #[command(flatten)]
    output: ResultOutput,
}

impl Findings {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        let filter = report::filter(self.min_severity, self.only_fixed);
        self.output.check()?;
        let report = match self.at {
            Some(time) => Report::at(server, &self.image, time, filter, self.gate).await?,
            None => Report::of(server, &self.image, self.verdict.unwrap_or(0), filter, self.gate).await?,
        };
        self.output.write(&report, &self.image, screen)?;
        Ok(report.exit(self.gate))
    }
}
