//! `starling image history` and `starling image diff`: how a result became what it is.

use clap::Args;
use proto_api::finding::v1::{Cause, ChangeCount, Finding, Verdict};
use proto_api::verdict::v1::{Change, DiffVerdictsRequest, DiffVerdictsResponse, ListVerdictsRequest};
use serde_json::json;
use time::OffsetDateTime;

use super::failure::{Exit, Failure};
use super::json::{SCHEMA_VERSION, value};
use super::list::{self, Format, Limit, Output};
use super::moment::{self, parse_moment};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

const VERDICT: &str = "starling.finding.v1.Verdict";
const CHANGE: &str = "starling.verdict.v1.Change";

/// Which versions to list.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The image: its digest, the beginning of it, or a name
    image: String,
    /// Only what was known at this time: a day (its end, in UTC) or a moment such as 2026-05-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    at: Option<OffsetDateTime>,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    output: Output,
}

/// What to compare with what.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The image: its digest, the beginning of it, or a name
    image: String,
    /// Another image: show what it has more and less, by the latest results
    #[arg(conflicts_with_all = ["from", "to", "from_date", "to_date"])]
    other: Option<String>,
    /// The version to begin at; the one before the other where it is not given
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    from: Option<i32>,
    /// The version to end at; the latest where it is not given
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    to: Option<i32>,
    /// Begin at the version that was valid at this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "from")]
    from_date: Option<OffsetDateTime>,
    /// End at the version that was valid at this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "to")]
    to_date: Option<OffsetDateTime>,
    #[command(flatten)]
    output: Output,
}

impl History {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let until_time = self.at.map(crate::grpc::convert::timestamp);
        let found = list::gather(self.limit.limit, async |page_size, page_token| {
            let request =
                ListVerdictsRequest { image: self.image.clone(), until_time, page_size, page_token };
            let page = call(request, async |request| server.verdicts().list_verdicts(request).await).await?;
            Ok((page.verdicts, page.next_page_token))
        });
        list::show(screen, self.output.format, VERDICT, &found.await?, |screen, verdicts| {
            let heads = ["VERSION", "MADE", "SNAPSHOT", "COVERAGE", "FINDINGS", "CHANGES", "CAUSE"];
            let mut rows = Rows::new(screen, &heads);
            for verdict in verdicts {
                rows.row([
                    verdict.version.to_string(),
                    verdict.create_time.map_or_else(|| words::NOTHING.to_owned(), moment::shown),
                    verdict.snapshot.to_string(),
                    words::word(verdict.coverage().as_str_name(), "COVERAGE_"),
                    findings(verdict),
                    changes(&verdict.changes),
                    cause(verdict.cause.as_ref()),
                ]);
            }
            rows.right(&[0, 2, 4])
        })
    }
}

/// `7`, or `7 and 2 suppressed`.
fn findings(verdict: &Verdict) -> String {
    match verdict.suppressed {
        0 => verdict.findings.to_string(),
        suppressed => format!("{} and {suppressed} suppressed", verdict.findings),
    }
}

/// `2 appeared, 1 resolved`.
fn changes(counts: &[ChangeCount]) -> String {
    let told: Vec<_> = counts.iter().map(|c| format!("{} {}", c.changes, c.kind.replace('-', " "))).collect();
    if told.is_empty() { words::NOTHING.to_owned() } else { told.join(", ") }
}

/// `scan, advisories GHSA-1 GHSA-2 and 7 more, vex https://acme.example/vex/1`.
fn cause(cause: Option<&Cause>) -> String {
    let Some(cause) = cause else { return words::NOTHING.to_owned() };
    let advisories: Vec<_> = cause.advisories.iter().map(|a| a.advisory.as_str()).collect();
    let documents: Vec<_> = cause.documents.iter().map(|d| d.document.as_str()).collect();
    let kind = |kind: &String| match kind.as_str() {
        "advisories" => naming(kind, &advisories, cause.more_advisories),
        "vex" => naming(kind, &documents, cause.more_documents),
        _ => kind.clone(),
    };
    cause.kinds.iter().map(kind).collect::<Vec<_>>().join(", ")
}

