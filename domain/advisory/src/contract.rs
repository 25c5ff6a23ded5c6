//! The contract of taking in: a feed's facts and nothing else.
//!
//! What a document says is kept exactly as its source published it. What others have derived from such facts (a
//! merged state, a risk, what is reachable here) is no fact of a source, and a document that carries it at its top
//! is refused: it is somebody's conclusion, and would be taken for evidence. An OSV record's own `severity` is a
//! fact of its source.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// Fields that hold conclusions; also everything that begins with [`DERIVED_PREFIX`].
pub const DERIVED: [&str; 6] =
    ["asset_criticality", "cvss", "cvss_vector", "merged_state", "reachability", "risk_score"];
/// Begins the names of fields that hold conclusions.
pub const DERIVED_PREFIX: &str = "effective_";

/// The first field at the document's top that no source may carry. What is no JSON object has none.
pub fn derived_field(document: &[u8]) -> Option<String> {
    if !may_hold_one(document) {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_slice(document);
    reader.deserialize_map(Fields).ok().flatten()
}

fn is_derived(field: &str) -> bool {
    DERIVED.contains(&field) || field.starts_with(DERIVED_PREFIX)
}

/// Whether one of the names may stand somewhere in the text; nearly never, so few documents are read twice. Names
/// written with escapes count as any of them.
fn may_hold_one(document: &[u8]) -> bool {
    let quotes = document.iter().enumerate().filter(|(_, byte)| **byte == b'"');
    let mut texts = quotes.map(|(at, _)| &document[at + 1..]);
    texts.any(|text| match text.first() {
        Some(b'\\') => true,
        Some(b'a' | b'c' | b'e' | b'm' | b'r') => may_be_derived(text),
        _ => false,
    })
}

fn may_be_derived(text: &[u8]) -> bool {
    const LONGEST: usize = "asset_criticality".len();
    let begins = |name: &str| text.starts_with(name.as_bytes());
    let name = text.iter().take(LONGEST).take_while(|byte| **byte != b'"');
    begins(DERIVED_PREFIX) || DERIVED.into_iter().any(begins) || name.into_iter().any(|byte| *byte == b'\\')
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((field, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if found.is_none() && is_derived(&field) {
                found = Some(field);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: Option<&str>) {
        assert_eq!(derived_field(document.as_bytes()).as_deref(), expected, "{document}");
    }

    #[test]
    fn conclusions_are_found_at_the_top() {
        for field in DERIVED {
            check(&format!(r#"{{"id":"A-1","{field}":1}}"#), Some(field));
        }
        check(r#"{"effective_status":"fixed","id":"A-1"}"#, Some("effective_status"));
        check(r#"{ "effective_" : {} }"#, Some("effective_"));
        check(r#"{"\u0065ffective_range":1}"#, Some("effective_range"));
        check(r#"{"risk\u005fscore":1}"#, Some("risk_score"));
    }

    #[test]
    fn facts_of_the_source_stay() {
        check(r#"{"id":"A-1","severity":[{"type":"CVSS_V3","score":"x"}]}"#, None);
        check(r#"{"id":"A-1","database_specific":{"cvss":9.8,"risk_score":1}}"#, None);
        check(r#"{"id":"A-1","summary":"risk_score","aliases":["cvss"]}"#, None);
        check(r#"{"effectively":1,"cvss_v3":2,"reachability_notes":3}"#, None);
        check(r#"["risk_score"]"#, None);
        check("no JSON \"risk_score\"", None);
        check("", None);
    }
}
