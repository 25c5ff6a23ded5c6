//! The result of an image: its findings, how far to trust them, and the exit code that follows.

use std::time::Duration;

use advisory::enrichment::Catalogue;
use clap::Args;
use evaluation::coverage;
use model::{Gap, GapKind, Severity};
use proto_api::common::v1::Coverage;
use proto_api::finding::v1::{
    self as wire, CountFindingsRequest, CountFindingsResponse, Finding, FindingFilter, GetVerdictRequest,
    ListFindingsRequest, Verdict,
};
use proto_api::verdict::v1::{Agreement, RecallVerdictRequest, RecallVerdictResponse};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::exit_map::ExitMap;
use super::failure::{Exit, Failure};
use super::json::{SCHEMA_VERSION, value};
use super::list;
use super::outputs::{self, Wanted};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words::{self, count};
use crate::config::parse_duration;
use crate::grpc::convert;

/// When a result fails a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(super) struct Gate {
    /// Exit with 1 when there is a finding at least this bad: critical, high, medium or low
    #[arg(long, value_name = "SEVERITY", value_parser = parse_severity)]
    pub fail_on: Option<Severity>,
    /// Let findings that are only notices (unmaintained, unsound, notice) not count for --fail-on
    #[arg(long)]
    pub allow_notices: bool,
    /// Exit with 4 when a feed was not read for longer than this, such as 24h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub max_feed_age: Option<Duration>,
    /// Exit with another code than 4 in a state: STATE=CODE with commas between, or "states" for 40 no-feeds,
    /// 41 unknown-distro, 42 missing-feed, 43 third-party, 44 partial-scan, 45 end-of-life, 46 late-feed. Of several
    /// the worst counts
    #[arg(long, value_name = "MAP")]
    pub exit_code_map: Option<ExitMap>,
}

impl Gate {
    /// The exit code of a result, whoever made it: what was found goes before how far it can be trusted.
    pub(super) fn judge(
        self,
        mut is_found: impl FnMut(Severity) -> bool,
        is_to_be_trusted: bool,
        states: &[GapKind],
    ) -> Exit {
        if self.fail_on.is_some_and(&mut is_found) {
            Exit::Gate
        } else if is_to_be_trusted {
            Exit::Ok
        } else {
            self.exit_code_map.unwrap_or_default().exit(states)
        }
    }

    /// The feeds that were not read for longer than is allowed here.
    pub(super) fn late<'f>(
        self,
        feeds: impl Iterator<Item = (&'f str, Option<Duration>)>,
    ) -> impl Iterator<Item = Gap> {
        let late = move |(feed, age)| coverage::late(feed, age, self.max_feed_age?);
        feeds.filter_map(late)
    }
}

/// The same for a result of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(super) struct ServerGate {
    #[command(flatten)]
    pub gate: Gate,
    /// Exit with 1 when there is a finding that is known to be exploited, by the server's feeds of the format kev; where
    /// none was read, the result is not to be trusted
    #[arg(long)]
    pub fail_on_kev: bool,
}

impl ServerGate {
    /// Why it is not known which findings are exploited, where that was asked.
    fn unknown_exploits(self, verdict: &Verdict) -> Vec<Gap> {
        let kev: Vec<_> = verdict.enrichment.iter().filter(|feed| feed.format == KEV).collect();
        if !self.fail_on_kev || kev.iter().any(|feed| feed.age.is_some() && !feed.stale) {
            return Vec::new();
        }
        if kev.is_empty() {
            let what = "no feed says which vulnerabilities are exploited";
            return vec![Gap::new(GapKind::MissingFeed, KEV, what)];
        }
        let late = |feed: &&wire::VerdictFeed| {
            let what = match feed.age {
                None => "it was never read",
                Some(_) => "it was last read longer ago than it promises",
            };
            Gap::new(GapKind::LateFeed, feed.feed_id.as_str(), what)
        };
        kev.iter().map(late).collect()
    }
}

const KEV: &str = Catalogue::Kev.as_str();

/// A finding as a row of the table.
pub(super) struct FindingRow<'a> {
    pub package: &'a str,
    pub version: &'a str,
    pub severity: Severity,
    /// None where it is not fixed.
    pub fixed: &'a [String],
    /// The word for what is known of a fix.
    pub fix_state: &'a str,
    pub vulnerability: String,
    pub advisories: Vec<&'a str>,
}

