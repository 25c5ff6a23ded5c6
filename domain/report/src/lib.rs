//! What was found in an image, in the formats that people and other tools read.
//!
//! [`Report`] is everything there is to say; each format is one module and one line of [`Format`]. None of them may
//! hide that a result is not complete: every format says the coverage in the words that its readers look at.
//! [`ignore`] are the rules by which findings are set aside, each with a reason and a day on which it ends.

mod csv_rows;
mod gitlab;
pub mod ignore;
mod json;
mod junit;
mod markdown;
mod sarif;
mod several;
mod template;

use std::time::Duration;

use model::{Coverage, Digest, Finding, Gap, GapKind, Location, Origin, VexWord};

use ignore::Ignored;

pub use json::SCHEMA_VERSION;
pub use several::{marks, write_all};
pub use template::{TEMPLATE_BYTES, TemplateError};

/// The schema of the JSON report (JSON Schema 2020-12).
pub const SCHEMA: &str = include_str!("report.schema.json");

/// Everything there is to say about an image's result.
#[derive(Debug, Clone)]
pub struct Report {
    /// Our own version.
    pub tool: String,
    /// What was scanned.
    pub image: Image,
    /// Names the list of components.
    pub sbom_digest: Digest,
    /// Names the findings, those that are ignored included.
    pub findings_digest: Digest,
    /// What it is built on, where that is known.
    pub distro: Option<DistroLine>,
    /// Names the state of the advisories.
    pub snapshot: String,
    /// How far the result can be trusted.
    pub coverage: Coverage,
    /// What it lacks, worst first: any of it makes the result one that is not to be trusted.
    pub gaps: Vec<Gap>,
    /// The feeds that were asked.
    pub feeds: Vec<Feed>,
    /// What holds.
    pub findings: Vec<Reported>,
    /// Matches that the distributor's word on its own files overrules.
    pub set_aside: Vec<SetAside>,
}

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// How it is called.
    pub name: String,
    /// Its manifest's digest; empty where only an SBOM is known.
    pub digest: String,
    /// What it runs on, such as `linux/arm64`, where that is known.
    pub platform: Option<String>,
}

/// The distribution an image is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistroLine {
    /// `debian`.
    pub id: String,
    /// `12`.
    pub version: String,
    /// The last day on which it is cared for, where that is known.
    pub end_of_life: Option<String>,
    /// Whether that day is over.
    pub ended: bool,
}

/// A feed that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its name.
    pub id: String,
    /// How many advisories it has, and how many of its records could not be read; where that is known.
    pub records: Option<(usize, usize)>,
    /// How old it is, where that is known.
    pub age: Option<Duration>,
}

/// A finding with what is known beside it.
#[derive(Debug, Clone)]
pub struct Reported {
    /// The finding.
    pub finding: Finding,
    /// Where its component was seen.
    pub locations: Vec<Location>,
    /// Whether it is known to be exploited.
    pub exploited: bool,
    /// How likely it is exploited: probability and percentile, 0 to 1.
    pub epss: Option<(f64, f64)>,
    /// Who brought its component into the image, where that is known.
    pub origin: Option<Origin>,
    /// The rule that ignores it.
    pub ignored: Option<Ignored>,
}

/// A match that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The component.
    pub purl: String,
    /// The OS package that its files belong to.
    pub owner: String,
    /// The advisory that would apply.
    pub advisory: String,
    /// Its feed.
    pub feed: String,
    /// The comparison.
    pub reason: String,
}

/// The formats of a report, but for the table, which needs a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object with everything, by [`SCHEMA`].
    Json,
    /// One object a line: the report without findings, then each finding.
    Jsonl,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for what shows tests.
    Junit,
    /// GitLab's container scanning report, 15.
    Gitlab,
    /// A table for a comment on a change.
    Markdown,
    /// Comma-separated values (RFC 4180).
    Csv,
}

impl Format {
    /// Every format with its word.
    pub const ALL: [(&str, Self); 7] = [
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
        ("gitlab", Self::Gitlab),
        ("markdown", Self::Markdown),
        ("csv", Self::Csv),
    ];
}

