//! `starling scan IMAGE`: an image's findings with no server and no database.
//!
//! The same engine as in the cluster on the same inputs: the digests of the SBOM and of the findings are those of
//! a verdict.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::vex::Hearing;
use advisory::enrichment::Enrichment;
use advisory::lifecycle;
use clap::Args;
use evaluation::coverage::{ended, unread};
use evaluation::{Evaluation, findings_digest};
use model::{Digest, Distro, Finding, GapKind};
use report::ignore::{self, Rules};
use report::{DistroLine, Report, Reported};
use time::{Date, OffsetDateTime};

use super::super::bounded::bytes_of;
use super::super::failure::{Exit, Failure};
use super::super::outputs::{self, Wanted};
use super::super::report::{FindingRow, Gate, coverage_line, distro_words, findings_table, gap_lines};
use super::super::screen::Screen;
use super::super::several;
use super::super::words::{count, length};
use super::advisories::{Advisories, Loaded};
use super::bill::{self, BillFormat};
use super::blocking;
use super::image::{Image, Inventoried};
use super::vex::{self, Keys};
use crate::config::Environment;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  docker save app:1.2 | gzip > app.tar.gz && starling scan app.tar.gz --advisories ./osv
  starling scan ./layout --platform linux/arm64 --advisories debian=./debian,npm=./npm
  starling scan app:1.2 --platform all --advisories ./osv -o json=all.json -o cyclonedx=app-{platform}.json
  starling scan app.tar --advisories ./osv --fail-on high --max-feed-age 24h -o json
  starling scan registry.example/app:1.2 --registry-user ci --advisories ./osv
  starling scan rootfs:/mnt/image --advisories ./osv
  starling scan app.tar --advisories ./osv -o table -o sarif=app.sarif -o cyclonedx=app.cdx.json
  starling scan app.cdx.json --advisories ./osv --ignore-file accepted.toml --show-suppressed
  starling scan app.tar --advisories ./osv --vex app.openvex.json --show-suppressed
  starling scan app.tar --advisories ./osv --kev known_exploited_vulnerabilities.json --fail-on-kev

Formats: table, json, jsonl, sarif, junit, gitlab, markdown, csv, template (see --template); of the SBOM:
cyclonedx (1.6), cyclonedx-1.7, spdx (2.3), bom-index. With --platform all, json is an array of one object for each image,
and gitlab and SBOMs need a FILE with {platform} in its name";

/// A catalogue larger than this is none.
const CATALOGUE_BYTES: usize = 256 << 20;
/// The rules that are read when there are some and no others are named.
const IGNORE_FILE: &str = ".starling.toml";

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
    /// Rules by which findings are ignored, each with a reason and an end (TOML); without it .starling.toml is
    /// read, if there is one
    #[arg(long, value_name = "FILE")]
    ignore_file: Option<PathBuf>,
    /// VEX documents (OpenVEX, CSAF, CycloneDX; alone, in a list or in a DSSE envelope) by which findings are
    /// suppressed; FILE.sig beside one is its signature; may be given several times
    #[arg(long, value_name = "FILE")]
    vex: Vec<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// Show in the table what is ignored or suppressed, and why
    #[arg(long)]
    show_suppressed: bool,
    /// Format of the data, and the file it goes to; may be given several times
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=FILE]", default_value = "table", value_parser = parse_output)]
    outputs: Vec<Wanted<Format>>,
    /// Jinja template for the format template; it sees what -o json writes
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Template,
    Report(report::Format),
    Bill(BillFormat),
}

fn parse_output(text: &str) -> Result<Wanted<Format>, String> {
    let mut formats = vec![("table", Format::Table), ("template", Format::Template)];
    formats.extend(report::Format::ALL.map(|(word, format)| (word, Format::Report(format))));
    formats.extend(bill::FORMATS.map(|(word, format)| (word, Format::Bill(format))));
    outputs::parse(text, &formats)
}

/// Everything that was read and found.
struct Scanned {
    image: Inventoried,
    loaded: Arc<Loaded>,
    report: Report,
    /// What came of the VEX documents.
    hearing: Hearing,
}

