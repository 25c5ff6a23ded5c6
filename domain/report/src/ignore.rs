//! Rules by which findings are set aside, from a TOML file.
//!
//! ```toml
//! [[ignore]]
//! vulnerability = "CVE-2021-44906"      # any of its names
//! package = "pkg:npm/minimist"          # a package URL, with or without version
//! path = "usr/share/"                   # where its files begin
//! reason = "the parser never sees user input"
//! expires = 2027-03-31                  # the last day on which the rule holds
//! ```
//!
//! Of `vulnerability`, `package` and `path` at least one is given, and all that are given must fit. A rule without a
//! reason or an end is refused.

use model::{Finding, Location};
use serde::Deserialize;
use time::Date;

/// The longest file that is read, in bytes.
pub const FILE_BYTES: usize = 1 << 20;

/// What is wrong with a file of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// It is not TOML of this shape.
    #[error("{0}")]
    Malformed(String),
    /// A rule lacks something.
    #[error("rule {number}: {what}")]
    Rule {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The rules of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    vulnerability: Option<String>,
    package: Option<String>,
    path: Option<String>,
    reason: String,
    expires: Date,
    used: bool,
}

/// Why a finding is ignored, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The rule's reason.
    pub reason: String,
    /// The last day on which it holds: `2027-03-31`.
    pub expires: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    ignore: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    vulnerability: Option<String>,
    package: Option<String>,
    path: Option<String>,
    #[serde(default)]
    reason: String,
    expires: Option<toml::value::Datetime>,
}

impl Rules {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = toml::from_str(text).map_err(|error| RulesError::Malformed(error.to_string()))?;
        let rule =
            |(number, raw): (usize, Raw)| raw.check().map_err(|what| RulesError::Rule { number, what });
        Ok(Self((1..).zip(file.ignore).map(rule).collect::<Result<_, _>>()?))
    }

    /// Why the finding is ignored today, if it is. The first rule that fits counts.
    pub fn ignore(&mut self, finding: &Finding, locations: &[Location], today: Date) -> Option<Ignored> {
        let rule = self.0.iter_mut().find(|rule| today <= rule.expires && rule.fits(finding, locations))?;
        rule.used = true;
        Some(Ignored { reason: rule.reason.clone(), expires: rule.expires.to_string() })
    }

    /// What people should hear of: rules that are over, and rules that no finding needed.
    pub fn remarks(&self, today: Date) -> Vec<String> {
        let remark = |(number, rule): (usize, &Rule)| {
            let what = if rule.expires < today {
                format!("ended on {}: its findings count again", rule.expires)
            } else if !rule.used {
                "fits no finding".to_owned()
            } else {
                return None;
            };
            Some(format!("ignore rule {number} ({}) {what}", rule.reason))
        };
        (1..).zip(&self.0).filter_map(remark).collect()
    }
}

impl Raw {
    fn check(self) -> Result<Rule, &'static str> {
        let Self { vulnerability, package, path, reason, expires } = self;
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (vulnerability, package, path) = (said(vulnerability), said(package), said(path));
        if vulnerability.is_none() && package.is_none() && path.is_none() {
            return Err("it needs a vulnerability, a package or a path");
        }
        if package.as_ref().is_some_and(|package| !package.starts_with("pkg:")) {
            return Err("its package is no package URL, such as pkg:npm/minimist");
        }
        if reason.trim().is_empty() {
            return Err("it needs a reason");
        }
        let expires = expires
            .as_ref()
            .and_then(date)
            .ok_or("it needs the day on which it ends: expires = 2027-03-31")?;
        let path = path.map(|path| path.trim_start_matches('/').to_owned());
        Ok(Rule { vulnerability, package, path, reason, expires, used: false })
    }
}

fn date(value: &toml::value::Datetime) -> Option<Date> {
    let date = value.date.filter(|_| value.time.is_none())?;
    let month = time::Month::try_from(date.month).ok()?;
    Date::from_calendar_date(date.year.into(), month, date.day).ok()
}

impl Rule {
    fn fits(&self, finding: &Finding, locations: &[Location]) -> bool {
        let names = || finding.aliases.iter().chain([&finding.vulnerability]);
        let called = |name: &String| names().any(|own| own.eq_ignore_ascii_case(name));
        let beneath =
            |path: &String| locations.iter().any(|location| location.path.starts_with(path.as_str()));
        self.vulnerability.as_ref().is_none_or(called)
            && self.package.as_ref().is_none_or(|package| is_package(finding.purl.as_str(), package))
            && self.path.as_ref().is_none_or(|path| !locations.is_empty() && beneath(path))
    }
}

/// Whether the package URL is the wanted one, or that of one of its versions.
fn is_package(purl: &str, wanted: &str) -> bool {
    purl.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', '?']))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::tests::finding;

    const TODAY: Date = date!(2026 - 11 - 26);

    fn ignored(rule: &str) -> bool {
        let mut rules =
            Rules::parse(&format!("[[ignore]]\n{rule}\nreason = 'r'\nexpires = 2026-11-26")).unwrap();
        let reported = finding();
        rules.ignore(&reported.finding, &reported.locations, TODAY).is_some()
    }

    #[test]
    fn all_that_a_rule_says_must_fit() {
        assert!(ignored("vulnerability = 'CVE-2021-3749'"));
        assert!(ignored("vulnerability = 'ghsa-cph5-m8f7-6c5x'"));
        assert!(!ignored("vulnerability = 'CVE-2021-374'"));
        assert!(ignored("package = 'pkg:npm/axios'"));
        assert!(ignored("package = 'pkg:npm/axios@0.21.0'"));
        assert!(!ignored("package = 'pkg:npm/axio'"));
        assert!(ignored("path = '/app/node_modules'"));
        assert!(!ignored("path = 'srv'"));
        assert!(!ignored("vulnerability = 'CVE-2021-3749'\npath = 'srv'"));
    }

    #[test]
    fn a_rule_ends_after_its_day() {
        let text = "[[ignore]]\nvulnerability='CVE-2021-3749'\nreason='r'\nexpires=2026-11-25
                    [[ignore]]\nvulnerability='CVE-1'\nreason='s'\nexpires=2026-12-01";
        let mut rules = Rules::parse(text).unwrap();
        let reported = finding();
        assert_eq!(rules.ignore(&reported.finding, &reported.locations, TODAY), None);
        assert_eq!(
            rules.remarks(TODAY),
            [
                "ignore rule 1 (r) ended on 2026-11-25: its findings count again",
                "ignore rule 2 (s) fits no finding"
            ]
        );
        assert!(rules.ignore(&reported.finding, &reported.locations, date!(2026 - 11 - 25)).is_some());
    }

    #[test]
    fn a_rule_needs_a_reason_and_an_end() {
        let refused = |rule: &str| Rules::parse(&format!("[[ignore]]\n{rule}")).unwrap_err().to_string();
        assert_eq!(refused("vulnerability='a'\nexpires=2027-01-01"), "rule 1: it needs a reason");
        assert!(
            refused("vulnerability='a'\nreason='r'").starts_with("rule 1: it needs the day on which it ends")
        );
        assert!(refused("vulnerability='a'\nreason='r'\nexpires='soon'").contains("expires"));
        assert!(refused("reason='r'\nexpires=2027-01-01").contains("a vulnerability, a package or a path"));
        assert!(refused("package='axios'\nreason='r'\nexpires=2027-01-01").contains("no package URL"));
        assert!(refused("cve='a'").contains("unknown field `cve`"));
    }
}