/// Writes findings as a table with an empty line behind it; nothing where there are none.
pub(super) fn findings_table<'a>(
    screen: &mut Screen,
    findings: impl IntoIterator<Item = FindingRow<'a>>,
) -> Result<(), Failure> {
    let heads = ["PACKAGE", "VERSION", "SEVERITY", "FIXED IN", "VULNERABILITY", "ADVISORIES"];
    let mut rows = Rows::new(screen, &heads);
    for finding in findings {
        let fixed = finding.fixed.join(", ");
        let cells = [
            finding.package.to_owned(),
            finding.version.to_owned(),
            finding.severity.to_string(),
            if fixed.is_empty() { finding.fix_state.replace('-', " ") } else { fixed },
            finding.vulnerability,
            finding.advisories.join(", "),
        ];
        rows.row_with_severity(cells, 2, finding.severity);
    }
    if rows.is_empty() {
        return Ok(());
    }
    rows.show(screen)?;
    screen.data("")
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultFormat {
    Table,
    Json,
    Jsonl,
    Report(report::Format),
}

/// `-o FORMAT[=FILE]`, as often as one likes.
#[derive(Debug, Clone, Args)]
pub(super) struct ResultOutput {
    /// Format of the data, and the file it goes to; may be given several times: table, json, jsonl, sarif, junit,
    /// gitlab, markdown, csv
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=FILE]", default_value = "table", value_parser = parse_output)]
    pub outputs: Vec<Wanted<ResultFormat>>,
    /// Show also what suppliers suppress (VEX), and why; reports for other tools have it always
    #[arg(long)]
    pub show_suppressed: bool,
}

fn parse_output(text: &str) -> Result<Wanted<ResultFormat>, String> {
    use ResultFormat::{Json, Jsonl, Table};
    let mut formats = vec![("table", Table), ("json", Json), ("jsonl", Jsonl)];
    let others = report::Format::ALL.map(|(word, format)| (word, ResultFormat::Report(format)));
    formats.extend(others.into_iter().filter(|(word, _)| !["json", "jsonl"].contains(word)));
    outputs::parse(text, &formats)
}

impl ResultOutput {
    /// Whether each output has its own place. Asked before anything is done.
    pub(super) fn check(&self) -> Result<(), Failure> {
        outputs::check(&self.outputs)
    }

    /// Whether each has room for all images of an index, or a file for each.
    pub(super) fn check_platforms(&self) -> Result<(), Failure> {
        let holds_several = |format: &ResultFormat| match format {
            ResultFormat::Table | ResultFormat::Json | ResultFormat::Jsonl => true,
            ResultFormat::Report(format) => format.holds_several(),
        };
        outputs::check_platforms(&self.outputs, holds_several)
    }

    /// Writes the result of the image, which is called so.
    pub(super) fn write(&self, report: &Report, name: &str, screen: &mut Screen) -> Result<(), Failure> {
        for Wanted { format, file } in &self.outputs {
            let shown = |screen: &mut Screen| report.show(screen, *format, name, self.show_suppressed);
            outputs::show(screen, file.as_ref(), shown)?;
        }
        Ok(())
    }
}

/// Everything there is to say about an image's result.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// How many findings there are, whatever the filter.
    pub counts: CountFindingsResponse,
    /// The findings that count and that the filter lets through.
    pub findings: Vec<Finding>,
    /// Those that their suppliers suppress.
    pub suppressed: Vec<Finding>,
    /// What it lacks, worst first.
    pub gaps: Vec<Gap>,
    /// What came of evaluating it once more, where a time of before was asked for.
    pub recall: Option<RecallVerdictResponse>,
}

/// A severity by its word.
pub(super) fn parse_severity(word: &str) -> Result<Severity, String> {
    Severity::from_word(word)
        .ok_or_else(|| format!("{word:?} is no severity: use critical, high, medium or low"))
}

impl Report {
    /// Reads it from the server: of this version of the verdict, or of the latest where it is 0.
    pub(super) async fn of(
        server: &Server,
        image: &str,
        version: i32,
        filter: FindingFilter,
        gate: ServerGate,
    ) -> Result<Self, Failure> {
        let request = GetVerdictRequest { image: image.to_owned(), version };
        let verdict = call(request, async |request| server.findings().get_verdict(request).await).await?;
        let verdict =
            verdict.verdict.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no verdict"))?;
        // By digest from here on: a name may come to point elsewhere meanwhile.
        let (image, version) = (verdict.image_digest.clone(), verdict.version);
        let request = CountFindingsRequest { image: image.clone(), verdict_version: version };
        let counts = call(request, async |request| server.findings().count_findings(request).await).await?;
        let found = list::gather(0, async |page_size, page_token| {
            let request = ListFindingsRequest {
                image: image.clone(),
                filter: Some(filter.clone()),
                page_size,
                page_token,
                verdict_version: version,
            };
            let page = call(request, async |request| server.findings().list_findings(request).await).await?;
            Ok((page.findings, page.next_page_token))
        });
        let gaps = gaps(&verdict, gate);
        let (suppressed, findings) = found.await?.items.into_iter().partition(is_suppressed);
        Ok(Self { verdict, counts, findings, suppressed, gaps, recall: None })
    }

