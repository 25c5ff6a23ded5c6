//! `starling blast-radius VULNERABILITY`: the images that it concerns.

use clap::Args;
use proto_api::impact::v1::{
    ConcernedImage, ConcernedPackage, GetBlastRadiusRequest, GetBlastRadiusResponse, SpokenAdvisory,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::failure::Failure;
use super::json::{SCHEMA_VERSION, value};
use super::list::{Format, Limit, Output, gather, pretty};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

const IMAGE: &str = "starling.impact.v1.ConcernedImage";
const ADVISORY: &str = "starling.impact.v1.SpokenAdvisory";

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling blast-radius CVE-2021-44228
  starling blast-radius GHSA-jfh8-c2jp-5v3q --limit 0 -o json | jq '.images[].image_digest'";

/// Which vulnerability.
#[derive(Debug, Args)]
pub(super) struct BlastRadius {
    /// The vulnerability, by any of its names
    vulnerability: String,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    output: Output,
}

impl BlastRadius {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        let mut first = None;
        let found = gather(self.limit.limit, async |page_size, page_token| {
            let vulnerability = self.vulnerability.clone();
            let request = GetBlastRadiusRequest { vulnerability, page_size, page_token };
            let mut answer =
                call(request, async |request| server.impact().get_blast_radius(request).await).await?;
            let page = std::mem::take(&mut answer.images);
            let next = std::mem::take(&mut answer.next_page_token);
            first.get_or_insert(answer);
            Ok((page, next))
        });
        let found = found.await?;
        let answer = first.unwrap_or_default();
        match self.output.format {
            Format::Table => table(screen, &answer, &found.items)?,
            Format::Json => screen.data(pretty(&document(&answer, &found.items, found.more))?)?,
            Format::Jsonl => found.items.iter().try_for_each(|image| screen.data(value(IMAGE, image)))?,
        }
        if found.more {
            let shown = words::count(found.items.len() as u64, "image");
            screen.say(format!("only the first {shown} are shown: there are more, see --limit"));
        }
        Ok(())
    }
}

fn document(answer: &GetBlastRadiusResponse, images: &[ConcernedImage], more: bool) -> Value {
    let advisories = answer.advisories.iter().map(|advisory| value(ADVISORY, advisory));
    json!({
        "schema_version": SCHEMA_VERSION,
        "vulnerability": answer.vulnerability,
        "snapshot": answer.snapshot,
        "former_snapshot": answer.former_known.then_some(answer.former_snapshot),
        "advisories": advisories.collect::<Vec<_>>(),
        "images_total": answer.images_total,
        "tenants_total": answer.tenants_total,
        "images": images.iter().map(|image| value(IMAGE, image)).collect::<Vec<_>>(),
        "more": more,
    })
}

fn table(
    screen: &mut Screen,
    answer: &GetBlastRadiusResponse,
    images: &[ConcernedImage],
) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    let mut rows = Rows::new(screen, &["ADVISORY", "FEED", "PUBLISHED", "OBSERVED", "SNAPSHOT"]);
    for SpokenAdvisory { advisory, feed_id, published, observe_time, snapshot, .. } in &answer.advisories {
        let published = if published.is_empty() { words::NOTHING } else { published };
        let observed = words::ago(*observe_time, now);
        rows.row([advisory.clone(), feed_id.clone(), published.to_owned(), observed, snapshot.to_string()]);
    }
    if answer.advisories.is_empty() {
        screen.say(format!("no advisory of snapshot {} speaks of it", answer.snapshot));
        return Ok(());
    }
    rows.right(&[4]).show(screen)?;
    let mut rows = Rows::new(screen, &["IMAGE", "PACKAGE", "AFFECTED", "EVALUATED", "UP TO DATE"]);
    for image in images {
        let called = image.names.first().map_or_else(|| words::short(&image.image_digest), String::as_str);
        for package in &image.packages {
            rows.row([
                called.to_owned(),
                package.purl.clone(),
                affected(package, answer.former_known).to_owned(),
                words::ago(image.evaluate_time, now),
                if image.up_to_date { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    if !rows.is_empty() {
        rows.show(screen)?;
    }
    let of = |number: i64, noun| words::count(number.unsigned_abs(), noun);
    screen.say(format!(
        "{} of {} in snapshot {}",
        of(answer.images_total, "image"),
        of(answer.tenants_total, "tenant"),
        answer.snapshot
    ));
    Ok(())
}

const fn affected(package: &ConcernedPackage, former_known: bool) -> &'static str {
    match (package.affected_before, package.affected_now) {
        (false, true) if former_known => "new",
        (_, true) => "yes",
        (true, false) => "no longer",
        (false, false) => "no",
    }
}
