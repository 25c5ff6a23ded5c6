//! Logs: one flat JSON object a line where programs read, text where people do, on standard output.
//!
//! A span of a call or of work carries `trace_id`, `job.id`, `tenant.id`; each JSON line says its `node`.

mod flat;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Logging};
use flat::FlatJson;

/// Starts the logging of a node. Fails when it was started before or the level cannot be parsed.
pub fn start(logging: &Logging, node: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&logging.level).context("log.level")?;
    let terminal = std::io::stdout().is_terminal();
    let json = match logging.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let layer = if json {
        FlatJson::new(std::io::stdout(), node.to_owned()).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_ansi(terminal).with_writer(std::io::stdout).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().context("logging")
}
