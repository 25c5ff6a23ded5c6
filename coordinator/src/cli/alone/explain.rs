//! `starling explain IMAGE VULNERABILITY`: why it holds for the image, or why it does not.

use std::collections::BTreeSet;

use clap::Args;
use evaluation::Explanation;
use evaluation::coverage::{ended, unread};
use model::Gap;
use time::OffsetDateTime;

use super::super::explain::Explained;
use super::super::failure::{Exit, Failure};
use super::super::list::Output;
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
        let (loaded, explained) = blocking(move || {
            let sbom = found.read(&bar)?.sbom;
            let Explanation { vulnerability, reasons, evaluation } = loaded.explain(&sbom, &vulnerability)?;
            bar.finish_and_clear();
            let over = sbom.distro.iter().filter_map(|distro| ended(distro, &today));
            let gaps: BTreeSet<Gap> = evaluation.gaps.into_iter().chain(unread(&sbom)).chain(over).collect();
            let (coverage, gaps) = (evaluation.coverage, gaps.into_iter().collect());
            Ok((loaded, Explained { vulnerability, reasons, coverage, gaps, heard: None }))
        })
        .await?;
        loaded.warn(screen);
        explained.show(output.format, screen)?;
        Ok(explained.exit())
    }
}
