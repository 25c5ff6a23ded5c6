//! The results of an index's images, one after the other: `--platform all`.

use std::collections::BTreeSet;

use model::GapKind;
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::json::value;
use super::list::pretty;
use super::outputs;
use super::report::{FINDING, Report, ResultFormat, ResultOutput, ServerGate};
use super::screen::Screen;
use super::words::NOTHING;

/// The line above an image's table.
pub(super) fn heading(at: usize, platform: Option<&str>, digest: &str) -> String {
    let between = if at == 0 { "" } else { "\n" };
    let digest = if digest.is_empty() { NOTHING } else { digest };
    format!("{between}{}  {digest}", platform.unwrap_or("unknown platform"))
}

/// A server's result for one of them.
pub(super) struct One {
    /// What the image runs on, where that is known.
    pub platform: Option<String>,
    /// Its result.
    pub report: Report,
}

/// Writes the results of the images that are called so.
pub(super) fn write(
    results: &[One],
    output: &ResultOutput,
    name: &str,
    screen: &mut Screen,
) -> Result<(), Failure> {
    for wanted in &output.outputs {
        if wanted.is_by_platform() {
            let marks = report::marks(results.iter().map(|one| one.platform.as_deref()));
            for (one, mark) in results.iter().zip(marks) {
                let file = wanted.file_for(&mark);
                outputs::show(screen, file.as_ref(), |screen| {
                    one.report.show(screen, wanted.format, name, output.show_suppressed)
                })?;
            }
        } else {
            let file = wanted.file.as_ref();
            outputs::show(screen, file, |screen| {
                all(results, wanted.format, (name, output.show_suppressed), screen)
            })?;
        }
    }
    Ok(())
}

fn all(
    results: &[One],
    format: ResultFormat,
    (name, show_suppressed): (&str, bool),
    screen: &mut Screen,
) -> Result<(), Failure> {
    match format {
        ResultFormat::Table => results.iter().enumerate().try_for_each(|(at, one)| {
            screen.data(heading(at, one.platform.as_deref(), &one.report.verdict.image_digest))?;
            one.report.show(screen, format, name, show_suppressed)
        }),
        ResultFormat::Json => {
            let told = |one: &One| {
                let mut whole = one.report.json();
                whole["platform"] = one.platform.as_deref().into();
                whole
            };
            screen.data(pretty(&results.iter().map(told).collect::<Value>())?)
        }
        ResultFormat::Jsonl => results.iter().try_for_each(|one| one.lines(show_suppressed, screen)),
        ResultFormat::Report(format) => {
            let told = |one: &One| {
                let mut told = one.report.report(name)?;
                told.image.platform.clone_from(&one.platform);
                Ok(told)
            };
            let reports = results.iter().map(told).collect::<Result<Vec<_>, Failure>>()?;
            let whole = report::write_all(&reports.iter().collect::<Vec<_>>(), format);
            screen.exactly(whole.expect("it was asked whether it has room").as_bytes())
        }
    }
}

impl One {
    /// Each finding with the image that it is of.
    fn lines(&self, show_suppressed: bool, screen: &mut Screen) -> Result<(), Failure> {
        let suppressed = self.report.suppressed.iter().filter(|_| show_suppressed);
        self.report.findings.iter().chain(suppressed).try_for_each(|finding| {
            let mut line = value(FINDING, finding);
            line["platform"] = self.platform.as_deref().into();
            line["image_digest"] = self.report.verdict.image_digest.as_str().into();
            screen.data(line)
        })
    }
}

/// The exit code of them all: what was found in one was found, and a state of one is a state.
pub(super) fn exit(results: &[One], gate: ServerGate) -> Exit {
    let exits: Vec<Exit> = results.iter().map(|one| one.report.exit(gate)).collect();
    if exits.contains(&Exit::Gate) {
        return Exit::Gate;
    }
    let states: BTreeSet<GapKind> =
        results.iter().flat_map(|one| &one.report.gaps).map(|gap| gap.kind).collect();
    let is_to_be_trusted = exits.iter().all(|exit| *exit == Exit::Ok);
    gate.gate.judge(|_| false, is_to_be_trusted, &states.into_iter().collect::<Vec<_>>())
}
