//! The connection to a server: signing in, deadlines, and trying again when that may help.

use std::path::Path;
use std::time::Duration;

use proto_api::advisory::v1::advisory_service_client::AdvisoryServiceClient;
use proto_api::cluster::v1::cluster_service_client::ClusterServiceClient;
use proto_api::feed::v1::feed_service_client::FeedServiceClient;
use proto_api::finding::v1::finding_service_client::FindingServiceClient;
use proto_api::image::v1::image_service_client::ImageServiceClient;
use proto_api::impact::v1::impact_service_client::ImpactServiceClient;
use proto_api::issuer::v1::issuer_service_client::IssuerServiceClient;
use proto_api::job::v1::job_service_client::JobServiceClient;
use proto_api::queue::v1::queue_service_client::QueueServiceClient;
use proto_api::run::v1::run_service_client::RunServiceClient;
use proto_api::tenant::v1::tenant_service_client::TenantServiceClient;
use proto_api::verdict::v1::verdict_service_client::VerdictServiceClient;
use proto_api::vex::v1::vex_service_client::VexServiceClient;
use rand::RngExt as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use super::failure::{Exit, Failure};
use crate::config::Client;

/// Longer than the server's own limit, so that its answer arrives.
const UNARY: Duration = Duration::from_secs(40);
/// How often a call is made, and how often a watch is taken up again: a server that is started anew takes a while.
pub(super) const CALLS_MAX: u32 = 6;
pub(super) const WATCHES_MAX: u32 = 20;
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A server, reached when the first call is made.
#[derive(Clone)]
pub(super) struct Server {
    channel: Channel,
    sign_in: SignIn,
}

/// Puts the token on each call.
#[derive(Clone)]
pub(super) struct SignIn(Option<MetadataValue<Ascii>>);

/// What generated clients are made over.
pub(super) type Signed = InterceptedService<Channel, SignIn>;

impl Interceptor for SignIn {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Server {
    /// Prepares the connection; nothing is sent yet.
    pub(super) fn new(client: &Client) -> Result<Self, Failure> {
        let usage = |problem: String| Failure::new(Exit::Usage, problem);
        let endpoint = Endpoint::from_shared(client.endpoint.clone())
            .map_err(|error| usage(format!("{:?} is not an address: {error}", client.endpoint)))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(1 << 20)
            .tcp_nodelay(true);
        let endpoint = if client.endpoint.starts_with("https:") {
            let tls = tls(client.ca_file.as_deref())?;
            endpoint.tls_config(tls).map_err(|error| usage(format!("TLS: {error}")))?
        } else {
            endpoint
        };
        let token = client.token_file.as_deref().map(read_token).transpose()?;
        Ok(Self { channel: endpoint.connect_lazy(), sign_in: SignIn(token) })
    }

