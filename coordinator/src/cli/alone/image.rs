//! The image of a command: found, read layer by layer, and turned into its SBOM.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use inventory::{ImageConfig, LayerError, Limits, NoCache, Platform};
use model::{Digest, Sbom};

use super::super::failure::{Exit, Failure};
use super::super::image_source::{self, Choice, Origin, Platforms, RegistryFlags, SourceImage};
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
    /// Which image of a multi-platform index; all takes each (scan, sbom, submit)
    #[arg(long, value_name = "OS/ARCH|all", default_value = "linux/amd64")]
    platform: Platforms,
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
    /// What it runs on, where that is known.
    pub platform: Option<String>,
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
        Self { image, reference, platform: Platforms::One(platform), registry }
    }

    /// Whether each image of an index is wanted.
    pub(in crate::cli) fn is_each(&self) -> bool {
        self.platform.is_all()
    }

    /// Finds the one image, and pulls it when it is in a registry.
    pub(in crate::cli) async fn find(
        &self,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Found, Failure> {
        if self.is_each() {
            return Err(Failure::new(
                Exit::Usage,
                "this is told of one image, and --platform all has several",
            )
            .next("name a platform"));
        }
        let found = self.find_each(env).await?.pop().expect("it is never none");
        found.fetch(screen).await?;
        Ok(found)
    }

    /// Finds all that are wanted, without their layers.
    pub(in crate::cli) async fn find_each(&self, env: &Environment) -> Result<Vec<Found>, Failure> {
        let asked = self.image.clone();
        let file = PathBuf::from(&asked);
        if let Some(sbom) = blocking(move || bill::read(&file)).await? {
            return Ok(vec![Found { asked, content: Content::Sbom(sbom) }]);
        }
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let sign_in = self.registry.sign_in(env)?;
        let sources = image_source::find(Origin::of(&self.image)?, choice, &sign_in).await?;
        let found = |source| Found { asked: asked.clone(), content: Content::Image(Box::new(source)) };
        Ok(sources.into_iter().map(found).collect())
    }
}

impl Found {
    /// Brings its layers here, and says what of it is left out.
    pub(in crate::cli) async fn fetch(&self, screen: &mut Screen) -> Result<(), Failure> {
        let Content::Image(source) = &self.content else { return Ok(()) };
        source.left_out.iter().for_each(|what| screen.say(format!("not read: {what}")));
        pull::layers(source, screen).await
    }

    /// Reads it, and moves the bar by the bytes that were read. Blocks.
    pub(in crate::cli) fn read(self, bar: &ProgressBar) -> Result<Inventoried, Failure> {
        let Self { asked, content } = self;
        let source = match content {
            Content::Image(source) => source,
            Content::Sbom(sbom) => {
                let (digest, layers) = (String::new(), Vec::new());
                return Ok(Inventoried { name: asked, digest, platform: None, layers, sbom });
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
        let platform = source.platform.as_ref().map(Platform::to_string);
        Ok(Inventoried { name, digest: source.digest.to_string(), platform, layers, sbom })
    }
}

/// What is wrong with the layer, down to the cause.
fn refused(error: LayerError) -> Failure {
    let whole = format!("{:#}", anyhow::Error::from(error));
    Failure::new(Exit::Failed, whole).next("export the image again")
}
