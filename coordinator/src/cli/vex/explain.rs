//! `starling vex explain IMAGE`: what became of each statement about an image that the server has.

use clap::Args;
use proto_api::vex::v1::source::From;
use proto_api::vex::v1::{Effect, ExplainVexRequest, ExplainVexResponse, FeedSource, HeardStatement, Source};
use serde_json::json;

use super::super::failure::{Exit, Failure};
use super::super::json::{SCHEMA_VERSION, value};
use super::super::list::{self, Format, Limit, Output};
use super::super::screen::Screen;
use super::super::server::{Server, call};
use super::told::{self, Summary, Told};

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling vex explain app:1.2
  starling vex explain app:1.2 --without-effect -o json | jq '.statements[].complaints'";

/// What a statement is called in the contract.
pub(in crate::cli) const STATEMENT: &str = "starling.vex.v1.HeardStatement";

/// Whose statements.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// The image: its digest, the beginning of it, or a name
    image: String,
    /// Show only statements that have no effect
    #[arg(long)]
    without_effect: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let mut first = None;
        let found = list::gather(self.limit.limit, async |page_size, page_token| {
            let request = ExplainVexRequest {
                image: self.image.clone(),
                without_effect: self.without_effect,
                page_size,
                page_token,
            };
            let page = call(request, async |request| server.vex().explain_vex(request).await).await?;
            let ExplainVexResponse { statements, next_page_token, .. } = page.clone();
            first.get_or_insert(ExplainVexResponse { statements: vec![], ..page });
            Ok((statements, next_page_token))
        });
        let found = found.await?;
        let heard = first.ok_or_else(|| Failure::new(Exit::Failed, "the server sent nothing"))?;
        show(&heard, &found.items, self.output.format, screen)?;
        if found.more {
            screen.say("there are more statements, see --limit");
        }
        Ok(())
    }
}

fn show(
    heard: &ExplainVexResponse,
    statements: &[HeardStatement],
    format: Format,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let values = || statements.iter().map(|statement| value(STATEMENT, statement));
    match format {
        Format::Table => {
            statements.iter().flat_map(lines).try_for_each(|line| screen.data(line))?;
            screen.data(summary(heard))?;
            let (version, snapshot) = (heard.verdict_version, heard.snapshot);
            screen.data(format!("held against version {version} of the verdict, as of snapshot {snapshot}"))
        }
        Format::Json => screen.data(list::pretty(&json!({
            "schema_version": SCHEMA_VERSION,
            "image_digest": heard.image_digest,
            "verdict_version": heard.verdict_version,
            "snapshot": heard.snapshot,
            "heard": heard.heard,
            "effective": heard.effective,
            "findings": heard.findings,
            "suppressed": heard.suppressed,
            "held": heard.held,
            "statements": values().collect::<Vec<_>>(),
        }))?),
        Format::Jsonl => values().try_for_each(|statement| screen.data(statement)),
    }
}

/// What a statement says, and below what comes of it.
pub(in crate::cli) fn lines(heard: &HeardStatement) -> Vec<String> {
    told(heard).lines()
}

fn told(heard: &HeardStatement) -> Told {
    let first = |texts: &[String]| texts.first().cloned().unwrap_or_default();
    let more = usize::try_from(heard.more_products).unwrap_or_default();
    let effect = |effect: &Effect| told::Effect {
        part: effect.part.clone(),
        vulnerability: effect.vulnerability.clone(),
        purl: effect.purl.clone(),
        score: effect.score.unsigned_abs(),
    };
    Told {
        place: place(heard.source.as_ref()),
        statement: heard.statement.clone(),
        vulnerability: first(&heard.vulnerability),
        status: heard.status.clone(),
        product: first(&heard.products),
        more_products: heard.products.len().saturating_sub(1) + more,
        effects: heard.effects.iter().map(effect).collect(),
        more_effects: usize::try_from(heard.more_effects).unwrap_or_default(),
        complaints: heard.complaints.iter().map(|c| (c.kind.clone(), c.text.clone())).collect(),
    }
}

/// `feed red-hat RHSA-1`, or the id of what was attached.
fn place(source: Option<&Source>) -> String {
    match source.and_then(|source| source.from.as_ref()) {
        Some(From::DocumentId(id)) => id.clone(),
        Some(From::Feed(FeedSource { feed_id, advisory, .. })) => format!("feed {feed_id} {advisory}"),
        None => "unknown".to_owned(),
    }
}

fn summary(heard: &ExplainVexResponse) -> Summary {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    Summary {
        heard: number(heard.heard),
        effective: number(heard.effective),
        findings: number(heard.findings),
        suppressed: number(heard.suppressed),
        held: number(heard.held),
    }
}

#[cfg(test)]
mod tests {
    use proto_api::vex::v1::Complaint;

    use super::super::super::screen::tests::page;
    use super::*;

    fn heard() -> (ExplainVexResponse, Vec<HeardStatement>) {
        let feed = FeedSource { feed_id: "hub".to_owned(), advisory: "A-1".to_owned(), revision: 2 };
        let effect = Effect {
            vulnerability: "CVE-1".to_owned(),
            purl: "pkg:npm/a@1".to_owned(),
            part: "decides".to_owned(),
            score: 7000,
        };
        let complaint = Complaint { kind: "unsigned".to_owned(), text: "it is not signed".to_owned() };
        let statement = HeardStatement {
            source: Some(Source { from: Some(From::Feed(feed)), take_time: None }),
            statement: "#0".to_owned(),
            vulnerability: vec!["CVE-1".to_owned()],
            status: "fixed".to_owned(),
            products: vec!["pkg:npm/a@1".to_owned(), "pkg:npm/b".to_owned()],
            more_products: 5,
            effects: vec![effect],
            complaints: vec![complaint],
            ..HeardStatement::default()
        };
        let response = ExplainVexResponse {
            verdict_version: 3,
            snapshot: 9,
            heard: 1,
            effective: 1,
            findings: 2,
            suppressed: 1,
            ..ExplainVexResponse::default()
        };
        (response, vec![statement])
    }

    #[test]
    fn the_server_and_this_machine_tell_it_in_the_same_words() {
        let (response, statements) = heard();
        let (mut screen, page) = page();
        show(&response, &statements, Format::Table, &mut screen).unwrap();
        assert_eq!(
            page.text().lines().collect::<Vec<_>>(),
            [
                "feed hub A-1 #0: CVE-1 fixed pkg:npm/a@1 and 6 more",
                "  decides: CVE-1 of pkg:npm/a@1, score 7000",
                "  unsigned: it is not signed",
                "1 statement: 1 with effect; of 2 findings 1 suppressed, 0 held",
                "held against version 3 of the verdict, as of snapshot 9",
            ]
        );
    }

    #[test]
    fn json_has_the_statements_with_the_names_of_the_contract() {
        let (response, statements) = heard();
        let (mut screen, page) = page();
        show(&response, &statements, Format::Json, &mut screen).unwrap();
        let json: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
        assert_eq!((&json["snapshot"], &json["suppressed"]), (&9.into(), &1.into()));
        assert_eq!(json["statements"][0]["source"]["feed"]["feed_id"], "hub");
        assert_eq!(json["statements"][0]["complaints"][0]["kind"], "unsigned");
    }
}
