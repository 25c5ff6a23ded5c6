//! CycloneDX JSON, 1.2 to 1.7: components, also those inside of components.

use model::Sbom;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::list::List;
use super::{DEPTH, Entry, ReadError, Reading, parse};

const FORMAT: &str = "CycloneDX";
const VERSIONS: [&str; 6] = ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"];

type Components<'a> = List<&'a RawValue, 1_000_000>;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Document<'a> {
    #[serde(rename = "specVersion")]
    spec_version: String,
    metadata: Option<Metadata>,
    #[serde(default, borrow)]
    components: Components<'a>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    properties: Properties,
}

type Properties = List<Property, 100_000>;

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Component<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    group: Option<String>,
    #[serde(default)]
    name: String,
    version: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    properties: Properties,
    evidence: Option<Evidence>,
    #[serde(default, borrow)]
    components: Components<'a>,
}

#[derive(Deserialize)]
struct Evidence {
    #[serde(default)]
    occurrences: List<Occurrence, 10_000>,
}

#[derive(Deserialize)]
struct Occurrence {
    #[serde(default)]
    location: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<Sbom, ReadError> {
    let document: Document<'_> = parse(FORMAT, bytes)?;
    if !VERSIONS.contains(&document.spec_version.as_str()) {
        let why = format!("version {:?} is not one of {}", document.spec_version, VERSIONS.join(", "));
        return Err(ReadError::Malformed { format: FORMAT, why });
    }
    let marks = pairs(document.metadata.unwrap_or_default().properties);
    let mut reading = Reading::new(&marks);
    read_components(&document.components, 0, "", &mut reading)?;
    Ok(reading.finish())
}

fn pairs(properties: Properties) -> Vec<(String, String)> {
    properties.0.into_iter().map(|Property { name, value }| (name, value)).collect()
}

fn read_components(
    components: &Components<'_>,
    depth: usize,
    inside: &str,
    reading: &mut Reading,
) -> Result<(), ReadError> {
    if depth == DEPTH && !components.0.is_empty() {
        reading.problem(inside, format!("components deeper than {DEPTH} levels are not read"));
        return Ok(());
    }
    for (number, raw) in components.0.iter().enumerate() {
        if reading.is_full() {
            return Err(ReadError::Malformed {
                format: FORMAT,
                why: "it has too many components".to_owned(),
            });
        }
        let place = format!("{inside}components[{number}]");
        match serde_json::from_str::<Component<'_>>(raw.get()) {
            Ok(component) => read_component(component, place, depth, reading)?,
            Err(error) => reading.problem(place, error.to_string()),
        }
    }
    Ok(())
}

fn read_component(
    component: Component<'_>,
    place: String,
    depth: usize,
    reading: &mut Reading,
) -> Result<(), ReadError> {
    let Component { kind, group, name, version, purl, properties, evidence, components } = component;
    let (marks, version) = (pairs(properties), version.unwrap_or_default());
    if kind == "operating-system" {
        reading.distro(&name, &version, &marks);
    } else {
        let is_maven = purl.as_deref().is_some_and(|purl| purl.starts_with("pkg:maven/"));
        let joined = match group.as_deref().unwrap_or_default() {
            "" => name,
            group if is_maven => format!("{group}:{name}"),
            group => format!("{group}/{name}"),
        };
        reading.entry(Entry {
            place: format!("{place} {joined}"),
            is_package: is_package(&kind, &version),
            name: joined,
            version,
            purl,
            marks,
            paths: evidence.into_iter().flat_map(|e| e.occurrences.0).map(|o| o.location).collect(),
        });
    }
    read_components(&components, depth + 1, &format!("{place}."), reading)
}

/// Applications without a version are files that list packages.
fn is_package(kind: &str, version: &str) -> bool {
    matches!(kind, "library" | "framework") || (kind == "application" && !version.is_empty())
}
