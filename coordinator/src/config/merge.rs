//! Flags over environment over file over defaults; each value remembers where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::settings::{SETTINGS, Setting, SettingFlags};
use super::{Environment, parse_duration};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Variable,
    /// The configuration file.
    File(PathBuf),
    /// The built-in default.
    Default,
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As it was written.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A value that cannot be used, or a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// The value does not fit.
    #[error("{key} ({origin}): {problem}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// Where the value came from, in words.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody gave a value that is needed.
    #[error("{key} is not set: give {variable}, or {key} in the file of --config")]
    Missing {
        /// Which setting.
        key: &'static str,
        /// Its environment variable.
        variable: String,
    },
    /// The file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// All settings that have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged(BTreeMap<&'static str, Value>);

/// Takes each setting from the first place that has it. `file` is the configuration file to read.
pub fn merge(flags: &SettingFlags, env: &Environment, file: Option<&Path>) -> Result<Merged, InvalidSetting> {
    let in_file = file.map(read_file).transpose()?.unwrap_or_default();
    let value = |setting: &'static Setting| {
        let flag = flags.0.get(setting.key).map(|text| (text.clone(), Origin::Flag));
        let variable = || env.get(&setting.variable()).map(|text| (text.to_owned(), Origin::Variable));
        let from_file = || {
            let path = file?.to_owned();
            in_file.get(setting.key).map(|text| (text.clone(), Origin::File(path)))
        };
        let default = || setting.default.map(|text| (text.to_owned(), Origin::Default));
        let (text, origin) = flag.or_else(variable).or_else(from_file).or_else(default)?;
        Some((setting.key, Value { text, origin }))
    };
    Ok(Merged(SETTINGS.iter().filter_map(value).collect()))
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, String>, InvalidSetting> {
    let fault = |problem: String| InvalidSetting::File { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    parse_file(&text).map_err(fault)
}

/// Every `[section] name = value` of a TOML text; a name that is no setting is refused.
fn parse_file(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut values = BTreeMap::new();
    for (section, content) in &table {
        let content = content.as_table().ok_or(format!("{section} is not a section: write [{section}]"))?;
        for (name, value) in content {
            let key = format!("{section}.{name}");
            let setting = Setting::find(&key).ok_or(format!("there is no setting {key}"))?;
            values.insert(setting.key, plain(value).ok_or(format!("{key} must be a text or a number"))?);
        }
    }
    Ok(values)
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(true) => Some("on".to_owned()),
        toml::Value::Boolean(false) => Some("off".to_owned()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

impl Merged {
    /// The value of a setting, where it has one.
    pub fn get(&self, key: &'static str) -> Option<&Value> {
        debug_assert!(Setting::find(key).is_some(), "{key} is not in the table of settings");
        self.0.get(key)
    }

    /// The text of a setting, where it has one.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.get(key).map(|value| value.text.clone())
    }

    /// The text of a setting that must have one.
    pub fn required(&self, key: &'static str) -> Result<String, InvalidSetting> {
        self.text(key).ok_or_else(|| {
            let variable = Setting::find(key).map(Setting::variable).unwrap_or_default();
            InvalidSetting::Missing { key, variable }
        })
    }

    /// A setting that must have a value, by its parser.
    pub fn parse<T: FromStr>(&self, key: &'static str) -> Result<T, InvalidSetting>
    where
        T::Err: fmt::Display,
    {
        self.parse_with(key, |text| text.parse::<T>().map_err(|error| error.to_string()))
    }

    /// A setting that is a length of time.
    pub fn duration(&self, key: &'static str) -> Result<std::time::Duration, InvalidSetting> {
        self.parse_with(key, |text| parse_duration(text).map_err(|error| error.to_string()))
    }

    /// A setting that is one of a few words.
    pub fn word<T: Clone>(&self, key: &'static str, words: &[(&str, T)]) -> Result<T, InvalidSetting> {
        self.parse_with(key, |text| {
            let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
            let list = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            known.ok_or_else(|| format!("{text:?} is none of: {}", list()))
        })
    }

    /// A setting that must have a value, by a function.
    pub fn parse_with<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, InvalidSetting> {
        let text = self.required(key)?;
        let origin = || self.get(key).map(|value| value.origin.to_string()).unwrap_or_default();
        parse(&text).map_err(|problem| InvalidSetting::Value { key, origin: origin(), problem })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from the command line"),
            Self::Variable => f.write_str("from the environment"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Default => f.write_str("by default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_win_over_variables_over_file_over_defaults() {
        let file = file_with("[api]\nlisten = 'file:1'\ndeadline = '9s'\ncalls-max = 3\n");
        let env = Environment::of([("STARLING_API_LISTEN", "env:1"), ("STARLING_API_DEADLINE", "8s")]);
        let flags = SettingFlags([("api.listen", "flag:1".to_owned())].into());
        let merged = merge(&flags, &env, Some(file.path())).unwrap();
        let of = |key| merged.get(key).map(|v| (v.text.as_str(), v.origin.clone())).unwrap();
        assert_eq!(of("api.listen"), ("flag:1", Origin::Flag));
        assert_eq!(of("api.deadline"), ("8s", Origin::Variable));
        assert_eq!(of("api.calls-max"), ("3", Origin::File(file.path().to_owned())));
        assert_eq!(of("log.level"), ("info", Origin::Default));
        assert_eq!(merged.get("database.url"), None);
    }

    #[test]
    fn a_name_that_is_no_setting_is_refused() {
        assert_eq!(parse_file("[api]\nlisen = 'x'"), Err("there is no setting api.lisen".to_owned()));
        assert_eq!(parse_file("api = 1"), Err("api is not a section: write [api]".to_owned()));
    }

    #[test]
    fn a_bad_value_says_which_and_whence() {
        let env = Environment::of([("STARLING_API_CALLS_MAX", "many")]);
        let merged = merge(&SettingFlags::default(), &env, None).unwrap();
        let error = merged.parse::<usize>("api.calls-max").unwrap_err();
        assert_eq!(error.to_string(), "api.calls-max (from the environment): invalid digit found in string");
        let missing = merged.required("database.url").unwrap_err().to_string();
        assert_eq!(
            missing,
            "database.url is not set: give STARLING_DATABASE_URL, or database.url in the file of --config"
        );
    }
}
