//! The image of a command: found, read layer by layer, and turned into its SBOM.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use inventory::{LayerError, Limits, Platform};
use model::Sbom;

use super::super::failure::{Exit, Failure};
use super::super::image_source::{self, Choice};

/// Which image.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Image {
    /// OCI layout (directory or tar) or docker archive
    image: PathBuf,
    /// Which image of an archive with several: its name or digest
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
    /// Which image of a multi-platform index
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
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
    /// Reads it. Blocks.
    pub(in crate::cli) fn read(&self) -> Result<Inventoried, Failure> {
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let source = image_source::open(&self.image, &choice)?;
        let open = |layer: &inventory::LayerDescriptor| -> io::Result<Box<dyn Read + Send>> {
            source.read_layer(&layer.digest).map_err(io::Error::other)
        };
        let sbom = inventory::scan(&source.layers, &Limits::DEFAULT, open).map_err(refused)?;
        let name = source.names.first().cloned().unwrap_or_else(|| self.image.display().to_string());
        Ok(Inventoried { name, digest: source.digest.to_string(), sbom })
    }
}

/// What is wrong with the layer, down to the cause.
fn refused(error: LayerError) -> Failure {
    let whole = format!("{:#}", anyhow::Error::from(error));
    Failure::new(Exit::Failed, whole).next("export the image again")
}