impl Scan {
    /// Does it.
    pub(in crate::cli) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { image, advisories, kev, epss, fail_on_kev, gate, vex, keys, .. } = self;
        let (outputs, show_suppressed) = (self.outputs, self.show_suppressed);
        outputs::check(&outputs)?;
        if image.is_each() {
            outputs::check_platforms(&outputs, |format| format.holds_several())?;
        }
        let template = template(&outputs, self.template.as_deref())?;
        let mut rules = rules(self.ignore_file.as_deref())?;
        let now = OffsetDateTime::now_utc();
        let own = env.clone();
        let load = move || Ok((advisories.load(&own)?, enrichment(kev, epss)?, vex::load(&vex, &keys, now)?));
        let (loaded, enrichment, said) = blocking(load).await?;
        said.warn(screen);
        let with = Arc::new((Arc::new(loaded), enrichment, said));
        let mut all = Vec::new();
        for found in image.find_each(env).await? {
            found.fetch(screen).await?;
            let (bar, with) = (screen.progress("reading"), with.clone());
            let scanned;
            (scanned, rules) = blocking(move || {
                let image = found.read(&bar)?;
                bar.finish_and_clear();
                let (loaded, enrichment, said) = &*with;
                let scanned = Scanned::new(image, loaded, enrichment, &mut rules, gate, (said, now))?;
                Ok((scanned, rules))
            })
            .await?;
            all.push(scanned);
        }
        with.0.warn(screen);
        rules.remarks(now.date()).iter().for_each(|remark| screen.say(format!("warning: {remark}")));
        let shown = Shown { all, is_each: image.is_each(), show_suppressed, template };
        outputs.iter().try_for_each(|wanted| shown.put(wanted, screen))?;
        Ok(shown.exit(gate, fail_on_kev))
    }
}

impl Format {
    /// Whether one document of it has room for several images.
    const fn holds_several(self) -> bool {
        match self {
            Self::Table | Self::Template => true,
            Self::Report(format) => format.holds_several(),
            Self::Bill(_) => false,
        }
    }
}

/// What was scanned, and how it is to be shown.
struct Shown {
    all: Vec<Scanned>,
    /// Whether each image of several was asked for, be it only one.
    is_each: bool,
    show_suppressed: bool,
    template: String,
}

impl Shown {
    /// Writes an output: all images in one, or a file for each.
    fn put(&self, wanted: &Wanted<Format>, screen: &mut Screen) -> Result<(), Failure> {
        let images: Vec<&Scanned> = self.all.iter().collect();
        if !wanted.is_by_platform() {
            return self.write(&images, self.is_each, wanted.format, wanted.file.as_ref(), screen);
        }
        let marks = report::marks(images.iter().map(|scanned| scanned.image.platform.as_deref()));
        for (scanned, mark) in images.into_iter().zip(marks) {
            self.write(&[scanned], false, wanted.format, wanted.file_for(&mark).as_ref(), screen)?;
        }
        Ok(())
    }

    fn write(
        &self,
        images: &[&Scanned],
        is_each: bool,
        format: Format,
        file: Option<&PathBuf>,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        if format == Format::Table {
            return outputs::show(screen, file, |screen| self.tables(images, is_each, screen));
        }
        let mut bytes = Vec::new();
        match format {
            Format::Report(format) if is_each => {
                let reports: Vec<&Report> = images.iter().map(|scanned| &scanned.report).collect();
                let whole = report::write_all(&reports, format).expect("it was asked whether it has room");
                bytes.extend_from_slice(whole.as_bytes());
            }
            _ => {
                for scanned in images {
                    bytes.extend(scanned.document(format, &self.template)?);
                }
            }
        }
        outputs::put(screen, file, &bytes)
    }

    fn tables(&self, images: &[&Scanned], is_each: bool, screen: &mut Screen) -> Result<(), Failure> {
        for (at, scanned) in images.iter().enumerate() {
            if is_each {
                screen.data(several::heading(
                    at,
                    scanned.image.platform.as_deref(),
                    &scanned.image.digest,
                ))?;
            }
            scanned.show(screen, self.show_suppressed)?;
        }
        Ok(())
    }

    /// The exit code of them all: what was found in one was found, and a state of one is a state.
    fn exit(&self, gate: Gate, fail_on_kev: bool) -> Exit {
        let counted = || self.all.iter().flat_map(|scanned| scanned.report.counted());
        if fail_on_kev && counted().any(|reported| reported.exploited) {
            return Exit::Gate;
        }
        let is_allowed = |finding: &Finding| gate.allow_notices && finding.notice().is_some();
        let is_found = |limit| {
            counted().any(|reported| reported.finding.severity >= limit && !is_allowed(&reported.finding))
        };
        let states: BTreeSet<GapKind> = self.all.iter().flat_map(|scanned| scanned.report.states()).collect();
        let is_to_be_trusted = self.all.iter().all(|scanned| scanned.report.is_to_be_trusted());
        gate.judge(is_found, is_to_be_trusted, &states.into_iter().collect::<Vec<_>>())
    }
}

/// The template's text, where a template is wanted.
fn template(outputs: &[Wanted<Format>], file: Option<&Path>) -> Result<String, Failure> {
    let wanted = outputs.iter().any(|output| output.format == Format::Template);
    match file {
        Some(file) if wanted => text_of(file, report::TEMPLATE_BYTES),
        None if wanted => Err(Failure::new(Exit::Usage, "the format template needs a template")
            .next("name one: --template FILE")),
        _ => Ok(String::new()),
    }
}

