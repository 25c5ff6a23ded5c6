//! SPDX 3.0 JSON-LD: the software packages of its graph.

use model::Sbom;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::list::List;
use super::spdx::{Told, put};
use super::{ReadError, Reading, parse};

const FORMAT: &str = "SPDX 3";

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Document<'a> {
    #[serde(rename = "@graph", borrow)]
    graph: List<&'a RawValue, 2_000_000>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type", alias = "@type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: String,
    #[serde(rename = "software_packageVersion", default)]
    version: String,
    #[serde(rename = "software_packageUrl")]
    purl: Option<String>,
    #[serde(rename = "software_primaryPurpose")]
    purpose: Option<String>,
    #[serde(rename = "externalIdentifier", default)]
    identifiers: List<Identifier, 10_000>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "externalIdentifierType", default)]
    kind: String,
    #[serde(default)]
    identifier: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<Sbom, ReadError> {
    let document: Document<'_> = parse(FORMAT, bytes)?;
    let mut reading = Reading::new(&[]);
    for (number, raw) in document.graph.0.iter().enumerate() {
        let place = format!("@graph[{number}]");
        // Elements of other kinds may have any shape.
        let kind = serde_json::from_str::<Element>(raw.get()).map(|element| element.kind);
        if kind.as_deref().is_ok_and(|kind| kind == "software_Package") {
            match serde_json::from_str::<Package>(raw.get()) {
                Ok(package) => read_package(package, &place, &mut reading),
                Err(error) => reading.problem(place, error.to_string()),
            }
        }
    }
    Ok(reading.finish())
}

fn read_package(package: Package, place: &str, reading: &mut Reading) {
    let Package { name, version, purl, purpose, identifiers } = package;
    let known = |i: &Identifier| matches!(i.kind.as_str(), "packageUrl" | "packageURL" | "purl");
    let other = identifiers.0.into_iter().find(known).map(|identifier| identifier.identifier);
    let purpose = purpose.map(|purpose| match purpose.as_str() {
        "operatingSystem" => "OPERATING-SYSTEM".to_owned(),
        other => other.to_uppercase(),
    });
    put(
        Told { place, name, version, purpose: purpose.as_deref(), purl: purl.or(other) },
        Vec::new(),
        reading,
    );
}
