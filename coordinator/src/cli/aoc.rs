//! `starling aoc verify`: the proof that what was taken in is all there, unchanged, and cannot be changed.

use clap::Subcommand;
use proto_api::advisory::v1::{VerifyObservationsRequest, VerifyObservationsResponse, Violation};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use super::failure::{Exit, Failure};
use super::json::{SCHEMA_VERSION, value};
use super::list::{Format, Output, pretty};
use super::screen::Screen;
use super::server::Server;
use super::words;
use crate::grpc::convert;

const EXAMPLES: &str = "Exit codes of this command:
  0    everything holds
  1    something does not; each violation is printed
  2    it could not be verified

Examples:
  starling aoc verify
  starling aoc verify --since 2026-07-01T00:00:00Z
  starling aoc verify --since 412 -o json";

/// What to prove.
#[derive(Debug, Subcommand)]
pub(super) enum Aoc {
    /// Hash every document again, and check digests, supersession, provenance, snapshots, triggers and grants
    /// (operators)
    #[command(after_help = EXAMPLES)]
    Verify {
        /// Only revisions of later snapshots: a snapshot's number, or a time (RFC 3339)
        #[arg(long, value_name = "SNAPSHOT|TIME", value_parser = parse_since)]
        since: Option<Since>,
        #[command(flatten)]
        output: Output,
    },
}

/// Where the proof begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// After this snapshot.
    Snapshot(i64),
    /// At this time.
    Time(OffsetDateTime),
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(number) = text.parse::<i64>() {
        return if number < 0 { Err("must not be negative".to_owned()) } else { Ok(Since::Snapshot(number)) };
    }
    let time = OffsetDateTime::parse(text, &Rfc3339);
    time.map(Since::Time)
        .map_err(|_| "must be a snapshot's number, or a time as 2026-07-01T00:00:00Z".to_owned())
}

/// What a proof came to.
#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
    revisions: i64,
    bytes: i64,
    complete: bool,
}

impl Aoc {
    /// Does it. Who could not verify has proved nothing, whatever the reason.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self::Verify { since, output } = self;
        let unproved = |failure: Failure| match failure.exit {
            Exit::Closed | Exit::Interrupted => failure,
            _ => Failure { exit: Exit::Usage, ..failure },
        };
        verify(server, screen, since, output.format).await.map_err(unproved)
    }
}

async fn verify(
    server: &Server,
    screen: &mut Screen,
    since: Option<Since>,
    format: Format,
) -> Result<Exit, Failure> {
    let request = match since {
        None => VerifyObservationsRequest::default(),
        Some(Since::Snapshot(since_snapshot)) => {
            VerifyObservationsRequest { since_snapshot, ..VerifyObservationsRequest::default() }
        }
        Some(Since::Time(time)) => VerifyObservationsRequest {
            since_time: Some(convert::timestamp(time)),
            ..VerifyObservationsRequest::default()
        },
    };
    let mut answers = server.advisories().verify_observations(request).await?.into_inner();
    let mut found = Found::default();
    while let Some(answer) = answers.message().await? {
        found.take(answer, screen, format)?;
    }
    if !found.complete {
        return Err(Status::unavailable("the server broke off before everything was verified").into());
    }
    found.conclude(screen, format)?;
    Ok(if found.violations.is_empty() { Exit::Ok } else { Exit::Gate })
}

impl Found {
    /// Violations are told as they come, where that is not one JSON object.
    fn take(
        &mut self,
        answer: VerifyObservationsResponse,
        screen: &mut Screen,
        format: Format,
    ) -> Result<(), Failure> {
        for violation in &answer.violations {
            match format {
                Format::Table => {
                    screen.data(format!("{}: {}: {}", violation.rule, violation.place, violation.what))?
                }
                Format::Jsonl => screen.data(value("starling.advisory.v1.Violation", violation))?,
                Format::Json => {}
            }
        }
        self.violations.extend(answer.violations);
        (self.revisions, self.bytes, self.complete) = (answer.revisions, answer.bytes, answer.complete);
        Ok(())
    }

    fn conclude(&self, screen: &mut Screen, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            let name = "starling.advisory.v1.Violation";
            let violations: Vec<_> = self.violations.iter().map(|each| value(name, each)).collect();
            screen.data(pretty(&serde_json::json!({
                "schema_version": SCHEMA_VERSION,
                "violations": violations,
                "revisions": self.revisions,
                "bytes": self.bytes,
            }))?)?;
        }
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        screen.say(format!(
            "{} verified, {} hashed, {} found",
            words::count(number(self.revisions), "revision"),
            words::size(number(self.bytes)),
            words::count(self.violations.len() as u64, "violation"),
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_begins_at_a_snapshot_or_at_a_time() {
        assert_eq!(parse_since("412"), Ok(Since::Snapshot(412)));
        let Ok(Since::Time(time)) = parse_since("2026-07-01T00:00:00Z") else { panic!("no time") };
        assert_eq!(time.unix_timestamp(), 1_782_864_000);
        assert!(parse_since("-1").is_err() && parse_since("yesterday").is_err());
    }
}
