//! `starling images explain IMAGE VULNERABILITY`: why it holds for an image on the server, or why it does not, and what
//! VEX says of it; and how such answers are shown, whoever gave them.

use clap::Args;
use evaluation::{Answer, Reason};
use model::{Coverage, Gap, GapKind, Purl};
use proto_api::finding::v1::{ExplainReason, ExplainVulnerabilityRequest};
use proto_api::vex::v1::HeardStatement;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::json::SCHEMA_VERSION;
use super::list::{Format, Output, pretty};
use super::report::{self, coverage_line, gap_lines};
use super::screen::Screen;
use super::server::{Server, call};
use super::vex::{self, STATEMENT};
use crate::grpc::convert;

/// What to explain.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The image: its digest, the beginning of it, or a name
    image: String,
    /// The vulnerability, by any of its names
    vulnerability: String,
    /// By the advisories of this version of the verdict instead of the latest
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    verdict: Option<i32>,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    /// Does it. It ends as without a server.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        let request = ExplainVulnerabilityRequest {
            image: self.image,
            vulnerability: self.vulnerability.clone(),
            verdict_version: self.verdict.unwrap_or(0),
        };
        let answer =
            call(request, async |request| server.findings().explain_vulnerability(request).await).await?;
        let unsound = || Failure::new(Exit::Failed, "the server sent a reason that means nothing here");
        let reasons = answer.reasons.iter().map(|told| reason(told).ok_or_else(unsound));
        let explained = Explained {
            vulnerability: self.vulnerability,
            reasons: reasons.collect::<Result<_, _>>()?,
            coverage: convert::coverage_of(answer.coverage()),
            gaps: answer.gaps.iter().map(report::gap).collect(),
            heard: Some(Heard { statements: answer.statements, snapshot: answer.heard_snapshot }),
        };
        explained.show(self.output.format, screen)?;
        for (more, what) in [(answer.more_reasons, "reasons"), (answer.more_statements, "statements of VEX")]
        {
            if more > 0 {
                screen.say(format!("and {more} more {what}"));
            }
        }
        Ok(explained.exit())
    }
}

/// `None` where a word or name in it is none that is known here.
fn reason(told: &ExplainReason) -> Option<Reason> {
    let advisory = match told.advisory.as_str() {
        "" => None,
        id => Some((id.to_owned(), told.feed_id.parse().ok()?)),
    };
    let locations = told.locations.iter().map(report::location).collect();
    let component = match told.purl.as_str() {
        "" => None,
        purl => Some((Purl::from_canonical(purl.to_owned()), locations)),
    };
    Some(Reason { answer: Answer::from_word(&told.answer)?, advisory, component, what: told.what.clone() })
}

/// What is known of one vulnerability in one image.
#[derive(Debug)]
pub(super) struct Explained {
    /// What was asked for.
    pub vulnerability: String,
    /// What each advisory says.
    pub reasons: Vec<Reason>,
    /// How far to trust that something was not found.
    pub coverage: Coverage,
    /// Why no further.
    pub gaps: Vec<Gap>,
    /// What a server heard of it.
    pub heard: Option<Heard>,
}

/// What VEX says of it.
#[derive(Debug)]
pub(super) struct Heard {
    /// Each statement, with what became of it.
    pub statements: Vec<HeardStatement>,
    /// As of which snapshot.
    pub snapshot: i64,
}

impl Explained {
    /// 4 where nothing was found and that need not mean anything.
    pub(super) fn exit(&self) -> Exit {
        let affected = self.reasons.iter().any(|reason| reason.answer == Answer::Affected);
        if affected || self.gaps.is_empty() { Exit::Ok } else { Exit::Untrusted }
    }

    /// Writes it.
    pub(super) fn show(&self, format: Format, screen: &mut Screen) -> Result<(), Failure> {
        match format {
            Format::Json => screen.data(pretty(&self.whole())?),
            Format::Jsonl => self.reasons.iter().try_for_each(|reason| screen.data(value(reason))),
            Format::Table => {
                for reason in &self.reasons {
                    lines(reason).iter().try_for_each(|line| screen.data(line))?;
                }
                self.heard.iter().flat_map(said).try_for_each(|line| screen.data(line))?;
                screen.data(coverage_line(self.coverage, &Gap::kinds(&self.gaps)))?;
                gap_lines(&self.gaps).try_for_each(|line| screen.data(line))
            }
        }
    }

    fn whole(&self) -> Value {
        let problem = |g: &Gap| json!({"state": g.kind.as_str(), "place": g.place, "what": g.what});
        let problems: Vec<Value> = self.gaps.iter().map(problem).collect();
        let states: Vec<&str> = Gap::kinds(&self.gaps).into_iter().map(GapKind::as_str).collect();
        let heard = self.heard.as_ref().map(|heard| {
            let statements = heard.statements.iter().map(|one| super::json::value(STATEMENT, one));
            json!({"snapshot": heard.snapshot, "statements": statements.collect::<Vec<_>>()})
        });
        json!({
            "schema_version": SCHEMA_VERSION,
            "vulnerability": self.vulnerability,
            "reasons": self.reasons.iter().map(value).collect::<Vec<_>>(),
            "coverage": self.coverage.as_str(),
            "coverage_states": states,
            "problems": problems,
            "vex": heard,
        })
    }
}

fn lines(reason: &Reason) -> Vec<String> {
    let by = match &reason.advisory {
        Some((advisory, feed)) => format!("  by {advisory} of feed {feed}"),
        None => String::new(),
    };
    let subject = reason.component.as_ref().map_or("the image", |(purl, _)| purl.as_str());
    let mut lines = vec![format!("{}: {subject}{by}", reason.answer.as_str()), format!("  {}", reason.what)];
    for location in reason.component.iter().flat_map(|(_, locations)| locations) {
        lines.push(format!("  seen in layer {}: {}", location.layer, location.path));
    }
    lines
}

fn said(heard: &Heard) -> Vec<String> {
    let as_of = format!("as of snapshot {}", heard.snapshot);
    let head = match heard.statements.as_slice() {
        [] => format!("VEX says nothing of it, {as_of}"),
        _ => format!("VEX says, {as_of}:"),
    };
    let statements = heard.statements.iter().flat_map(vex::lines).map(|line| format!("  {line}"));
    [head].into_iter().chain(statements).collect()
}

fn value(reason: &Reason) -> Value {
    let locations = reason.component.iter().flat_map(|(_, locations)| locations);
    let locations: Vec<Value> = locations.map(|l| json!({"layer": l.layer, "path": l.path})).collect();
    json!({
        "answer": reason.answer.as_str(),
        "advisory": reason.advisory.as_ref().map(|(id, _)| id),
        "feed": reason.advisory.as_ref().map(|(_, feed)| feed.as_str()),
        "purl": reason.component.as_ref().map(|(purl, _)| purl.as_str()),
        "locations": locations,
        "what": reason.what,
    })
}
