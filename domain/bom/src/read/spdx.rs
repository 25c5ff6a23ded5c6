//! SPDX 2.2 and 2.3 as JSON: packages with a reference that is a package URL.

use model::Sbom;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::list::List;
use super::{Entry, ReadError, Reading, parse};

const FORMAT: &str = "SPDX";

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Document<'a> {
    #[serde(default)]
    annotations: List<Annotation, 100_000>,
    #[serde(default, borrow)]
    packages: List<&'a RawValue, 1_000_000>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: String,
    #[serde(rename = "versionInfo")]
    version: Option<String>,
    #[serde(rename = "primaryPackagePurpose")]
    purpose: Option<String>,
    #[serde(rename = "externalRefs", default)]
    references: List<Reference, 10_000>,
    #[serde(default)]
    annotations: List<Annotation, 100_000>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "referenceType", default)]
    kind: String,
    #[serde(rename = "referenceLocator", default)]
    locator: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<Sbom, ReadError> {
    let document: Document<'_> = parse(FORMAT, bytes)?;
    let mut reading = Reading::new(&pairs(document.annotations));
    for (number, raw) in document.packages.0.iter().enumerate() {
        let place = format!("packages[{number}]");
        match serde_json::from_str::<Package>(raw.get()) {
            Ok(package) => read_package(package, &place, &mut reading),
            Err(error) => reading.problem(place, error.to_string()),
        }
    }
    Ok(reading.finish())
}

fn pairs<const MAX: usize>(annotations: List<Annotation, MAX>) -> Vec<(String, String)> {
    let pair = |a: Annotation| a.comment.split_once('=').map(|(name, value)| (name.into(), value.into()));
    annotations.0.into_iter().filter_map(pair).collect()
}

fn read_package(package: Package, place: &str, reading: &mut Reading) {
    let Package { name, version, purpose, references, annotations } = package;
    let purl = references.0.into_iter().find(|reference| reference.kind == "purl");
    let (purl, version) = (purl.map(|reference| reference.locator), version.unwrap_or_default());
    put(Told { place, name, version, purpose: purpose.as_deref(), purl }, pairs(annotations), reading);
}

/// A package as JSON or tag-value tell it.
pub(super) struct Told<'a> {
    pub(super) place: &'a str,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) purpose: Option<&'a str>,
    pub(super) purl: Option<String>,
}

pub(super) fn put(told: Told<'_>, marks: Vec<(String, String)>, reading: &mut Reading) {
    let Told { place, name, version, purpose, purl } = told;
    match purpose.unwrap_or("LIBRARY") {
        "OPERATING_SYSTEM" | "OPERATING-SYSTEM" => reading.distro(&name, &version, &marks),
        "CONTAINER" => {}
        purpose => reading.entry(Entry {
            place: format!("{place} {name}"),
            is_package: matches!(purpose, "LIBRARY" | "FRAMEWORK"),
            name,
            version,
            purl,
            marks,
            paths: Vec::new(),
        }),
    }
}
