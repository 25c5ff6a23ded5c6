//! Every setting of a node: its key, default and meaning. Flags, variables and `docs/config.md` follow from it.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// One setting of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `section.name`, as in the file.
    pub key: &'static str,
    /// `section-name`, as a flag.
    pub flag: &'static str,
    /// Its value when nobody says another.
    pub default: Option<&'static str>,
    /// What it means.
    pub about: &'static str,
    /// Whether its value must not be shown.
    pub secret: bool,
}

macro_rules! setting {
    ($section:literal, $name:literal, $default:expr, $about:literal) => {
        setting!($section, $name, $default, $about, false)
    };
    ($section:literal, $name:literal, $default:expr, $about:literal, $secret:literal) => {
        Setting {
            key: concat!($section, ".", $name),
            flag: concat!($section, "-", $name),
            default: $default,
            about: $about,
            secret: $secret,
        }
    };
}

/// All of them, by section.
pub const SETTINGS: &[Setting] = &[
    setting!("node", "name", None, "Stable name of the node; the machine's name when not given"),
    setting!("node", "weight", Some("1"), "Its share of partitions, beside other nodes' weights"),
    setting!("api", "listen", Some("127.0.0.1:7400"), "Address of the public API"),
    setting!(
        "api",
        "advertise",
        None,
        "host:port under which clients reach this node's API; api.listen when not given"
    ),
    setting!("api", "tls-certificate", None, "File with the API's certificate chain (PEM)"),
    setting!("api", "tls-key", None, "File with the private key of that certificate (PEM)"),
    setting!("api", "message-bytes-max", Some("4194304"), "Largest message of a request, in bytes"),
    setting!("api", "deadline", Some("30s"), "Longest time that a unary call may take"),
    setting!("api", "calls-max", Some("512"), "Unary calls and uploads at once; more are refused as busy"),
    setting!("api", "watches-max", Some("1024"), "Watches at once; more are refused as busy"),
    setting!("api", "reflection", Some("on"), "Whether the API describes itself to clients: on or off"),
    setting!(
        "api",
        "signing-key",
        None,
        "Secret that page tokens are signed with, the same on all nodes; made of cluster.id and the \
         database's password when not given",
        true
    ),
    setting!("database", "url", None, "postgres:// URL of the application's role", true),
    setting!(
        "database",
        "owner-url",
        None,
        "postgres:// URL of the owner; only `starling migrate`, `backup` and `restore` use it",
        true
    ),
    setting!("database", "connections-max", Some("16"), "Connections of this node to the database"),
    setting!("valkey", "url", None, "redis:// URL of the Valkey server", true),
    setting!("valkey", "prefix", Some("starling:"), "What every key in Valkey begins with"),
    setting!("objects", "url", None, "Where blobs are kept: file:///directory or s3://bucket/prefix"),
    setting!(
        "objects",
        "durable",
        Some("on"),
        "Whether a blob in a directory is on the disk before it counts: on or off"
    ),
    setting!("objects", "s3-endpoint", None, "URL of an S3-compatible server; Amazon's when not given"),
    setting!("objects", "s3-region", None, "Region of the bucket"),
    setting!("objects", "s3-access-key-id", None, "Access key of the bucket", true),
    setting!("objects", "s3-secret-access-key", None, "Secret of that access key", true),
    setting!(
        "objects",
        "s3-allow-http",
        Some("off"),
        "Whether the S3 server may be spoken to in plain text: on or off"
    ),
    setting!("objects", "blob-bytes-max", Some("17179869184"), "Largest blob that is taken, in bytes"),
    setting!("cluster", "id", Some("starling"), "Name of the cluster; nodes of another one are refused"),
    setting!("cluster", "listen", Some("127.0.0.1:7401"), "Address for the other nodes"),
    setting!(
        "cluster",
        "advertise",
        None,
        "host:port under which other nodes reach this one; cluster.listen when not given"
    ),
    setting!("cluster", "tls-authority", None, "File with the certificate of the nodes' own authority (PEM)"),
    setting!("cluster", "tls-certificate", None, "File with this node's certificate, which names it (PEM)"),
    setting!("cluster", "tls-key", None, "File with the private key of that certificate (PEM)"),
    setting!(
        "cluster",
        "wire-max",
        Some("2"),
        "Newest version of the language between nodes to speak: 1 is that of the release before"
    ),
    setting!("cluster", "timing", Some("usual"), "usual, or test for the short times that tests use"),
    setting!(
        "worker",
        "slots",
        Some("auto"),
        "Images read at once; auto for one a processor, 0 for a node that reads none"
    ),
    setting!("worker", "jobs-per-slot", Some("4"), "Jobs let in for each slot of the cluster"),
    setting!("worker", "evaluations", Some("2"), "Images evaluated at once"),
    setting!(
        "feeds",
        "whole-every",
        Some("1d"),
        "After this time a feed of which mostly changes are read is read whole, to see what is gone"
    ),
    setting!("feeds", "plain-http", Some("off"), "Whether feeds may be read over http://: on or off"),
    setting!(
        "scheduler",
        "window",
        Some("auto"),
        "Changes of feeds that come within this time after a run was made make the next one together; auto for 30s"
    ),
    setting!("scheduler", "rate", Some("2000"), "Images that runs have evaluated again in a second, at most"),
    setting!(
        "scheduler",
        "outstanding",
        Some("1000"),
        "Images asked for and not evaluated yet, at most; a scan waits behind no more"
    ),
    setting!(
        "scheduler",
        "hold-withdrawn-records",
        Some("20"),
        "A run waits for a person's word when so many advisories were taken back at once …"
    ),
    setting!(
        "scheduler",
        "hold-withdrawn-share",
        Some("0.2"),
        "… and they touch more than this share of all images"
    ),
    setting!(
        "scheduler",
        "hold-share",
        Some("1"),
        "A run waits, too, when changes of any kind touch more than this share of all images; 1 for never"
    ),
    setting!(
        "scheduler",
        "patience",
        Some("auto"),
        "An image without a verdict after this time counts as failed in its run; auto for 10m"
    ),
    setting!("webhooks", "advisories", Some("off"), "Whether POST /events/advisories is there: on or off"),
    setting!("webhooks", "advisories-secret", None, "Secret that these events are signed with", true),
    setting!("webhooks", "vex", Some("off"), "Whether POST /events/vex is there: on or off"),
    setting!("webhooks", "vex-secret", None, "Secret that these events are signed with", true),
    setting!("webhooks", "requests-max", Some("120"), "Events of one kind within webhooks.window, at most"),
    setting!("webhooks", "window", Some("60s"), "The window in which they are counted"),
    setting!("webhooks", "replay-window", Some("5m"), "How far an event's time may be from now"),
    setting!("webhooks", "bytes-max", Some("1048576"), "Largest event, in bytes"),
    setting!(
        "shutdown",
        "wait",
        Some("0s"),
        "Time between reporting NOT_SERVING and refusing calls, for load balancers"
    ),
    setting!("shutdown", "deadline", Some("30s"), "Longest time that leaving in order may take"),
    setting!(
        "log",
        "level",
        Some("info"),
        "What is logged: a level, or directives such as info,cluster=debug"
    ),
    setting!("log", "format", Some("auto"), "json, text, or auto: text on a terminal, json elsewhere"),
];

