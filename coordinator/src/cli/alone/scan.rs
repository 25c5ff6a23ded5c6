//! `starling scan IMAGE`: an image's findings with no server and no database.
//!
//! The same engine as in the cluster on the same inputs: the digests of the SBOM and of the findings are those of
//! a verdict.

use std::path::PathBuf;

use advisory::enrichment::Enrichment;
use clap::Args;
use evaluation::{Evaluation, evaluate, findings_digest};
use model::{Coverage, Digest, Finding, FixState};
use serde_json::{Value, json};

use super::super::failure::{Exit, Failure};
use super::super::json::SCHEMA_VERSION;
use super::super::list::{Format, Output, pretty};
use super::super::report::{FindingRow, Gate, findings_table};
use super::super::screen::Screen;
use super::super::words::{count, length};
use super::advisories::{Advisories, Loaded};
use super::blocking;
use super::image::{Image, Inventoried};
use crate::config::Environment;
use crate::grpc::convert;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  docker save app:1.2 | gzip > app.tar.gz && starling scan app.tar.gz --advisories ./osv
  starling scan ./layout --platform linux/arm64 --advisories debian=./debian,npm=./npm
  starling scan app.tar --advisories ./osv --fail-on high --max-feed-age 24h -o json
  starling scan registry.example/app:1.2 --registry-user ci --advisories ./osv
  starling scan rootfs:/mnt/image --advisories ./osv
  starling scan app.tar --advisories ./osv --kev known_exploited_vulnerabilities.json --fail-on-kev";

/// A catalogue larger than this is none.
const CATALOGUE_BYTES: u64 = 256 << 20;

/// What to scan, with what, and what makes it fail.
#[derive(Debug, Args)]
pub(in crate::cli) struct Scan {
    #[command(flatten)]
    image: Image,
    #[command(flatten)]
    advisories: Advisories,
    /// CISA's catalogue of known exploited vulnerabilities (JSON): its vulnerabilities are marked
    #[arg(long, value_name = "FILE")]
    kev: Option<PathBuf>,
    /// EPSS scores (CSV with cve,epss,percentile): findings say how likely they are exploited
    #[arg(long, value_name = "FILE")]
    epss: Option<PathBuf>,
    /// Exit with 1 when there is a finding that is known to be exploited
    #[arg(long, requires = "kev")]
    fail_on_kev: bool,
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    output: Output,
}

/// Everything there is to say.
struct Report {
    image: Inventoried,
    loaded: Loaded,
    enrichment: Enrichment,
    evaluation: Evaluation,
    sbom_digest: Digest,
}

impl Scan {
    /// Does it.
    pub(in crate::cli) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { image, advisories, kev, epss, fail_on_kev, gate, output } = self;
        let (loaded, enrichment) = blocking(move || Ok((advisories.load()?, enrichment(kev, epss)?))).await?;
        let found = image.find(env, screen).await?;
        let report = blocking(move || {
            let image = found.read()?;
            let evaluation = evaluate(&image.sbom, &loaded.index);
            let sbom_digest = Digest::of(&inventory::sbom::document(&image.sbom));
            Ok(Report { image, loaded, enrichment, evaluation, sbom_digest })
        })
        .await?;
        report.loaded.warn(screen);
        report.show(output.format, screen)?;
        Ok(report.exit(gate, fail_on_kev))
    }
}

fn enrichment(kev: Option<PathBuf>, epss: Option<PathBuf>) -> Result<Enrichment, Failure> {
    let mut enrichment = Enrichment::default();
    let failed =
        |path: &PathBuf, why: String| Failure::new(Exit::Failed, format!("{}: {why}", path.display()));
    let read = |path: &PathBuf| -> Result<Vec<u8>, Failure> {
        let size = std::fs::metadata(path).map_err(|error| failed(path, error.to_string()))?.len();
        if size > CATALOGUE_BYTES {
            return Err(failed(path, format!("it is larger than {CATALOGUE_BYTES} bytes")));
        }
        std::fs::read(path).map_err(|error| failed(path, error.to_string()))
    };
    if let Some(path) = kev {
        enrichment.add_kev(&read(&path)?).map_err(|error| failed(&path, error.to_string()))?;
    }
    if let Some(path) = epss {
        let text =
            String::from_utf8(read(&path)?).map_err(|_| failed(&path, "it is not UTF-8".to_owned()))?;
        enrichment.add_epss(&text).map_err(|error| failed(&path, error.to_string()))?;
    }
    Ok(enrichment)
}

impl Report {
    fn show(&self, format: Format, screen: &mut Screen) -> Result<(), Failure> {
        match format {
            Format::Table => {
                self.table(screen)?;
                self.summary().iter().try_for_each(|line| screen.data(line))
            }
            Format::Json => screen.data(pretty(&self.value())?),
            Format::Jsonl => {
                let findings = self.evaluation.findings.iter();
                findings.map(|finding| self.finding(finding)).try_for_each(|finding| screen.data(finding))?;
                self.summary().iter().for_each(|line| screen.say(line));
                Ok(())
            }
        }
    }

    fn table(&self, screen: &mut Screen) -> Result<(), Failure> {
        let mut findings: Vec<&Finding> = self.evaluation.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings_table(screen, findings.into_iter().map(|finding| self.row(finding)))
    }