fn rules(file: Option<&Path>) -> Result<Rules, Failure> {
    let usual = Path::new(IGNORE_FILE);
    let Some(file) = file.or_else(|| usual.is_file().then_some(usual)) else { return Ok(Rules::default()) };
    let wrong = |error| {
        Failure::new(Exit::Usage, format!("{}: {error}", file.display()))
            .next("each [[ignore]] has a vulnerability, package or path, a reason, and expires = YYYY-MM-DD")
    };
    Rules::parse(&text_of(file, ignore::FILE_BYTES)?).map_err(wrong)
}

fn text_of(file: &Path, limit: usize) -> Result<String, Failure> {
    String::from_utf8(bytes_of(file, limit, Exit::Failed)?).map_err(|_| failed(file, "it is not UTF-8"))
}

fn failed(file: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {why}", file.display()))
}

fn enrichment(kev: Option<PathBuf>, epss: Option<PathBuf>) -> Result<Enrichment, Failure> {
    let mut enrichment = Enrichment::default();
    if let Some(path) = kev {
        let catalogue = bytes_of(&path, CATALOGUE_BYTES, Exit::Failed)?;
        enrichment.add_kev(&catalogue).map_err(|error| failed(&path, error))?;
    }
    if let Some(path) = epss {
        let scores = text_of(&path, CATALOGUE_BYTES)?;
        enrichment.add_epss(&scores).map_err(|error| failed(&path, error))?;
    }
    Ok(enrichment)
}

impl Scanned {
    fn new(
        image: Inventoried,
        loaded: &Arc<Loaded>,
        enrichment: &Enrichment,
        rules: &mut Rules,
        gate: Gate,
        (said, now): (&vex::Loaded, OffsetDateTime),
    ) -> Result<Self, Failure> {
        let today = now.date();
        let Evaluation { mut findings, coverage, gaps, set_aside } = loaded.evaluate(&image.sbom)?;
        let hearing = said.hear(&findings, &image, now);
        findings.iter_mut().zip(&hearing.words).for_each(|(finding, word)| finding.vex.clone_from(word));
        let findings_digest = findings_digest(&findings);
        let found = findings.into_iter().map(|finding| {
            let locations = image.sbom.locations(&finding.purl);
            let ignored = rules.ignore(&finding, &locations, today);
            let score = enrichment.score(finding.names());
            Reported {
                exploited: enrichment.is_exploited(finding.names()),
                epss: score.map(|score| (score.probability, score.percentile)),
                origin: image.sbom.origin(&locations),
                locations,
                ignored,
                finding,
            }
        });
        let aside = set_aside.into_iter().map(|aside| report::SetAside {
            purl: aside.purl.to_string(),
            owner: aside.owner.to_string(),
            advisory: aside.advisory,
            feed: aside.feed.to_string(),
            reason: aside.reason,
        });
        let feeds = loaded.feeds.iter().map(|feed| report::Feed {
            id: feed.id.to_string(),
            records: Some((feed.advisories, feed.unreadable)),
            age: Some(feed.age),
        });
        let ages = loaded.feeds.iter().map(|feed| (feed.id.as_str(), Some(feed.age)));
        let ended = image.sbom.distro.iter().filter_map(|distro| ended(distro, &today.to_string()));
        let gaps = gaps.into_iter().chain(unread(&image.sbom)).chain(ended).chain(gate.late(ages));
        let report = Report {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            image: report::Image {
                name: image.name.clone(),
                digest: image.digest.clone(),
                platform: image.platform.clone(),
            },
            sbom_digest: Digest::of(&inventory::sbom::document(&image.sbom)),
            findings_digest,
            distro: image.sbom.distro.as_ref().map(|distro| distro_line(distro, today)),
            snapshot: loaded.digest.to_string(),
            coverage,
            gaps: gaps.collect::<BTreeSet<_>>().into_iter().collect(),
            feeds: feeds.collect(),
            findings: found.collect(),
            set_aside: aside.collect(),
        };
        Ok(Self { image, loaded: loaded.clone(), report, hearing })
    }

    /// It alone in a format that is not the table.
    fn document(&self, format: Format, template: &str) -> Result<Vec<u8>, Failure> {
        let unusable = |error| Failure::new(Exit::Failed, error).next("mend the template");
        Ok(match format {
            Format::Template => self.report.render(template).map_err(unusable)?.into_bytes(),
            Format::Report(format) => self.report.write(format).into_bytes(),
            Format::Bill(format) => {
                format.write(&self.image, self.report.findings.iter().map(|found| &found.finding))?
            }
            Format::Table => Vec::new(),
        })
    }

