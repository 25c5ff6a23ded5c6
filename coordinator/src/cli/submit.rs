//! `starling submit IMAGE`: bring an image, have it scanned, and if asked wait for the result.

use std::time::Duration;

use clap::Args;
use inventory::Platform;
use model::{Digest, Lane};
use proto_api::common::v1::ErrorReason;
use proto_api::image::v1::ResolveImageRequest;
use proto_api::job::v1::{JobKind, SubmitJobRequest, SubmitJobResponse};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::follow::{self, Patience};
use super::image_source::{self, Choice, Origin, Platforms, RegistryFlags, SourceError, SourceImage};
use super::jobs::state_line;
use super::report::{self, Report, ResultOutput, ServerGate};
use super::screen::Screen;
use super::server::{Server, call};
use super::several::{self, One};
use super::upload;
use super::words;
use crate::config::{Environment, parse_duration};
use crate::grpc::convert;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  docker save app:1.2 -o app.tar && starling submit app.tar --wait
  starling submit ./layout --platform linux/arm64 --name registry.example/app:1.2
  starling submit app:1.2 --platform all --wait
  starling submit all.tar --ref app:1.2 --wait --fail-on high
  starling submit app:1.2 --lane bulk          # an image the server has already, else of a registry
  starling submit registry:app:1.2             # the registry's, whatever the server has";

/// What to submit and how.
#[derive(Debug, Args)]
pub(super) struct Submit {
    /// OCI layout (directory or tar), docker archive, name of an image in a registry, rootfs:DIRECTORY, an SBOM
    /// (CycloneDX, SPDX), or an image the server has: its digest, the beginning of it, or a name
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
    /// Which image of a multi-platform index; all submits each, by a job of its own, as it is in the registry or file
    #[arg(long, value_name = "OS/ARCH|all", default_value = "linux/amd64")]
    platform: Platforms,
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
        if self.platform.is_all() {
            self.output.check_platforms()?;
        }
        let images = self.bring(server, env, screen).await?;
        let mut jobs = Vec::new();
        for image in images {
            jobs.push((self.submit(server, &image).await?, image));
        }
        if !self.wait {
            for (job, image) in &jobs {
                screen.data(&job.job_id)?;
                let which = image.platform.as_ref().filter(|_| self.platform.is_all());
                let which = which.map(|platform| format!("{platform}: ")).unwrap_or_default();
                screen.say(format!("{which}follow it: starling jobs watch {}", job.job_id));
            }
            return Ok(Exit::Ok);
        }
        let mut results = Vec::new();
        for (job, image) in &jobs {
            let report = self.result(server, screen, job).await?;
            results.push(One { platform: image.platform.as_ref().map(Platform::to_string), report });
        }
        self.show(&results, screen)
    }

    /// Writes the results. Answers the exit code that follows.
    fn show(&self, results: &[One], screen: &mut Screen) -> Result<Exit, Failure> {
        match results {
            [one] if !self.platform.is_all() => {
                self.output.write(&one.report, &self.image, screen)?;
                Ok(one.report.exit(self.gate))
            }
            _ => {
                several::write(results, &self.output, &self.image, screen)?;
                Ok(several::exit(results, self.gate))
            }
        }
    }

    async fn submit(&self, server: &Server, image: &Brought) -> Result<SubmitJobResponse, Failure> {
        let request_id = match self.request_id {
            Some(id) if self.platform.is_all() => id_for(id, &image.digest),
            Some(id) => id,
            None => Uuid::now_v7(),
        };
        let request = SubmitJobRequest {
            request_id: request_id.to_string(),
            image: image.digest.clone(),
            kind: JobKind::Scan.into(),
            lane: convert::lane(self.lane).into(),
            timeout: self.deadline.map(convert::duration),
        };
        call(request, async |request| server.jobs().submit_job(request).await).await
    }

    /// Waits for a job's end, and reads the result.
    async fn result(
        &self,
        server: &Server,
        screen: &mut Screen,
        submitted: &SubmitJobResponse,
    ) -> Result<Report, Failure> {
        screen.say(format!("job {} for {}", submitted.job_id, words::short(&submitted.image_digest)));
        let patience = Patience { timeout: self.timeout, cancel_on_interrupt: !self.no_cancel };
        let job = follow::to_the_end(server, screen, &submitted.job_id, patience).await?;
        if !convert::is_done(job.state()) {
            return Err(Failure::new(Exit::Failed, state_line(&job))
                .next(format!("starling jobs timeline {}", job.job_id)));
        }
        let filter = report::filter(None, false);
        Report::of(server, &job.image_digest, 0, filter, self.gate).await
    }

    /// Finds what the server has, or uploads what lies on this machine or in a registry.
    async fn bring(
        &self,
        server: &Server,
        env: &Environment,
        screen: &mut Screen,
    ) -> Result<Vec<Brought>, Failure> {
        let known = |digest| vec![Brought { digest, platform: None }];
        if self.image.parse::<Digest>().is_ok() {
            return self.resolve(server).await.map(known);
        }
        let origin = Origin::of(&self.image);
        // Unless it says that it is a registry's, a name is first of all the server's; there it is one image.
        if !self.platform.is_all()
            && matches!(
                origin,
                Ok(Origin::Registry { forced: false, .. }) | Err(SourceError::NoFile { why: Some(_), .. })
            )
        {
            match self.resolve(server).await {
                Err(failure) if failure.reason.as_deref() == Some(ErrorReason::ImageNotFound.name()) => {}
                outcome => return outcome.map(known),
            }
        }
        let choice = Choice { reference: self.reference.clone(), platform: self.platform.clone() };
        let mut images = image_source::find(origin?, choice, &self.registry.sign_in(env)?).await?;
        if !self.name.is_empty() {
            images.iter_mut().for_each(|image| image.names.clone_from(&self.name));
        }
        name_once(&mut images);
        let mut brought = Vec::new();
        for image in images {
            image.left_out.iter().for_each(|what| screen.say(format!("not read: {what}")));
            let platform = image.platform.clone();
            brought.push(Brought { digest: upload::image(server, screen, image).await?, platform });
        }
        Ok(brought)
    }

    async fn resolve(&self, server: &Server) -> Result<String, Failure> {
        let request = ResolveImageRequest { image: self.image.clone() };
        let answer = call(request, async |request| server.images().resolve_image(request).await).await?;
        Ok(answer.digest)
    }
}

