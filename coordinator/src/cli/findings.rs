//! `starling findings IMAGE`: what was found, and how far to trust it.

use clap::Args;
use model::Severity;

use super::failure::{Exit, Failure};
use super::report::{self, Gate, Report, ResultOutput};
use super::screen::Screen;
use super::server::Server;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling findings app:1.2
  starling findings app:1.2 --min-severity high --only-fixed
  starling findings sha256:9f2c… -o json | jq '.counts'
  starling findings app:1.2 --fail-on critical --max-feed-age 24h
  starling findings app:1.2 -o table -o sarif=app.sarif -o junit=app.xml";

/// What to show of which image.
#[derive(Debug, Args)]
pub(super) struct Findings {
    /// The image: its digest, or a name
    image: String,
    /// Show only findings at least this bad
    #[arg(long, value_name = "SEVERITY", value_parser = report::parse_severity)]
    min_severity: Option<Severity>,
    /// Show only findings that a newer version fixes
    #[arg(long)]
    only_fixed: bool,
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    output: ResultOutput,
}

impl Findings {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        let filter = report::filter(self.min_severity, self.only_fixed);
        self.output.check()?;
        let report = Report::of(server, &self.image, filter, self.gate).await?;
        self.output.write(&report, &self.image, screen)?;
        Ok(report.exit(self.gate))
    }
}
