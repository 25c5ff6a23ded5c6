//! `starling sbom IMAGE`: what is in an image.

use clap::Args;
use model::{Component, Digest};

use super::super::failure::{Exit, Failure};
use super::super::list::{Format, Output};
use super::super::screen::Screen;
use super::super::table::Rows;
use super::super::words::count;
use super::blocking;
use super::image::Image;
use crate::config::Environment;

/// Examples for the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:
  starling sbom app.tar
  starling sbom alpine:3.20
  starling sbom ./layout -o json > app.sbom.json";

/// Which image's.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sbom {
    #[command(flatten)]
    image: Image,
    #[command(flatten)]
    output: Output,
}

impl Sbom {
    /// Does it. It ends with 4 where part of the image could not be read.
    pub(in crate::cli) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { image, output } = self;
        let found = image.find(env, screen).await?;
        let read = blocking(move || found.read()).await?;
        match output.format {
            // Canonical JSON, as a node stores it, so that its digest is the verdict's `sbom_digest`.
            Format::Json => screen.exactly(&inventory::sbom::document(&read.sbom))?,
            Format::Jsonl => {
                for component in &read.sbom.components {
                    screen.data(&component.purl)?;
                }
            }
            Format::Table => table(&read.sbom, screen)?,
        }
        Ok(if read.sbom.problems.is_empty() { Exit::Ok } else { Exit::Untrusted })
    }
}

fn table(sbom: &model::Sbom, screen: &mut Screen) -> Result<(), Failure> {
    let mut rows = Rows::new(screen, &["TYPE", "PACKAGE", "VERSION", "PART OF", "SEEN IN"]);
    for component in &sbom.components {
        let owner = component.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = component.kind.as_str().to_owned();
        rows.row([kind, component.name.clone(), component.version.clone(), owner, seen(component)]);
    }
    if !rows.is_empty() {
        rows.show(screen)?;
        screen.data("")?;
    }
    let distro =
        sbom.distro.as_ref().map_or_else(|| "unknown".to_owned(), |d| format!("{} {}", d.id, d.version));
    screen.data(format!("{}; distribution: {distro}", count(sbom.components.len() as u64, "component")))?;
    screen.data(format!("digest of the document: {}", Digest::of(&inventory::sbom::document(sbom))))?;
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
