//! Typed clients of one node with one token, and the longer conversations that most tests need.

use std::time::Duration;

use proto_api::cluster::v1::cluster_service_client::ClusterServiceClient;
use proto_api::common::v1::Lane;
use proto_api::feed::v1::feed_service_client::FeedServiceClient;
use proto_api::feed::v1::{Feed, GetFeedRequest};
use proto_api::finding::v1::finding_service_client::FindingServiceClient;
use proto_api::finding::v1::{Finding, ListFindingsRequest};
use proto_api::image::v1::image_service_client::ImageServiceClient;
use proto_api::image::v1::upload_blob_request::Part;
use proto_api::image::v1::{BlobHeader, FindMissingBlobsRequest, PutImageRequest, UploadBlobRequest};
use proto_api::image::v1::{PutImageResponse, UploadBlobResponse};
use proto_api::impact::v1::impact_service_client::ImpactServiceClient;
use proto_api::job::v1::job_service_client::JobServiceClient;
use proto_api::job::v1::{GetJobRequest, Job, JobState, SubmitJobRequest, SubmitJobResponse};
use proto_api::queue::v1::queue_service_client::QueueServiceClient;
use proto_api::run::v1::run_service_client::RunServiceClient;
use proto_api::run::v1::{GetRunRequest, ListRunsRequest, Run, RunState};
use proto_api::tenant::v1::tenant_service_client::TenantServiceClient;
use proto_api::tenant::v1::{GetQuotaRequest, Quota, SetQuotaRequest};
use proto_api::verdict::v1::verdict_service_client::VerdictServiceClient;
use proto_api::vex::v1::vex_service_client::VexServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::images::{Blob, Image};
use crate::{eventually_ok, refusals};

/// How long a healthy cluster may take for a small job, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Puts the token on every call.
#[derive(Debug, Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The way to a node, with the token on it.
pub type Line = InterceptedService<Channel, Bearer>;

/// A client of each service.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The bare way to the node.
    pub channel: Channel,
    /// Jobs.
    pub jobs: JobServiceClient<Line>,
    /// Images.
    pub images: ImageServiceClient<Line>,
    /// Findings and verdicts.
    pub findings: FindingServiceClient<Line>,
    /// Whom a vulnerability concerns.
    pub impact: ImpactServiceClient<Line>,
    /// Lanes and dead letters.
    pub queues: QueueServiceClient<Line>,
    /// Runs and schedules.
    pub runs: RunServiceClient<Line>,
    /// Feeds.
    pub feeds: FeedServiceClient<Line>,
    /// Tenants.
    pub tenants: TenantServiceClient<Line>,
    /// Verdicts over time.
    pub verdicts: VerdictServiceClient<Line>,
    /// VEX documents. Boxed, as few tests need it and all carry it.
    pub vex: Box<VexServiceClient<Line>>,
    /// Nodes and the ring.
    pub cluster: ClusterServiceClient<Line>,
}

/// The same under a shorter name.
pub type Client = Clients;

/// A fresh request id.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}

