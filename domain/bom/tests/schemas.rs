//! What we write is valid by the schemas that CycloneDX and SPDX publish. They are in `../shared/data/schemas`, and
//! without that folder nothing is checked, which the test says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "all of this is tests; clippy knows only the functions marked as such"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bom::cyclonedx::{self, SpecVersion};
use bom::{Subject, spdx, with_analysis};
use model::{
    Component, Digest, Distro, Finding, FixState, Justification, Location, PackageKind, Problem, Purl, Sbom,
    Severity, SourcePackage, ThirdParty, VexStatus, VexWord,
};
use serde_json::Value;

fn schemas() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/schemas");
    if !folder.is_dir() {
        eprintln!("not checked: there is no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn schema(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn validator(folder: &Path, name: &str) -> jsonschema::Validator {
    let mut options = jsonschema::options();
    for part in ["spdx", "jsf-0.82", "cryptography-defs"] {
        let part = schema(folder, &format!("cyclonedx-{part}.schema.json"));
        let id = part["$id"].as_str().unwrap().to_owned();
        options = options.with_resource(id, jsonschema::Resource::from_contents(part).unwrap());
    }
    options.build(&schema(folder, name)).unwrap()
}

/// Everything that an SBOM may say, and a package that is there twice.
fn full() -> Sbom {
    let component = |path: &str| Component {
        purl: Purl::from_canonical("pkg:maven/org.a/b@1".to_owned()),
        kind: PackageKind::Maven,
        name: "org.a:b".to_owned(),
        version: "1".to_owned(),
        architecture: Some("amd64".to_owned()),
        source: Some(SourcePackage { name: "s".to_owned(), version: "2".to_owned() }),
        owner: Some(Purl::from_canonical("pkg:deb/debian/libb-java@1".to_owned())),
        locations: vec![Location { layer: 3, path: path.to_owned() }],
    };
    Sbom {
        distro: Some(Distro {
            id: "debian".to_owned(),
            version: String::new(),
            codename: Some("sid".to_owned()),
        }),
        base_layers: Some(2),
        third_party: vec![ThirdParty {
            place: "etc/apt/sources.list".to_owned(),
            supplier: "https://apt.example/".to_owned(),
            packages: vec![Purl::from_canonical("pkg:deb/debian/libb-java@1".to_owned())],
        }],
        components: vec![component("a.jar"), component("b.jar")],
        problems: vec![Problem { place: "layer 0".to_owned(), what: "odd".to_owned() }],
    }
}

#[test]
fn documents_are_valid_by_their_schemas() {
    let Some(folder) = schemas() else { return };
    let layers = [Digest::of(b"layer")];
    let digest = Digest::of(b"manifest");
    let named = Subject { name: "registry.example/App:1", digest: digest.as_str(), layers: &layers };
    let bare = Subject { name: "app.cdx.json", digest: "", layers: &[] };
    for subject in [named, bare] {
        for sbom in [full(), Sbom::default()] {
            for (schema, document) in [
                (
                    "cyclonedx-bom-1.6.schema.json",
                    cyclonedx::document(&sbom, &subject, "1", SpecVersion::V1_6),
                ),
                (
                    "cyclonedx-bom-1.7.schema.json",
                    cyclonedx::document(&sbom, &subject, "1", SpecVersion::V1_7),
                ),
                ("spdx-2.3.schema.json", spdx::document(&sbom, &subject, "1")),
            ] {
                let validator = validator(&folder, schema);
                let wrong: Vec<_> =
                    validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
                assert!(wrong.is_empty(), "{schema}: {wrong:#?}");
                let mut broken = document;
                let list = if schema.starts_with("spdx") { "packages" } else { "components" };
                broken[list] = Value::from("none");
                assert!(!validator.is_valid(&broken), "{schema} accepts everything");
            }
        }
    }
}

/// A finding of which this is said.
fn said(at: usize, status: VexStatus, held: bool) -> Finding {
    Finding {
        vulnerability: format!("CVE-{at}"),
        aliases: Vec::new(),
        purl: full().components[0].purl.clone(),
        package: "a".to_owned(),
        version: "1".to_owned(),
        severity: Severity::ALL[at % Severity::ALL.len()],
        fix: FixState::NotFixed(None),
        advisories: Vec::new(),
        vex: Some(VexWord {
            status,
            held,
            justification: Some(Justification::ALL[at % Justification::ALL.len()]),
            detail: Some("looked at".to_owned()),
            issuer: "acme".to_owned(),
            document: "d".to_owned(),
            statement: "s".to_owned(),
            score: 1,
        }),
    }
}

#[test]
fn what_suppliers_say_is_valid_and_changes_the_name_of_the_document() {
    let digest = Digest::of(b"manifest");
    let subject = Subject { name: "app", digest: digest.as_str(), layers: &[] };
    let plain = cyclonedx::document(&full(), &subject, "1", SpecVersion::V1_7);
    let silent = Finding { vex: None, ..said(0, VexStatus::Fixed, false) };
    assert_eq!(with_analysis(plain.clone(), [&silent]), plain);
    let mut findings: Vec<Finding> =
        VexStatus::ALL.into_iter().enumerate().map(|(at, status)| said(at, status, false)).collect();
    findings.push(said(4, VexStatus::NotAffected, true));
    let document = with_analysis(plain.clone(), &findings);
    assert_ne!(document["serialNumber"], plain["serialNumber"]);
    let states: Vec<&Value> =
        document["vulnerabilities"].as_array().unwrap().iter().map(|v| &v["analysis"]["state"]).collect();
    assert_eq!(states, ["exploitable", "in_triage", "resolved", "not_affected", "in_triage"]);
    let Some(folder) = schemas() else { return };
    let validator = validator(&folder, "cyclonedx-bom-1.7.schema.json");
    let wrong: Vec<_> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
