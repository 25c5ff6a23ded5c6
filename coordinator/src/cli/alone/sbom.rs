//! `starling sbom IMAGE`: what is in an image.

use std::path::PathBuf;

use clap::Args;
use model::{Component, Digest, ThirdParty};
use serde_json::{Value, json};

use super::super::failure::{Exit, Failure};
use super::super::json::SCHEMA_VERSION;
use super::super::outputs::{self, Wanted};
use super::super::screen::Screen;
use super::super::several;
use super::super::table::Rows;
use super::super::words::{NOTHING, count};
use super::bill::{self, BillFormat};
use super::blocking;
use super::image::{Image, Inventoried};
use crate::config::Environment;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  starling sbom app.tar
  starling sbom alpine:3.20 -o cyclonedx > alpine.cdx.json
  starling sbom ./layout -o spdx=app.spdx.json -o bom-index=app.bomidx
  starling sbom syft.cdx.json -o json
  starling sbom app:1.2 --platform all -o cyclonedx=app-{platform}.cdx.json

Formats: table, json (as nodes store it; its digest is a verdict's sbom_digest), jsonl, cyclonedx (1.6),
cyclonedx-1.7, spdx (2.3), bom-index. With --platform all, json is an array of objects with platform, digest and sbom, and
all others but the table need a FILE with {platform} in its name";

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
        if image.is_each() {
            outputs::check_platforms(&outputs, |format| matches!(format, Format::Table | Format::Json))?;
        }
        let mut all = Vec::new();
        for found in image.find_each(env).await? {
            found.fetch(screen).await?;
            let bar = screen.progress("reading");
            let read = move || {
                let read = found.read(&bar)?;
                bar.finish_and_clear();
                Ok(read)
            };
            all.push(blocking(read).await?);
        }
        outputs.iter().try_for_each(|wanted| put(&all, image.is_each(), wanted, screen))?;
        let is_whole = all.iter().all(|read| read.sbom.problems.is_empty());
        Ok(if is_whole { Exit::Ok } else { Exit::Untrusted })
    }
}

/// Writes an output: all images in one, or a file for each.
fn put(
    all: &[Inventoried],
    is_each: bool,
    wanted: &Wanted<Format>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if !wanted.is_by_platform() {
        return write(all, is_each, wanted.format, wanted.file.as_ref(), screen);
    }
    let marks = report::marks(all.iter().map(|read| read.platform.as_deref()));
    let mut each = all.iter().zip(marks);
    each.try_for_each(|(read, mark)| {
        let file = wanted.file_for(&mark);
        write(std::slice::from_ref(read), false, wanted.format, file.as_ref(), screen)
    })
}

fn write(
    images: &[Inventoried],
    is_each: bool,
    format: Format,
    file: Option<&PathBuf>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    match format {
        Format::Table => outputs::show(screen, file, |screen| tables(images, is_each, screen)),
        Format::Json if is_each => {
            let each = images.iter().map(told).collect::<Result<Vec<Value>, Failure>>()?;
            outputs::put(screen, file, format!("{:#}\n", Value::Array(each)).as_bytes())
        }
        _ => {
            let documents = images.iter().map(|read| document(read, format));
            outputs::put(screen, file, &documents.collect::<Result<Vec<_>, Failure>>()?.concat())
        }
    }
}

fn document(read: &Inventoried, format: Format) -> Result<Vec<u8>, Failure> {
    Ok(match format {
        // Canonical JSON, as a node stores it, so that its digest is the verdict's `sbom_digest`.
        Format::Json => inventory::sbom::document(&read.sbom),
        Format::Jsonl => lines(&read.sbom).into_bytes(),
        Format::Bill(format) => format.write(read, [])?,
        Format::Table => Vec::new(),
    })
}

/// One of several: which image it is, and the document as a node stores it.
fn told(read: &Inventoried) -> Result<Value, Failure> {
    let document = inventory::sbom::document(&read.sbom);
    let sbom: Value = serde_json::from_slice(&document).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(json!({
        "schema_version": SCHEMA_VERSION,
        "name": read.name,
        "digest": read.digest,
        "platform": read.platform,
        "sbom_digest": Digest::of(&document).as_str(),
        "sbom": sbom,
    }))
}

fn tables(images: &[Inventoried], is_each: bool, screen: &mut Screen) -> Result<(), Failure> {
    for (at, read) in images.iter().enumerate() {
        if is_each {
            screen.data(several::heading(at, read.platform.as_deref(), &read.digest))?;
        }
        table(&read.sbom, screen)?;
    }
    Ok(())
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