    /// Reads what was known at this time, and has it evaluated once more.
    pub(super) async fn at(
        server: &Server,
        image: &str,
        time: OffsetDateTime,
        filter: FindingFilter,
        gate: ServerGate,
    ) -> Result<Self, Failure> {
        let request = RecallVerdictRequest { image: image.to_owned(), time: Some(convert::timestamp(time)) };
        let recall = call(request, async |request| server.verdicts().recall_verdict(request).await).await?;
        let known = recall.verdict.clone().unwrap_or_default();
        let report = Self::of(server, &known.image_digest, known.version, filter, gate).await?;
        Ok(Self { recall: Some(recall), ..report })
    }

    /// Writes it as people read it, or with the field names of the .proto files.
    pub(super) fn show(
        &self,
        screen: &mut Screen,
        format: ResultFormat,
        name: &str,
        show_suppressed: bool,
    ) -> Result<(), Failure> {
        match format {
            ResultFormat::Table => {
                self.table(screen)?;
                self.summary(show_suppressed).iter().try_for_each(|line| screen.data(line))
            }
            ResultFormat::Json => screen.data(list::pretty(&self.json())?),
            ResultFormat::Jsonl => {
                let suppressed = self.suppressed.iter().filter(|_| show_suppressed);
                let mut shown = self.findings.iter().chain(suppressed);
                shown.try_for_each(|finding| screen.data(value(FINDING, finding)))?;
                self.summary(false).iter().for_each(|line| screen.say(line));
                Ok(())
            }
            ResultFormat::Report(format) => screen.exactly(self.report(name)?.write(format).as_bytes()),
        }
    }

    /// Everything in one object.
    pub(super) fn json(&self) -> Value {
        let values = |findings: &[Finding]| -> Vec<Value> {
            findings.iter().map(|finding| value(FINDING, finding)).collect()
        };
        let mut whole = json!({
            "schema_version": SCHEMA_VERSION,
            "verdict": value("starling.finding.v1.Verdict", &self.verdict),
            "counts": value("starling.finding.v1.CountFindingsResponse", &self.counts),
            "findings": values(&self.findings),
            "suppressed": values(&self.suppressed),
        });
        if let Some(recall) = &self.recall {
            whole["recall"] = value("starling.verdict.v1.RecallVerdictResponse", recall);
        }
        whole
    }

    /// What the server told, as the formats for other tools need it.
    pub(super) fn report(&self, name: &str) -> Result<report::Report, Failure> {
        let verdict = &self.verdict;
        let unreadable = |what: &str| Failure::new(Exit::Failed, format!("the server sent no sound {what}"));
        let digest = |text: &str| text.parse().map_err(|_| unreadable("digest"));
        let feed = |feed: &proto_api::finding::v1::VerdictFeed| report::Feed {
            id: feed.feed_id.clone(),
            records: None,
            age: words::duration(feed.age),
        };
        Ok(report::Report {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            image: report::Image {
                name: name.to_owned(),
                digest: verdict.image_digest.clone(),
                platform: None,
            },
            sbom_digest: digest(&verdict.sbom_digest)?,
            findings_digest: digest(&verdict.findings_digest)?,
            distro: verdict.distro.as_ref().map(distro_line),
            snapshot: verdict.snapshot.to_string(),
            coverage: convert::coverage_of(verdict.coverage()),
            gaps: self.gaps.clone(),
            feeds: verdict.feeds.iter().map(feed).collect(),
            findings: self
                .findings
                .iter()
                .chain(&self.suppressed)
                .map(|finding| reported(finding).ok_or_else(|| unreadable("finding")))
                .collect::<Result<_, _>>()?,
            set_aside: Vec::new(),
        })
    }

    fn table(&self, screen: &mut Screen) -> Result<(), Failure> {
        findings_table(screen, self.findings.iter().map(row))
    }

