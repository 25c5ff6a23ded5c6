use model::{Justification, VexStatus};

use super::*;
use crate::{Identity, Statement};

fn read(json: &str) -> (Vec<Document>, Vec<String>) {
    let (documents, problems) = parse(json.as_bytes(), &Limits::default()).expect("it can be read");
    (documents, problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect())
}

/// One line for each product of each statement.
fn lines(document: &Document) -> Vec<String> {
    let line = |statement: &Statement, product: &crate::Product| {
        let names = statement.vulnerability.join("=");
        let why = statement.justification.map(Justification::as_str).unwrap_or_default();
        format!("{} {names} {} {why} {product}", statement.id, statement.status.as_str())
    };
    document.statements.iter().flat_map(|s| s.products.iter().map(move |product| line(s, product))).collect()
}

#[track_caller]
fn refused(json: &str, why: &str) {
    let error = parse(json.as_bytes(), &Limits::default()).expect_err("it is refused");
    assert_eq!(error.to_string(), why);
}

const OLD: &str = r#"{"@context": "https://openvex.dev/ns", "@id": "a", "author": "Jo", "version": "1",
    "timestamp": "2023-01-08T18:02:03.647787998-06:00", "statements": [{"vulnerability": "CVE-2023-1",
    "products": ["pkg:apk/wolfi/git@2.39.0-r1?arch=armv7", "b"], "subcomponents": ["pkg:apk/wolfi/c@1"],
    "status": "fixed"}]}"#;

const NEW: &str = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://e.example/1", "author": "Jo",
    "version": 3, "timestamp": "2023-01-08T18:02:03Z", "last_updated": "2024-01-08T18:02:03Z", "statements": [
    {"@id": "s", "vulnerability": {"@id": "https://x", "name": "CVE-2023-1", "aliases": ["GHSA-1", "CVE-2023-1"]},
     "products": [{"@id": "pkg:oci/a@sha256%3A2222222222222222222222222222222222222222222222222222222222222222",
        "identifiers": {"cpe23": "cpe:2.3:a:b:c:1:*:*:*:*:*:*:*"}, "hashes": {"sha-256":
        "2222222222222222222222222222222222222222222222222222222222222222", "md5": "0"},
        "subcomponents": [{"@id": "pkg:apk/alpine/d@1"}, "e"]}], "status": "not_affected",
     "justification": "vulnerable_code_not_present", "timestamp": "2023-02-01T00:00:00Z"},
    {"vulnerability": {"name": "CVE-2"}, "products": [{"@id": "p"}], "status": "not_affected"},
    {"vulnerability": {"name": "CVE-3"}, "products": [{"@id": "p"}], "status": "solved"},
    {"vulnerability": {"name": "CVE-4"}, "products": [], "status": "affected"},
    {"vulnerability": {"name": "CVE-5"}, "products": [{"@id": "p"}], "status": "not_affected",
     "justification": "because"},
    {"vulnerability": {}, "products": [{"@id": "p"}], "status": "fixed"}, 7]}"#;

#[test]
fn openvex_of_both_versions_says_the_same() {
    let (documents, problems) = read(OLD);
    assert_eq!(problems, [""; 0]);
    let document = &documents[0];
    assert_eq!((document.author.as_str(), document.version.as_str()), ("Jo", "1"));
    let product = "pkg:apk/wolfi/git@2.39.0-r1?arch=armv7 > pkg:apk/wolfi/c@1";
    let line = format!("statements[0] CVE-2023-1 fixed  {product}");
    assert_eq!(lines(document), [line.as_str(), "statements[0] CVE-2023-1 fixed  b > pkg:apk/wolfi/c@1"]);
    assert_eq!(document.timestamp.map(time::OffsetDateTime::unix_timestamp), Some(1_673_222_523));
}

#[test]
fn what_is_wrong_in_openvex_costs_the_statement_and_tells_its_place() {
    let (documents, problems) = read(NEW);
    let document = &documents[0];
    assert_eq!((document.id.as_str(), document.version.as_str()), ("https://e.example/1", "3"));
    let hash = "2".repeat(64);
    let product = format!("pkg:oci/a@sha256%3A{hash} > pkg:apk/alpine/d@1, e");
    assert_eq!(
        lines(document),
        [format!("s CVE-2023-1=GHSA-1 not_affected vulnerable_code_not_present {product}")]
    );
    let names: Vec<String> =
        document.statements[0].products[0].whole.iter().map(ToString::to_string).collect();
    let digest = format!("sha256:{hash}");
    assert_eq!(names[1..], ["cpe:2.3:a:b:c:1:*:*:*:*:*:*:*", &digest]);
    assert_eq!(
        problems,
        [
            "statements[1]: not_affected needs a justification or an impact statement",
            "statements[2].status: \"solved\" is no status",
            "statements[3]: it names no product",
            "statements[4].justification: \"because\" is no justification",
            "statements[5].vulnerability: it has no name",
            "statements[6]: invalid type: integer `7`, expected struct StatementDoc at line 1 column 1",
        ]
    );
}

