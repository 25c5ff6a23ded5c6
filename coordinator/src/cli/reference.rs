//! `starling reference PAGE`: pages of docs/ that are made from the program, so that they cannot lie.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _, Subcommand};
use proto_api::common::v1::ErrorReason;

use super::failure::{EXIT_CODES, Failure};
use super::screen::Screen;
use crate::config;

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(super) enum Reference {
    /// docs/cli.md
    Cli,
    /// docs/config.md
    Config,
    /// docs/errors.md
    Errors,
}

impl Reference {
    /// Prints it.
    pub(super) fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        screen.data(self.page().trim_end())
    }

    fn page(self) -> String {
        match self {
            Self::Cli => cli(),
            Self::Config => config::reference(),
            Self::Errors => errors(),
        }
    }
}

fn cli() -> String {
    let mut page = format!(
        "# Command line\n\n\
         Made by `starling reference cli`; `starling COMMAND --help` says more about each one.\n\n\
         Data goes to standard output, words to standard error. A failure ends with one line that says what to do next\n\
         and, when the server refused, the reason of [errors.md](errors.md). `-o json` prints one object with the field\n\
         names of the .proto files, `-o jsonl` one object a line. With `--platform all` (`scan`, `sbom`, `submit`) `-o json`\n\
         prints an array of such objects, one for each image; `schema_version` ({}) is that of one object. What other formats do\n\
         then is in [scan.md](scan.md). An image that the server has is called by its digest, by the beginning of it (8 digits\n\
         or more, with or without `sha256:`, as listings show it), or by a name.\n\n\
         ## Where the server is\n\n\
         The first of: the flag `--endpoint`, the variable `STARLING_ENDPOINT`, the context file, `http://127.0.0.1:7400`.\n\
         The token is in a file: `--token-file`, `STARLING_TOKEN_FILE`, or the context file. It is never given on the\n\
         command line. The context file is `~/.config/starling/config.toml` (or below `XDG_CONFIG_HOME`):\n\n\
         ```toml\ncurrent = \"work\"\n\n[context.work]\nendpoint = \"https://starling.example:7400\"\n\
         token_file = \"/home/me/.starling-token\"\nca_file = \"/etc/starling/ca.pem\"\n```\n\n\
         ## Exit codes\n\n```\n{}\n```\n\n## Commands\n\n| command | what it does |\n|---|---|\n",
        super::json::SCHEMA_VERSION,
        EXIT_CODES.trim_start_matches("Exit codes:\n"),
    );
    commands(&mut page, "starling", &super::Cli::command());
    page
}

fn commands(page: &mut String, path: &str, command: &Command) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            commands(page, &path, sub);
        }
        if !sub.is_subcommand_required_set() {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let arguments: String = sub.get_positionals().map(argument).collect();
            writeln!(page, "| `{path}{arguments}` | {about} |").expect("a String takes everything");
        }
    }
}

fn argument(argument: &clap::Arg) -> String {
    let name = argument.get_id().as_str().to_uppercase();
    if argument.is_required_set() { format!(" {name}") } else { format!(" [{name}]") }
}

fn errors() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Made by `starling reference errors` from `proto/api/src/reasons.rs`.\n\n\
         Every error is a `google.rpc.Status` with an `ErrorInfo` (domain `starling`, a reason of this table) and a `Help`\n\
         that says what to do next. Where it is known there are also `BadRequest` (which field), `ResourceInfo` (what is\n\
         missing), `QuotaFailure` (which quota), `PreconditionFailure` (what does not hold) and `RetryInfo` (when to try\n\
         again). Decide by reason, never by message.\n\n\
         Try again after `UNAVAILABLE`, and after `RESOURCE_EXHAUSTED` and `ABORTED` when they carry `RetryInfo`; wait a\n\
         random time below a bound that doubles, and never less than `RetryInfo` says.\n\n\
         | reason | status | meaning | what to do |\n|---|---|---|---|\n",
    );
    for reason in ErrorReason::all() {
        let guide = reason.guide();
        let code = screaming(&format!("{:?}", guide.code));
        writeln!(page, "| `{}` | `{code}` | {} | {} |", reason.name(), guide.meaning, guide.next)
            .expect("a String takes everything");
    }
    page
}

/// `InvalidArgument` as gRPC writes it: `INVALID_ARGUMENT`.
fn screaming(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_docs_are_current() {
        for (page, text) in [
            (Reference::Cli, include_str!("../../../docs/cli.md")),
            (Reference::Config, include_str!("../../../docs/config.md")),
            (Reference::Errors, include_str!("../../../docs/errors.md")),
        ] {
            assert_eq!(text.trim_end(), page.page().trim_end(), "make it anew: starling reference {page:?}");
        }
    }

    #[test]
    fn every_reason_is_documented() {
        let page = errors();
        for reason in ErrorReason::all() {
            assert!(page.contains(&format!("| `{}` |", reason.name())), "{reason:?} is missing");
        }
        assert_eq!(screaming("InvalidArgument"), "INVALID_ARGUMENT");
    }
}
