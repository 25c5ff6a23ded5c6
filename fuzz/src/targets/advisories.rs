//! Feeds: advisories with what is made of them up to the report, and what is known beside them.

use advisory::enrichment::Enrichment;
use advisory::formats::Piece;
use advisory::jsonl::{self, Content};
use advisory::{Advisory, Limits, formats};
use evaluation::{Index, evaluate, explain, findings_digest};
use inventory::purl::PurlBuilder;
use model::{Component, Coverage, Digest, Distro, FeedId, Finding, Location, PackageKind, Sbom};
use report::{Format, Image, Report, Reported};
use version::Event;

pub(super) const WORDS: &[&str] = &[
    "id",
    "aliases",
    "upstream",
    "related",
    "modified",
    "published",
    "withdrawn",
    "severity",
    "affected",
    "package",
    "ecosystem",
    "name",
    "purl",
    "ranges",
    "events",
    "introduced",
    "fixed",
    "last_affected",
    "limit",
    "versions",
    "ECOSYSTEM",
    "SEMVER",
    "GIT",
    "npm",
    "PyPI",
    "Debian:12",
    "Alpine:v3.20",
    "Go",
    "Maven",
    "crates.io",
    "RubyGems",
    "Red Hat",
    "Rocky Linux:9",
    "Ubuntu:24.04:LTS",
    "CVSS_V3",
    "CVSS_V4",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVE-2026-1",
    "0",
    "*",
    "1.0-1",
    "v1.2.3",
    "cveID",
    "vulnerabilities",
    "cve,epss,percentile",
    "NaN",
    "inf",
    "0.5",
    "packages",
    "pkg",
    "secfixes",
    "distroversion",
    "reponame",
    "urlprefix",
    "releases",
    "bookworm",
    "status",
    "fixed_version",
    "nodsa_reason",
    "urgency",
    "document",
    "tracking",
    "product_tree",
    "branches",
    "relationships",
    "product_id",
    "known_not_affected",
    "pkg:rpm/redhat/a@1?epoch=1",
    "cpe:/o:redhat:enterprise_linux:8",
    "\u{1}",
    "<",
    "&",
    "]]>",
    "|",
    "\n",
    "=1+1",
    "`",
    "\u{2028}",
];

const RECORD: &str = r#"{"id":"GHSA-1","modified":"2026-01-02T00:00:00Z","aliases":["CVE-2026-2","CVE-2026-1"],
"upstream":["CVE-2026-3"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
"affected":[{"package":{"ecosystem":"PyPI","name":"Foo_Bar"},"versions":["1.0"],"ecosystem_specific":{"severity":"LOW"},
"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2"}]}]},{"package":{"ecosystem":"npm","name":"a"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"2.0.0"},{"last_affected":"2.1.0"},{"limit":"3.0.0"}]}]},
{"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}"#;

pub(super) fn osv_seeds() -> Vec<Vec<u8>> {
    let withdrawn = RECORD.replacen("\"aliases\"", "\"withdrawn\":\"2026-01-01T00:00:00Z\",\"aliases\"", 1);
    vec![RECORD.as_bytes().to_vec(), withdrawn.into_bytes()]
}

fn feed() -> FeedId {
    "feed".parse().expect("it is a name")
}

pub(super) fn secdb_seeds() -> Vec<Vec<u8>> {
    let alpine = r#"{"reponame":"main","distroversion":"v3.20","packages":[
        {"pkg":{"name":"curl","secfixes":{"8.1.0-r0":["CVE-2023-1","CVE-2023-2 XSA-1"],"0":["CVE-2022-9"]}}},
        {"pkg":{"name":"apk","secfixes":{"2.0-r1":["CVE-2023-2"],"3":null}}},{"pkg":{"name":"none"}}]}"#;
    let wolfi = r#"{"reponame":"os","urlprefix":"https://packages.wolfi.dev","packages":[
        {"pkg":{"name":"a","secfixes":{"1":["GHSA-1"]}}}]}"#;
    let record =
        r#"{"distroversion":"v3.20","fixes":{"curl":"8.1.0-r0"},"id":"CVE-2023-1","reponame":"main"}"#;
    [alpine, wolfi, record].map(|text| text.as_bytes().to_vec()).into()
}

pub(super) fn tracker_seeds() -> Vec<Vec<u8>> {
    let document = r#"{"a":{"CVE-2024-1":{"description":"x","releases":{
        "bookworm":{"status":"resolved","fixed_version":"1.0-1","urgency":"not yet assigned"},
        "trixie":{"status":"open","nodsa_reason":"ignored","urgency":"low"},
        "sid":{"status":"resolved","fixed_version":"0"}}}},"b":{"CVE-2024-2":{"releases":{}}}}"#;
    vec![document.as_bytes().to_vec()]
}

