//! `starling vex`: what suppliers say of their products: documents attached to the server, and what they come to.

mod attach;
mod documents;
mod explain;
mod test;
mod told;

use clap::Subcommand;
use proto_api::vex::v1::ListDocumentsRequest;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::list::{Limit, Output};
use super::screen::Screen;
use super::server::Server;
use crate::config::Environment;
pub(super) use explain::{STATEMENT, lines};

/// What suppliers say of their products.
#[derive(Debug, Subcommand)]
pub(super) enum Vex {
    /// Say for each statement of VEX documents what it has effect on, and if on nothing, why
    #[command(after_help = test::EXAMPLES)]
    Test(Box<test::Test>),
    /// Attach VEX documents on the server: to images, or to whatever their products name
    #[command(after_help = attach::EXAMPLES)]
    Attach(attach::Attach),
    /// List attached VEX documents, newest first
    List {
        /// Only those attached to this image: its digest, the beginning of it, or a name
        #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
        image: String,
        /// Only those that speak of this vulnerability
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        vulnerability: String,
        /// Those too that were taken back
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show an attached VEX document, or print it exactly as it came
    Show {
        /// Its id
        document: Uuid,
        /// Print its bytes
        #[arg(long, conflicts_with = "format")]
        content: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Take an attached VEX document back; older snapshots keep it
    Detach {
        /// Its id
        document: Uuid,
        /// Why, for those who look at it later
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Say for each statement that concerns an image on the server what it has effect on, and if on nothing, why
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Explain),
}

impl Vex {
    /// Does it. `test` needs no server.
    pub(super) async fn run(
        self,
        server: impl FnOnce() -> Result<Server, Failure>,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Exit, Failure> {
        match self {
            Self::Test(test) => return test.run(env, screen).await,
            Self::Attach(attach) => attach.run(&server()?, screen).await,
            Self::List { image, vulnerability, all: show_detached, limit, output } => {
                let which =
                    ListDocumentsRequest { image, vulnerability, show_detached, ..Default::default() };
                documents::list(&server()?, screen, &which, limit, output).await
            }
            Self::Show { document, content, output } => {
                documents::show(&server()?, screen, document, content, output).await
            }
            Self::Detach { document, reason } => {
                documents::detach(&server()?, screen, document, reason).await
            }
            Self::Explain(explain) => explain.run(&server()?, screen).await,
        }
        .map(|()| Exit::Ok)
    }
}
