//! A migrated database with the application's own, unprivileged pool; and short ways to fill it.

use advisory::Ecosystem;
use evaluation::impact::{Indexed, Package};
use evaluation::{Apart, Basis, Cause, CauseKind, Grounds, Written};
use model::{
    AdvisoryMatch, Component, Coverage, Digest, Finding, FixState, ImageDigest, JobId, JobKind, Lane, NoFix,
    PackageKind, Purl, RequestId, Severity, SnapshotId, TenantId,
};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use store::effects::{self, Applied, Effect, Evaluation};
use store::evaluations::{Before, FactId, Found, Last};
use store::images::{Layer, NewImage};
use store::jobs::{self, Job, Submission, SubmitRefusal, Submitted};
use store::members::{Joined, NewNode};
use store::tenants::Quota;
use store::work::{Claim, Claimed, Extracted};
use store::{Bell, Error, Fence, Store, TenantTx, evaluations, images, members, outbox, tenants, work};
use uuid::Uuid;

pub(crate) struct World {
    /// The role that owns everything.
    pub(crate) owner: PgPool,
    /// The application's, as deployed.
    pub(crate) store: Store,
}

pub(crate) const GENEROUS: Quota =
    Quota { weight: 1.0, max_queued: 10_000, max_inflight: 1_000, rate_per_s: 1e6, burst: 10_000 };

impl World {
    pub(crate) async fn new(owner: PgPool) -> Self {
        let options = (*owner.connect_options()).clone().username("starling_app");
        let store = Store::connect_with(options, 10, "test").await.unwrap();
        Self { owner, store }
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        self.tenant_with(name, GENEROUS).await
    }

    pub(crate) async fn tenant_with(&self, name: &str, quota: Quota) -> TenantId {
        let mut tx = self.store.fleet().await.unwrap();
        let tenant = tenants::create(&mut tx, name, quota).await.unwrap();
        tx.commit().await.unwrap();
        tenant.id
    }

    /// An image of one layer, whose blobs are recorded.
    pub(crate) async fn image(&self, tenant: TenantId, seed: &str) -> ImageDigest {
        self.put(tenant, new_image(seed)).await
    }

    /// An image, whose blobs are recorded.
    pub(crate) async fn put(&self, tenant: TenantId, image: NewImage) -> ImageDigest {
        let mut tx = self.store.tenant(tenant).await.unwrap();
        images::record_blob(&mut tx, &image.config, 2, "application/json").await.unwrap();
        for layer in &image.layers {
            images::record_blob(&mut tx, &layer.digest, layer.size, &layer.media_type).await.unwrap();
        }
        images::put(&mut tx, &image).await.unwrap();
        tx.commit().await.unwrap();
        image.digest
    }

    pub(crate) async fn node(&self, name: &str) -> i64 {
        let Joined::As(generation) = members::join(&self.store, &new_node(name), None).await.unwrap() else {
            panic!("the name {name} was taken");
        };
        assert!(members::up(&self.store, generation).await.unwrap());
        generation
    }

    /// Claims a partition for a node, at whatever epoch it is.
    pub(crate) async fn claim(&self, generation: i64, partition: u16) -> Fence {
        let seen = members::partitions(&self.store).await.unwrap()[usize::from(partition)];
        let taken =
            members::claim(&self.store, generation, &[Fence { partition, epoch: seen.epoch }]).await.unwrap();
        taken[0]
    }

    pub(crate) async fn submit(&self, tenant: TenantId, image: &ImageDigest) -> JobId {
        self.submit_one(submission(tenant, image)).await.unwrap().job_id
    }

    pub(crate) async fn submit_one(&self, submission: Submission) -> Result<Submitted, SubmitRefusal> {
        jobs::submit_many(&self.store, vec![submission]).await.unwrap().remove(0)
    }

    pub(crate) async fn job(&self, tenant: TenantId, job: JobId) -> Job {
        let mut tx = self.store.tenant(tenant).await.unwrap();
        jobs::get(&mut tx, job).await.unwrap()
    }

    pub(crate) async fn apply(&self, effect: Effect) -> Result<Applied, Error> {
        effects::apply(&self.store, vec![effect]).await.unwrap().remove(0)
    }

