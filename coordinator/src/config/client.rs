//! Where the command line finds its server, and the token it signs in with.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::Environment;

const USUAL_ENDPOINT: &str = "http://127.0.0.1:7400";

/// Flags of every command that talks to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ClientFlags {
    /// Server to talk to [env: STARLING_ENDPOINT] [default: http://127.0.0.1:7400]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    pub endpoint: Option<String>,
    /// File that holds the token [env: STARLING_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub token_file: Option<PathBuf>,
    /// File with the certificate authority of the server (PEM) [env: STARLING_CA_FILE]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub ca_file: Option<PathBuf>,
    /// Context of ~/.config/starling/config.toml to use [env: STARLING_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Server")]
    pub context: Option<String>,
}

/// How to reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `http://` or `https://` URL.
    pub endpoint: String,
    /// File that holds the token; `None` to call without one.
    pub token_file: Option<PathBuf>,
    /// File with the server's certificate authority; `None` for the ones built in.
    pub ca_file: Option<PathBuf>,
}

/// The context file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoContext {
    /// It cannot be read or parsed.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A context was asked for by name, and there is none.
    #[error("there is no context {0:?}")]
    Unknown(String),
}

/// The context file: several servers by name, and which one is usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextFile {
    /// The context that is used when none is named.
    current: Option<String>,
    /// The contexts.
    #[serde(default)]
    context: std::collections::BTreeMap<String, Context>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    endpoint: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl Client {
    /// Flag over environment over context file over default, for each part by itself.
    pub fn find(flags: &ClientFlags, env: &Environment) -> Result<Self, NoContext> {
        let name = flags.context.clone().or_else(|| env.get("STARLING_CONTEXT").map(str::to_owned));
        let context = match env.context_file().filter(|path| path.exists()) {
            Some(path) => choose(read(&path)?, name.as_deref())?,
            None => choose(ContextFile::default(), name.as_deref())?,
        };
        let path = |flag: &Option<PathBuf>, variable: &str, context: Option<PathBuf>| {
            flag.clone().or_else(|| env.get(variable).map(PathBuf::from)).or(context)
        };
        let endpoint = flags.endpoint.clone().or_else(|| env.get("STARLING_ENDPOINT").map(str::to_owned));
        Ok(Self {
            endpoint: endpoint.or(context.endpoint).unwrap_or_else(|| USUAL_ENDPOINT.to_owned()),
            token_file: path(&flags.token_file, "STARLING_TOKEN_FILE", context.token_file),
            ca_file: path(&flags.ca_file, "STARLING_CA_FILE", context.ca_file),
        })
    }
}

fn read(path: &Path) -> Result<ContextFile, NoContext> {
    let fault = |problem: String| NoContext::File { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    toml::from_str(&text).map_err(|error| fault(error.to_string()))
}

fn choose(mut file: ContextFile, name: Option<&str>) -> Result<Context, NoContext> {
    match name.map(str::to_owned).or(file.current) {
        Some(name) => file.context.remove(&name).ok_or(NoContext::Unknown(name)),
        None => Ok(Context::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "current = 'home'\n\
        [context.home]\nendpoint = 'http://home:1'\ntoken_file = '/home.token'\n\
        [context.work]\nendpoint = 'http://work:1'\n";

    fn find(flags: ClientFlags, more: &[(&str, &str)]) -> Result<Client, NoContext> {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("starling");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("config.toml"), FILE).unwrap();
        let home = home.path().to_str().unwrap().to_owned();
        let mut pairs = vec![("XDG_CONFIG_HOME", home.as_str())];
        pairs.extend(more);
        let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        Client::find(&flags, &Environment(pairs.collect()))
    }

    #[test]
    fn each_part_comes_from_the_first_place_that_has_it() {
        let client = find(ClientFlags::default(), &[("STARLING_ENDPOINT", "http://env:1")]).unwrap();
        assert_eq!(client.endpoint, "http://env:1");
        assert_eq!(client.token_file, Some("/home.token".into()));
        let flags = ClientFlags { endpoint: Some("http://flag:1".to_owned()), ..Default::default() };
        assert_eq!(find(flags, &[("STARLING_ENDPOINT", "http://env:1")]).unwrap().endpoint, "http://flag:1");
    }

    #[test]
    fn a_context_is_chosen_by_name_and_a_wrong_name_is_said() {
        let client = find(ClientFlags::default(), &[("STARLING_CONTEXT", "work")]).unwrap();
        assert_eq!((client.endpoint.as_str(), client.token_file), ("http://work:1", None));
        let wrong = ClientFlags { context: Some("moon".to_owned()), ..Default::default() };
        assert_eq!(find(wrong, &[]), Err(NoContext::Unknown("moon".to_owned())));
    }

    #[test]
    fn without_anything_it_is_the_local_server() {
        let client = Client::find(&ClientFlags::default(), &Environment::default()).unwrap();
        assert_eq!(client.endpoint, "http://127.0.0.1:7400");
    }
}
