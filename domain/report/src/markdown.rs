//! A table for a comment on a change (GitHub Flavored Markdown, which GitLab reads too).
//!
//! What comes from an image stands in code, where it makes no links, pictures or mentions.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::Severity;

use crate::{Report, Reported};

/// Comments are bounded; whoever needs more has other formats.
const ROWS: usize = 200;

/// The table of an image, which is called so.
pub(crate) fn document(report: &Report, name: &str) -> String {
    let mut out = format!("### Starling: {}\n\n", code(name));
    if !report.is_to_be_trusted() {
        out.push_str("> **Not a clean result.**\n");
        report.caveats().iter().for_each(|caveat| out.push_str(&format!("> - {}\n", code(caveat))));
        let gaps = report.gaps.iter().take(ROWS);
        gaps.for_each(|gap| {
            out.push_str(&format!("> - {}: {}: {}\n", gap.kind.as_str(), code(&gap.place), code(&gap.what)));
        });
        out.push('\n');
    }
    let mut findings: Vec<&Reported> = report.counted().collect();
    findings.sort_by_key(|reported| Reverse(reported.finding.severity));
    out.push_str(&summary(&findings));
    if !findings.is_empty() {
        out.push_str("| Severity | Vulnerability | Package | Version | Fixed in |\n|---|---|---|---|---|\n");
        findings.iter().take(ROWS).for_each(|reported| out.push_str(&row(reported)));
    }
    if findings.len() > ROWS {
        out.push_str(&format!("\n{} more are not shown.\n", findings.len() - ROWS));
    }
    let by_vex = report.findings.iter().filter(|reported| reported.is_by_vex()).count();
    let ignored = report.findings.len() - findings.len() - by_vex;
    for (number, by) in [(ignored, "ignored by rules"), (by_vex, "suppressed by VEX")] {
        if number > 0 {
            out.push_str(&format!("\n{number} {by}.\n"));
        }
    }
    out.push_str(&format!("\nSnapshot {}\n", code(&report.snapshot)));
    out
}

fn summary(findings: &[&Reported]) -> String {
    let mut counts: BTreeMap<Reverse<Severity>, usize> = BTreeMap::new();
    findings.iter().for_each(|f| *counts.entry(Reverse(f.finding.severity)).or_default() += 1);
    let counts: Vec<_> = counts.iter().map(|(Reverse(severity), n)| format!("{n} {severity}")).collect();
    match counts.as_slice() {
        [] => "No findings.\n".to_owned(),
        counts => format!("{} findings: {}\n\n", findings.len(), counts.join(", ")),
    }
}

fn row(reported: &Reported) -> String {
    let finding = &reported.finding;
    let exploited = if reported.exploited { " (exploited)" } else { "" };
    let fixed = match reported.fixed_versions() {
        [] => reported.status().replace('-', " "),
        versions => code(&versions.join(", ")),
    };
    let (vulnerability, package) = (code(&finding.vulnerability), code(&finding.package));
    let version = code(&finding.version);
    let notice = reported.notice_in_brackets();
    format!(
        "| {} | {vulnerability}{notice}{exploited} | {package} | {version} | {fixed} |\n",
        finding.severity
    )
}

/// Text as code in a cell: nothing in it has a meaning.
fn code(text: &str) -> String {
    let plain = |c: char| match c {
        '`' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    let text: String = text.chars().map(plain).collect();
    let text = text.trim().replace('|', "\\|");
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}
