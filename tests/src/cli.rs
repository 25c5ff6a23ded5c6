//! The command line as a user has it: a program, a token file, an address, and nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::places;

/// A user at a shell.
#[derive(Debug)]
pub struct Cli {
    home: PathBuf,
    endpoint: String,
    token_file: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Its data.
    pub out: String,
    /// What it said beside the data.
    pub err: String,
}

impl Outcome {
    /// Its data, as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Cli {
    /// A user with this token, whose files lie in a new folder below `folder`.
    pub fn new(folder: &Path, endpoint: &str, token: &str) -> Self {
        let home = folder.join(format!("user-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&home).expect("a home can be made");
        let token_file = home.join("token");
        fs::write(&token_file, format!("{token}\n")).expect("the token can be written");
        fs::set_permissions(&token_file, Permissions::from_mode(0o600)).expect("the file is ours");
        Self { home, endpoint: endpoint.to_owned(), token_file }
    }

    /// Where the user's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs `starling …`.
    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(&[], arguments).await
    }

    /// Runs `starling …` with these variables besides.
    pub async fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
        let mut command = Command::new(places::starling());
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("STARLING_ENDPOINT", &self.endpoint)
            .env("STARLING_TOKEN_FILE", &self.token_file)
            .envs(variables.iter().copied())
            .current_dir(&self.home)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the program can be started");
        Outcome {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).expect("it writes text"),
            err: String::from_utf8(output.stderr).expect("it writes text"),
        }
    }
}