/// An image that the server has.
struct Brought {
    digest: String,
    platform: Option<Platform>,
}

/// A server's name points at one image: of several that have it, at the one that is meant without `--platform`, else
/// at the first.
fn name_once(images: &mut [SourceImage]) {
    let usual = Platform::linux_amd64();
    let names: Vec<String> = images.iter().flat_map(|image| image.names.clone()).collect();
    for name in names {
        let mut called: Vec<_> = images.iter_mut().filter(|image| image.names.contains(&name)).collect();
        let kept =
            called.iter().position(|image| image.platform.as_ref() == Some(&usual)).unwrap_or_default();
        let others = called.iter_mut().enumerate().filter(|(at, _)| *at != kept);
        others.for_each(|(_, image)| image.names.retain(|other| *other != name));
    }
}

/// The id of one image's request among several of one id: always the same.
fn id_for(request: Uuid, image: &str) -> Uuid {
    let digest = Digest::of(format!("{request} {image}").as_bytes());
    let number = u128::from_str_radix(&digest.hex()[..32], 16).expect("a digest is hexadecimal");
    uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_of_a_request_has_an_id_that_stays() {
        let request = Uuid::now_v7();
        let (one, other) = (id_for(request, "sha256:1"), id_for(request, "sha256:2"));
        assert_eq!(one, id_for(request, "sha256:1"));
        assert!(one != other && one != id_for(Uuid::now_v7(), "sha256:1"));
    }
}
