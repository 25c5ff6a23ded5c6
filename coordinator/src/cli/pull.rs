//! Brings the layers of an image in a registry to this machine, and says how far that is.

use super::failure::Failure;
use super::image_source::SourceImage;
use super::screen::Screen;
use super::words::{self, count};

/// Fetches all layers that are not here. Does nothing for an image that lies on this machine.
pub(super) async fn layers(image: &SourceImage, screen: &mut Screen) -> Result<(), Failure> {
    let Some(host) = image.registry() else { return Ok(()) };
    let bytes = image.blobs.iter().map(|blob| blob.size).sum();
    let layers = count(image.blobs.len() as u64, "layer");
    let digest = words::short(image.digest.as_str());
    screen.say(format!("pulling {digest} from {host}: {layers}, {}", words::size(bytes)));
    let bar = screen.progress("pulling");
    bar.set_length(bytes);
    image.fetch(|bytes| bar.inc(bytes)).await?;
    bar.finish_and_clear();
    Ok(())
}
