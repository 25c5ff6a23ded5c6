use std::fs;

use model::{Component, FixState, PackageKind, Purl, Sbom, Severity};
use vex::Part;

use super::*;

const DOCUMENT: &str = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "d", "author": "acme", "version": 1,
    "timestamp": "2026-01-02T00:00:00Z", "statements": [
    {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/a@1.0.0"}], "status": "fixed"},
    {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/a@1.0.1"}], "status": "fixed"},
    {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/a@1.0.1"}], "status": "odd"}]}"#;
const NO_KEYS: Keys = Keys { keys: Vec::new(), vex_signed_only: false };

fn image() -> (Inventoried, Vec<Finding>) {
    let purl = Purl::from_canonical("pkg:npm/a@1.0.0".to_owned());
    let component = Component {
        purl: purl.clone(),
        kind: PackageKind::Npm,
        name: "a".to_owned(),
        version: "1.0.0".to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: Vec::new(),
    };
    let finding = Finding {
        vulnerability: "CVE-1".to_owned(),
        aliases: Vec::new(),
        purl,
        package: "a".to_owned(),
        version: "1.0.0".to_owned(),
        severity: Severity::High,
        fix: FixState::NotFixed(None),
        advisories: Vec::new(),
        vex: None,
    };
    let sbom = Sbom { components: vec![component], ..Sbom::default() };
    let image = Inventoried {
        name: "app".to_owned(),
        digest: String::new(),
        platform: None,
        layers: Vec::new(),
        sbom,
    };
    (image, vec![finding])
}

#[test]
fn a_file_is_read_heard_and_what_is_wrong_in_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.openvex.json");
    fs::write(&file, DOCUMENT).unwrap();
    let now = OffsetDateTime::now_utc();
    let loaded = load(std::slice::from_ref(&file), &NO_KEYS, now).unwrap();
    assert_eq!(loaded.problems.len(), 1);
    assert!(
        loaded.problems[0].ends_with("statements[2].status: \"odd\" is no status"),
        "{:?}",
        loaded.problems
    );
    let (image, findings) = image();
    let hearing = loaded.hear(&findings, &image, now);
    assert_eq!(hearing.words[0].as_ref().map(|word| word.issuer.as_str()), Some("acme"));
    assert_eq!(hearing.heard[0].effects[0].part, Part::Decides);
    let complaints: Vec<_> = hearing.heard[1].complaints.iter().map(vex::Complaint::as_str).collect();
    assert!(complaints.contains(&"near_miss"), "{complaints:?}");
}

#[test]
fn a_file_that_is_no_vex_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    fs::write(&file, "{}").unwrap();
    let error = load(&[file], &NO_KEYS, OffsetDateTime::now_utc()).err().unwrap();
    assert!(error.to_string().contains("a.json: neither OpenVEX"), "{error}");
    assert!(parse_key("acme").is_err() && parse_key("=a").is_err() && parse_key("acme=a.pem").is_ok());
}
