//! The command line: what there is to say, and who does it.
//!
//! Commands are noun and verb. Data goes to standard output, words to standard error; a failure ends with
//! one line that says what to do next and why.

mod admin;
mod advisories;
mod alone;
mod aoc;
mod backup;
mod blast_radius;
mod bounded;
mod cluster;
mod digesting;
mod exit_map;
mod explain;
mod failure;
mod feeds;
mod findings;
mod follow;
mod history;
mod image_source;
mod images;
mod issuers;
mod jobs;
mod json;
mod list;
mod moment;
mod outputs;
mod pull;
mod queue;
mod reference;
mod report;
mod runs;
mod schedules;
mod screen;
mod serve;
mod server;
mod several;
mod submit;
mod table;
mod tenants;
mod upload;
mod vex;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Client, ClientFlags, Environment};

pub use failure::{Exit, Failure};
use screen::{ColorChoice, Screen};
use server::Server;

/// Scans container images on a fleet of nodes and keeps every result current.
#[derive(Debug, Parser)]
#[command(name = "starling", version, after_help = failure::EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    client: ClientFlags,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_enum)]
    color: ColorChoice,
    /// Keep words back, and progress; failures are told all the same
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring an image to the server and have it scanned
    #[command(after_help = submit::EXAMPLES)]
    Submit(submit::Submit),
    /// Scan an image on this machine, with no server
    #[command(after_help = alone::scan::EXAMPLES)]
    Scan(alone::scan::Scan),
    /// List what is in an image on this machine
    #[command(after_help = alone::sbom::EXAMPLES)]
    Sbom(alone::sbom::Sbom),
    /// Say why a vulnerability holds for an image on this machine, or why it does not
    #[command(after_help = alone::explain::EXAMPLES)]
    Explain(alone::explain::Explain),
    /// What suppliers say of their products (VEX)
    #[command(subcommand)]
    Vex(vex::Vex),
    /// Whose VEX is heard, how far it is trusted, and by which keys
    #[command(subcommand, after_help = issuers::EXAMPLES)]
    Issuers(issuers::Issuers),
    /// Follow jobs and give them up
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// What was found in an image
    #[command(after_help = findings::EXAMPLES)]
    Findings(findings::Findings),
    /// The images that a vulnerability concerns
    #[command(after_help = blast_radius::EXAMPLES)]
    BlastRadius(blast_radius::BlastRadius),
    /// Images the server knows, and how their results came to be
    #[command(subcommand, visible_alias = "image")]
    Images(images::Images),
    /// Where advisories come from, and how fresh they are
    #[command(subcommand)]
    Feeds(feeds::Feeds),
    /// What the feeds said, when, and what of it changed
    #[command(subcommand, after_help = advisories::EXAMPLES)]
    Advisories(advisories::Advisories),
    /// Prove that what was taken in is all there and unchanged (operators)
    #[command(subcommand)]
    Aoc(aoc::Aoc),
    /// Tenants and their quotas (operators)
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Nodes and partitions (operators)
    #[command(subcommand)]
    Cluster(cluster::Commands),
    /// Lanes and dead letters
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Runs over many images: what changed, and how far their new evaluation is (operators)
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Runs that come again, by the clock (operators)
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    /// Administration with direct access to the database
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Bring the database to this version's schema
    Migrate(serve::Migrate),
    /// Write a backup of the database and of the objects, while the cluster runs
    Backup(backup::Backup),
    /// Bring a backup back into an empty database and an empty object store
    Restore(backup::Restore),
    /// Run a node
    Node(serve::Node),
    /// Run a whole cluster on this machine, with nothing to configure
    Dev(crate::dev::Args),
    /// Show a node's settings, and where each value comes from
    Config(serve::Config),
    /// Print a page of the documentation that is made from the program
    #[command(hide = true, subcommand)]
    Reference(reference::Reference),
    /// Print what a shell needs to complete commands: source it, or put it where the shell looks
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Show the version, or how versions of packages are ordered
    Version(alone::versions::Version),
}

/// Reads the command line, does what it says, and answers how the process ends.
pub async fn run(env: &Environment) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let mut screen = Screen::new(cli.color, cli.quiet, env);
    match Box::pin(dispatch(cli, env, &mut screen)).await {
        Ok(code) => code,
        Err(failure) => {
            if failure.exit != Exit::Closed {
                screen.fail(&failure);
            }
            failure.exit.into()
        }
    }
}

async fn dispatch(cli: Cli, env: &Environment, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let client = || Client::find(&cli.client, env).map_err(|error| Failure::new(Exit::Usage, error));
    let server = || Server::new(&client()?);
    let done = match cli.command {
        Command::Submit(command) => return Ok(command.run(&server()?, env, screen).await?.into()),
        Command::Scan(command) => return Ok(command.run(env, screen).await?.into()),
        Command::Sbom(command) => return Ok(command.run(env, screen).await?.into()),
        Command::Explain(command) => return Ok(command.run(env, screen).await?.into()),
        Command::Vex(command) => return Ok(command.run(server, env, screen).await?.into()),
        Command::Images(command) => return Ok(command.run(&server()?, screen).await?.into()),
        Command::Findings(command) => return Ok(command.run(&server()?, screen).await?.into()),
        Command::Jobs(command) => return Ok(command.run(&server()?, screen).await?.into()),
        Command::Aoc(command) => return Ok(command.run(&server()?, screen).await?.into()),
        Command::Node(command) => return command.run(env).await,
        Command::Dev(args) => return Ok(crate::dev::run(args).await?),
        Command::BlastRadius(command) => command.run(&server()?, screen).await,
        Command::Issuers(command) => command.run(&server()?, screen).await,
        Command::Feeds(command) => command.run(&server()?, screen).await,
        Command::Advisories(command) => command.run(server, screen).await,
        Command::Tenants(command) => command.run(&server()?, screen).await,
        Command::Cluster(command) => command.run(&server()?, screen).await,
        Command::Queue(command) => command.run(&server()?, screen).await,
        Command::Runs(command) => command.run(&server()?, screen).await,
        Command::Schedules(command) => command.run(&server()?, screen).await,
        Command::Admin(command) => command.run(env, screen).await,
        Command::Migrate(command) => command.run(env, screen).await,
        Command::Backup(command) => command.run(env, screen).await,
        Command::Restore(command) => command.run(env, screen).await,
        Command::Config(command) => command.run(env, screen),
        Command::Reference(page) => page.run(screen),
        Command::Completion { shell } => screen.exactly(&completion(shell)),
        Command::Version(command) => command.run(screen),
    };
    done.map(|()| Exit::Ok.into())
}

fn completion(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "starling", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shells_complete_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let script = String::from_utf8(completion(shell)).unwrap();
            assert!(script.contains("version") && script.contains("ignore-file"), "{shell}");
        }
    }
}