    /// The last lines: counts, coverage, age, and what else must be known.
    fn summary(&self, show_suppressed: bool) -> Vec<String> {
        let mut lines = vec![self.counts_line()];
        lines.extend(self.said(show_suppressed));
        lines.extend(self.coverage_lines());
        lines.push(self.age_line());
        lines.extend(self.recall.as_ref().map(recall_line));
        let demonstration = self.verdict.feeds.iter().filter(|feed| feed.demonstration);
        lines.extend(demonstration.map(|feed| {
            format!(
                "note: feed {} is a demonstration set, a small selection of old advisories: \
                 what it does not find may still be there",
                feed.feed_id
            )
        }));
        lines
    }

    fn counts_line(&self) -> String {
        let counts = &self.counts;
        if counts.findings == 0 {
            return "no findings".to_owned();
        }
        let by_severity =
            counts.by_severity.iter().map(|c| format!("{} {}", c.findings, words::severity(c.severity())));
        let all = count(u64::try_from(counts.findings).unwrap_or_default(), "finding");
        let shown = self.findings.len();
        let hidden = if i64::try_from(shown) == Ok(counts.findings) {
            let fixable = self.findings.iter().filter(|finding| !finding.fixed_versions.is_empty()).count();
            format!("; {fixable} fixable")
        } else {
            format!("; {shown} shown")
        };
        let exploited = match counts.exploited {
            0 => String::new(),
            exploited => format!("; {exploited} exploited"),
        };
        format!("{all}: {}{hidden}{exploited}", by_severity.collect::<Vec<_>>().join(", "))
    }

    /// What suppliers suppress, and what waits for a person.
    fn said(&self, each: bool) -> Vec<String> {
        let held = self.findings.iter().filter(|finding| finding.vex.as_ref().is_some_and(|word| word.held));
        let (suppressed, held) = (self.counts.suppressed, held.count());
        if suppressed == 0 && held == 0 {
            return Vec::new();
        }
        let held = if held > 0 { format!(", {held} held for a person to decide") } else { String::new() };
        let number = count(u64::try_from(suppressed).unwrap_or_default(), "finding");
        let head = format!("{number} suppressed by VEX{held}: see starling vex explain");
        let line = |finding: &Finding| {
            let Finding { vulnerability, package, version, .. } = finding;
            let why = finding.vex.as_ref().and_then(vex_word).map(|word| report::said(&word));
            format!("  {vulnerability} {package} {version}: {}", why.unwrap_or_default())
        };
        [head].into_iter().chain(self.suppressed.iter().filter(|_| each).map(line)).collect()
    }

    fn coverage_lines(&self) -> Vec<String> {
        let coverage = convert::coverage_of(self.verdict.coverage());
        let mut lines = vec![coverage_line(coverage, &Gap::kinds(&self.gaps))];
        lines.extend(self.verdict.distro.as_ref().map(|distro| distro_words(&distro_line(distro))));
        lines.extend(gap_lines(&self.gaps));
        lines
    }

    fn age_line(&self) -> String {
        let verdict = &self.verdict;
        let behind = if verdict.latest_snapshot > verdict.snapshot {
            format!(" (the latest is {})", verdict.latest_snapshot)
        } else {
            String::new()
        };
        let age = |feed: &proto_api::finding::v1::VerdictFeed| {
            let read = words::duration(feed.age)
                .map_or_else(|| "never read".to_owned(), |a| format!("{} old", words::length(a)));
            format!("{} {read}{}", feed.feed_id, if feed.stale { ", STALE" } else { "" })
        };
        let feeds: Vec<_> = verdict.feeds.iter().chain(&verdict.enrichment).map(age).collect();
        let feeds =
            if feeds.is_empty() { "no feeds".to_owned() } else { format!("feeds: {}", feeds.join("; ")) };
        format!("snapshot {}{behind}; {feeds}", verdict.snapshot)
    }

    /// How many of the findings of this severity do not count. What was not asked for counts.
    fn allowed(&self, gate: Gate, severity: proto_api::common::v1::Severity) -> i64 {
        let is_notice = |finding: &&Finding| finding.severity() == severity && !finding.notice.is_empty();
        let notices = if gate.allow_notices { self.findings.iter().filter(is_notice).count() } else { 0 };
        i64::try_from(notices).unwrap_or(i64::MAX)
    }

