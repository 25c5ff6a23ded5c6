//! The JSON of an OSV record: what of it is read, and how.

use model::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::formats::{Unreadable, short};

/// The record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RecordDoc {
    pub(super) id: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) aliases: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) upstream: Vec<String>,
    pub(super) published: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) withdrawn: Option<String>,
    #[serde(deserialize_with = "what_fits")]
    pub(super) severity: Vec<SeverityDoc>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) affected: Vec<AffectedDoc>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) database_specific: Words,
}

/// What it says of one package. One that cannot be read is left empty, so that the others keep their places.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AffectedDoc {
    pub(super) package: Option<PackageDoc>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ranges: Vec<RangeDoc>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) versions: Vec<String>,
    #[serde(deserialize_with = "what_fits")]
    pub(super) severity: Vec<SeverityDoc>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ecosystem_specific: Words,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) database_specific: Words,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PackageDoc {
    pub(super) ecosystem: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeDoc {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) events: Vec<EventDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventDoc {
    pub(super) introduced: Option<String>,
    pub(super) fixed: Option<String>,
    pub(super) last_affected: Option<String>,
    pub(super) limit: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SeverityDoc {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) score: String,
}

/// The words that databases put beside the schema.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Words {
    #[serde(deserialize_with = "text_or_nothing")]
    pub(super) severity: Option<String>,
    #[serde(deserialize_with = "text_or_nothing")]
    pub(super) urgency: Option<String>,
    /// RustSec's word for what is no vulnerability.
    #[serde(deserialize_with = "text_or_nothing")]
    pub(super) informational: Option<String>,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) affects: AffectsDoc,
}

/// RustSec's systems and processors on which alone it holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AffectsDoc {
    #[serde(deserialize_with = "what_fits")]
    pub(super) os: Vec<String>,
    #[serde(deserialize_with = "what_fits")]
    pub(super) arch: Vec<String>,
}

/// Reads a record as a whole or, if that fails, piece by piece.
pub(super) fn read(bytes: &[u8]) -> Result<(RecordDoc, Vec<Problem>), Unreadable> {
    // Serde would take a list for a struct, by the order of its fields.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Unreadable::NotJson("it does not begin with a brace".to_owned()));
    }
    if let Ok(record) = serde_json::from_slice(bytes) {
        return Ok((record, Vec::new()));
    }
    let fields = serde_json::from_slice(bytes).map_err(|error| Unreadable::NotJson(short(&error)))?;
    Ok(Pieces { fields, problems: Vec::new() }.record())
}

struct Pieces {
    fields: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Pieces {
    fn record(mut self) -> (RecordDoc, Vec<Problem>) {
        let record = RecordDoc {
            id: self.field("id"),
            aliases: self.entries("aliases"),
            upstream: self.entries("upstream"),
            published: self.field("published"),
            modified: self.field("modified"),
            withdrawn: self.field("withdrawn"),
            severity: self.entries("severity"),
            affected: self.entries("affected"),
            database_specific: self.field("database_specific"),
        };
        (record, self.problems)
    }

    fn field<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let value = self.fields.remove(name).unwrap_or_default();
        self.piece(name, value)
    }

    fn entries<T: DeserializeOwned + Default>(&mut self, name: &str) -> Vec<T> {
        match self.fields.remove(name).unwrap_or_default() {
            Value::Array(values) => {
                let numbered = (0_usize..).zip(values);
                numbered.map(|(at, value)| self.piece(&format!("{name}[{at}]"), value)).collect()
            }
            other => self.piece(name, other),
        }
    }

    /// What the value says, or nothing and a problem.
    fn piece<T: DeserializeOwned + Default>(&mut self, place: &str, value: Value) -> T {
        if value.is_null() {
            return T::default();
        }
        serde_json::from_value(value).unwrap_or_else(|error| {
            self.problems.push(Problem { place: place.to_owned(), what: short(&error) });
            T::default()
        })
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The entries of a list that are what they should be; wrong ones must not cost what they stand beside.
fn what_fits<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let Value::Array(values) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
}

fn object_or_nothing<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_object() { serde_json::from_value(value).unwrap_or_default() } else { T::default() })
}

fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}