#[test]
fn what_is_no_vex_is_refused_with_its_place() {
    refused("", "not a JSON document: EOF while parsing a value at line 1 column 0");
    refused("{}", "neither OpenVEX (@context) nor CSAF (document) nor CycloneDX (bomFormat)");
    let context = r#"@context: "https://openvex.dev/ns/v9" is no version of OpenVEX that is read"#;
    refused(r#"{"@context": "https://openvex.dev/ns/v9", "statements": []}"#, context);
    refused(r#"{"@context": "https://openvex.dev/ns"}"#, "statements: they are missing");
    refused(r#"{"@id": "a", "@context": "https://openvex.dev/ns", "@id": "b"}"#, "@id: it is there twice");
    let version = r#"document.csaf_version: "1.0" is not read; 2.0 and 2.1 are"#;
    refused(r#"{"document": {"csaf_version": "1.0", "tracking": {"id": "a"}}}"#, version);
    let id = "document.tracking.id: it is missing";
    refused(r#"{"document": {"csaf_version": "2.0", "tracking": {"id": " "}}}"#, id);
    let spec = r#"specVersion: "1.3" is not read; 1.4 to 1.7 are"#;
    refused(r#"{"bomFormat": "CycloneDX", "specVersion": "1.3"}"#, spec);
}

#[test]
fn a_list_of_documents_loses_only_what_is_wrong_in_it() {
    let (documents, problems) = read(&format!("[{OLD}, {{}}, {NEW}]"));
    assert_eq!(documents.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), ["a", "https://e.example/1"]);
    assert_eq!(problems[0], "[1]: neither OpenVEX (@context) nor CSAF (document) nor CycloneDX (bomFormat)");
    assert_eq!(problems[1], "[2].statements[1]: not_affected needs a justification or an impact statement");
    let few = Limits { documents: 2, ..Limits::default() };
    let error = parse(format!("[{OLD}, {OLD}, {OLD}]").as_bytes(), &few).expect_err("it is too much");
    assert_eq!(error.to_string(), "more than 2 documents");
    let few = Limits { products: 3, ..Limits::default() };
    let error = parse(OLD.as_bytes(), &few).expect_err("it is too much");
    assert_eq!(error.to_string(), "more than 3 products in statements");
}

const CSAF: &str = r#"{"document": {"csaf_version": "VERSION", "category": "csaf_vex",
    "publisher": {"category": "vendor", "name": "Acme", "namespace": "https://acme.example"},
    "tracking": {"id": "ACME-1", "version": "2", "current_release_date": "2022-03-03T11:00:00.000Z"}},
  "product_tree": {"branches": [{"category": "vendor", "name": "Acme", "branches": [
      {"category": "product_version", "name": "9", "product": {"name": "OS 9", "product_id": "OS",
        "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:9"}}},
      {"category": "product_version", "name": "1", "product": {"name": "Lib 1", "product_id": "LIB",
        "product_identification_helper": {HELPER}}},
      {"category": "product_version_range", "name": "vers:npm/<2.0.0", "product": {"name": "Old", "product_id": "OLD",
        "product_identification_helper": {"purl": "pkg:npm/old"}}}]}],
    "full_product_names": [{"name": "Thing", "product_id": "THING"}],
    COMBINATION,
    "product_groups": [{"group_id": "G", "product_ids": ["OLD", "THING"]}]},
  "vulnerabilities": [{"cve": "CVE-1", "ids": [{"system_name": "x", "text": "X-1"}],
    "product_status": {"known_not_affected": ["OS:LIB", "OLD", "THING", "GONE"], "fixed": ["LIB"],
      "recommended": ["THING"], "known_affected": ["OS"]},
    "flags": [{"label": "vulnerable_code_not_present", "group_ids": ["G"]}, {"label": "odd"}],
    "threats": [{"category": "impact", "details": "it is not built", "product_ids": ["OLD"]},
                {"category": "exploit_status", "details": "none", "product_ids": ["THING"]}],
    "remediations": [{"category": "workaround", "details": "unplug it", "product_ids": ["OS"]}]},
    {"title": "no name", "product_status": {"fixed": ["LIB"]}}]}"#;

fn csaf(version: &str, helper: &str, combination: &str) -> String {
    CSAF.replace("VERSION", version).replace("HELPER", helper).replace("COMBINATION", combination)
}

#[test]
fn csaf_of_both_versions_says_the_same() {
    let old = csaf(
        "2.0",
        r#""purl": "pkg:rpm/redhat/lib@1-1?arch=src""#,
        r#""relationships": [{"category": "default_component_of", "product_reference": "LIB",
            "relates_to_product_reference": "OS", "full_product_name": {"name": "Lib of OS", "product_id": "OS:LIB"}}]"#,
    );
    let new = csaf(
        "2.1",
        r#""purls": ["pkg:rpm/redhat/lib@1-1?arch=src"]"#,
        r#""product_paths": [{"beginning_product_reference": "LIB", "full_product_name": {"name": "Lib of OS",
            "product_id": "OS:LIB"}, "subpaths": [{"category": "default_component_of", "next_product_reference": "OS"}]}]"#,
    );
    let lib = "pkg:rpm/redhat/lib@1-1?arch=src";
    let list = "vulnerabilities[0].product_status";
    for json in [old, new] {
        let (documents, problems) = read(&json);
        let document = &documents[0];
        assert_eq!((document.author.as_str(), document.id.as_str()), ("https://acme.example", "ACME-1"));
        assert_eq!(
            lines(document),
            [
                format!(
                    "{list}.known_not_affected CVE-1=X-1 not_affected  cpe:/o:redhat:enterprise_linux:9 > {lib}"
                ),
                format!(
                    "{list}.known_not_affected#1 CVE-1=X-1 not_affected vulnerable_code_not_present Thing"
                ),
                format!(
                    "{list}.known_not_affected#2 CVE-1=X-1 not_affected vulnerable_code_not_present pkg:npm/old vers:npm/<2.0.0"
                ),
                format!("{list}.fixed CVE-1=X-1 fixed  {lib}"),
                format!("{list}.known_affected CVE-1=X-1 affected  cpe:/o:redhat:enterprise_linux:9"),
            ]
        );
        assert_eq!(document.statements[2].impact.as_deref(), Some("it is not built"));
        assert_eq!(document.statements[4].action.as_deref(), Some("unplug it"));
        assert_eq!(
            problems,
            [
                "vulnerabilities[0].flags[1].label: \"odd\" is no justification",
                "vulnerabilities[0].product_status.known_not_affected: the product \"GONE\" is not in the tree, or has no name",
                "vulnerabilities[1]: it has neither a cve nor an id",
            ]
        );
    }
}