    /// Everything in the outbox that is due.
    pub(crate) async fn bells(&self) -> Vec<Bell> {
        let mut tx = self.store.fleet().await.unwrap();
        let bells = outbox::take(&mut tx, 1_000).await.unwrap();
        tx.commit().await.unwrap();
        bells
    }

    /// Submits, admits and dispatches; answers the job and its work.
    pub(crate) async fn dispatched(
        &self,
        tenant: TenantId,
        image: &ImageDigest,
        fence: Fence,
    ) -> (JobId, Uuid) {
        let job = self.submit(tenant, image).await;
        self.apply(Effect::Admit { tenant, fence, jobs: vec![job] }).await.unwrap();
        self.apply(Effect::Dispatch { tenant, image: image.clone(), fence, jobs: vec![job] }).await.unwrap();
        (job, self.work_of(image).await)
    }

    pub(crate) async fn work_of(&self, image: &ImageDigest) -> Uuid {
        sqlx::query("select work_id from orchestrator.work where image_digest = $1")
            .bind(image.as_str())
            .fetch_one(&self.owner)
            .await
            .unwrap()
            .get(0)
    }

    pub(crate) async fn claimed(&self, tenant: TenantId, work: Uuid, generation: i64) -> Claimed {
        match work::claim(&self.store, work, tenant, generation, None).await.unwrap() {
            Claim::Claimed(claimed) => *claimed,
            other => panic!("not claimed: {other:?}"),
        }
    }

    /// From nothing to an evaluated image.
    pub(crate) async fn scanned(&self, tenant: TenantId, seed: &str, generation: i64, fence: Fence) -> JobId {
        let image = self.image(tenant, seed).await;
        let (job, work) = self.dispatched(tenant, &image, fence).await;
        let claimed = self.claimed(tenant, work, generation).await;
        work::complete(&self.store, &claimed.hold, &sbom(seed)).await.unwrap();
        let evaluation = self.following(evaluation(tenant, &image, fence, 1, 2, vec![job])).await;
        self.apply(Effect::SaveEvaluation(Box::new(evaluation))).await.unwrap();
        job
    }

    /// The evaluation as one that follows the image's last verdict.
    pub(crate) async fn following(&self, mut evaluation: Evaluation) -> Evaluation {
        let mut tx = self.store.tenant(evaluation.tenant).await.unwrap();
        let inputs = evaluations::inputs(&mut tx, &evaluation.image).await.unwrap();
        let Some(last) = inputs.last else { return evaluation };
        evaluation.before = before(&mut tx, &last).await;
        let old: Vec<_> = evaluation.before.findings.iter().map(|f| f.finding.clone().unwrap()).collect();
        let new: Vec<_> = evaluation.findings.findings().cloned().collect();
        evaluation.changes = ::evaluation::changes(&old, &new, |_| false);
        let now = Basis {
            sbom: inputs.sbom_digest,
            snapshot: evaluation.snapshot,
            coverage: evaluation.coverage,
            gaps: Some(evaluation.gaps.clone()),
            findings: evaluation.findings.digest().clone(),
        };
        let apart = Apart::of(&evaluation.changes, &old, &new);
        let grounds = Grounds { apart, ..Grounds::default() };
        evaluation.cause = Cause::of(Some(&last.basis), &now, grounds);
        evaluation
    }

    /// Runs statements as the owner.
    pub(crate) async fn sql(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&self.owner).await.unwrap();
    }

    /// A single number, read by the owner.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        sqlx::query(AssertSqlSafe(query.to_owned())).fetch_one(&self.owner).await.unwrap().get(0)
    }
}

pub(crate) fn digest(seed: &str) -> Digest {
    Digest::of(seed.as_bytes())
}

pub(crate) fn new_image(seed: &str) -> NewImage {
    let layer = digest(&format!("{seed}-layer"));
    NewImage {
        digest: ImageDigest::new(digest(seed)),
        manifest: seed.as_bytes().to_vec(),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        config: digest(&format!("{seed}-config")),
        layers: vec![Layer {
            digest: layer.clone(),
            size: 10,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            diff_id: layer,
        }],
        names: vec![format!("registry.example/{seed}:latest")],
    }
}