    /// The exit code that follows from the result.
    pub(super) fn exit(&self, gate: ServerGate) -> Exit {
        if gate.fail_on_kev && self.counts.exploited > 0 {
            return Exit::Gate;
        }
        let is_found = |limit| {
            let of = |c: &proto_api::finding::v1::SeverityCount| {
                words::severity(c.severity()) >= limit && c.findings > self.allowed(gate.gate, c.severity())
            };
            self.counts.by_severity.iter().any(of)
        };
        let complete = self.verdict.coverage() == Coverage::Complete;
        match gate.gate.judge(is_found, complete && self.gaps.is_empty(), &Gap::kinds(&self.gaps)) {
            Exit::Ok if self.recall.as_ref().is_some_and(differs) => Exit::Untrusted,
            exit => exit,
        }
    }
}

fn differs(recall: &RecallVerdictResponse) -> bool {
    matches!(recall.agreement(), Agreement::Differs | Agreement::Unspecified)
}

/// What came of evaluating a verdict of before once more.
fn recall_line(recall: &RecallVerdictResponse) -> String {
    let version = recall.verdict.as_ref().map_or(0, |verdict| verdict.version);
    let snapshot = recall.snapshot;
    match recall.agreement() {
        Agreement::Same => {
            format!(
                "as of then: version {version}; snapshot {snapshot} gives the same findings, byte by byte"
            )
        }
        Agreement::Behind => format!(
            "as of then: version {version}; snapshot {snapshot} was there already and gives others: the image was not \
             evaluated against it yet"
        ),
        Agreement::Differs | Agreement::Unspecified => format!(
            "as of then: version {version}. THIS CANNOT BE REPRODUCED: the advisories of its own snapshot give other \
             findings ({}): another build made it, or something is wrong",
            recall.findings_digest
        ),
    }
}

/// The line that says how far a result can be trusted, and by which states it cannot.
pub(super) fn coverage_line(coverage: model::Coverage, states: &[GapKind]) -> String {
    let shout = match (coverage, states) {
        (model::Coverage::Complete, []) => String::new(),
        (_, []) => ". THIS IS NOT A CLEAN RESULT".to_owned(),
        (_, states) => {
            let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            format!(". THIS IS NOT A CLEAN RESULT: {}", words.join(", "))
        }
    };
    format!("coverage: {}{shout}", coverage.as_str())
}

/// Each gap in a line.
pub(super) fn gap_lines(gaps: &[Gap]) -> impl Iterator<Item = String> {
    gaps.iter().map(|Gap { kind, place, what }| format!("  {}: {place}: {what}", kind.as_str()))
}

/// What the image is built on, and until when somebody cares for it.
pub(super) fn distro_words(distro: &report::DistroLine) -> String {
    let report::DistroLine { id, version, end_of_life, .. } = distro;
    let day = end_of_life.as_deref().unwrap_or("a day that is not known");
    format!("distribution: {id} {version}, cared for until {day}")
}

fn distro_line(distro: &wire::Distro) -> report::DistroLine {
    report::DistroLine {
        id: distro.id.clone(),
        version: distro.version.clone(),
        end_of_life: Some(distro.end_of_life.clone()).filter(|day| !day.is_empty()),
        ended: distro.ended,
    }
}

/// What the verdict lacks, and what the gate adds to it.
fn gaps(verdict: &Verdict, gate: ServerGate) -> Vec<Gap> {
    let kev = verdict.enrichment.iter().filter(|feed| gate.fail_on_kev && feed.format == KEV);
    let feeds = verdict.feeds.iter().chain(kev);
    let ages = feeds.map(|feed| (feed.feed_id.as_str(), words::duration(feed.age)));
    let late = gate.gate.late(ages);
    let mut gaps: Vec<Gap> =
        verdict.gaps.iter().map(gap).chain(late).chain(gate.unknown_exploits(verdict)).collect();
    gaps.sort();
    gaps.dedup_by(|next, first| {
        next.kind == first.kind && next.place == first.place && next.kind == GapKind::LateFeed
    });
    gaps
}

/// A gap as the server tells it.
pub(super) fn gap(gap: &wire::Gap) -> Gap {
    Gap::new(convert::gap_kind_of(gap.state()), gap.place.as_str(), gap.what.as_str())
}

