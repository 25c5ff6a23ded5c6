//! Who may call what: the one table of methods and scopes.
//!
//! A tenant's scopes reach its own rows only. An operator's scopes (`ops.…`) are good on tokens of the
//! system's own tenant alone, so a tenant's token that somehow names one gains nothing by it.

use model::TenantId;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Read jobs, lanes and dead letters.
    JobsRead,
    /// Submit and cancel jobs.
    JobsWrite,
    /// Read images.
    ImagesRead,
    /// Bring images.
    ImagesWrite,
    /// Read findings and verdicts.
    FindingsRead,
    /// Read the freshness of feeds.
    FeedsRead,
    /// Read VEX documents and issuers.
    VexRead,
    /// Attach VEX documents, change one's own issuers.
    VexWrite,
    /// Read one's own tenant and quota.
    TenantRead,
    /// Operators: read everything about the installation.
    OpsRead,
    /// Operators: add and refresh feeds.
    OpsFeeds,
    /// Operators: add tenants, change quotas.
    OpsTenants,
    /// Operators: cordon and drain nodes.
    OpsCluster,
    /// Operators: requeue and discard dead letters.
    OpsQueue,
    /// Operators: make, release and cancel runs, set schedules.
    OpsRuns,
    /// Operators: attach VEX documents and change issuers for all tenants.
    OpsVex,
}

use Scope::{
    FeedsRead, FindingsRead, ImagesRead, ImagesWrite, JobsRead, JobsWrite, OpsCluster, OpsFeeds, OpsQueue,
    OpsRead, OpsRuns, OpsTenants, OpsVex, TenantRead, VexRead, VexWrite,
};

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody may call it, also without a token.
    Open,
    /// One of these scopes.
    OneOf(&'static [Scope]),
}

