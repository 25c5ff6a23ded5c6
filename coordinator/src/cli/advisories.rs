//! `starling advisories`: advisories as they lie here.

use clap::Subcommand;

use super::alone::pack::{PACK_EXAMPLES, Pack, Verify};
use super::failure::Failure;
use super::screen::Screen;

/// What to do with advisories.
#[derive(Debug, Subcommand)]
pub(super) enum Advisories {
    /// Pack folders of advisories into one file, which scan and explain read in place
    #[command(after_help = PACK_EXAMPLES)]
    Pack(Pack),
    /// Check a file of packed advisories, all of it
    Verify(Verify),
}

impl Advisories {
    /// Does it.
    pub(super) async fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::Pack(command) => command.run(screen).await,
            Self::Verify(command) => command.run(screen).await,
        }
    }
}
