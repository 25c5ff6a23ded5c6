//! Comma-separated values (RFC 4180): a row for the coverage, for each problem and for each finding.

use crate::{Report, Reported};

const HEAD: [&str; 16] = [
    "kind",
    "vulnerability",
    "aliases",
    "package",
    "version",
    "purl",
    "severity",
    "status",
    "fixed_versions",
    "origin",
    "exploited",
    "epss",
    "advisories",
    "locations",
    "note",
    "notice",
];

/// Which of them is for people.
const NOTE: usize = 14;

pub(crate) fn document(report: &Report) -> String {
    write(&HEAD, rows(report))
}

/// The rows of all images, each with two more cells: what the image runs on, and its digest.
pub(crate) fn of_several(reports: &[&Report]) -> String {
    let head: Vec<&str> = HEAD.into_iter().chain(["platform", "image_digest"]).collect();
    let told = |report: &&Report| {
        let image = report.image.clone();
        let more = [image.platform.unwrap_or_default(), image.digest];
        rows(report).into_iter().map(move |row| row.into_iter().chain(more.clone()).collect())
    };
    write(&head, reports.iter().flat_map(told).collect())
}

fn write(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head = head.iter().map(|&name| name.to_owned()).collect();
    for row in [head].into_iter().chain(rows) {
        csv.write_record(row.into_iter().map(harmless)).expect("a vector takes everything");
    }
    String::from_utf8(csv.into_inner().expect("a vector takes everything")).expect("it was written from text")
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![said("coverage", report.coverage.as_str().to_owned())];
    rows.extend(report.caveats().into_iter().map(|caveat| said("caveat", caveat)));
    rows.extend(
        report.gaps.iter().map(|gap| said(gap.kind.as_str(), format!("{}: {}", gap.place, gap.what))),
    );
    rows.extend(report.findings.iter().map(finding));
    rows.into_iter().map(Vec::from).collect()
}

/// A row that is no finding.
fn said(kind: &str, note: String) -> [String; HEAD.len()] {
    let mut cells = HEAD.map(|_| String::new());
    cells[0] = kind.to_owned();
    cells[NOTE] = note;
    cells
}

fn finding(reported: &Reported) -> [String; HEAD.len()] {
    let finding = &reported.finding;
    let list = |texts: Vec<&str>| texts.join(" ");
    let kind = if reported.is_suppressed() { "suppressed" } else { "finding" };
    [
        kind.to_owned(),
        finding.vulnerability.clone(),
        finding.aliases.join(" "),
        finding.package.clone(),
        finding.version.clone(),
        finding.purl.to_string(),
        finding.severity.to_string(),
        reported.status().to_owned(),
        reported.fixed_versions().join(" "),
        reported.origin.map(|origin| origin.as_str().to_owned()).unwrap_or_default(),
        reported.exploited.to_string(),
        reported.epss.map(|(probability, _)| probability.to_string()).unwrap_or_default(),
        list(finding.advisories.iter().map(|a| a.advisory.as_str()).collect()),
        list(reported.locations.iter().map(|l| l.path.as_str()).collect()),
        reported.suppression().or_else(|| finding.vex.as_ref().map(crate::said)).unwrap_or_default(),
        finding.notice().map(|notice| notice.as_str().to_owned()).unwrap_or_default(),
    ]
}

/// A spreadsheet takes some cells for formulas, and what stands in an image is no one's formula. A scope of npm
/// (`@babel/core`) is none, and stays as it is.
fn harmless(cell: String) -> String {
    let mut letters = cell.chars();
    let is_formula = match letters.next() {
        Some('=' | '+' | '-' | '\t' | '\r') => true,
        Some('@') => !letters.take_while(|c| *c != '/').all(|c| c.is_ascii_lowercase() || c == '-'),
        _ => false,
    };
    if is_formula { format!("'{cell}") } else { cell }
}
