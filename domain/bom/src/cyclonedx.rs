//! CycloneDX JSON (ECMA-424), 1.6 and 1.7.

use model::{Component, Distro, PackageKind, Sbom};
use serde_json::{Map, Value, json};

use crate::marks::{self, Mark};
use crate::{Subject, purl_of, uuid_of};

/// The versions that are written. What is written is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecVersion {
    /// 1.6
    V1_6,
    /// 1.7
    V1_7,
}

impl SpecVersion {
    const fn as_str(self) -> &'static str {
        match self {
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
        }
    }
}

/// The document of an SBOM. `tool` is our own version.
pub fn document(sbom: &Sbom, subject: &Subject<'_>, tool: &str, version: SpecVersion) -> Value {
    let components = sbom.distro.iter().map(distro).chain(components(sbom));
    json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{}.schema.json", version.as_str()),
        "bomFormat": "CycloneDX",
        "specVersion": version.as_str(),
        "serialNumber": format!("urn:uuid:{}", uuid_of(subject, sbom)),
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "starling", "version": tool}]},
            "component": image(subject),
            "properties": properties(marks::of_document(sbom)),
        },
        "components": components.collect::<Vec<_>>(),
        "compositions": [{
            "aggregate": if sbom.problems.is_empty() { "complete" } else { "incomplete" },
            "assemblies": [IMAGE],
        }],
    })
}

/// How the parts of the document call the image.
const IMAGE: &str = "image";

fn image(subject: &Subject<'_>) -> Value {
    let mut image = json!({"type": "container", "bom-ref": IMAGE, "name": subject.name});
    if !subject.digest.is_empty() {
        image["version"] = subject.digest.into();
    }
    if let Some(purl) = purl_of(subject) {
        image["purl"] = purl.as_str().into();
    }
    image
}

fn distro(Distro { id, version, codename }: &Distro) -> Value {
    let codename = codename.iter().map(|name| (marks::CODENAME, name.clone())).collect();
    json!({
        "type": "operating-system",
        "bom-ref": "os",
        "name": id,
        "version": version,
        "properties": properties(codename),
    })
}

/// References are unique: a package that is there twice has the second one numbered.
fn components(sbom: &Sbom) -> impl Iterator<Item = Value> {
    let mut before: (Option<&str>, usize) = (None, 0);
    sbom.components.iter().map(move |c| {
        let purl = c.purl.as_str();
        before = (Some(purl), if before.0 == Some(purl) { before.1 + 1 } else { 0 });
        let reference = if before.1 == 0 { purl.to_owned() } else { format!("{purl}#{}", before.1) };
        component(c, &reference)
    })
}

fn component(component: &Component, reference: &str) -> Value {
    let (group, name) = name(component);
    let mut out = Map::new();
    out.insert("type".to_owned(), "library".into());
    out.insert("bom-ref".to_owned(), reference.into());
    if let Some(group) = group {
        out.insert("group".to_owned(), group.into());
    }
    out.insert("name".to_owned(), name.into());
    out.insert("version".to_owned(), component.version.as_str().into());
    out.insert("purl".to_owned(), component.purl.as_str().into());
    let seen: Vec<_> = component.locations.iter().map(|l| json!({"location": l.path})).collect();
    if !seen.is_empty() {
        out.insert("evidence".to_owned(), json!({"occurrences": seen}));
    }
    out.insert("properties".to_owned(), properties(marks::of_component(component)));
    out.into()
}

/// Maven's groups have a field of their own; other names are one text, as their ecosystems write them.
fn name(component: &Component) -> (Option<&str>, &str) {
    match component.name.split_once(':') {
        Some((group, name)) if component.kind == PackageKind::Maven && !group.is_empty() => {
            (Some(group), name)
        }
        _ => (None, &component.name),
    }
}

fn properties(marks: Vec<Mark>) -> Value {
    marks.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}