impl Report {
    /// The report in a format, with a line's end.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Json => pretty(&json::document(self)),
            Format::Jsonl => json::lines(self),
            Format::Sarif => pretty(&sarif::document(&[(self, &self.image.name)])),
            Format::Junit => junit::document(&[(self, &self.image.name)]),
            Format::Gitlab => pretty(&gitlab::document(self)),
            Format::Markdown => markdown::document(self, &self.image.name),
            Format::Csv => csv_rows::document(self),
        }
    }

    /// The report as a minijinja template makes it. The template sees the JSON report.
    pub fn render(&self, template: &str) -> Result<String, TemplateError> {
        template::render(template, &json::document(self))
    }

    /// The findings that count.
    pub fn counted(&self) -> impl Iterator<Item = &Reported> {
        self.findings.iter().filter(|reported| !reported.is_suppressed())
    }

    /// Whether what it does not find may be taken for absent.
    pub fn is_to_be_trusted(&self) -> bool {
        self.coverage == Coverage::Complete && self.gaps.is_empty()
    }

    /// The states that keep it from being trusted, worst first.
    pub fn states(&self) -> Vec<GapKind> {
        Gap::kinds(&self.gaps)
    }

    /// What must be said of a result that is not to be trusted: the coverage, and each state that is so.
    pub fn caveats(&self) -> Vec<String> {
        let coverage = (self.coverage != Coverage::Complete)
            .then(|| format!("coverage is {}: this is not a clean result", self.coverage.as_str()));
        let states = self.states().into_iter().map(|kind| format!("{}: {}", kind.as_str(), kind.meaning()));
        coverage.into_iter().chain(states).collect()
    }

    /// The caveats and what each is about, for people.
    fn notes(&self) -> Vec<String> {
        self.caveats().into_iter().chain(self.gaps.iter().map(gap_line)).collect()
    }
}

/// One gap for people.
fn gap_line(Gap { kind, place, what }: &Gap) -> String {
    format!("{}: {place}: {what}", kind.as_str())
}

impl Reported {
    /// Versions in which it is fixed; none where it is not.
    pub fn fixed_versions(&self) -> &[String] {
        self.finding.fix.versions()
    }

    /// `fixed` or why it is not.
    pub fn status(&self) -> &'static str {
        self.finding.fix.as_str()
    }

    /// What it is, where it is no vulnerability, behind its name.
    pub fn notice_in_brackets(&self) -> String {
        self.finding.notice().map(|notice| format!(" ({})", notice.as_str())).unwrap_or_default()
    }

    /// Whether it does not count: by a rule, or by what its supplier says.
    pub fn is_suppressed(&self) -> bool {
        self.ignored.is_some() || self.is_by_vex()
    }

    /// Whether it does not count for what its supplier says, and no rule is needed for it.
    pub fn is_by_vex(&self) -> bool {
        self.ignored.is_none() && self.finding.vex.as_ref().is_some_and(VexWord::suppresses)
    }

    /// Why it does not count, for people.
    pub fn suppression(&self) -> Option<String> {
        match &self.ignored {
            Some(ignored) => Some(format!("{} (until {})", ignored.reason, ignored.expires)),
            None => self.finding.vex.as_ref().filter(|word| word.suppresses()).map(said),
        }
    }

    /// What to do about it, for people.
    fn advice(&self) -> String {
        match self.fixed_versions() {
            [] => format!("No fixed version of {} is known ({}).", self.finding.package, self.status()),
            versions => format!("Update {} to {}.", self.finding.package, versions.join(" or ")),
        }
    }

    /// One line for people.
    fn line(&self) -> String {
        let Finding { vulnerability, package, version, severity, .. } = &self.finding;
        let notice = self.finding.notice().map(|notice| format!(", {}", notice.as_str())).unwrap_or_default();
        format!("{vulnerability} ({severity}{notice}) in {package} {version}. {}", self.advice())
    }

    /// Names the finding from one scan to the next.
    fn fingerprint(&self) -> Digest {
        let Finding { vulnerability, purl, .. } = &self.finding;
        Digest::of(format!("{vulnerability}\n{purl}").as_bytes())
    }
}

/// What a supplier says, for people.
pub fn said(word: &VexWord) -> String {
    let why = word.justification.map(|why| format!(" ({})", why.as_str())).unwrap_or_default();
    let detail = word.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let held = if word.held { "; it is contradicted, and a person has to decide" } else { "" };
    format!("{}{why}{detail}, says {} in {}{held}", word.status.as_str(), word.issuer, word.document)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