const CYCLONEDX: &str = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 2,
  "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
  "metadata": {"timestamp": "2022-01-13T00:00:00Z", "supplier": {"name": "Acme"},
    "component": {"type": "container", "bom-ref": "image", "name": "acme/app", "purl": "pkg:oci/app"}},
  "components": [{"type": "library", "bom-ref": "a", "name": "a", "purl": "pkg:npm/a@1", "components": [
    {"type": "library", "bom-ref": "b", "name": "b", "purl": "pkg:npm/b@1"}]}],
  "vulnerabilities": [
    {"id": "CVE-1", "references": [{"id": "GHSA-1", "source": {}}], "analysis": {"state": "not_affected",
      "justification": "requires_configuration", "detail": "it is off"}, "affects": [{"ref": "b"}, {"ref": "image"},
      {"ref": "urn:cdx:3E671687-395b-41f5-a30f-a58921a69b79/2#a"}, {"ref": "urn:cdx:00000000-395b-41f5-a30f-a58921a69b79/1#pkg:npm/c@1"},
      {"ref": "urn:cdx:00000000-395b-41f5-a30f-a58921a69b79/1#acme"}]},
    {"id": "CVE-2", "analysis": {"state": "exploitable"}, "recommendation": "update", "affects": [{"ref": "a", "versions": [
      {"range": "vers:npm/<2.0.0"}, {"version": "2.0.0", "status": "unaffected"}, {"version": "3.0.0", "status": "unknown"}]}]},
    {"id": "CVE-3", "affects": [{"ref": "a"}]},
    {"id": "CVE-4", "analysis": {"state": "odd"}, "affects": [{"ref": "a"}]}]}"#;