/// `None` where a name in it is none.
fn reported(finding: &Finding) -> Option<report::Reported> {
    let advisory = |a: &proto_api::finding::v1::AdvisoryMatch| {
        Some(model::AdvisoryMatch {
            advisory: a.advisory.clone(),
            feed: a.feed_id.parse().ok()?,
            reason: a.reason.clone(),
            fixed_versions: a.fixed_versions.clone(),
            no_fix: model::NoFix::from_word(&a.no_fix),
            notice: model::Notice::from_word(&a.notice),
        })
    };
    let no_fix = model::NoFix::from_word(&finding.fix_state);
    Some(report::Reported {
        finding: model::Finding {
            vulnerability: finding.vulnerability.clone(),
            aliases: finding.aliases.clone(),
            purl: inventory::purl::parse(&finding.purl).ok()?,
            package: finding.package.clone(),
            version: finding.version.clone(),
            severity: words::severity(finding.severity()),
            fix: model::FixState::of(finding.fixed_versions.clone(), [no_fix]),
            advisories: finding.advisories.iter().map(advisory).collect::<Option<_>>()?,
            vex: match &finding.vex {
                Some(word) => Some(vex_word(word)?),
                None => None,
            },
        },
        locations: finding.locations.iter().map(location).collect(),
        exploited: finding.exploited,
        epss: finding.epss.map(|epss| (epss.probability, epss.percentile)),
        origin: convert::origin_of(finding.origin()),
        ignored: None,
    })
}

/// What suppliers say, as the model has it; `None` where a word is not known here.
fn vex_word(word: &wire::VexWord) -> Option<model::VexWord> {
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let justification = match word.justification.as_str() {
        "" => None,
        why => Some(model::Justification::from_word(why)?),
    };
    Some(model::VexWord {
        status: model::VexStatus::from_word(&word.status)?,
        held: word.held,
        justification,
        detail: said(&word.detail),
        issuer: word.issuer.clone(),
        document: word.document.clone(),
        statement: word.statement.clone(),
        score: word.score.try_into().ok()?,
    })
}

fn is_suppressed(finding: &Finding) -> bool {
    finding.vex.as_ref().is_some_and(|word| word.suppresses)
}

/// A place as the server tells it.
pub(super) fn location(location: &wire::Location) -> model::Location {
    model::Location { layer: location.layer.unsigned_abs(), path: location.path.clone() }
}

fn row(finding: &Finding) -> FindingRow<'_> {
    let exploited = if finding.exploited { " (exploited)" } else { "" };
    FindingRow {
        package: &finding.package,
        version: &finding.version,
        severity: words::severity(finding.severity()),
        fixed: &finding.fixed_versions,
        // A node of before sends no word.
        fix_state: if finding.fix_state.is_empty() { "not-fixed" } else { &finding.fix_state },
        vulnerability: match finding.notice.as_str() {
            "" => format!("{}{exploited}", finding.vulnerability),
            notice => format!("{} ({notice}){exploited}", finding.vulnerability),
        },
        advisories: finding.advisories.iter().map(|a| a.advisory.as_str()).collect(),
    }
}

/// The contract's name of a finding.
pub(super) const FINDING: &str = "starling.finding.v1.Finding";

/// The filter of a request. What is suppressed is asked for too: reports for other tools have it.
pub(super) fn filter(min_severity: Option<Severity>, only_fixed: bool) -> FindingFilter {
    let min_severity = min_severity.map(convert::severity).unwrap_or_default().into();
    FindingFilter { min_severity, only_fixed, exactly: String::new(), show_suppressed: true }
}

#[cfg(test)]
mod tests {
    use proto_api::common::v1 as common;
    use proto_api::finding::v1::{AdvisoryMatch, SeverityCount, VerdictFeed};

    use super::super::screen::tests::page;
    use super::*;

    fn report(coverage: Coverage) -> Report {
        let severity = common::Severity::High;
        let advisory = AdvisoryMatch { advisory: "GHSA-1".to_owned(), ..AdvisoryMatch::default() };
        let finding = Finding {
            vulnerability: "CVE-2021-3749".to_owned(),
            package: "axios".to_owned(),
            version: "0.21.0".to_owned(),
            severity: severity.into(),
            fixed_versions: vec!["0.21.2".to_owned()],
            advisories: vec![advisory],
            ..Finding::default()
        };
        let age = Some(prost_types::Duration { seconds: 7200, nanos: 0 });
        let feed =
            VerdictFeed { feed_id: "demo".to_owned(), age, demonstration: true, ..VerdictFeed::default() };
        Report {
            verdict: Verdict {
                coverage: coverage.into(),
                snapshot: 4,
                latest_snapshot: 5,
                feeds: vec![feed],
                ..Verdict::default()
            },
            counts: CountFindingsResponse {
                findings: 1,
                by_severity: vec![SeverityCount { severity: severity.into(), findings: 1 }],
                ..CountFindingsResponse::default()
            },
            findings: vec![finding],
            suppressed: Vec::new(),
            gaps: Vec::new(),
            recall: None,
        }
    }

