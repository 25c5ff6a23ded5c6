//! `starling vex test`: what VEX documents say of an image, and why they do not, without a server.

use clap::Args;
use inventory::Platform;
use model::Finding;
use serde_json::{Value, json};
use std::path::PathBuf;
use time::OffsetDateTime;
use vex::{Effect, Hearing};

use super::super::alone::advisories::Advisories;
use super::super::alone::blocking;
use super::super::alone::image::Image;
use super::super::alone::vex::{Keys, Loaded, load};
use super::super::failure::{Exit, Failure};
use super::super::image_source::RegistryFlags;
use super::super::json::SCHEMA_VERSION;
use super::super::list::{Format, Output, pretty};
use super::super::screen::Screen;
use super::told::{self, Summary, Told};
use crate::config::Environment;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling vex test app.openvex.json --image app.tar --advisories ./osv
  starling vex test vex/*.json --sbom app.cdx.json --advisories ./osv -o json
  starling vex test signed.json --image app.tar --vex-key acme=acme.pub --vex-signed-only";

/// Which documents, about what.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// VEX documents: OpenVEX, CSAF or CycloneDX, alone, in a list or in a DSSE envelope; FILE.sig beside one is its
    /// signature
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The image: whatever starling scan takes
    #[arg(long, value_name = "IMAGE", required_unless_present = "sbom")]
    image: Option<String>,
    /// Its SBOM instead
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    sbom: Option<String>,
    /// Which image of an archive with several: its name or digest
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
    /// Which image of a multi-platform index
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
    #[command(flatten)]
    registry: RegistryFlags,
    #[command(flatten)]
    advisories: Advisories,
    #[command(flatten)]
    keys: Keys,
    /// Show only statements that have no effect
    #[arg(long)]
    without_effect: bool,
    #[command(flatten)]
    output: Output,
}

/// Everything that was read and heard.
struct Tested {
    loaded: Loaded,
    findings: Vec<Finding>,
    hearing: Hearing,
    without_effect: bool,
}

impl Test {
    /// Does it.
    pub(super) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<Exit, Failure> {
        let Self { files, advisories, keys, without_effect, output, .. } = self;
        let name = self.image.or(self.sbom).unwrap_or_default();
        let image = Image::new(name, self.reference, self.platform, self.registry);
        let now = OffsetDateTime::now_utc();
        let own = env.clone();
        let read = move || Ok((advisories.load(&own)?, load(&files, &keys, now)?));
        let (known, loaded) = blocking(read).await?;
        known.warn(screen);
        loaded.warn(screen);
        let found = image.find(env, screen).await?;
        let bar = screen.progress("reading");
        let tested = blocking(move || {
            let image = found.read(&bar)?;
            bar.finish_and_clear();
            let findings = known.evaluate(&image.sbom)?.findings;
            let hearing = loaded.hear(&findings, &image, now);
            Ok(Tested { loaded, findings, hearing, without_effect })
        })
        .await?;
        tested.show(output.format, screen)?;
        Ok(Exit::Ok)
    }
}

impl Tested {
    fn show(&self, format: Format, screen: &mut Screen) -> Result<(), Failure> {
        let heard = || self.hearing.heard.iter().filter(|one| !self.without_effect || one.effects.is_empty());
        match format {
            Format::Table => {
                let mut lines = heard().flat_map(|one| self.told(one).lines());
                lines.try_for_each(|line| screen.data(line))?;
                screen.data(self.summary())
            }
            Format::Json => {
                let items: Vec<Value> = heard().map(|one| self.json(one)).collect();
                screen.data(pretty(&json!({"schema_version": SCHEMA_VERSION, "statements": items}))?)
            }
            Format::Jsonl => heard().try_for_each(|one| screen.data(self.json(one))),
        }
    }

    fn statement(&self, one: &vex::Heard) -> (&str, &vex::Document, &vex::Statement) {
        let of = &self.loaded.documents[one.document];
        (&of.file, &of.document, &of.document.statements[one.statement])
    }

    fn told(&self, one: &vex::Heard) -> Told {
        let (file, _, statement) = self.statement(one);
        let effect = |effect: &Effect| {
            let Finding { vulnerability, purl, .. } = &self.findings[effect.finding];
            told::Effect {
                part: effect.part.as_str().to_owned(),
                vulnerability: vulnerability.clone(),
                purl: purl.to_string(),
                score: effect.score,
            }
        };
        let complaint = |complaint: &vex::Complaint| (complaint.as_str().to_owned(), complaint.to_string());
        Told {
            place: file.to_owned(),
            statement: statement.id.clone(),
            vulnerability: statement.vulnerability.first().cloned().unwrap_or_default(),
            status: statement.status.as_str().to_owned(),
            product: statement.products.first().map(ToString::to_string).unwrap_or_default(),
            more_products: statement.products.len().saturating_sub(1),
            effects: one.effects.iter().map(effect).collect(),
            more_effects: 0,
            complaints: one.complaints.iter().map(complaint).collect(),
        }
    }

    fn summary(&self) -> Summary {
        let heard = &self.hearing.heard;
        let words = || self.hearing.words.iter().flatten();
        Summary {
            heard: heard.len() as u64,
            effective: heard.iter().filter(|one| !one.effects.is_empty()).count() as u64,
            findings: self.findings.len() as u64,
            suppressed: words().filter(|word| word.suppresses()).count() as u64,
            held: words().filter(|word| word.held).count() as u64,
        }
    }

    fn json(&self, one: &vex::Heard) -> Value {
        let (file, document, statement) = self.statement(one);
        let effect = |effect: &Effect| {
            let Finding { vulnerability, purl, .. } = &self.findings[effect.finding];
            json!({
                "vulnerability": vulnerability,
                "purl": purl.as_str(),
                "part": effect.part.as_str(),
                "score": effect.score,
            })
        };
        let complaint =
            |complaint: &vex::Complaint| json!({"kind": complaint.as_str(), "text": complaint.to_string()});
        json!({
            "file": file,
            "format": document.format.as_str(),
            "document": document.id,
            "version": document.version,
            "author": document.author,
            "statement": statement.id,
            "vulnerability": statement.vulnerability,
            "status": statement.status.as_str(),
            "products": statement.products.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "effects": one.effects.iter().map(effect).collect::<Vec<_>>(),
            "complaints": one.complaints.iter().map(complaint).collect::<Vec<_>>(),
        })
    }
}
