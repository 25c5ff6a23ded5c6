//! `starling submit IMAGE`: bring an image, have it scanned, and if asked wait for the result.

use std::time::Duration;

use clap::Args;
use inventory::Platform;
use model::{Digest, Lane};
use proto_api::common::v1::ErrorReason;
use proto_api::image::v1::ResolveImageRequest;
use proto_api::job::v1::{JobKind, SubmitJobRequest};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::follow::{self, Patience};
use super::image_source::{self, Choice, Origin, RegistryFlags, SourceError};
use super::jobs::state_line;
use super::report::{self, Report, ResultOutput, ServerGate};
use super::screen::Screen;
use super::server::{Server, call};
use super::upload;
use super::words;
use crate::config::{Environment, parse_duration};
use crate::grpc::convert;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  docker save app:1.2 -o app.tar && starling submit app.tar --wait
  starling submit ./layout --platform linux/arm64 --name registry.example/app:1.2
  starling submit all.tar --ref app:1.2 --wait --fail-on high
  starling submit app:1.2 --lane bulk          # an image the server has already, else of a registry
  starling submit registry:app:1.2             # the registry's, whatever the server has";

/// What to submit and how.
#[derive(Debug, Args)]
pub(super) struct Submit {
    /// OCI layout (directory or tar), docker archive, name of an image in a registry, rootfs:DIRECTORY, an SBOM
    /// (CycloneDX, SPDX), or the name or digest of an image the server has
    image: String,
    /// Wait for the result and show it
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this time, such as 5m; the job goes on
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
    /// Leave the job alone when interrupted while waiting
    #[arg(long, requires = "wait")]
    no_cancel: bool,
    /// How urgent it is: interactive, bulk or sweep
    #[arg(long, value_name = "LANE", default_value = "interactive")]
    lane: Lane,
    /// Name that shall point at the image; may be given several times [default: its names in the archive]
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Which image of an archive with several: its name or digest
    #[arg(long = "ref", value_name = "NAME")]
    reference: Option<String>,
    /// Which image of a multi-platform index
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
    /// The job is given up when it is not finished after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// Id of this request (a UUID): submitting again with it gives the same job
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    #[command(flatten)]
    gate: ServerGate,
    #[command(flatten)]
    registry: RegistryFlags,
    #[command(flatten)]
    output: ResultOutput,
}

impl Submit {
    /// Does it.
    pub(super) async fn run(
        self,
        server: &Server,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Exit, Failure> {
        self.output.check()?;
        let image = self.bring(server, env, screen).await?;
        let request_id = self.request_id.unwrap_or_else(Uuid::now_v7);
        let request = SubmitJobRequest {
            request_id: request_id.to_string(),
            image,
            kind: JobKind::Scan.into(),
            lane: convert::lane(self.lane).into(),
            timeout: self.deadline.map(convert::duration),
        };
        let submitted = call(request, async |request| server.jobs().submit_job(request).await).await?;
        if !self.wait {
            screen.data(&submitted.job_id)?;
            screen.say(format!("follow it: starling jobs watch {}", submitted.job_id));
            return Ok(Exit::Ok);
        }
        screen.say(format!("job {} for {}", submitted.job_id, words::short(&submitted.image_digest)));
        let patience = Patience { timeout: self.timeout, cancel_on_interrupt: !self.no_cancel };
        let job = follow::to_the_end(server, screen, &submitted.job_id, patience).await?;
        if !convert::is_done(job.state()) {
            return Err(Failure::new(Exit::Failed, state_line(&job))
                .next(format!("starling jobs timeline {}", job.job_id)));
        }
        let filter = report::filter(None, false);
        let report = Report::of(server, &job.image_digest, 0, filter, self.gate).await?;
        self.output.write(&report, &self.image, screen)?;
        Ok(report.exit(self.gate))
    }

    /// Finds what the server has, or uploads what lies on this machine or in a registry. Answers the digest.
    async fn bring(
        &self,
        server: &Server,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<String, Failure> {
        if self.image.parse::<Digest>().is_ok() {
            return self.resolve(server).await;
        }
        let origin = Origin::of(&self.image);
        // Unless it says that it is a registry's, a name is first of all the server's.
        if matches!(
            origin,
            Ok(Origin::Registry { forced: false, .. }) | Err(SourceError::NoFile { why: Some(_), .. })
        ) {
            match self.resolve(server).await {
                Err(failure) if failure.reason.as_deref() == Some(ErrorReason::ImageNotFound.name()) => {}
                outcome => return outcome,
            }
        }
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let mut image = image_source::find(origin?, choice, &self.registry.sign_in(env)?).await?;
        image.left_out.iter().for_each(|what| screen.say(format!("not read: {what}")));
        if !self.name.is_empty() {
            image.names.clone_from(&self.name);
        }
        upload::image(server, screen, image).await
    }

    async fn resolve(&self, server: &Server) -> Result<String, Failure> {
        let request = ResolveImageRequest { image: self.image.clone() };
        let answer = call(request, async |request| server.images().resolve_image(request).await).await?;
        Ok(answer.digest)
    }
}