    /// As [`report`], and a second finding that its supplier suppresses.
    fn with_suppressed() -> Report {
        let mut report = report(Coverage::Complete);
        report.verdict.sbom_digest = model::Digest::of(b"sbom").to_string();
        report.verdict.findings_digest = model::Digest::of(b"findings").to_string();
        report.findings[0].purl = "pkg:npm/axios@0.21.0".to_owned();
        report.findings[0].advisories[0].feed_id = "demo".to_owned();
        let word = wire::VexWord {
            status: "not_affected".to_owned(),
            suppresses: true,
            justification: "vulnerable_code_not_present".to_owned(),
            issuer: "acme".to_owned(),
            document: "doc-1".to_owned(),
            score: 7000,
            ..wire::VexWord::default()
        };
        let mut quiet = Finding { vulnerability: "CVE-2".to_owned(), ..report.findings[0].clone() };
        quiet.vex = Some(word);
        report.suppressed = vec![quiet];
        report.counts.suppressed = 1;
        report
    }

    /// As it is read from a server for this gate.
    fn judged(mut report: Report, gate: ServerGate) -> Exit {
        report.gaps = gaps(&report.verdict, gate);
        report.exit(gate)
    }

    fn gate(fail_on: Option<Severity>, hours: Option<u64>) -> ServerGate {
        let max_feed_age = hours.map(|h| Duration::from_secs(3600 * h));
        let gate = Gate { fail_on, allow_notices: false, max_feed_age, exit_code_map: None };
        ServerGate { gate, fail_on_kev: false }
    }

    #[test]
    fn what_is_exploited_fails_the_gate_and_without_a_catalogue_nothing_is_known_of_it() {
        let kev = ServerGate { fail_on_kev: true, ..gate(None, None) };
        let catalogue = |hours: Option<i64>, stale| VerdictFeed {
            feed_id: "cisa".to_owned(),
            format: "kev".to_owned(),
            age: hours.map(|hours| prost_types::Duration { seconds: 3600 * hours, nanos: 0 }),
            stale,
            ..VerdictFeed::default()
        };
        let with = |feeds: &[VerdictFeed], exploited| {
            let mut report = report(Coverage::Complete);
            report.verdict.enrichment = feeds.to_vec();
            report.counts.exploited = exploited;
            report
        };
        let fresh = catalogue(Some(1), false);
        assert_eq!(judged(with(std::slice::from_ref(&fresh), 0), kev), Exit::Ok);
        assert_eq!(judged(with(std::slice::from_ref(&fresh), 1), kev), Exit::Gate);
        assert_eq!(judged(with(std::slice::from_ref(&fresh), 1), gate(None, None)), Exit::Ok);
        assert_eq!(judged(with(&[], 0), kev), Exit::Untrusted, "no feed says what is exploited");
        assert_eq!(judged(with(&[catalogue(None, true)], 0), kev), Exit::Untrusted);
        assert_eq!(judged(with(&[catalogue(Some(9), true)], 0), kev), Exit::Untrusted);
        assert_eq!(judged(with(&[catalogue(Some(9), true), fresh.clone()], 0), kev), Exit::Ok);
        let young = ServerGate { fail_on_kev: true, ..gate(None, Some(3)) };
        assert_eq!(judged(with(&[catalogue(Some(9), false)], 0), young), Exit::Untrusted);
        assert_eq!(judged(with(&[], 0), gate(None, None)), Exit::Ok, "nobody asked");
        let (mut screen, page) = page();
        let mut shown = with(&[fresh], 1);
        shown.findings[0].exploited = true;
        shown.show(&mut screen, ResultFormat::Table, "app", false).unwrap();
        for word in ["CVE-2021-3749 (exploited)", "; 1 exploited", "; cisa 1 h 0 min old"] {
            assert!(page.text().contains(word), "no {word} in {}", page.text());
        }
    }

