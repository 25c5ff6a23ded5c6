//! The image of a command: found, read layer by layer, and turned into its SBOM.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use inventory::{ImageConfig, LayerError, Limits, NoCache, Platform};
use model::{Digest, Sbom};

use super::super::failure::{Exit, Failure};
use super::super::image_source::{self, Choice, Origin, RegistryFlags, SourceImage};
use super::super::pull;
use super::super::screen::Screen;
use super::{bill, blocking};
use crate::config::Environment;

/// Which image.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Image {
    /// OCI layout (directory or tar), docker archive, name of an image in a registry, rootfs:DIRECTORY, or an SBOM
    /// (CycloneDX, SPDX; - reads one from standard input)
    image: String,
    /// Which image of an archive with several: its name or digest
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
    /// Which image of a multi-platform index
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// An image that is at hand.
#[derive(Debug)]
pub(in crate::cli) struct Found {
    asked: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Image(Box<SourceImage>),
    Sbom(Sbom),
}

/// An image that was read.
pub(in crate::cli) struct Inventoried {
    /// How it was asked for, or how its archive names it.
    pub name: String,
    /// Its manifest's digest; empty where only an SBOM is known.
    pub digest: String,
    /// Its uncompressed layers, lowest first; empty where only an SBOM is known.
    pub layers: Vec<Digest>,
    /// What is in it.
    pub sbom: Sbom,
}

impl Image {
    /// The one that other flags name.
    pub(in crate::cli) const fn new(
        image: String,
        reference: Option<String>,
        platform: Platform,
        registry: RegistryFlags,
    ) -> Self {
        Self { image, reference, platform, registry }
    }

    /// Finds it, and pulls it when it is in a registry.
    pub(in crate::cli) async fn find(
        &self,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Found, Failure> {
        let asked = self.image.clone();
        let file = PathBuf::from(&asked);
        if let Some(sbom) = blocking(move || bill::read(&file)).await? {
            return Ok(Found { asked, content: Content::Sbom(sbom) });
        }
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let sign_in = self.registry.sign_in(env)?;
        let source = image_source::find(Origin::of(&self.image)?, choice, &sign_in).await?;
        source.left_out.iter().for_each(|what| screen.say(format!("not read: {what}")));
        pull::layers(&source, screen).await?;
        Ok(Found { asked, content: Content::Image(Box::new(source)) })
    }
}

impl Found {
    /// Reads it, and moves the bar by the bytes that were read. Blocks.
    pub(in crate::cli) fn read(self, bar: &ProgressBar) -> Result<Inventoried, Failure> {
        let Self { asked, content } = self;
        let source = match content {
            Content::Image(source) => source,
            Content::Sbom(sbom) => {
                return Ok(Inventoried { name: asked, digest: String::new(), layers: Vec::new(), sbom });
            }
        };
        let open = |layer: &inventory::LayerDescriptor| -> io::Result<Box<dyn Read + Send>> {
            let reader = source.read_layer(&layer.digest).map_err(io::Error::other)?;
            Ok(Box::new(bar.wrap_read(reader)))
        };
        bar.set_length(source.layers.iter().map(|layer| layer.size).sum());
        let threads = inventory::usual_threads();
        let mut sbom =
            inventory::scan(&source.layers, &Limits::DEFAULT, threads, &NoCache, open).map_err(refused)?;
        sbom.base_layers = ImageConfig::parse(&source.config).ok().and_then(|config| config.base_layers());
        // A layout often has only a tag for a name.
        let name = source.names.iter().find(|name| name.contains(['/', ':'])).cloned().unwrap_or(asked);
        let layers = source.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        Ok(Inventoried { name, digest: source.digest.to_string(), layers, sbom })
    }
}

/// What is wrong with the layer, down to the cause.
fn refused(error: LayerError) -> Failure {
    let whole = format!("{:#}", anyhow::Error::from(error));
    Failure::new(Exit::Failed, whole).next("export the image again")
}
