//! VEX: documents of every format, signed or not, held against an image and its findings.

use inventory::purl::{PurlBuilder, take_apart};
use model::{Component, Digest, Finding, FixState, Location, PackageKind, Sbom, Severity};
use time::OffsetDateTime;
use vex::signature::{Key, Mark, Signature, open};
use vex::trust::{Channel, Directory, Origin};
use vex::{Document, Evidence, Identity, Limits, Subject, hear, parse};

pub(super) const WORDS: &[&str] = &[
    "@context",
    "https://openvex.dev/ns",
    "https://openvex.dev/ns/v0.2.0",
    "statements",
    "vulnerability",
    "aliases",
    "products",
    "subcomponents",
    "identifiers",
    "hashes",
    "sha-256",
    "status",
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
    "justification",
    "vulnerable_code_not_present",
    "timestamp",
    "2026-01-02T00:00:00Z",
    "pkg:npm/a@1.0.0",
    "pkg:oci/app@sha256%3A",
    "pkg:deb/debian/a?arch=source&distro=debian-12",
    "cpe:/o:debian:debian_linux:12",
    "vers:npm/>=1.0.0|<2.0.0",
    "document",
    "csaf_version",
    "2.1",
    "product_tree",
    "branches",
    "relationships",
    "product_paths",
    "product_groups",
    "product_status",
    "known_not_affected",
    "bomFormat",
    "specVersion",
    "1.7",
    "analysis",
    "affects",
    "urn:cdx:",
    "payload",
    "payloadType",
    "signatures",
    "cert",
];

const OPENVEX: &str = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"d","author":"a","version":1,
"timestamp":"2026-01-02T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1","aliases":["GHSA-1"]},"products":[
{"@id":"pkg:npm/a@1.0.0","identifiers":{"purl":"pkg:npm/a"},"subcomponents":[{"@id":"pkg:npm/b"}]},{"@id":"image"}],
"status":"not_affected","justification":"vulnerable_code_not_present","impact_statement":"x"},
{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/a@2.0.0"}],"status":"affected"}]}"#;
const CSAF: &str = r#"{"document":{"csaf_version":"2.0","publisher":{"name":"p"},"tracking":{"id":"d","version":"1",
"current_release_date":"2026-01-02T00:00:00Z"}},"product_tree":{"branches":[{"category":"product_version_range",
"name":"vers:npm/<2.0.0","product":{"product_id":"a","name":"a","product_identification_helper":{"purl":"pkg:npm/a"}}}],
"full_product_names":[{"product_id":"o","name":"o","product_identification_helper":{"cpe":"cpe:/o:debian:debian_linux:12"}}],
"relationships":[{"category":"default_component_of","product_reference":"a","relates_to_product_reference":"o",
"full_product_name":{"product_id":"o:a","name":"x"}}],"product_groups":[{"group_id":"g","product_ids":["o:a"]}]},
"vulnerabilities":[{"cve":"CVE-1","product_status":{"known_not_affected":["o:a"],"fixed":["a"]},
"flags":[{"label":"component_not_present","group_ids":["g"]}],"threats":[{"category":"impact","details":"x","product_ids":["a"]}]}]}"#;
const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"serialNumber":"urn:uuid:1",
"metadata":{"timestamp":"2026-01-02T00:00:00Z","component":{"bom-ref":"i","name":"image"}},"components":[
{"bom-ref":"a","name":"a","purl":"pkg:npm/a@1.0.0","components":[{"bom-ref":"b","name":"b","purl":"pkg:npm/b@1.0.0"}]}],
"vulnerabilities":[{"id":"CVE-1","analysis":{"state":"not_affected","justification":"code_not_present"},
"affects":[{"ref":"a","versions":[{"range":"vers:npm/<2.0.0"},{"version":"2.0.0","status":"unaffected"}]},{"ref":"urn:cdx:1/1#b"}]}]}"#;
const ENVELOPE: &str = r#"{"payloadType":"application/vnd.in-toto+json","payload":"eyJzdWJqZWN0IjpbXSwicHJlZGljYXRlIjp7fX0=",
"signatures":[{"keyid":"k","sig":"AAAA","cert":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}]}"#;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let list = format!("[{OPENVEX},{CSAF},{CYCLONEDX}]");
    [OPENVEX, CSAF, CYCLONEDX, &list].map(|text| text.as_bytes().to_vec()).into()
}

pub(super) fn envelope_seeds() -> Vec<Vec<u8>> {
    vec![ENVELOPE.as_bytes().to_vec(), OPENVEX.as_bytes().to_vec()]
}

