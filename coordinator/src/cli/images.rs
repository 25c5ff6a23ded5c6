//! `starling images`: what the server knows.

use clap::Subcommand;
use proto_api::image::v1::{GetImageRequest, Image, ListImagesRequest};
use time::OffsetDateTime;

use super::explain::Explain;
use super::failure::{Exit, Failure};
use super::history::{Diff, History};
use super::list::{self, Limit, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;

const IMAGE: &str = "starling.image.v1.Image";

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(super) enum Images {
    /// List images, newest first
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show one image
    Get {
        /// Its digest, the beginning of it, or a name
        image: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the versions of an image's result, newest first: what each changed, and why
    History(History),
    /// Show what differs between two versions of an image's result, or between two images
    Diff(Diff),
    /// Say why a vulnerability holds for an image, or why it does not
    Explain(Explain),
}

impl Images {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<Exit, Failure> {
        let done = match self {
            Self::Explain(explain) => return explain.run(server, screen).await,
            Self::List { limit, output } => list(server, screen, limit.limit, output).await,
            Self::History(history) => history.run(server, screen).await,
            Self::Diff(diff) => diff.run(server, screen).await,
            Self::Get { image, output } => {
                let request = GetImageRequest { image };
                let answer = call(request, async |request| server.images().get_image(request).await).await?;
                let image =
                    answer.image.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no image"))?;
                list::show_one(screen, output.format, IMAGE, &image, show)
            }
        };
        done.map(|()| Exit::Ok)
    }
}

async fn list(server: &Server, screen: &mut Screen, limit: usize, output: Output) -> Result<(), Failure> {
    let found = list::gather(limit, async |page_size, page_token| {
        let request = ListImagesRequest { page_size, page_token };
        let page = call(request, async |request| server.images().list_images(request).await).await?;
        Ok((page.images, page.next_page_token))
    });
    list::show(screen, output.format, IMAGE, &found.await?, |screen, images| {
        let mut rows = Rows::new(screen, &["IMAGE", "NAMES", "SIZE", "PUT", "RESULT"]);
        let now = OffsetDateTime::now_utc();
        for image in images {
            rows.row([
                words::short(&image.digest).to_owned(),
                names(image),
                words::size(size(image)),
                words::ago(image.create_time, now),
                result(image).to_owned(),
            ]);
        }
        rows.right(&[2])
    })
}

fn names(image: &Image) -> String {
    if image.names.is_empty() { words::NOTHING.to_owned() } else { image.names.join(", ") }
}

fn size(image: &Image) -> u64 {
    u64::try_from(image.size_bytes).unwrap_or_default()
}

const fn result(image: &Image) -> &'static str {
    if image.verdict_version == 0 {
        "none"
    } else if image.evaluated_revision < image.revision {
        "being renewed"
    } else {
        "current"
    }
}

fn show(screen: &mut Screen, image: &Image) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    list::show_pairs(
        screen,
        &[
            ("image", image.digest.clone()),
            ("names", names(image)),
            ("size", words::size(size(image))),
            ("put", words::ago(image.create_time, now)),
            ("result", result(image).to_owned()),
        ],
    )?;
    let mut rows = Rows::new(screen, &["LAYER", "SIZE", "DIFF ID"]);
    for layer in &image.layers {
        let size = u64::try_from(layer.size_bytes).unwrap_or_default();
        rows.row([layer.digest.clone(), words::size(size), layer.diff_id.clone()]);
    }
    screen.data("")?;
    rows.right(&[1]).show(screen)
}