const TABLE: &[(&str, &[Scope])] = &[
    ("starling.job.v1.JobService/SubmitJob", &[JobsWrite]),
    ("starling.job.v1.JobService/GetJob", &[JobsRead]),
    ("starling.job.v1.JobService/ListJobs", &[JobsRead]),
    ("starling.job.v1.JobService/CancelJob", &[JobsWrite]),
    ("starling.job.v1.JobService/WatchJob", &[JobsRead]),
    ("starling.job.v1.JobService/WatchJobs", &[JobsRead]),
    ("starling.job.v1.JobService/GetJobTimeline", &[JobsRead]),
    ("starling.image.v1.ImageService/FindMissingBlobs", &[ImagesWrite]),
    ("starling.image.v1.ImageService/UploadBlob", &[ImagesWrite]),
    ("starling.image.v1.ImageService/PutImage", &[ImagesWrite]),
    ("starling.image.v1.ImageService/GetImage", &[ImagesRead]),
    ("starling.image.v1.ImageService/ListImages", &[ImagesRead]),
    ("starling.image.v1.ImageService/ResolveImage", &[ImagesRead]),
    ("starling.finding.v1.FindingService/ListFindings", &[FindingsRead]),
    ("starling.finding.v1.FindingService/CountFindings", &[FindingsRead]),
    ("starling.finding.v1.FindingService/GetVerdict", &[FindingsRead]),
    ("starling.finding.v1.FindingService/ExplainVulnerability", &[FindingsRead]),
    ("starling.impact.v1.ImpactService/GetBlastRadius", &[FindingsRead, OpsRead]),
    ("starling.verdict.v1.VerdictService/ListVerdicts", &[FindingsRead]),
    ("starling.verdict.v1.VerdictService/DiffVerdicts", &[FindingsRead]),
    ("starling.verdict.v1.VerdictService/RecallVerdict", &[FindingsRead]),
    ("starling.feed.v1.FeedService/ListFeeds", &[FeedsRead, OpsRead]),
    ("starling.feed.v1.FeedService/GetFeed", &[FeedsRead, OpsRead]),
    ("starling.feed.v1.FeedService/GetFreshness", &[FeedsRead, OpsRead]),
    ("starling.feed.v1.FeedService/CreateFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/RefreshFeed", &[OpsFeeds]),
    ("starling.advisory.v1.AdvisoryService/ListSnapshots", &[FeedsRead, OpsRead]),
    ("starling.advisory.v1.AdvisoryService/DiffSnapshots", &[FeedsRead, OpsRead]),
    ("starling.advisory.v1.AdvisoryService/GetAdvisory", &[FeedsRead, OpsRead]),
    ("starling.advisory.v1.AdvisoryService/GetLinkset", &[FeedsRead, OpsRead]),
    ("starling.advisory.v1.AdvisoryService/ListQuarantine", &[OpsRead, OpsFeeds]),
    ("starling.advisory.v1.AdvisoryService/RetryQuarantine", &[OpsFeeds]),
    ("starling.advisory.v1.AdvisoryService/VerifyObservations", &[OpsRead]),
    ("starling.feed.v1.FeedService/PauseFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/ResumeFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/PinFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/UnpinFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/RollBackFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/ImportBundle", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/UnregisterFeed", &[OpsFeeds]),
    ("starling.feed.v1.FeedService/ListFeedSteers", &[OpsRead, OpsFeeds]),
    ("starling.tenant.v1.TenantService/CreateTenant", &[OpsTenants]),
    ("starling.tenant.v1.TenantService/GetTenant", &[TenantRead, OpsRead]),
    ("starling.tenant.v1.TenantService/ListTenants", &[OpsRead]),
    ("starling.tenant.v1.TenantService/GetQuota", &[TenantRead, OpsRead]),
    ("starling.tenant.v1.TenantService/SetQuota", &[OpsTenants]),
    ("starling.cluster.v1.ClusterService/ListNodes", &[OpsRead]),
    ("starling.cluster.v1.ClusterService/GetRing", &[OpsRead]),
    ("starling.cluster.v1.ClusterService/LocateKey", &[OpsRead]),
    ("starling.cluster.v1.ClusterService/CordonNode", &[OpsCluster]),
    ("starling.cluster.v1.ClusterService/UncordonNode", &[OpsCluster]),
    ("starling.cluster.v1.ClusterService/DrainNode", &[OpsCluster]),
    ("starling.cluster.v1.ClusterService/CancelDrain", &[OpsCluster]),
    ("starling.cluster.v1.ClusterService/SetNodeWeight", &[OpsCluster]),
    ("starling.cluster.v1.ClusterService/PreviewNode", &[OpsRead]),
    ("starling.cluster.v1.ClusterService/RemoveNode", &[OpsCluster]),
    ("starling.queue.v1.QueueService/ListLanes", &[JobsRead, OpsRead]),
    ("starling.queue.v1.QueueService/ListDeadLetters", &[JobsRead, OpsRead]),
    ("starling.queue.v1.QueueService/GetDeadLetter", &[JobsRead, OpsRead]),
    ("starling.queue.v1.QueueService/RequeueDeadLetter", &[JobsWrite, OpsQueue]),
    ("starling.queue.v1.QueueService/DiscardDeadLetter", &[JobsWrite, OpsQueue]),
    ("starling.run.v1.RunService/ListRuns", &[OpsRead]),
    ("starling.run.v1.RunService/GetRun", &[OpsRead]),
    ("starling.run.v1.RunService/ListRunImages", &[OpsRead]),
    ("starling.run.v1.RunService/WatchRun", &[OpsRead]),
    ("starling.run.v1.RunService/CreateRun", &[OpsRuns]),
    ("starling.run.v1.RunService/ReleaseRun", &[OpsRuns]),
    ("starling.run.v1.RunService/CancelRun", &[OpsRuns]),
    ("starling.run.v1.RunService/ListSchedules", &[OpsRead]),
    ("starling.run.v1.RunService/GetSchedule", &[OpsRead]),
    ("starling.run.v1.RunService/SetSchedule", &[OpsRuns]),
    ("starling.run.v1.RunService/DeleteSchedule", &[OpsRuns]),
    ("starling.vex.v1.VexService/AttachDocument", &[VexWrite, OpsVex]),
    ("starling.vex.v1.VexService/GetDocument", &[VexRead, OpsRead]),
    ("starling.vex.v1.VexService/ListDocuments", &[VexRead, OpsRead]),
    ("starling.vex.v1.VexService/DetachDocument", &[VexWrite, OpsVex]),
    ("starling.vex.v1.VexService/ExplainVex", &[VexRead]),
    ("starling.issuer.v1.IssuerService/CreateIssuer", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/UpdateIssuer", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/GetIssuer", &[VexRead, OpsRead]),
    ("starling.issuer.v1.IssuerService/ListIssuers", &[VexRead, OpsRead]),
    ("starling.issuer.v1.IssuerService/RetireIssuer", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/AddKey", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/RevokeKey", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/SetTrust", &[VexWrite]),
    ("starling.issuer.v1.IssuerService/SetPolicy", &[VexWrite, OpsVex]),
    ("starling.issuer.v1.IssuerService/ListIssuerChanges", &[VexRead, OpsRead]),
];

/// Services that tell nothing about tenants: health for load balancers, reflection for tools.
const OPEN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// What the method at this path (`/package.Service/Method`) asks; `None` when there is no such method.
pub fn access(path: &str) -> Option<Access> {
    let method = path.strip_prefix('/')?;
    let (service, _) = method.split_once('/')?;
    if OPEN.contains(&service) {
        return Some(Access::Open);
    }
    TABLE.iter().find(|(name, _)| *name == method).map(|(_, scopes)| Access::OneOf(scopes))
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 16] = [
        JobsRead,
        JobsWrite,
        ImagesRead,
        ImagesWrite,
        FindingsRead,
        FeedsRead,
        VexRead,
        VexWrite,
        TenantRead,
        OpsRead,
        OpsFeeds,
        OpsTenants,
        OpsCluster,
        OpsQueue,
        OpsRuns,
        OpsVex,
    ];

    /// The scopes a tenant's token has when it is issued without a choice.
    pub fn of_tenants() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|scope| !scope.is_operators())
    }

    /// The scopes of operators.
    pub fn of_operators() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|scope| scope.is_operators())
    }

    /// The word for it on a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            JobsRead => "jobs.read",
            JobsWrite => "jobs.write",
            ImagesRead => "images.read",
            ImagesWrite => "images.write",
            FindingsRead => "findings.read",
            FeedsRead => "feeds.read",
            VexRead => "vex.read",
            VexWrite => "vex.write",
            TenantRead => "tenant.read",
            OpsRead => "ops.read",
            OpsFeeds => "ops.feeds",
            OpsTenants => "ops.tenants",
            OpsCluster => "ops.cluster",
            OpsQueue => "ops.queue",
            OpsRuns => "ops.runs",
            OpsVex => "ops.vex",
        }
    }

    /// The scope with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// Whether it is for operators, and so good on tokens of the system's tenant only.
    pub fn is_operators(self) -> bool {
        self.as_str().starts_with("ops.")
    }

    /// Whether a token of this tenant may have it.
    pub fn fits(self, tenant: TenantId) -> bool {
        self.is_operators() == (tenant == TenantId::SYSTEM)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_contract_has_a_scope_and_no_other_is_named() {
        let contract = FileDescriptorSet::decode(proto_api::DESCRIPTORS).unwrap();
        let mut methods = BTreeSet::new();
        for file in &contract.file {
            for service in &file.service {
                for method in &service.method {
                    methods.insert(format!("{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        let named: BTreeSet<_> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(named, methods);
        assert!(TABLE.iter().all(|(_, scopes)| !scopes.is_empty()));
    }

    #[test]
    fn operators_scopes_are_apart_from_tenants() {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(7));
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.as_str()), Some(scope));
            assert_ne!(scope.fits(tenant), scope.fits(TenantId::SYSTEM), "{scope:?}");
        }
    }

    #[test]
    fn health_and_reflection_are_open_and_unknown_methods_are_not() {
        assert_eq!(access("/grpc.health.v1.Health/Check"), Some(Access::Open));
        assert_eq!(access("/starling.job.v1.JobService/GetJob"), Some(Access::OneOf(&[JobsRead])));
        for unknown in ["/starling.job.v1.JobService/Nope", "/", "", "/livez", "/grpc.health.v1.Health"] {
            assert_eq!(access(unknown), None, "{unknown}");
        }
    }
}