pub(crate) fn new_node(name: &str) -> NewNode {
    NewNode {
        name: name.to_owned(),
        api_addr: "127.0.0.1:1".to_owned(),
        link_addr: "127.0.0.1:2".to_owned(),
        weight: 1.0,
        worker_slots: 4,
        proto_min: 1,
        proto_max: 1,
        build: "test".to_owned(),
    }
}

pub(crate) fn submission(tenant: TenantId, image: &ImageDigest) -> Submission {
    Submission {
        tenant,
        request: RequestId::from_uuid(Uuid::now_v7()),
        kind: JobKind::Scan,
        lane: Lane::Bulk,
        image: image.clone(),
        time_limit: None,
        trace: None,
    }
}

pub(crate) fn sbom(seed: &str) -> Extracted {
    let document = format!("sbom of {seed}").into_bytes();
    Extracted {
        digest: Digest::of(&document),
        document,
        components: 3,
        extractor: "1".to_owned(),
        indexed: vec![package("1.0.0"), package("2.0.0")],
    }
}

/// A version of one npm package, as the BOM-index keeps it.
pub(crate) fn package(version: &str) -> Indexed {
    let component = Component {
        purl: Purl::from_canonical(format!("pkg:npm/left-pad@{version}")),
        kind: PackageKind::Npm,
        name: "left-pad".to_owned(),
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![],
    };
    let ecosystem = Ecosystem { name: "npm".to_owned(), release: None };
    Indexed::Package(Package { ecosystem, component })
}

/// The last verdict with all that it found.
async fn before(tx: &mut TenantTx, last: &Last) -> Before {
    let facts: &[FactId] = last.facts.as_deref().unwrap_or_default();
    let digests = evaluations::fact_digests(tx, facts).await.unwrap();
    let findings = evaluations::facts(tx, facts).await.unwrap();
    let found = facts.iter().map(|id| Found { digest: digests[id], finding: Some(findings[id].clone()) });
    let findings_digest = last.facts.is_some().then(|| last.basis.findings.clone());
    Before { version: last.version, findings_digest, findings: found.collect() }
}

/// An evaluation with so many findings.
pub(crate) fn evaluation(
    tenant: TenantId,
    image: &ImageDigest,
    fence: Fence,
    revision: i64,
    findings: usize,
    jobs: Vec<JobId>,
) -> Evaluation {
    Evaluation {
        tenant,
        image: image.clone(),
        fence,
        revision,
        snapshot: SnapshotId(0),
        coverage: Coverage::Complete,
        gaps: vec![],
        findings: Written::of((0..findings).map(finding).collect()),
        before: Before::default(),
        cause: Cause {
            kinds: vec![CauseKind::Scan],
            advisories: vec![],
            more_advisories: 0,
            documents: vec![],
            more_documents: 0,
        },
        changes: vec![],
        jobs,
    }
}

pub(crate) fn finding(i: usize) -> Finding {
    let no_fix = if i.is_multiple_of(2) { None } else { Some(NoFix::ALL[i % NoFix::ALL.len()]) };
    Finding {
        vulnerability: format!("CVE-2024-{i:04}"),
        aliases: vec![format!("GHSA-{i}")],
        purl: Purl::from_canonical(format!("pkg:npm/left-pad@1.0.{i}")),
        package: "left-pad".to_owned(),
        version: format!("1.0.{i}"),
        severity: Severity::ALL[i % Severity::ALL.len()],
        fix: if i.is_multiple_of(2) {
            FixState::Fixed(vec!["2.0.0".to_owned()])
        } else {
            FixState::NotFixed(no_fix)
        },
        advisories: vec![AdvisoryMatch {
            advisory: format!("GHSA-{i}"),
            feed: "osv-npm".parse().unwrap(),
            reason: "in [0, 2.0.0) by semver".to_owned(),
            fixed_versions: vec!["2.0.0".to_owned()],
            no_fix,
            notice: None,
        }],
        vex: None,
    }
}