impl Setting {
    /// The setting with this key.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("STARLING_{}", self.flag.replace('-', "_").to_uppercase())
    }

    /// Its section and its name within.
    pub fn path(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').expect("a key has a section and a name")
    }
}

/// What the command line says about settings: one flag for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingFlags(pub BTreeMap<&'static str, String>);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let arg = |setting: &'static Setting| {
            Arg::new(setting.key).long(setting.flag).value_name("VALUE").help(setting.about)
        };
        // Secrets have no flag: everybody on the machine can read a command line.
        SETTINGS.iter().filter(|s| !s.secret).fold(command, |command, s| command.arg(arg(s)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &&'static Setting| {
            let value = matches.try_get_one::<String>(setting.key).ok().flatten()?;
            Some((setting.key, value.clone()))
        };
        Ok(Self(SETTINGS.iter().filter_map(|setting| given(&setting)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `docs/config.md`: every setting in a table.
pub fn reference() -> String {
    let mut text = String::from(
        "# Settings of a node\n\n\
         Made by `starling reference config` from `coordinator/src/config/settings.rs`.\n\n\
         A setting is taken from the first of: its flag (`--api-listen`), its variable (`STARLING_API_LISTEN`), the file\n\
         that `--config` or `STARLING_CONFIG` names (`[api]`, `listen = \"…\"`), its default. Secrets have no flag.\n\
         `starling config` shows each value and where it came from.\n\n\
         | key | default | meaning |\n|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default = setting.default.map_or_else(String::new, |default| format!("`{default}`"));
        let secret = if setting.secret { " (secret)" } else { "" };
        text.push_str(&format!("| `{}` | {default} | {}{secret} |\n", setting.key, setting.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_current() {
        assert_eq!(include_str!("../../../docs/config.md"), reference(), "run: starling reference config");
    }

    #[test]
    fn a_setting_has_one_flag_and_one_variable() {
        let listen = Setting::find("api.listen").unwrap();
        assert_eq!((listen.flag, listen.variable().as_str()), ("api-listen", "STARLING_API_LISTEN"));
        let deep = Setting::find("api.tls-certificate").unwrap();
        assert_eq!(deep.variable(), "STARLING_API_TLS_CERTIFICATE");
    }

    #[test]
    fn secrets_cannot_be_given_on_the_command_line() {
        let command = SettingFlags::augment_args(Command::new("node"));
        let flags: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
        assert!(flags.contains(&"api-listen"));
        assert!(!flags.contains(&"database-url"));
    }
}