impl Clients {
    /// Clients of the node at `address` (`http://…`). It is connected to when it is first needed.
    pub fn new(address: &str, token: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .expect("an address")
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(20))
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        Self::over(endpoint.connect_lazy(), token)
    }

    /// Clients over this connection.
    pub fn over(channel: Channel, token: Option<&str>) -> Self {
        let bearer = Bearer(token.map(|t| format!("Bearer {t}").parse().expect("a token is ASCII")));
        let line = || InterceptedService::new(channel.clone(), bearer.clone());
        Self {
            jobs: JobServiceClient::new(line()),
            images: ImageServiceClient::new(line()),
            findings: FindingServiceClient::new(line()),
            impact: ImpactServiceClient::new(line()),
            verdicts: VerdictServiceClient::new(line()),
            vex: Box::new(VexServiceClient::new(line())),
            queues: QueueServiceClient::new(line()),
            runs: RunServiceClient::new(line()),
            feeds: FeedServiceClient::new(line()),
            tenants: TenantServiceClient::new(line()),
            cluster: ClusterServiceClient::new(line()),
            channel,
        }
    }

    /// Brings an image as the command line does: what is missing, blob by blob, then the manifest.
    pub async fn put(&mut self, image: &Image) -> Result<PutImageResponse, Status> {
        let digests = image.layers.iter().map(|blob| blob.digest.clone()).collect();
        let missing = self.images.find_missing_blobs(FindMissingBlobsRequest { digests }).await?;
        let missing = missing.into_inner().missing_digests;
        for blob in image.layers.iter().filter(|blob| missing.contains(&blob.digest)) {
            self.upload(blob, blob.bytes.len()).await?;
        }
        self.put_manifest(image, &[]).await
    }

    /// Makes an image of blobs that are there.
    pub async fn put_manifest(&mut self, image: &Image, names: &[&str]) -> Result<PutImageResponse, Status> {
        let request = PutImageRequest {
            request_id: request_id(),
            manifest: image.manifest.clone().into(),
            media_type: image.media_type.clone(),
            config: image.config.clone().into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        self.images.put_image(request).await.map(Response::into_inner)
    }

    /// Uploads one blob, announcing this size.
    pub async fn upload(&mut self, blob: &Blob, announced: usize) -> Result<UploadBlobResponse, Status> {
        let header = BlobHeader {
            request_id: request_id(),
            digest: blob.digest.clone(),
            size_bytes: i64::try_from(announced).expect("small"),
            media_type: blob.media_type.clone(),
        };
        let mut parts = vec![Part::Header(header)];
        parts.extend(blob.bytes.chunks(256 << 10).map(|chunk| Part::Chunk(chunk.to_vec().into())));
        let parts = parts.into_iter().map(|part| UploadBlobRequest { part: Some(part) });
        self.images.upload_blob(tokio_stream::iter(parts)).await.map(Response::into_inner)
    }

    /// Submits a scan of an image that was put, in the bulk lane.
    pub async fn submit(&mut self, image: &str, request_id: &str) -> Result<SubmitJobResponse, Status> {
        let request = SubmitJobRequest {
            request_id: request_id.to_owned(),
            image: image.to_owned(),
            lane: Lane::Bulk.into(),
            ..SubmitJobRequest::default()
        };
        self.jobs.submit_job(request).await.map(Response::into_inner)
    }

    /// Puts an image and submits a scan of it; the job's id.
    pub async fn put_and_submit(&mut self, image: &Image) -> String {
        self.put(image).await.expect("the image is taken");
        self.submit(&image.digest(), &request_id()).await.expect("the job is accepted").job_id
    }

    /// The job now.
    pub async fn job(&mut self, job: &str) -> Result<Job, Status> {
        let answer = self.jobs.get_job(GetJobRequest { job_id: job.to_owned() }).await?;
        Ok(answer.into_inner().job.expect("a job was answered"))
    }

    /// Waits until the job is finished, whatever becomes of the connection meanwhile.
    pub async fn finished(&self, job: &str, within: Duration) -> Job {
        eventually_ok(within, &format!("job {job} is finished"), || {
            let mut this = self.clone();
            async move {
                match this.job(job).await {
                    Ok(job) if is_final(&job) => Ok(job),
                    Ok(job) => Err(format!("{job:?}")),
                    Err(status) if refusals::is_unanswered(&status) => Err(format!("{status:?}")),
                    Err(status) => panic!("job {job}: {status:?}"),
                }
            }
        })
        .await
    }

    /// Waits until the job is done.
    ///
    /// # Panics
    /// When it ends otherwise.
    pub async fn done(&self, job: &str, within: Duration) -> Job {
        let job = self.finished(job, within).await;
        assert_eq!(job.state(), JobState::Done, "{job:?}");
        job
    }

    /// A feed now.
    pub async fn feed(&mut self, feed: &str) -> Feed {
        let request = GetFeedRequest { feed_id: feed.to_owned() };
        let answer = self.feeds.get_feed(request).await.expect("the feed is known");
        answer.into_inner().feed.expect("a feed was answered")
    }

    /// A run now. For operators, as are the next two.
    pub async fn run(&mut self, run: &str) -> Run {
        let request = GetRunRequest { run_id: run.to_owned() };
        let answer = self.runs.get_run(request).await.expect("the run is known");
        answer.into_inner().run.expect("a run was answered")
    }

    /// The newest runs, newest first.
    pub async fn newest_runs(&mut self) -> Vec<Run> {
        let request = ListRunsRequest { page_size: 1000, ..ListRunsRequest::default() };
        self.runs.list_runs(request).await.expect("runs are listed").into_inner().runs
    }

    /// Waits until a run is in this state, whatever becomes of the connection meanwhile.
    pub async fn run_is(&self, run: &str, state: RunState, within: Duration) -> Run {
        eventually_ok(within, &format!("run {run} is {state:?}"), || {
            let mut this = self.clone();
            async move {
                let request = GetRunRequest { run_id: run.to_owned() };
                match this.runs.get_run(request).await.map(Response::into_inner) {
                    Ok(answer) => match answer.run {
                        Some(run) if run.state() == state => Ok(run),
                        other => Err(format!("{other:?}")),
                    },
                    Err(status) => Err(format!("{status:?}")),
                }
            }
        })
        .await
    }

    /// Changes what a tenant may use. For operators.
    pub async fn change_quota(&mut self, tenant: &str, change: impl FnOnce(&mut Quota)) {
        let request = GetQuotaRequest { tenant: tenant.to_owned() };
        let quota = self.tenants.get_quota(request).await.expect("the tenant is known").into_inner().quota;
        let mut quota = quota.expect("a tenant has a quota");
        change(&mut quota);
        let (request_id, tenant) = (request_id(), tenant.to_owned());
        let request = SetQuotaRequest { request_id, tenant, quota: Some(quota) };
        let set = self.tenants.set_quota(request).await.expect("the quota is taken").into_inner().quota;
        assert_eq!(set, Some(quota));
    }

    /// All findings of an image's latest verdict, page by page; of the same one, should there be another meanwhile.
    pub async fn all_findings(&mut self, image: &str) -> Vec<Finding> {
        let mut all = Vec::new();
        let (mut page_token, mut verdict_version) = (String::new(), 0);
        loop {
            let image = image.to_owned();
            let request = ListFindingsRequest {
                image,
                verdict_version,
                page_token,
                page_size: 100,
                ..Default::default()
            };
            let page = self.findings.list_findings(request).await.expect("findings are listed").into_inner();
            verdict_version = page.verdict_version;
            all.extend(page.findings);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }
}

/// Whether nothing more will happen to the job.
pub fn is_final(job: &Job) -> bool {
    matches!(job.state(), JobState::Done | JobState::Failed | JobState::Cancelled)
}
