//! `starling sbom IMAGE`: what is in an image.

use clap::Args;
use model::{Component, Digest, ThirdParty};

use super::super::failure::{Exit, Failure};
use super::super::outputs::{self, Wanted};
use super::super::screen::Screen;
use super::super::table::Rows;
use super::super::words::{NOTHING, count};
use super::bill::{self, BillFormat};
use super::blocking;
use super::image::Image;
use crate::config::Environment;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  starling sbom app.tar
  starling sbom alpine:3.20 -o cyclonedx > alpine.cdx.json
  starling sbom ./layout -o spdx=app.spdx.json -o bom-index=app.bomidx
  starling sbom syft.cdx.json -o json

Formats: table, json (as nodes store it; its digest is a verdict's sbom_digest), jsonl, cyclonedx (1.6),
cyclonedx-1.7, spdx (2.3), bom-index";

/// Which image's.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sbom {
    #[command(flatten)]
    image: Image,
    /// Format of the data, and the file it goes to; may be given several times
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=FILE]", default_value = "table", value_parser = parse_output)]
    outputs: Vec<Wanted<Format>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Jsonl,
    Bill(BillFormat),
}

fn parse_output(text: &str) -> Result<Wanted<Format>, String> {
    let mut formats = vec![("table", Format::Table), ("json", Format::Json), ("jsonl", Format::Jsonl)];
    formats.extend(bill::FORMATS.map(|(word, format)| (word, Format::Bill(format))));
    outputs::parse(text, &formats)
}

impl Sbom {
    /// Does it. It ends with 4 where part of the image could not be read.
    pub(in crate::cli) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { image, outputs } = self;
        outputs::check(&outputs)?;
        let found = image.find(env, screen).await?;
        let bar = screen.progress("reading");
        let read = blocking(move || {
            let read = found.read(&bar)?;
            bar.finish_and_clear();
            Ok(read)
        })
        .await?;
        for Wanted { format, file } in &outputs {
            let bytes = match format {
                Format::Table => {
                    outputs::show(screen, file.as_ref(), |screen| table(&read.sbom, screen))?;
                    continue;
                }
                // Canonical JSON, as a node stores it, so that its digest is the verdict's `sbom_digest`.
                Format::Json => inventory::sbom::document(&read.sbom),
                Format::Jsonl => lines(&read.sbom).into_bytes(),
                Format::Bill(format) => format.write(&read, [])?,
            };
            outputs::put(screen, file.as_ref(), &bytes)?;
        }
        Ok(if read.sbom.problems.is_empty() { Exit::Ok } else { Exit::Untrusted })
    }
}

fn lines(sbom: &model::Sbom) -> String {
    sbom.components.iter().map(|component| format!("{}\n", component.purl)).collect()
}

fn table(sbom: &model::Sbom, screen: &mut Screen) -> Result<(), Failure> {
    let mut rows = Rows::new(screen, &["TYPE", "PACKAGE", "VERSION", "FROM", "PART OF", "SEEN IN"]);
    for component in &sbom.components {
        let owner = component.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = component.kind.as_str().to_owned();
        let from = sbom.origin(&component.locations).map_or(NOTHING, model::Origin::as_str).to_owned();
        rows.row([kind, component.name.clone(), component.version.clone(), from, owner, seen(component)]);
    }
    if !rows.is_empty() {
        rows.show(screen)?;
        screen.data("")?;
    }
    let distro =
        sbom.distro.as_ref().map_or_else(|| "unknown".to_owned(), |d| format!("{} {}", d.id, d.version));
    screen.data(format!("{}; distribution: {distro}", count(sbom.components.len() as u64, "component")))?;
    screen.data(format!("digest of the document: {}", Digest::of(&inventory::sbom::document(sbom))))?;
    for ThirdParty { place, supplier, packages } in &sbom.third_party {
        let who = if supplier.is_empty() { "nobody named" } else { supplier };
        let which = match packages.len() {
            0 => "may bring packages".to_owned(),
            number => format!("brings {}", count(number as u64, "package")),
        };
        screen.data(format!("third party: {who} {which}: {place}"))?;
    }
    let problems = sbom.problems.iter();
    problems.map(|p| format!("not read: {}: {}", p.place, p.what)).try_for_each(|line| screen.data(line))
}

fn seen(component: &Component) -> String {
    let Some(first) = component.locations.first() else { return String::new() };
    match component.locations.len() {
        1 => first.path.clone(),
        more => format!("{} and {} more", first.path, more - 1),
    }
}