#[test]
fn cyclonedx_speaks_of_parts_of_what_it_is_about() {
    let (documents, problems) = read(CYCLONEDX);
    let document = &documents[0];
    assert_eq!((document.author.as_str(), document.version.as_str()), ("Acme", "2"));
    let why =
        "vulnerabilities[0] CVE-1=GHSA-1 not_affected vulnerable_code_cannot_be_controlled_by_adversary";
    assert_eq!(
        lines(document),
        [
            format!("{why} pkg:oci/app > pkg:npm/b@1"),
            format!("{why} pkg:oci/app"),
            format!("{why} pkg:oci/app > pkg:npm/a@1"),
            format!("{why} pkg:npm/c@1"),
            format!("{why} urn:cdx:00000000-395b-41f5-a30f-a58921a69b79/1#acme"),
            "vulnerabilities[1] CVE-2 affected  pkg:oci/app > pkg:npm/a@1 vers:npm/<2.0.0".to_owned(),
            "vulnerabilities[1]#under_investigation CVE-2 under_investigation  pkg:oci/app > pkg:npm/a@1 3.0.0".to_owned(),
            "vulnerabilities[1]#not_affected CVE-2 not_affected  pkg:oci/app > pkg:npm/a@1 2.0.0".to_owned(),
        ]
    );
    assert_eq!(document.statements[0].impact.as_deref(), Some("requires_configuration: it is off"));
    assert_eq!(problems, ["vulnerabilities[3].analysis.state: \"odd\" is no state"]);
}

#[test]
fn each_state_and_status_has_its_word() {
    for (state, status) in [
        ("resolved", VexStatus::Fixed),
        ("resolved_with_pedigree", VexStatus::Fixed),
        ("exploitable", VexStatus::Affected),
        ("in_triage", VexStatus::UnderInvestigation),
        ("false_positive", VexStatus::NotAffected),
        ("not_affected", VexStatus::NotAffected),
    ] {
        let json = CYCLONEDX.replace("\"odd\"", &format!("{state:?}"));
        let (documents, _) = read(&json);
        assert_eq!(documents[0].statements.last().map(|s| s.status), Some(status), "{state}");
    }
    assert!(VexStatus::ALL.iter().all(|status| VexStatus::from_word(status.as_str()) == Some(*status)));
    assert!(Justification::ALL.iter().all(|why| Justification::from_word(why.as_str()) == Some(*why)));
    assert!(matches!(Identity::of("pkg:npm/a@1"), Identity::Purl(_)));
    assert!(matches!(Identity::of("pkg:"), Identity::Name(_)));
}

/// The documents of `../shared/data/vex`, where they are there.
fn real_documents() -> Option<Vec<(String, Vec<u8>)>> {
    let folder = std::fs::read_dir("../../../shared/data/vex").ok()?;
    let mut all = Vec::new();
    for entry in folder {
        let path = entry.expect("a folder lists its files").path();
        let file = std::fs::File::open(&path).expect("the file is there");
        let mut archive = tar::Archive::new(zstd::Decoder::new(file).expect("it is zstd"));
        for entry in archive.entries().expect("it is a tar archive") {
            let mut entry = entry.expect("the archive is whole");
            let name = entry.path().expect("it has a name").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).expect("the archive is whole");
            all.push((name, bytes));
        }
    }
    all.sort();
    Some(all)
}

#[test]
fn real_documents_of_all_formats_are_read() {
    let Some(files) = real_documents() else {
        eprintln!("../shared/data/vex is not there");
        return;
    };
    let mut counts: std::collections::BTreeMap<(Format, &str), usize> = std::collections::BTreeMap::new();
    for (name, bytes) in &files {
        let is_vex = name.ends_with("openvex.json")
            || name.ends_with(".vex.json")
            || name.contains("examples/csaf/") && name.ends_with(".json")
            || name.contains("Case-") && name.ends_with("/vex.json")
            || name.contains("rhel/vex/testdata/cve-") && name.ends_with(".json");
        if !is_vex {
            // Whatever else lies beside them must not be taken for one, nor break anything.
            _ = parse(bytes, &Limits::default());
            continue;
        }
        let (documents, problems) =
            parse(bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let document = &documents[0];
        let of_odd_words = name.contains("illegal-module") || name.contains("bad-rpmmod");
        assert!(problems.len() < 4 || of_odd_words, "{name}: {problems:?}");
        for statement in &document.statements {
            *counts.entry((document.format, statement.status.as_str())).or_default() += 1;
        }
    }
    let count = |format, status| counts.get(&(format, status)).copied().unwrap_or_default();
    assert_eq!(count(Format::OpenVex, "not_affected"), 47_808, "{counts:?}");
    assert_eq!(count(Format::OpenVex, "fixed"), 173, "{counts:?}");
    for status in VexStatus::ALL.map(VexStatus::as_str) {
        assert!(
            count(Format::Csaf, status) > 0 && count(Format::CycloneDx, status) > 0,
            "{status}: {counts:?}"
        );
    }
}