    fn show(&self, screen: &mut Screen, show_suppressed: bool) -> Result<(), Failure> {
        let mut findings: Vec<&Reported> = self.report.counted().collect();
        findings.sort_by_key(|reported| Reverse(reported.finding.severity));
        findings_table(screen, findings.into_iter().map(row))?;
        self.summary(show_suppressed).iter().try_for_each(|line| screen.data(line))
    }

    /// The last lines: what was counted, how far to trust it, and by which advisories.
    fn summary(&self, show_suppressed: bool) -> Vec<String> {
        let report = &self.report;
        let all = report.counted().count();
        let mut lines = vec![if all == 0 {
            "no findings".to_owned()
        } else {
            let fixable = report.counted().filter(|reported| !reported.fixed_versions().is_empty()).count();
            let exploited = report.counted().filter(|reported| reported.exploited).count();
            let exploited = if exploited > 0 { format!(", {exploited} exploited") } else { String::new() };
            format!("{}: {fixable} fixable{exploited}", count(all as u64, "finding"))
        }];
        lines.extend(self.suppressed(show_suppressed));
        lines.extend(self.said(show_suppressed));
        lines.push(coverage_line(report.coverage, &report.states()));
        lines.extend(report.distro.as_ref().map(distro_words));
        lines.extend(gap_lines(&report.gaps));
        if !report.set_aside.is_empty() {
            let aside = count(report.set_aside.len() as u64, "match");
            lines.push(format!("{aside} set aside: the distributor has the word on its own packages' files"));
        }
        let age = |feed: &super::advisories::LoadedFeed| format!("{} {} old", feed.id, length(feed.age));
        let feeds: Vec<_> = self.loaded.feeds.iter().map(age).collect();
        lines.push(format!("snapshot {}; feeds: {}", report.snapshot, feeds.join("; ")));
        lines
    }

    fn suppressed(&self, each: bool) -> Vec<String> {
        let ignored = |reported: &Reported| {
            let ignored = reported.ignored.as_ref()?;
            let Finding { vulnerability, package, version, .. } = &reported.finding;
            Some(format!(
                "  {vulnerability} {package} {version}: {} (until {})",
                ignored.reason, ignored.expires
            ))
        };
        let lines: Vec<String> = self.report.findings.iter().filter_map(ignored).collect();
        if lines.is_empty() {
            return lines;
        }
        let head = format!("{} ignored by rules", count(lines.len() as u64, "finding"));
        [head].into_iter().chain(lines.into_iter().filter(|_| each)).collect()
    }

    /// What VEX suppressed, what waits for a person, and how many statements had no effect.
    fn said(&self, each: bool) -> Vec<String> {
        if self.hearing.heard.is_empty() {
            return Vec::new();
        }
        let by_vex = self.report.findings.iter().filter(|reported| reported.is_by_vex());
        let lines: Vec<String> = by_vex
            .map(|reported| {
                let Finding { vulnerability, package, version, .. } = &reported.finding;
                let why = reported.suppression().unwrap_or_default();
                format!("  {vulnerability} {package} {version}: {why}")
            })
            .collect();
        let held = self.hearing.words.iter().flatten().filter(|word| word.held).count();
        let idle = self.hearing.heard.iter().filter(|heard| heard.effects.is_empty()).count();
        let held = if held > 0 { format!(", {held} held for a person to decide") } else { String::new() };
        let head = format!(
            "{} suppressed by VEX{held}; {idle} of {} without effect: see starling vex test",
            count(lines.len() as u64, "finding"),
            count(self.hearing.heard.len() as u64, "statement"),
        );
        [head].into_iter().chain(lines.into_iter().filter(|_| each)).collect()
    }
}

/// The distribution, and whether anybody cares for it today.
fn distro_line(distro: &Distro, today: Date) -> DistroLine {
    DistroLine {
        id: distro.id.clone(),
        version: distro.version.clone(),
        end_of_life: lifecycle::end_of_life(distro).map(str::to_owned),
        ended: ended(distro, &today.to_string()).is_some(),
    }
}

fn row(reported: &Reported) -> FindingRow<'_> {
    let finding = &reported.finding;
    let exploited = if reported.exploited { " (exploited)" } else { "" };
    FindingRow {
        package: &finding.package,
        version: &finding.version,
        severity: finding.severity,
        fixed: reported.fixed_versions(),
        fix_state: reported.status(),
        vulnerability: format!("{}{}{exploited}", finding.vulnerability, reported.notice_in_brackets()),
        advisories: finding.advisories.iter().map(|a| a.advisory.as_str()).collect(),
    }
}