pub(super) fn csaf_seeds() -> Vec<Vec<u8>> {
    let product = |id: &str, helper: &str| {
        format!(
            r#"{{"category":"x","name":"{id}","product":{{"name":"{id}","product_id":"{id}",
            "product_identification_helper":{{{helper}}}}}}}"#
        )
    };
    let platform = product("EL9", r#""cpe":"cpe:/o:redhat:enterprise_linux:9::baseos""#);
    let package = product("a-1", r#""purl":"pkg:rpm/redhat/a@1.0-1.el9?arch=src&epoch=1""#);
    let relation = r#"{"category":"default_component_of","full_product_name":{"name":"x","product_id":"EL9:a-1"},
        "product_reference":"a-1","relates_to_product_reference":"EL9"}"#;
    let said = |status: &str| {
        format!(
            r#"{{"document":{{"category":"csaf_vex","csaf_version":"2.0","aggregate_severity":{{"text":"Important"}},
            "tracking":{{"id":"CVE-2024-1","status":"final","initial_release_date":"2024-01-01T00:00:00Z"}}}},
            "product_tree":{{"branches":[{{"category":"vendor","name":"v","branches":[{platform},{package}]}}],
            "relationships":[{relation}]}},"vulnerabilities":[{{"cve":"CVE-2024-1","product_status":{{
            "{status}":["EL9:a-1"]}},"remediations":[{{"category":"no_fix_planned","details":"Will not fix",
            "product_ids":["EL9:a-1"]}}],"scores":[{{"products":["EL9:a-1"],"cvss_v3":{{"vectorString":
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}}}]}}]}}"#
        )
    };
    ["fixed", "known_affected", "under_investigation"].map(|status| said(status).into_bytes()).into()
}

/// Records of a document that are followed: each costs an evaluation.
const FOLLOWED: usize = 20;

/// A document in every format: taken apart, each advisory matched with what it speaks of, and reported.
pub(super) fn document(input: &[u8]) {
    let limits = Limits::default();
    for format in &formats::FORMATS {
        let mut records = Vec::new();
        let split = format.split(input.to_vec(), &limits, &mut |piece| {
            if let Piece::Record(record) = piece {
                records.push(record);
            }
            records.len() < FOLLOWED
        });
        assert!(split.is_ok() || format.splits(), "what is not taken apart does not break off");
        for record in records {
            if let Ok((advisory, _)) = (format.parse)(&record, &limits) {
                follow(&advisory);
            }
        }
    }
}

fn follow(advisory: &Advisory) {
    let sbom = affected_sbom(advisory);
    let index = Index::build([(feed(), advisory.clone())]);
    let evaluation = evaluate(&sbom, &index);
    let twice = Index::build([advisory, advisory].map(|same| (feed(), same.clone())));
    assert!(advisory.withdrawn <= evaluation.findings.is_empty(), "withdrawn records never match");
    assert!(evaluation.findings.is_sorted());
    assert_eq!(
        evaluate(&sbom, &twice).findings.len(),
        evaluation.findings.len(),
        "said twice it is one finding"
    );
    assert!(!explain(&sbom, &index, &advisory.id).reasons.is_empty());
    report(evaluation.findings);
}

/// Components called as the advisory calls them, in the versions it names.
fn affected_sbom(advisory: &Advisory) -> Sbom {
    let mut components = Vec::new();
    for affected in advisory.affected.iter().take(20) {
        let events = affected.ranges.iter().flat_map(|range| &range.events).map(text);
        let versions = affected.versions.iter().map(String::as_str).chain(events).take(20);
        let kind = affected.ecosystem.kind().unwrap_or(PackageKind::Npm);
        components.extend(versions.filter_map(|version| component(kind, &affected.package, version)));
    }
    components.sort();
    components.dedup();
    let kind = components.first().map(|component| component.kind);
    Sbom { distro: Some(distro(kind)), components, ..Sbom::default() }
}

fn distro(kind: Option<PackageKind>) -> Distro {
    let (id, version) = match kind {
        Some(PackageKind::Apk) => ("alpine", "3.20"),
        Some(PackageKind::Rpm) => ("rhel", "9"),
        _ => ("debian", "12"),
    };
    Distro { id: id.to_owned(), version: version.to_owned(), codename: None }
}