/// A kind with the first of what it is of.
fn naming(kind: &str, all: &[&str], besides: i32) -> String {
    let named = &all[..all.len().min(NAMED)];
    if named.is_empty() {
        return kind.to_owned();
    }
    let left = all.len() - named.len() + usize::try_from(besides).unwrap_or(0);
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    format!("{kind} {}{more}", named.join(" "))
}

/// How many advisories, or documents, a line names.
const NAMED: usize = 3;

impl Diff {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let request = DiffVerdictsRequest {
            image: self.image.clone(),
            from_version: self.from.unwrap_or(0),
            to_version: self.to.unwrap_or(0),
            from_time: self.from_date.map(crate::grpc::convert::timestamp),
            to_time: self.to_date.map(crate::grpc::convert::timestamp),
            other_image: self.other.clone().unwrap_or_default(),
            page_size: 0,
            page_token: String::new(),
        };
        let mut first = None;
        let found = list::gather(0, async |page_size, page_token| {
            let request = DiffVerdictsRequest { page_size, page_token, ..request.clone() };
            let page = call(request, async |request| server.verdicts().diff_verdicts(request).await).await?;
            let DiffVerdictsResponse { changes, next_page_token, .. } = page.clone();
            first.get_or_insert(DiffVerdictsResponse { changes: vec![], ..page });
            Ok((changes, next_page_token))
        });
        let found = found.await?.items;
        let compared = first.ok_or_else(|| Failure::new(Exit::Failed, "the server sent nothing"))?;
        match self.output.format {
            Format::Table => self.table(screen, &compared, &found),
            Format::Json => {
                let side = |verdict: &Option<Verdict>| verdict.as_ref().map(|v| value(VERDICT, v));
                screen.data(list::pretty(&json!({
                    "schema_version": SCHEMA_VERSION,
                    "from": side(&compared.from),
                    "to": side(&compared.to),
                    "changes": found.iter().map(|change| value(CHANGE, change)).collect::<Vec<_>>(),
                }))?)
            }
            Format::Jsonl => found.iter().try_for_each(|change| screen.data(value(CHANGE, change))),
        }
    }

    fn table(
        &self,
        screen: &mut Screen,
        compared: &DiffVerdictsResponse,
        found: &[Change],
    ) -> Result<(), Failure> {
        let heads = ["CHANGE", "VULNERABILITY", "PACKAGE", "VERSION", "SEVERITY", "FIXED IN", "VEX"];
        let mut rows = Rows::new(screen, &heads);
        for change in found {
            let (before, after) = (change.before.as_ref(), change.after.as_ref());
            let told = |text: fn(&Finding) -> String| both(before.map(text), after.map(text));
            rows.row([
                self.word(&change.kind),
                told(|finding| finding.vulnerability.clone()),
                told(|finding| finding.package.clone()),
                told(|finding| finding.version.clone()),
                told(|finding| words::severity(finding.severity()).to_string()),
                told(fix),
                told(vex),
            ]);
        }
        if !rows.is_empty() {
            rows.show(screen)?;
            screen.data("")?;
        }
        let side = |verdict: Option<&Verdict>, name: &str| {
            let verdict = verdict.cloned().unwrap_or_default();
            format!("version {} of {name} at snapshot {}", verdict.version, verdict.snapshot)
        };
        let from = side(compared.from.as_ref(), &self.image);
        let to = side(compared.to.as_ref(), self.other.as_deref().unwrap_or(&self.image));
        screen.data(format!("from {from} to {to}: {}", self.counted(&compared.counts)))
    }

    /// Between two images nothing happens: one has more or less than the other.
    fn word(&self, kind: &str) -> String {
        match (self.other.is_some(), kind) {
            (true, "appeared") => "more".to_owned(),
            (true, "resolved") => "less".to_owned(),
            (true, "restated") => "told differently".to_owned(),
            (true, other) => other.replace("-changed", " differs").replace("-available", " differs"),
            (false, kind) => kind.replace('-', " "),
        }
    }

    fn counted(&self, counts: &[ChangeCount]) -> String {
        let told: Vec<_> = counts.iter().map(|c| format!("{} {}", c.changes, self.word(&c.kind))).collect();
        if told.is_empty() { "no difference".to_owned() } else { told.join(", ") }
    }
}

