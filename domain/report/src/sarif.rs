//! SARIF 2.1.0 (OASIS): a rule for each vulnerability, a result for each finding.

use std::collections::BTreeMap;

use model::{Gap, GapKind, Notice, Severity};
use serde_json::{Value, json};

use crate::{Report, Reported, gap_line};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// What the locations of results are relative to.
const ROOT: &str = "IMAGE";

/// A run for each image, under the name that it is told by.
pub(crate) fn document(reports: &[(&Report, &str)]) -> Value {
    let runs: Vec<Value> = reports.iter().map(|(report, category)| run(report, category)).collect();
    json!({"$schema": SCHEMA, "version": "2.1.0", "runs": runs})
}

fn run(report: &Report, category: &str) -> Value {
    let mut rules: BTreeMap<&str, Vec<&Reported>> = BTreeMap::new();
    for reported in &report.findings {
        rules.entry(&reported.finding.vulnerability).or_default().push(reported);
    }
    let numbers: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let results = report.findings.iter().map(|reported| result(report, reported, &numbers));
    json!({
        "tool": {"driver": {
            "name": "starling",
            "semanticVersion": report.tool,
            "notifications": report.states().into_iter().map(state).collect::<Vec<_>>(),
            "rules": rules.iter().map(|(id, findings)| rule(id, findings)).collect::<Vec<_>>(),
        }},
        "automationDetails": {"id": format!("starling/{category}")},
        "invocations": [invocation(report)],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root directory of the image."}}},
        "results": results.collect::<Vec<_>>(),
        "columnKind": "utf16CodeUnits",
        "properties": {
            "image": report.image.name,
            "digest": report.image.digest,
            "platform": report.image.platform,
            "coverage": report.coverage.as_str(),
            "coverage_states": report.states().into_iter().map(GapKind::as_str).collect::<Vec<_>>(),
            "snapshot": report.snapshot,
        },
    })
}

/// A run that was not complete was not successful, and says what it lacks.
fn invocation(report: &Report) -> Value {
    let note = |text: String| json!({"level": "warning", "message": {"text": text}});
    // The descriptor is what tools tell states apart by.
    let gap = |gap: &Gap| {
        let mut note = note(gap_line(gap));
        note["descriptor"] = json!({"id": gap.kind.as_str()});
        note
    };
    let caveats = report.caveats().into_iter().map(note);
    let notes: Vec<Value> = caveats.chain(report.gaps.iter().map(gap)).collect();
    json!({"executionSuccessful": report.is_to_be_trusted(), "toolExecutionNotifications": notes})
}

fn state(kind: GapKind) -> Value {
    json!({"id": kind.as_str(), "shortDescription": {"text": kind.meaning()}})
}

fn rule(id: &str, findings: &[&Reported]) -> Value {
    let severity = findings.iter().map(|f| f.finding.severity).max().unwrap_or_default();
    let mut names: Vec<&str> = findings.iter().flat_map(|f| &f.finding.aliases).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let advice: Vec<String> = findings.iter().map(|f| f.advice()).collect();
    let help = format!("{id} ({severity}). {}", advice.join("\n"));
    // It is a notice where it is one wherever it was found.
    let notice = Notice::of(findings.iter().map(|f| f.finding.notice()));
    let what = notice.map_or("vulnerability in a package", |notice| match notice {
        Notice::Unmaintained => "notice of a package that is unmaintained",
        Notice::Unsound => "notice of a package that is unsound",
        Notice::Notice => "notice about a package",
    });
    json!({
        "id": id,
        "shortDescription": {"text": format!("{id}: {severity} {what}")},
        "fullDescription": {"text": format!("Also called: {}", if names.is_empty() { "nothing else".to_owned() } else { names.join(", ") })},
        "help": {"text": help},
        "defaultConfiguration": {"level": level(severity)},
        "properties": {
            "tags": ["security", notice.map_or("vulnerability", Notice::as_str), severity.as_str()],
            "security-severity": score(severity),
        },
    })
}

fn result(report: &Report, reported: &Reported, numbers: &BTreeMap<&str, usize>) -> Value {
    let finding = &reported.finding;
    let mut result = json!({
        "ruleId": finding.vulnerability,
        "ruleIndex": numbers[finding.vulnerability.as_str()],
        "level": level(finding.severity),
        "message": {"text": reported.line()},
        "locations": locations(report, reported),
        "partialFingerprints": {"starling/v1": reported.fingerprint().as_str()},
        "properties": {
            "purl": finding.purl.as_str(),
            "fixed_versions": reported.fixed_versions(),
            "exploited": reported.exploited,
            "notice": finding.notice().map(Notice::as_str),
        },
    });
    if let Some(why) = reported.suppression() {
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": why}]);
    }
    if let Some(word) = &finding.vex {
        result["properties"]["vex"] = word.status.as_str().into();
    }
    result
}

/// Readers want a place for each result; where none is known it is the image.
fn locations(report: &Report, reported: &Reported) -> Vec<Value> {
    let place = |uri: String| {
        json!({
            "physicalLocation": {
                "artifactLocation": {"uri": uri, "uriBaseId": ROOT},
                "region": {"startLine": 1},
            },
            "logicalLocations": [{"fullyQualifiedName": reported.finding.purl.as_str(), "kind": "package"}],
        })
    };
    match reported.locations.as_slice() {
        [] => vec![place(encode(&report.image.name))],
        seen => seen.iter().map(|location| place(encode(&location.path))).collect(),
    }
}

/// A relative reference by RFC 3986 §4.2; `./` keeps a colon in its first part from being a scheme.
fn encode(path: &str) -> String {
    let mut uri = if path.contains(':') { "./".to_owned() } else { String::new() };
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' => {
                uri.push(byte.into());
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::None | Severity::Unknown => "note",
    }
}

/// Code scanning sorts by a number: the lowest that has this word (CVSS v3.1 §5).
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.0",
        Severity::High => "7.0",
        Severity::Medium => "4.0",
        Severity::Low => "0.1",
        Severity::None | Severity::Unknown => "0.0",
    }
}
