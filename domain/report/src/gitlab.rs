//! GitLab's container scanning report, schema 15.2.

use model::Severity;
use serde_json::{Value, json};

use crate::{Report, Reported};

const VERSION: &str = "15.2.1";
/// The longest texts that the schema allows.
const NAME_MAX: usize = 255;
const SOLUTION_MAX: usize = 7_000;
/// The schema wants times; ours is always the same, so that the same result gives the same bytes.
const TIME: &str = "1970-01-01T00:00:00";

/// Findings that are ignored are left out: GitLab keeps its own list of what was dismissed.
pub(crate) fn document(report: &Report) -> Value {
    let tool = json!({
        "id": "starling",
        "name": "Starling",
        "version": report.tool,
        "vendor": {"name": "Starling"},
    });
    let message = |text: String| json!({"level": "warn", "value": text});
    json!({
        "version": VERSION,
        "scan": {
            "analyzer": tool,
            "scanner": tool,
            "type": "container_scanning",
            "start_time": TIME,
            "end_time": TIME,
            "status": if report.is_to_be_trusted() { "success" } else { "failure" },
            "messages": report.notes().into_iter().map(message).collect::<Vec<_>>(),
        },
        "vulnerabilities": report.counted().map(|f| vulnerability(report, f)).collect::<Vec<_>>(),
        "remediations": [],
    })
}

fn vulnerability(report: &Report, reported: &Reported) -> Value {
    let finding = &reported.finding;
    let names = [&finding.vulnerability].into_iter().chain(&finding.aliases);
    json!({
        "id": reported.fingerprint().as_str(),
        "name": cut(&format!("{} in {}", finding.vulnerability, finding.package), NAME_MAX),
        "description": reported.line(),
        "severity": severity(finding.severity),
        "solution": cut(&reported.advice(), SOLUTION_MAX),
        "identifiers": names.map(|name| identifier(name)).collect::<Vec<_>>(),
        "location": {
            "dependency": {"package": {"name": finding.package}, "version": finding.version},
            "operating_system": operating_system(finding.purl.as_str()),
            "image": report.image.name,
        },
    })
}

/// What the package URL says of the distribution; the schema wants some text.
fn operating_system(purl: &str) -> &str {
    let qualifiers = purl.split_once('?').map_or("", |(_, qualifiers)| qualifiers);
    let distro = qualifiers.split('&').find_map(|pair| pair.strip_prefix("distro="));
    distro.unwrap_or("unknown")
}

fn identifier(name: &str) -> Value {
    let kind = name.split('-').next().unwrap_or_default().to_lowercase();
    json!({"type": if kind.is_empty() { "other" } else { &kind }, "name": name, "value": name})
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::None => "Info",
        Severity::Unknown => "Unknown",
    }
}
