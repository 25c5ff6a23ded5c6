//! `starling explain IMAGE VULNERABILITY`: why it holds for the image, or why it does not.

use std::collections::BTreeSet;

use clap::Args;
use evaluation::coverage::{ended, unread};
use evaluation::{Answer, Explanation, Reason};
use model::{Gap, GapKind};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::failure::{Exit, Failure};
use super::super::json::SCHEMA_VERSION;
use super::super::list::{Format, Output, pretty};
use super::super::report::{coverage_line, gap_lines};
use super::super::screen::Screen;
use super::advisories::Advisories;
use super::blocking;
use super::image::Image;
use crate::config::Environment;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  starling explain app.tar CVE-2021-44906 --advisories ./osv
  starling explain ./layout GHSA-xvch-5gv4-984h --advisories debian=./debian,npm=./npm -o json";

/// What to explain.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    image: Image,
    /// The vulnerability, by any of its names
    vulnerability: String,
    #[command(flatten)]
    advisories: Advisories,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    /// Does it. It ends with 4 where nothing was found and that need not mean anything.
    pub(in crate::cli) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { image, vulnerability, advisories, output } = self;
        let loaded = blocking({
            let env = env.clone();
            move || advisories.load(&env)
        })
        .await?;
        let found = image.find(env, screen).await?;
        let bar = screen.progress("reading");
        let today = OffsetDateTime::now_utc().date().to_string();
        let (loaded, explanation, gaps) = blocking(move || {
            let sbom = found.read(&bar)?.sbom;
            let explanation = loaded.explain(&sbom, &vulnerability)?;
            bar.finish_and_clear();
            let over = sbom.distro.iter().filter_map(|distro| ended(distro, &today));
            let gaps = explanation.evaluation.gaps.iter().cloned().chain(unread(&sbom)).chain(over);
            let gaps: BTreeSet<Gap> = gaps.collect();
            Ok((loaded, explanation, gaps.into_iter().collect::<Vec<_>>()))
        })
        .await?;
        loaded.warn(screen);
        show(&explanation, &gaps, output.format, screen)?;
        let affected = explanation.reasons.iter().any(|reason| reason.answer == Answer::Affected);
        Ok(if affected || gaps.is_empty() { Exit::Ok } else { Exit::Untrusted })
    }
}

fn show(explanation: &Explanation, gaps: &[Gap], format: Format, screen: &mut Screen) -> Result<(), Failure> {
    match format {
        Format::Json => screen.data(pretty(&whole(explanation, gaps))?),
        Format::Jsonl => explanation.reasons.iter().try_for_each(|reason| screen.data(value(reason))),
        Format::Table => {
            for reason in &explanation.reasons {
                lines(reason).iter().try_for_each(|line| screen.data(line))?;
            }
            screen.data(coverage_line(explanation.evaluation.coverage, &Gap::kinds(gaps)))?;
            gap_lines(gaps).try_for_each(|line| screen.data(line))
        }
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

fn whole(explanation: &Explanation, gaps: &[Gap]) -> Value {
    let problem = |g: &Gap| json!({"state": g.kind.as_str(), "place": g.place, "what": g.what});
    let problems: Vec<Value> = gaps.iter().map(problem).collect();
    let states: Vec<&str> = Gap::kinds(gaps).into_iter().map(GapKind::as_str).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "vulnerability": explanation.vulnerability,
        "reasons": explanation.reasons.iter().map(value).collect::<Vec<_>>(),
        "coverage": explanation.evaluation.coverage.as_str(),
        "coverage_states": states,
        "problems": problems,
    })
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