    /// Client of the jobs.
    pub(super) fn jobs(&self) -> JobServiceClient<Signed> {
        JobServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the images.
    pub(super) fn images(&self) -> ImageServiceClient<Signed> {
        ImageServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the findings.
    pub(super) fn findings(&self) -> FindingServiceClient<Signed> {
        FindingServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the impact.
    pub(super) fn impact(&self) -> ImpactServiceClient<Signed> {
        ImpactServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the feeds.
    pub(super) fn feeds(&self) -> FeedServiceClient<Signed> {
        FeedServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the advisories, whose documents may be large.
    pub(super) fn advisories(&self) -> AdvisoryServiceClient<Signed> {
        AdvisoryServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
            .max_decoding_message_size(64 << 20)
    }

    /// Client of the tenants.
    pub(super) fn tenants(&self) -> TenantServiceClient<Signed> {
        TenantServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of verdicts over time.
    pub(super) fn verdicts(&self) -> VerdictServiceClient<Signed> {
        VerdictServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the VEX documents, which may be large.
    pub(super) fn vex(&self) -> VexServiceClient<Signed> {
        VexServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
            .max_decoding_message_size(16 << 20)
    }

    /// Client of the issuers of VEX.
    pub(super) fn issuers(&self) -> IssuerServiceClient<Signed> {
        IssuerServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the cluster.
    pub(super) fn cluster(&self) -> ClusterServiceClient<Signed> {
        ClusterServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the queues.
    pub(super) fn queues(&self) -> QueueServiceClient<Signed> {
        QueueServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }

    /// Client of the runs and schedules.
    pub(super) fn runs(&self) -> RunServiceClient<Signed> {
        RunServiceClient::with_interceptor(self.channel.clone(), self.sign_in.clone())
    }
}

/// Makes a unary call, and makes it again while the server says that this may help. `make` is handed a
/// request that carries a deadline.
pub(super) async fn call<M: Clone, T>(
    message: M,
    mut make: impl AsyncFnMut(Request<M>) -> Result<Response<T>, Status>,
) -> Result<T, Failure> {
    let mut attempt = 0;
    loop {
        let mut request = Request::new(message.clone());
        request.set_timeout(UNARY);
        match make(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => match pause_before(&status, attempt, CALLS_MAX) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status.into()),
            },
        }
        attempt += 1;
    }
}

/// How long to wait before trying again; `None` when it would not help, or was tried often enough. Full jitter
/// below a growing bound, never earlier than the server asks. Every write has a request id, so that trying again
/// is safe also when nobody knows what became of it.
pub(super) fn pause_before(status: &Status, attempt: u32, attempts_max: u32) -> Option<Duration> {
    let asked = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    let again = match status.code() {
        Code::Unavailable => true,
        Code::ResourceExhausted | Code::Aborted => asked.is_some(),
        // The line broke: what a server says itself has no source.
        Code::Unknown | Code::Internal | Code::Cancelled => std::error::Error::source(status).is_some(),
        _ => false,
    };
    let bound = Duration::from_millis(100).saturating_mul(1 << attempt.min(10)).min(WAIT_MAX);
    let jitter = bound.mul_f64(rand::rng().random_range(0.0..1.0));
    let pause = asked.unwrap_or_default().saturating_add(jitter);
    (again && attempt + 1 < attempts_max && pause <= WAIT_MAX * 2).then_some(pause)
}

fn read_token(path: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    let fault = |problem: String| Failure::new(Exit::Usage, format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    format!("Bearer {}", text.trim()).parse().map_err(|_| fault("it does not hold a token".to_owned()))
}

fn tls(ca_file: Option<&Path>) -> Result<ClientTlsConfig, Failure> {
    let Some(path) = ca_file else {
        let problem = "an https: address needs the certificate authority of the server";
        return Err(Failure::new(Exit::Usage, problem).next("name it: --ca-file or STARLING_CA_FILE"));
    };
    let pem = std::fs::read(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

#[cfg(test)]
mod tests {
    use proto_api::common::v1::ErrorReason;

    use super::*;
    use crate::grpc::errors::refuse;

    #[test]
    fn only_what_may_help_is_tried_again() {
        let pause = |status: Status, attempt| pause_before(&status, attempt, CALLS_MAX);
        assert!(pause(Status::unavailable(""), 0).is_some());
        assert_eq!(pause(Status::unavailable(""), CALLS_MAX), None);
        assert_eq!(pause(Status::resource_exhausted(""), 0), None, "without RetryInfo");
        assert_eq!(pause(refuse(ErrorReason::JobNotFound).into(), 0), None);
        assert_eq!(pause(Status::unknown("said by a server"), 0), None);
        let broken = Status::from_error(Box::new(std::io::Error::other("the line broke")));
        assert!(pause(broken, 0).is_some());
        let asked = Duration::from_secs(1);
        let full = Status::from(refuse(ErrorReason::QueueFull).retry_after(asked));
        assert!(pause(full, 0).is_some_and(|pause| pause >= asked));
    }
}
