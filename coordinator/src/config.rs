//! What the program is told: by flags, the environment, a file, and defaults, in this order.
//!
//! This is the only place that reads the environment. Everybody else is handed an [`Environment`] or,
//! better, a struct made of it.

mod client;
mod durations;
mod merge;
mod node;
mod scheduler;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use client::{Client, ClientFlags, NoContext};
pub use durations::{InvalidDuration, parse_duration};
pub use merge::{InvalidSetting, Merged, Origin, Value, merge};
pub use node::{Api, LogFormat, Logging, NodeConfig, Shutdown, Tls, database, objects};
pub use scheduler::{Webhook, Webhooks};
pub use settings::{SETTINGS, Setting, SettingFlags, reference};

/// The environment's variables as they were when the program started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of this process. Those that are not UTF-8 are left out.
    pub fn read() -> Self {
        let pairs = std::env::vars_os();
        Self(
            pairs
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// An environment of these variables, for tests and for starting nodes from within.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The directory of this user's configuration (XDG Base Directory Specification).
    pub fn config_home(&self) -> Option<PathBuf> {
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".config"));
        self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)
    }

    /// The directory of what can be made anew for this user (XDG Base Directory Specification).
    pub fn cache_home(&self) -> Option<PathBuf> {
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".cache"));
        self.get("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)
    }

    /// The file that remembers where the server is and how to sign in.
    pub fn context_file(&self) -> Option<PathBuf> {
        self.config_home().map(|home| home.join("starling").join("config.toml"))
    }

    /// Where docker keeps how to sign in to registries.
    pub fn docker_config_file(&self) -> Option<PathBuf> {
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".docker"));
        Some(self.get("DOCKER_CONFIG").map(PathBuf::from).or_else(home)?.join("config.json"))
    }

    /// The one file of containers-auth.json(5) that is to be used, when it is said.
    pub fn named_auth_file(&self) -> Option<PathBuf> {
        self.get("REGISTRY_AUTH_FILE").map(PathBuf::from)
    }

    /// Where podman, buildah and skopeo keep how to sign in to registries (containers-auth.json(5)), in the order in
    /// which they look.
    pub fn usual_auth_files(&self) -> Vec<PathBuf> {
        let runtime = || PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw()));
        let runtime =
            self.get("XDG_RUNTIME_DIR").map_or_else(runtime, |dir| Path::new(dir).join("containers"));
        let config = self.config_home().map(|home| home.join("containers"));
        [Some(runtime), config].into_iter().flatten().map(|folder| folder.join("auth.json")).collect()
    }

    /// Whether colour is unwelcome whatever the terminal can do (no-color.org; `TERM=dumb`).
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM") == Some("dumb")
    }
}

/// The name of this machine, which is a node's name when it is given no other.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_files_are_looked_for_where_podman_keeps_them() {
        let files = |env: Environment| -> Vec<String> {
            env.usual_auth_files().iter().map(|path| path.display().to_string()).collect()
        };
        let all = Environment::of([("XDG_RUNTIME_DIR", "/r"), ("HOME", "/h")]);
        assert_eq!(files(all), ["/r/containers/auth.json", "/h/.config/containers/auth.json"]);
        let bare = files(Environment::of([("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]));
        assert!(bare[0].starts_with("/run/containers/"), "{bare:?}");
        assert_eq!(bare[1], "/x/containers/auth.json");
    }

    #[test]
    fn the_context_file_follows_xdg() {
        let file = |env: Environment| env.context_file().map(|path| path.display().to_string());
        assert_eq!(file(Environment::of([("HOME", "/h")])).unwrap(), "/h/.config/starling/config.toml");
        let both = Environment::of([("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]);
        assert_eq!(file(both).unwrap(), "/x/starling/config.toml");
        let relative = Environment::of([("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]);
        assert_eq!(file(relative).unwrap(), "/h/.config/starling/config.toml");
        assert_eq!(file(Environment::default()), None);
    }
}