    #[test]
    fn the_table_ends_with_counts_coverage_age_and_the_note() {
        let (mut screen, page) = page();
        report(Coverage::Complete).show(&mut screen, ResultFormat::Table, "app", false).unwrap();
        let lines = page.text();
        let lines: Vec<_> =
            lines.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines[..6],
            [
                "PACKAGE VERSION SEVERITY FIXED IN VULNERABILITY ADVISORIES",
                "axios 0.21.0 high 0.21.2 CVE-2021-3749 GHSA-1",
                "",
                "1 finding: 1 high; 1 fixable",
                "coverage: complete",
                "snapshot 4 (the latest is 5); feeds: demo 2 h 0 min old",
            ]
        );
        assert!(lines[6].starts_with("note: feed demo is a demonstration set"), "{lines:?}");
    }

    #[test]
    fn json_is_one_object_with_a_schema_version() {
        let (mut screen, page) = page();
        report(Coverage::Partial).show(&mut screen, ResultFormat::Json, "app", false).unwrap();
        let json: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
        assert_eq!(json["schema_version"], SCHEMA_VERSION);
        assert_eq!(json["verdict"]["coverage"], "COVERAGE_PARTIAL");
        assert_eq!(json["findings"][0]["fixed_versions"][0], "0.21.2");
    }

    #[test]
    fn what_a_supplier_suppresses_is_counted_apart_and_shown_when_asked_for() {
        let report = with_suppressed();
        let shown = |format, show_suppressed| {
            let (mut screen, page) = page();
            report.show(&mut screen, format, "app", show_suppressed).unwrap();
            page.text()
        };
        let head = "1 finding suppressed by VEX: see starling vex explain\n";
        let why = "  CVE-2 axios 0.21.0: not_affected (vulnerable_code_not_present), says acme in doc-1\n";
        let plain = shown(ResultFormat::Table, false);
        assert!(plain.contains(head) && !plain.contains("CVE-2 "), "{plain}");
        assert!(shown(ResultFormat::Table, true).contains(&format!("{head}{why}")));
        assert_eq!(shown(ResultFormat::Jsonl, false).lines().count(), 1);
        assert_eq!(shown(ResultFormat::Jsonl, true).lines().count(), 2);
        let json: Value = serde_json::from_str(&shown(ResultFormat::Json, false)).unwrap();
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(1));
        assert_eq!(json["suppressed"][0]["vex"]["issuer"], "acme");
        let sarif: Value =
            serde_json::from_str(&shown(ResultFormat::Report(report::Format::Sarif), false)).unwrap();
        let results = &sarif["runs"][0]["results"];
        assert_eq!(results[0].get("suppressions"), None);
        assert_eq!(results[1]["suppressions"][0]["status"], "accepted", "{results}");
        let mut only = report;
        (only.findings, only.counts.by_severity) = (Vec::new(), Vec::new());
        assert_eq!(only.exit(gate(Some(Severity::Low), None)), Exit::Ok, "the gate counts what counts");
    }

    #[test]
    fn the_gate_counts_before_trust_and_trust_before_peace() {
        let complete = report(Coverage::Complete);
        assert_eq!(complete.exit(gate(None, None)), Exit::Ok);
        assert_eq!(complete.exit(gate(Some(Severity::Critical), None)), Exit::Ok);
        assert_eq!(complete.exit(gate(Some(Severity::High), None)), Exit::Gate);
        assert_eq!(judged(complete.clone(), gate(None, Some(1))), Exit::Untrusted);
        assert_eq!(judged(complete.clone(), gate(None, Some(3))), Exit::Ok);
        let by_state = |hours| {
            let mut gate = gate(None, Some(hours));
            gate.gate.exit_code_map = "states".parse().ok();
            gate
        };
        assert_eq!(judged(complete.clone(), by_state(1)), Exit::Mapped(46));
        assert_eq!(judged(complete.clone(), by_state(3)), Exit::Ok);
        let mut notice = complete.clone();
        notice.findings[0].notice = "unsound".to_owned();
        let high = gate(Some(Severity::High), None);
        assert_eq!(notice.exit(high), Exit::Gate);
        let mut allowing = high;
        allowing.gate.allow_notices = true;
        assert_eq!(notice.exit(allowing), Exit::Ok);
        let mut foreign = complete;
        foreign.verdict.gaps.push(wire::Gap {
            state: wire::CoverageState::ThirdParty.into(),
            place: "etc/apt/sources.list".to_owned(),
            what: "a stranger".to_owned(),
        });
        assert_eq!(judged(foreign, by_state(3)), Exit::Mapped(43));
        for coverage in [Coverage::Partial, Coverage::Provisional] {
            assert_eq!(report(coverage).exit(gate(None, None)), Exit::Untrusted);
            assert_eq!(report(coverage).exit(gate(Some(Severity::Low), None)), Exit::Gate);
        }
    }

    #[test]
    fn a_result_without_complete_coverage_says_so_loudly() {
        for (coverage, word) in [(Coverage::Partial, "partial"), (Coverage::Provisional, "provisional")] {
            let lines = report(coverage).summary(false);
            let start = format!("coverage: {word}. THIS IS NOT A CLEAN RESULT");
            assert!(lines.iter().any(|line| line.starts_with(&start)), "{lines:?}");
        }
    }
}