    fn row<'a>(&self, finding: &'a Finding) -> FindingRow<'a> {
        let exploited = if self.is_exploited(finding) { " (exploited)" } else { "" };
        FindingRow {
            package: &finding.package,
            version: &finding.version,
            severity: finding.severity,
            fixed: fixed(finding),
            vulnerability: format!("{}{exploited}", finding.vulnerability),
            advisories: finding.advisories.iter().map(|a| a.advisory.as_str()).collect(),
        }
    }

    /// The last lines: what was counted, how far to trust it, and by which advisories.
    fn summary(&self) -> Vec<String> {
        let findings = &self.evaluation.findings;
        let mut lines = vec![match findings.len() {
            0 => "no findings".to_owned(),
            all => {
                let fixable = findings.iter().filter(|finding| !fixed(finding).is_empty()).count();
                let exploited = findings.iter().filter(|finding| self.is_exploited(finding)).count();
                let exploited =
                    if exploited > 0 { format!(", {exploited} exploited") } else { String::new() };
                format!("{}: {fixable} fixable{exploited}", count(all as u64, "finding"))
            }
        }];
        let trust = match self.evaluation.coverage {
            Coverage::Complete => "",
            _ => ". THIS IS NOT A CLEAN RESULT",
        };
        lines.push(format!("coverage: {}{trust}", self.evaluation.coverage.as_str()));
        lines.extend(self.problems().map(|problem| format!("  {}: {}", problem.place, problem.what)));
        if !self.evaluation.set_aside.is_empty() {
            let aside = count(self.evaluation.set_aside.len() as u64, "match");
            lines.push(format!("{aside} set aside: the distributor has the word on its own packages' files"));
        }
        let age = |feed: &super::advisories::LoadedFeed| format!("{} {} old", feed.id, length(feed.age));
        let feeds: Vec<_> = self.loaded.feeds.iter().map(age).collect();
        lines.push(format!("snapshot {}; feeds: {}", self.loaded.digest, feeds.join("; ")));
        lines
    }

    fn problems(&self) -> impl Iterator<Item = &model::Problem> {
        self.image.sbom.problems.iter().chain(&self.evaluation.problems)
    }

    fn value(&self) -> Value {
        let problems = self.problems().map(|p| json!({"place": p.place, "what": p.what}));
        let feeds = self.loaded.feeds.iter().map(|feed| {
            json!({
                "feed": feed.id.as_str(),
                "advisories": feed.advisories,
                "unreadable": feed.unreadable,
                "age_seconds": feed.age.as_secs(),
            })
        });
        let aside = self.evaluation.set_aside.iter().map(|aside| {
            json!({
                "purl": aside.purl.as_str(),
                "owner": aside.owner.as_str(),
                "advisory": aside.advisory,
                "feed": aside.feed.as_str(),
                "reason": aside.reason,
            })
        });
        json!({
            "schema_version": SCHEMA_VERSION,
            "image": {"name": self.image.name, "digest": self.image.digest},
            "sbom_digest": self.sbom_digest.as_str(),
            "findings_digest": findings_digest(&self.evaluation.findings).as_str(),
            "coverage": self.evaluation.coverage.as_str(),
            "problems": problems.collect::<Vec<_>>(),
            "snapshot": self.loaded.digest.as_str(),
            "feeds": feeds.collect::<Vec<_>>(),
            "findings": self.evaluation.findings.iter().map(|f| self.finding(f)).collect::<Vec<_>>(),
            "set_aside": aside.collect::<Vec<_>>(),
        })
    }

    fn finding(&self, finding: &Finding) -> Value {
        let components = &self.image.sbom.components;
        let component =
            components.binary_search_by(|c| c.purl.cmp(&finding.purl)).ok().map(|at| &components[at]);
        let locations = component.iter().flat_map(|c| &c.locations);
        let locations: Vec<_> = locations.map(|l| json!({"layer": l.layer, "path": l.path})).collect();
        let advisories = finding.advisories.iter().map(|a| {
            json!({
                "advisory": a.advisory,
                "feed": a.feed.as_str(),
                "reason": a.reason,
                "fixed_versions": a.fixed_versions,
            })
        });
        let names = names(finding);
        json!({
            "vulnerability": finding.vulnerability,
            "aliases": finding.aliases,
            "purl": finding.purl.as_str(),
            "package": finding.package,
            "version": finding.version,
            "fixed_versions": fixed(finding),
            "severity": finding.severity.as_str(),
            "status": if fixed(finding).is_empty() { "not-fixed" } else { "fixed" },
            "exploited": self.is_exploited(finding),
            "epss": self.enrichment.score(names).map(|score| json!({
                "probability": score.probability,
                "percentile": score.percentile,
            })),
            "advisories": advisories.collect::<Vec<_>>(),
            "locations": locations,
        })
    }

    fn is_exploited(&self, finding: &Finding) -> bool {
        self.enrichment.is_exploited(names(finding))
    }

    fn exit(&self, gate: Gate, fail_on_kev: bool) -> Exit {
        let findings = &self.evaluation.findings;
        if fail_on_kev && findings.iter().any(|finding| self.is_exploited(finding)) {
            return Exit::Gate;
        }
        let is_found = |limit| findings.iter().any(|finding| finding.severity >= limit);
        let ages = self.loaded.feeds.iter().map(|feed| Some(feed.age));
        gate.judge(is_found, convert::coverage(self.evaluation.coverage), ages)
    }
}

fn fixed(finding: &Finding) -> &[String] {
    match &finding.fix {
        FixState::Fixed(versions) => versions,
        FixState::NotFixed => &[],
    }
}

fn names(finding: &Finding) -> impl Iterator<Item = &str> {
    finding.aliases.iter().map(String::as_str).chain([finding.vulnerability.as_str()])
}