pub(super) fn key_seeds() -> Vec<Vec<u8>> {
    let ed25519 =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &[7; 32]].concat();
    let pem = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n-----END PUBLIC KEY-----";
    vec![ed25519, pem.to_vec()]
}

/// No key verifies what it did not sign, and each is known again by its bytes.
pub(super) fn key(input: &[u8]) {
    if let Ok(key) = Key::parse(input) {
        assert_eq!(Key::parse(key.der()).as_ref(), Ok(&key), "read again it is the same");
        let mark = Mark::beside(input);
        let checked = Signature::check(b"message", &[mark], [&key], OffsetDateTime::UNIX_EPOCH);
        assert_eq!(checked, Signature::UnknownKey);
    }
}

/// What is in an envelope is no larger than the envelope.
pub(super) fn envelope(input: &[u8]) {
    if let Ok(opened) = open(input, &Limits::default()) {
        assert!(opened.document.len() <= input.len() && opened.marks.len() <= 16);
        document(&opened.document);
    }
}

/// Whatever a document says, it is heard in any order with the same answer, and each statement gets one.
pub(super) fn document(input: &[u8]) {
    let Ok((documents, _)) = parse(input, &Limits::default()) else { return };
    let sbom = sbom(&documents);
    let findings: Vec<Finding> = findings(&documents, &sbom);
    let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(365 * 60);
    let origin =
        Origin { channel: Channel::Manual, signature: Signature::Absent, attached: false, taken_in: now };
    let forwards: Vec<Evidence<'_>> =
        documents.iter().map(|document| Evidence { document, origin: &origin }).collect();
    let backwards: Vec<Evidence<'_>> = forwards.iter().rev().copied().collect();
    let digest = Digest::of(b"image");
    let subject = Subject::new(&sbom, Some(&digest), &["image"]);
    let heard = hear(&findings, &subject, &forwards, &Directory::default(), now);
    let again = hear(&findings, &subject, &backwards, &Directory::default(), now);
    assert_eq!(heard.words, again.words, "the order does not matter");
    let statements: usize = documents.iter().map(|document| document.statements.len()).sum();
    assert_eq!(heard.heard.len(), statements);
    for one in &heard.heard {
        assert!(!one.effects.is_empty() || !one.complaints.is_empty(), "none is dropped without a word");
        one.complaints.iter().for_each(|complaint| assert!(!complaint.to_string().is_empty()));
    }
}

/// An image with what the documents name.
fn sbom(documents: &[Document]) -> Sbom {
    let products = documents.iter().flat_map(|document| &document.statements).flat_map(|s| &s.products);
    let names = products.flat_map(|product| [&product.whole].into_iter().chain(product.parts.iter()));
    let mut components: Vec<Component> = names
        .flat_map(|names| names.iter())
        .filter_map(|name| if let Identity::Purl(package) = name { component(&package.text) } else { None })
        .take(20)
        .collect();
    components.extend(component("pkg:npm/a@1.0.0"));
    components.sort();
    components.dedup();
    let distro = model::Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None };
    Sbom { distro: Some(distro), components, ..Sbom::default() }
}

fn component(text: &str) -> Option<Component> {
    let parts = take_apart(text).ok()?;
    let version = if parts.version.is_empty() { "1.0.0" } else { &parts.version };
    let purl = PurlBuilder::new(&parts.kind, &parts.name).namespace(&parts.namespace).version(version);
    Some(Component {
        purl: purl.build().ok()?,
        kind: PackageKind::from_word(&parts.kind)?,
        name: parts.name,
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![Location { layer: 0, path: "x".to_owned() }],
    })
}

fn findings(documents: &[Document], sbom: &Sbom) -> Vec<Finding> {
    let statements = documents.iter().flat_map(|document| &document.statements);
    let mut names: Vec<&String> = statements.filter_map(|s| s.vulnerability.first()).collect();
    names.sort();
    names.dedup();
    let of = |name: &str, component: &Component| Finding {
        vulnerability: name.to_owned(),
        aliases: Vec::new(),
        purl: component.purl.clone(),
        package: component.name.clone(),
        version: component.version.clone(),
        severity: Severity::High,
        fix: FixState::NotFixed(None),
        advisories: Vec::new(),
        vex: None,
    };
    let names = names.into_iter().take(20);
    names.flat_map(|name| sbom.components.iter().map(move |component| of(name, component))).collect()
}
