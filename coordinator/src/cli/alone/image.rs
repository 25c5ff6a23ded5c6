//! The image of a command: found, read layer by layer, and turned into its SBOM.

use std::io::{self, Read};

use clap::Args;
use inventory::{LayerError, Limits, Platform};
use model::Sbom;

use super::super::failure::{Exit, Failure};
use super::super::image_source::{self, Choice, Origin, RegistryFlags, SourceImage};
use super::super::pull;
use super::super::screen::Screen;
use crate::config::Environment;

/// Which image.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Image {
    /// OCI layout (directory or tar), docker archive, name of an image in a registry, or rootfs:DIRECTORY
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
    source: SourceImage,
}

/// An image that was read.
pub(in crate::cli) struct Inventoried {
    /// How it was asked for, or how its archive names it.
    pub name: String,
    /// Its manifest's digest.
    pub digest: String,
    /// What is in it.
    pub sbom: Sbom,
}

impl Image {
    /// Finds it, and pulls it when it is in a registry.
    pub(in crate::cli) async fn find(
        &self,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Found, Failure> {
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let sign_in = self.registry.sign_in(env)?;
        let source = image_source::find(Origin::of(&self.image)?, choice, &sign_in).await?;
        source.left_out.iter().for_each(|what| screen.say(format!("not read: {what}")));
        pull::layers(&source, screen).await?;
        Ok(Found { asked: self.image.clone(), source })
    }
}

impl Found {
    /// Reads it. Blocks.
    pub(in crate::cli) fn read(self) -> Result<Inventoried, Failure> {
        let Self { asked, source } = self;
        let open = |layer: &inventory::LayerDescriptor| -> io::Result<Box<dyn Read + Send>> {
            source.read_layer(&layer.digest).map_err(io::Error::other)
        };
        let sbom = inventory::scan(&source.layers, &Limits::DEFAULT, open).map_err(refused)?;
        let name = source.names.first().cloned().unwrap_or(asked);
        Ok(Inventoried { name, digest: source.digest.to_string(), sbom })
    }
}

/// What is wrong with the layer, down to the cause.
fn refused(error: LayerError) -> Failure {
    let whole = format!("{:#}", anyhow::Error::from(error));
    Failure::new(Exit::Failed, whole).next("export the image again")
}
