//! `starling node`, `migrate` and `config`: the commands that run a node or look at its settings.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::{Exit, Failure};
use super::screen::Screen;
use super::table::Rows;
use crate::config::{Environment, Logging, Merged, NodeConfig, SETTINGS, SettingFlags, merge};
use crate::{node, telemetry};

/// Runs a node until it is told to leave.
#[derive(Debug, Args)]
pub(super) struct Node {
    #[command(flatten)]
    settings: Settings,
}

/// Brings the schema up to date, as its owner.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    settings: Settings,
}

/// Shows the settings that a node would use.
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(flatten)]
    settings: Settings,
}

/// Where settings come from.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// File with settings (TOML) [env: STARLING_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
}

impl Settings {
    /// Flags over environment over file over defaults.
    pub(super) fn merge(&self, env: &Environment) -> Result<Merged, Failure> {
        let file = self.config.clone().or_else(|| env.get("STARLING_CONFIG").map(PathBuf::from));
        merge(&self.flags, env, file.as_deref()).map_err(usage)
    }
}

/// A setting that is missing or wrong.
pub(super) fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, error).next("see docs/config.md, or: starling config")
}

impl Node {
    /// Runs it; the exit code is 0 after leaving in order and 3 when the others declared it dead.
    pub(super) async fn run(self, env: &Environment) -> Result<ExitCode, Failure> {
        let merged = self.settings.merge(env)?;
        let config = NodeConfig::parse(&merged).map_err(usage)?;
        telemetry::start(&Logging::parse(&merged).map_err(usage)?, &config.name)?;
        Ok(node::run(config).await?)
    }
}

impl Migrate {
    /// Runs the migrations that are missing.
    pub(super) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<(), Failure> {
        let merged = self.settings.merge(env)?;
        let url = merged.required("database.owner-url").map_err(usage)?;
        store::Store::migrate(&url).await.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
        screen.say("the schema is up to date");
        Ok(())
    }
}

impl Config {
    /// Shows each setting, its value and where that came from. Secrets are not shown.
    pub(super) fn run(self, env: &Environment, screen: &mut Screen) -> Result<(), Failure> {
        let merged = self.settings.merge(env)?;
        let mut rows = Rows::new(screen, &["SETTING", "VALUE", "ORIGIN"]);
        for setting in SETTINGS {
            let value = merged.get(setting.key);
            let text =
                value.map(|value| if setting.secret { "(secret)".to_owned() } else { value.text.clone() });
            let origin = value.map(|value| value.origin.to_string());
            rows.row([setting.key.to_owned(), text.unwrap_or_default(), origin.unwrap_or_default()]);
        }
        rows.show(screen)
    }
}
