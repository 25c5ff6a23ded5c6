//! SPDX 2.3 JSON (ISO/IEC 5962).

use model::{Component, Distro, Sbom};
use serde_json::{Value, json};

use crate::marks::{self, Mark};
use crate::{Subject, purl_of, uuid_of};

/// SPDX wants a time (§6.9); ours is always the same, so that the same SBOM gives the same bytes.
const EPOCH: &str = "1970-01-01T00:00:00Z";
const IMAGE: &str = "SPDXRef-image";

/// The document of an SBOM. `tool` is our own version.
pub fn document(sbom: &Sbom, subject: &Subject<'_>, tool: &str) -> Value {
    let packages: Vec<Value> = [image(subject)]
        .into_iter()
        .chain(sbom.distro.iter().map(|distro| os(distro, tool)))
        .chain((1..).zip(&sbom.components).map(|(number, c)| package(number, c, tool)))
        .collect();
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    let inside = packages.iter().skip(1).filter_map(|package| package["SPDXID"].as_str());
    relationships.extend(inside.map(|id| relation(IMAGE, "CONTAINS", id)));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("urn:uuid:{}", uuid_of(subject, sbom)),
        "creationInfo": {"created": EPOCH, "creators": [creator(tool)]},
        "annotations": annotations(marks::of_document(sbom), tool),
        "packages": packages,
        "relationships": relationships,
    })
}

fn creator(tool: &str) -> String {
    format!("Tool: starling-{tool}")
}

/// What every package has: we say nothing of licences, nor where it was downloaded.
fn bare(id: &str, name: &str, version: &str, purpose: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "primaryPackagePurpose": purpose,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    })
}

fn image(subject: &Subject<'_>) -> Value {
    let mut image = bare(IMAGE, subject.name, subject.digest, "CONTAINER");
    if let Some(purl) = purl_of(subject) {
        image["externalRefs"] = reference(purl.as_str());
    }
    image
}

fn os(Distro { id, version, codename }: &Distro, tool: &str) -> Value {
    let mut os = bare("SPDXRef-os", id, version, "OPERATING_SYSTEM");
    let codename = codename.iter().map(|name| (marks::CODENAME, name.clone())).collect();
    os["annotations"] = annotations(codename, tool);
    os
}

fn package(number: usize, component: &Component, tool: &str) -> Value {
    let id = format!("SPDXRef-package-{number}");
    let mut package = bare(&id, &component.name, &component.version, "LIBRARY");
    package["externalRefs"] = reference(component.purl.as_str());
    package["annotations"] = annotations(marks::of_component(component), tool);
    package
}

fn reference(purl: &str) -> Value {
    json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}])
}

fn annotations(marks: Vec<Mark>, tool: &str) -> Value {
    let annotation = |(name, value)| {
        json!({
            "annotationType": "OTHER",
            "annotator": creator(tool),
            "annotationDate": EPOCH,
            "comment": format!("{name}={value}"),
        })
    };
    marks.into_iter().map(annotation).collect()
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
