//! The image of a command: found, read layer by layer, and turned into its SBOM.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use inventory::{ImageConfig, LayerError, Limits, NoCache, Platform};
use model::{Digest, Sbom};

use super::super::failure::{Exit, Failure};
use super::super::image_source::{self, Choice};
use super::bill;

/// Which image.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Image {
    /// OCI layout (directory or tar), docker archive, or SBOM (CycloneDX, SPDX; - reads one from standard input)
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
    /// Its manifest's digest; empty where only an SBOM is known.
    pub digest: String,
    /// Its uncompressed layers, lowest first; empty where only an SBOM is known.
    pub layers: Vec<Digest>,
    /// What is in it.
    pub sbom: Sbom,
}

impl Image {
    /// Reads it, and moves the bar by the bytes that were read. Blocks.
    pub(in crate::cli) fn read(&self, bar: &ProgressBar) -> Result<Inventoried, Failure> {
        if let Some(sbom) = bill::read(&self.image)? {
            let name = self.image.display().to_string();
            return Ok(Inventoried { name, digest: String::new(), layers: Vec::new(), sbom });
        }
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let source = image_source::open(&self.image, &choice)?;
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
        let name = source.names.iter().find(|name| name.contains(['/', ':'])).cloned();
        let name = name.unwrap_or_else(|| self.image.display().to_string());
        let layers = source.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        Ok(Inventoried { name, digest: source.digest.to_string(), layers, sbom })
    }
}

/// What is wrong with the layer, down to the cause.
fn refused(error: LayerError) -> Failure {
    let whole = format!("{:#}", anyhow::Error::from(error));
    Failure::new(Exit::Failed, whole).next("export the image again")
}
