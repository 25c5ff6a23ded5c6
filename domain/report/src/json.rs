//! The JSON report, by `report.schema.json`.

use model::{Gap, GapKind, Location, VexWord};
use serde_json::{Value, json};

use crate::{Report, Reported};

/// Raised when the shape of the JSON changes in a way that breaks readers.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything in one object.
pub(crate) fn document(report: &Report) -> Value {
    let mut whole = head(report);
    let (ignored, counted): (Vec<_>, Vec<_>) = report.findings.iter().partition(|f| f.is_suppressed());
    whole["findings"] = counted.into_iter().map(finding).collect();
    whole["suppressed"] = ignored.into_iter().map(finding).collect();
    whole
}

/// The head, and then each finding; lines tell themselves apart by `kind`.
pub(crate) fn lines(report: &Report) -> String {
    let tagged = |kind: &str, mut value: Value| {
        value["kind"] = kind.into();
        format!("{value}\n")
    };
    let kind = |f: &Reported| if f.is_suppressed() { "suppressed" } else { "finding" };
    let findings = report.findings.iter().map(|f| tagged(kind(f), finding(f)));
    [tagged("report", head(report))].into_iter().chain(findings).collect()
}

fn head(report: &Report) -> Value {
    let feed = |feed: &crate::Feed| {
        json!({
            "feed": feed.id,
            "advisories": feed.records.map(|(readable, _)| readable),
            "unreadable": feed.records.map(|(_, unreadable)| unreadable),
            "age_seconds": feed.age.map(|age| age.as_secs()),
        })
    };
    let aside = |aside: &crate::SetAside| {
        json!({
            "purl": aside.purl,
            "owner": aside.owner,
            "advisory": aside.advisory,
            "feed": aside.feed,
            "reason": aside.reason,
        })
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "starling", "version": report.tool},
        "image": {
            "name": report.image.name,
            "digest": report.image.digest,
            "platform": report.image.platform,
        },
        "sbom_digest": report.sbom_digest.as_str(),
        "findings_digest": report.findings_digest.as_str(),
        "distro": report.distro.as_ref().map(distro),
        "snapshot": report.snapshot,
        "coverage": report.coverage.as_str(),
        "coverage_states": report.states().into_iter().map(GapKind::as_str).collect::<Vec<_>>(),
        "problems": report.gaps.iter().map(problem).collect::<Vec<_>>(),
        "feeds": report.feeds.iter().map(feed).collect::<Vec<_>>(),
        "set_aside": report.set_aside.iter().map(aside).collect::<Vec<_>>(),
    })
}

fn distro(distro: &crate::DistroLine) -> Value {
    json!({
        "id": distro.id,
        "version": distro.version,
        "end_of_life": distro.end_of_life,
        "ended": distro.ended,
    })
}

fn problem(Gap { kind, place, what }: &Gap) -> Value {
    json!({"state": kind.as_str(), "place": place, "what": what})
}

fn vex(word: &VexWord) -> Value {
    json!({
        "status": word.status.as_str(),
        "held": word.held,
        "justification": word.justification.map(model::Justification::as_str),
        "detail": word.detail,
        "issuer": word.issuer,
        "document": word.document,
        "statement": word.statement,
        "score": word.score,
    })
}

fn finding(reported: &Reported) -> Value {
    let finding = &reported.finding;
    let advisory = |a: &model::AdvisoryMatch| {
        json!({
            "advisory": a.advisory,
            "feed": a.feed.as_str(),
            "reason": a.reason,
            "fixed_versions": a.fixed_versions,
            "no_fix": a.no_fix.map(model::NoFix::as_str),
            "notice": a.notice.map(model::Notice::as_str),
        })
    };
    let location = |Location { layer, path }: &Location| json!({"layer": layer, "path": path});
    let mut value = json!({
        "vulnerability": finding.vulnerability,
        "aliases": finding.aliases,
        "purl": finding.purl.as_str(),
        "package": finding.package,
        "version": finding.version,
        "fixed_versions": reported.fixed_versions(),
        "severity": finding.severity.as_str(),
        "status": reported.status(),
        "notice": finding.notice().map(model::Notice::as_str),
        "reason": finding.advisories.first().map(|first| first.reason.as_str()),
        "origin": reported.origin.map(model::Origin::as_str),
        "exploited": reported.exploited,
        "epss": reported.epss.map(|(probability, percentile)| {
            json!({"probability": probability, "percentile": percentile})
        }),
        "advisories": finding.advisories.iter().map(advisory).collect::<Vec<_>>(),
        "locations": reported.locations.iter().map(location).collect::<Vec<_>>(),
    });
    if let Some(word) = &finding.vex {
        value["vex"] = vex(word);
    }
    if let Some(ignored) = &reported.ignored {
        value["suppression"] = json!({"reason": ignored.reason, "expires": ignored.expires});
    } else if let Some(reason) = reported.suppression() {
        value["suppression"] = json!({"reason": reason, "expires": null});
    }
    value
}