/// What it is, or what it became.
fn both(before: Option<String>, after: Option<String>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before != after => format!("{before} → {after}"),
        (before, after) => after.or(before).unwrap_or_default(),
    }
}

/// What suppliers say: `not_affected by acme`.
fn vex(finding: &Finding) -> String {
    let Some(word) = &finding.vex else { return words::NOTHING.to_owned() };
    let held = if word.held { ", held" } else { "" };
    format!("{} by {}{held}", word.status, word.issuer)
}

fn fix(finding: &Finding) -> String {
    let fixed = finding.fixed_versions.join(", ");
    if fixed.is_empty() { finding.fix_state.replace('-', " ") } else { fixed }
}

#[cfg(test)]
mod tests {
    use proto_api::finding::v1::{CauseDocument, RevisedAdvisory, VexWord};

    use super::*;

    #[test]
    fn causes_and_changes_are_told_in_short() {
        let count = |kind: &str, changes| ChangeCount { kind: kind.to_owned(), changes };
        assert_eq!(
            changes(&[count("appeared", 2), count("fix-available", 1)]),
            "2 appeared, 1 fix available"
        );
        assert_eq!(changes(&[]), "–");
        let advisory =
            |number: usize| RevisedAdvisory { advisory: format!("A-{number}"), ..Default::default() };
        let told = |kinds: &[&str], named: usize, more_advisories| {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let advisories = (0..named).map(advisory).collect();
            cause(Some(&Cause { kinds, advisories, more_advisories, ..Cause::default() }))
        };
        assert_eq!(told(&["scan"], 0, 0), "scan");
        assert_eq!(told(&["scan", "advisories"], 2, 0), "scan, advisories A-0 A-1");
        assert_eq!(told(&["advisories", "coverage"], 5, 7), "advisories A-0 A-1 A-2 and 9 more, coverage");
        assert_eq!(cause(None), "–");
        let document = |id: &str| CauseDocument { document: id.to_owned(), ..CauseDocument::default() };
        let documents = ["a", "b", "c", "d"].map(document).to_vec();
        let vex = Cause { kinds: vec!["vex".to_owned()], documents, ..Cause::default() };
        assert_eq!(cause(Some(&vex)), "vex a b c and 1 more");
    }

    #[test]
    fn what_suppliers_say_is_told_on_both_sides() {
        let word = |held| VexWord {
            status: "not_affected".to_owned(),
            issuer: "acme".to_owned(),
            held,
            ..VexWord::default()
        };
        let said = |held| Finding { vex: Some(word(held)), ..Finding::default() };
        let told = both(Some(vex(&Finding::default())), Some(vex(&said(false))));
        assert_eq!(told, "– → not_affected by acme");
        assert_eq!(vex(&said(true)), "not_affected by acme, held");
        let verdict = |suppressed| Verdict { findings: 7, suppressed, ..Verdict::default() };
        assert_eq!((findings(&verdict(0)), findings(&verdict(2))), ("7".into(), "7 and 2 suppressed".into()));
    }

    #[test]
    fn what_became_something_else_is_told_with_both() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(both(text("low"), text("high")), "low → high");
        assert_eq!(
            (both(text("a"), text("a")), both(None, text("b")), both(text("c"), None)),
            ("a".to_owned(), "b".to_owned(), "c".to_owned())
        );
    }
}
