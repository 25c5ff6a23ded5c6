//! What suppliers say of an image's findings (VEX), in the CycloneDX document of its SBOM.
//!
//! Findings of which nobody says anything are not in it: a list of components is no report. Read back as VEX, it says
//! the same of the same components of the same image.

use model::{Finding, Justification, VexStatus, VexWord};
use serde_json::{Value, json};

use crate::uuid_named;

/// The document with what is said of findings. Where nothing is, it stays as it is.
pub fn with_analysis<'a>(mut document: Value, findings: impl IntoIterator<Item = &'a Finding>) -> Value {
    let said = findings.into_iter().filter_map(|finding| Some(vulnerability(finding, finding.vex.as_ref()?)));
    let said: Vec<Value> = said.collect();
    if !said.is_empty() {
        let said = Value::from(said);
        let name = format!("{}\n{said}", document["serialNumber"]);
        document["serialNumber"] = format!("urn:uuid:{}", uuid_named(name.as_bytes())).into();
        document["vulnerabilities"] = said;
    }
    document
}

fn vulnerability(finding: &Finding, word: &VexWord) -> Value {
    json!({
        "bom-ref": format!("{} {}", finding.vulnerability, finding.purl),
        "id": finding.vulnerability,
        "ratings": [{"severity": finding.severity.as_str()}],
        "analysis": analysis(word),
        "affects": [{"ref": finding.purl.as_str()}],
    })
}

/// What is held is not decided.
fn analysis(word: &VexWord) -> Value {
    let state = match word.status {
        _ if word.held => "in_triage",
        VexStatus::Affected => "exploitable",
        VexStatus::UnderInvestigation => "in_triage",
        VexStatus::Fixed => "resolved",
        VexStatus::NotAffected => "not_affected",
    };
    let mut analysis = json!({"state": state, "detail": detail(word)});
    if let Some(why) = word.justification.filter(|_| state == "not_affected") {
        analysis["justification"] = justification(why).into();
    }
    analysis
}

fn detail(word: &VexWord) -> String {
    let said = word.detail.as_ref().map(|detail| format!("{detail} ")).unwrap_or_default();
    let held = if word.held { "; contradicted, and held for a person to decide" } else { "" };
    format!("{said}({} by {} in {}{held})", word.status.as_str(), word.issuer, word.document)
}

const fn justification(why: Justification) -> &'static str {
    match why {
        Justification::ComponentNotPresent | Justification::VulnerableCodeNotPresent => "code_not_present",
        Justification::VulnerableCodeNotInExecutePath => "code_not_reachable",
        Justification::VulnerableCodeCannotBeControlledByAdversary => "requires_environment",
        Justification::InlineMitigationsAlreadyExist => "protected_by_mitigating_control",
    }
}