fn text(event: &Event) -> &str {
    match event {
        Event::Introduced(text) | Event::Fixed(text) | Event::LastAffected(text) | Event::Limit(text) => text,
    }
}

fn component(kind: PackageKind, name: &str, version: &str) -> Option<Component> {
    Some(Component {
        purl: PurlBuilder::new(kind.as_str(), name).version(version).build().ok()?,
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![Location { layer: 0, path: "x".to_owned() }],
    })
}

/// Every format takes every finding.
fn report(findings: Vec<Finding>) {
    let digest = findings_digest(&findings);
    let reported = |finding| Reported {
        finding,
        locations: vec![],
        exploited: false,
        epss: None,
        origin: None,
        ignored: None,
    };
    let report = Report {
        distro: None,
        tool: "0".to_owned(),
        image: Image { name: "image".to_owned(), digest: String::new(), platform: None },
        sbom_digest: Digest::of(b""),
        findings_digest: digest,
        snapshot: String::new(),
        coverage: Coverage::Complete,
        gaps: Vec::new(),
        feeds: Vec::new(),
        findings: findings.into_iter().map(reported).collect(),
        set_aside: Vec::new(),
    };
    for (word, format) in Format::ALL {
        let text = report.write(format);
        match format {
            Format::Json | Format::Sarif | Format::Gitlab => {
                let json = serde_json::from_str::<serde_json::Value>(&text);
                assert!(json.is_ok(), "{word}: {json:?}");
            }
            Format::Jsonl => {
                assert_eq!(text.lines().count(), 1 + report.findings.len(), "one object a line");
            }
            Format::Junit => {
                let forbidden = |c: char| c < ' ' && !"\t\r\n".contains(c) || "\u{fffe}\u{ffff}".contains(c);
                assert!(!text.contains(forbidden), "XML 1.0 has no such characters: {text:?}");
            }
            Format::Markdown | Format::Csv => {}
        }
    }
}

pub(super) fn jsonl_seeds() -> Vec<Vec<u8>> {
    vec![b"{\"id\":1}\r\n\n  \n[1]\nlast".to_vec()]
}

/// All lines that are not blank are there, in order, whatever the buffer's size is.
pub(super) fn jsonl(input: &[u8]) {
    let limits = Limits { record_bytes: 40, records: 50, ..Limits::default() };
    let read = |size| {
        let reader = std::io::BufReader::with_capacity(size, input);
        jsonl::lines(reader, &limits).map(|line| line.map_err(|error| error.to_string())).collect::<Vec<_>>()
    };
    let lines = read(1);
    assert_eq!(lines, read(4096));
    let all: Vec<&[u8]> = input.split(|&b| b == b'\n').collect();
    let blank = |line: &&[u8]| line.trim_ascii().is_empty();
    // Of a blank line that is too long nobody knows that it is blank.
    let long = all.iter().copied().filter(blank).filter(|line| line.len() > limits.record_bytes).count();
    let records = all.len() - all.iter().copied().filter(blank).count();
    assert!((records.min(51)..=(records + long).min(51)).contains(&lines.len()), "{lines:?}");
    for line in lines.into_iter().flatten() {
        assert!(!matches!(line.content, Content::Record(record) if record.len() > limits.record_bytes));
    }
}

pub(super) fn kev_seeds() -> Vec<Vec<u8>> {
    vec![br#"{"count":2,"vulnerabilities":[{"cveID":"CVE-2021-44228","x":1},{"cveID":"none"}]}"#.to_vec()]
}

pub(super) fn kev(input: &[u8]) {
    let mut enrichment = Enrichment::default();
    if let Ok(problems) = enrichment.add_kev(input) {
        assert!(problems.len() <= 100 && enrichment.counts().1 == 0);
    }
}

pub(super) fn epss_seeds() -> Vec<Vec<u8>> {
    let text = "#model_version:v2025.03.14\ncve,epss,percentile\nCVE-2021-44228,0.94358,0.99961\nCVE-2026-2,1.5,0.1\n";
    vec![text.as_bytes().to_vec()]
}

/// Every score is a share.
pub(super) fn epss(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut enrichment = Enrichment::default();
    if enrichment.add_epss(&text).is_ok() {
        let names = text.lines().filter_map(|line| line.split(',').next()).map(str::trim);
        if let Some(score) = enrichment.score(names) {
            let is_share = |number| (0.0..=1.0).contains(&number);
            assert!(is_share(score.probability) && is_share(score.percentile), "{score:?}");
        }
    }
}
