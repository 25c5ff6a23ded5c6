//! The checker: what must hold of the whole system, asked of the database as its owner.
//!
//! Each invariant is one query that answers its violations, so each sees one consistent moment. Those of
//! [`ALWAYS`] hold at every moment, also in the middle of a fault; those of [`AT_REST`] once nothing is left
//! to do.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::clients::SOON;
use crate::{Tenant, Truth, eventually};

/// A name and a query whose rows are its violations, in words.
pub type Invariant = (&'static str, &'static str);

/// What holds at every moment.
pub const ALWAYS: [Invariant; 14] = [
    (
        "a job that ended has exactly one end, and nothing is said of it afterwards",
        "select concat_ws(' ', j.job_id, j.state, 'ends:', count(e.seq), 'at', max(e.seq), 'of', j.events)
         from orchestrator.job j
         left join orchestrator.job_event e on (e.tenant_id, e.job_id) = (j.tenant_id, j.job_id)
             and e.state in ('done', 'failed', 'cancelled')
         group by j.tenant_id, j.job_id
         having case when j.ended_at is null then count(e.seq) > 0
                else count(e.seq) <> 1 or max(e.seq) <> j.events or max(e.state) <> j.state end",
    ),
    (
        "the events of a job are numbered without a gap, and each begins where the one before ended",
        "select concat_ws(' ', job_id, seq, stage) from (
             select *, row_number() over life as number, lag(ended_at) over life as before
             from orchestrator.job_event window life as (partition by tenant_id, job_id order by seq)) e
         where seq <> number or started_at <> coalesce(before, started_at) or ended_at < started_at",
    ),
    (
        "an attempt that was taken over says nothing more",
        "select concat_ws(' ', job_id, 'attempt', attempt, 'after', before) from (
             select *, lag(attempt) over (partition by tenant_id, job_id order by seq) as before
             from orchestrator.job_event where stage = 'extracting') e
         where attempt <= before",
    ),
    (
        "a job leaves an extraction for its evaluation once",
        "select concat_ws(' ', job_id, count(*)) from orchestrator.job_event
         where stage = 'extracting' and state = 'evaluating' group by tenant_id, job_id having count(*) > 1",
    ),
    (
        "an image's revision is raised once for each extraction that was completed, and for each run that dispatched it",
        "select concat_ws(' ', i.digest, 'revision', i.revision, 'extractions', count(distinct e.ended_at))
         from scanner.image i
         left join orchestrator.job j on (j.tenant_id, j.image_digest) = (i.tenant_id, i.digest)
         left join orchestrator.job_event e on (e.tenant_id, e.job_id) = (j.tenant_id, j.job_id)
             and e.stage in ('extracting', 'dispatched') and e.state = 'evaluating' and e.attempt > 0
         group by i.tenant_id, i.digest having i.revision > count(distinct e.ended_at)
             + (select count(*) from scheduler.run_image r
                where (r.tenant_id, r.image_digest) = (i.tenant_id, i.digest) and r.must_reach is not null)",
    ),
    (
        "verdicts are numbered without a gap, and each differs from the one before",
        "select concat_ws(' ', image_digest, version) from (
             select *, row_number() over life as number,
                    lag((findings_digest, coverage, gaps)) over life = (findings_digest, coverage, gaps) as same
             from scanner.verdict window life as (partition by tenant_id, image_digest order by version)) v
         where version <> number or same",
    ),
    (
        "no verdict goes back to an older snapshot or revision",
        "select concat_ws(' ', image_digest, version, 'snapshot', snapshot_id, 'after', snapshot_before) from (
             select *, lag(snapshot_id) over life as snapshot_before, lag(revision) over life as revision_before
             from scanner.verdict window life as (partition by tenant_id, image_digest order by version)) v
         where snapshot_id < snapshot_before or revision < revision_before",
    ),
    (
        "every verdict keeps its findings: as many as it counts and suppresses, and with the digest it names",
        "select concat_ws(' ', v.image_digest, v.version, count(f.fact_id)) from scanner.verdict v
         left join lateral unnest(v.facts) with ordinality u(fact_id, place) on true
         left join scanner.fact f on (f.tenant_id, f.fact_id) = (v.tenant_id, u.fact_id)
         group by v.tenant_id, v.image_digest, v.version
         having count(f.fact_id) <> (select sum(n) from unnest(v.counts) n) + v.suppressed
             or v.findings_digest <> 'sha256:' || encode(sha256(
                 '['::bytea || coalesce(string_agg(f.document, ','::bytea order by u.place), '') || ']'::bytea), 'hex')",
    ),
    (
        "the last verdict of an image is its newest one",
        "select concat_ws(' ', i.digest, i.last_verdict, max(v.version)) from scanner.image i
         left join scanner.verdict v on (v.tenant_id, v.image_digest) = (i.tenant_id, i.digest)
         group by i.tenant_id, i.digest having i.last_verdict <> coalesce(max(v.version), 0)",
    ),
    (
        "a job that is done has a verdict",
        "select concat_ws(' ', j.job_id, j.verdict) from orchestrator.job j
         left join scanner.verdict v
             on (v.tenant_id, v.image_digest, v.version) = (j.tenant_id, j.image_digest, j.verdict)
         where j.state = 'done' and v.version is null",
    ),
    (
        "the counters of a tenant agree with its jobs",
        "select concat_ws(' ', l.tenant_id, 'open', l.open_jobs, count(j.job_id), 'inflight', l.inflight,
                          count(j.admitted_at))
         from orchestrator.tenant_load l
         left join orchestrator.job j on j.tenant_id = l.tenant_id and j.ended_at is null
         group by l.tenant_id
         having l.open_jobs <> count(j.job_id) or l.inflight <> count(j.admitted_at)",
    ),
    (
        "a partition's epochs rise one by one, and never go back in time",
        "select concat_ws(' ', partition, epoch, at) from (
             select *, row_number() over life as number, lag(at) over life as before
             from cluster.partition_log window life as (partition by partition order by epoch)) l
         where epoch <> number or at < before
         union all
         select concat_ws(' ', p.partition, p.epoch, 'log says', max(l.epoch))
         from cluster.partition p left join cluster.partition_log l using (partition)
         group by p.partition, p.epoch having p.epoch <> coalesce(max(l.epoch), 0)",
    ),
    (
        "no partition has two owners at once",
        "select concat_ws(' ', partition, epoch, 'taken from', owner_before) from (
             select *, lag(to_gen) over life as owner_before
             from cluster.partition_log window life as (partition by partition order by epoch)) l
         left join cluster.node n on n.gen = l.owner_before
         where why = 'claim' and owner_before is not null and (n.ended_at is null or n.ended_at > l.at)",
    ),
    (
        "no tenant's results speak of another tenant",
        "select concat_ws(' ', tenant_id, said) from (
             select tenant_id, (regexp_matches(convert_from(document, 'UTF8'), 'canary-of-([0-9a-f]{32})', 'g'))[1]
             from scanner.sbom
             union all
             select tenant_id, (regexp_matches(package, 'canary-of-([0-9a-f]{32})', 'g'))[1] from scanner.fact
             union all
             select tenant_id, (regexp_matches(reason, 'canary-of-([0-9a-f]{32})', 'g'))[1] from orchestrator.job
         ) said(tenant_id, said)
         where replace(tenant_id::text, '-', '') <> said",
    ),
];

/// What holds once nothing is left to do.
pub const AT_REST: [Invariant; 5] = [
    (
        "every accepted job has ended",
        "select concat_ws(' ', job_id, state, stage) from orchestrator.job where ended_at is null",
    ),
    ("no work is left", "select concat_ws(' ', work_id, state, attempt) from orchestrator.work"),
    ("no bell is owed", "select concat_ws(' ', kind, key) from orchestrator.outbox"),
    (
        "no image is behind",
        "select concat_ws(' ', digest, revision, evaluated_revision) from scanner.image
         where evaluated_revision < revision",
    ),
    (
        "nothing was given up",
        "select concat_ws(' ', image_digest, last_reason) from orchestrator.dead_letter",
    ),
];

/// What a tenant was told: the requests that were answered, each with its job.
#[derive(Debug, Clone)]
pub struct Ledger {
    tenant: Uuid,
    answered: BTreeMap<Uuid, BTreeSet<Uuid>>,
}

impl Ledger {
    /// An empty one.
    pub fn of(tenant: &Tenant) -> Self {
        Self { tenant: tenant.id(), answered: BTreeMap::new() }
    }

    /// Notes an answer.
    pub fn note(&mut self, request_id: &str, job_id: &str) {
        let id = |text: &str| -> Uuid { text.parse().expect("an id") };
        self.answered.entry(id(request_id)).or_default().insert(id(job_id));
    }

    /// Notes what another one has.
    pub fn extend(&mut self, other: Self) {
        assert_eq!(self.tenant, other.tenant, "a ledger is about one tenant");
        for (request, jobs) in other.answered {
            self.answered.entry(request).or_default().extend(jobs);
        }
    }

    /// Every job that was ever answered.
    pub fn jobs(&self) -> impl Iterator<Item = String> {
        self.answered.values().flatten().map(Uuid::to_string)
    }

    /// How many requests were answered.
    pub fn len(&self) -> usize {
        self.answered.len()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }

    /// What was answered and is not so.
    async fn violations(&self, truth: &Truth) -> Vec<String> {
        let sql = format!(
            "select request_id || ' ' || job_id from orchestrator.job where tenant_id = '{}'",
            self.tenant
        );
        let there: BTreeSet<_> = truth.texts(&sql).await.into_iter().collect();
        let answered =
            self.answered.iter().flat_map(|(request, jobs)| jobs.iter().map(move |job| (request, job)));
        let lost =
            answered.map(|(request, job)| format!("{request} {job}")).filter(|pair| !there.contains(pair));
        let mut violations: Vec<_> =
            lost.map(|pair| format!("an accepted job is not there: {pair}")).collect();
        let doubled = self.answered.iter().filter(|(_, jobs)| jobs.len() > 1);
        violations.extend(
            doubled.map(|(request, jobs)| format!("request {request} was given several jobs: {jobs:?}")),
        );
        violations
    }
}

/// The violations of these invariants now.
pub async fn violations(truth: &Truth, invariants: &[Invariant]) -> Vec<String> {
    let mut all = Vec::new();
    for (name, sql) in invariants {
        all.extend(truth.texts(sql).await.into_iter().map(|what| format!("{name}: {what}")));
    }
    all
}

/// Checks what holds at every moment.
///
/// # Panics
/// With all violations, when there are any.
pub async fn check_now(truth: &Truth) {
    let violations = violations(truth, &ALWAYS).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Waits until nothing is left to do, and then checks everything.
///
/// # Panics
/// With all violations, when there are any.
pub async fn check_at_rest(truth: &Truth, ledger: &Ledger) {
    eventually(SOON, "nothing is left to do", || async { violations(truth, &AT_REST).await.is_empty() })
        .await;
    let mut violations = violations(truth, &ALWAYS).await;
    violations.extend(ledger.violations(truth).await);
    assert!(violations.is_empty(), "{violations:#?}");
}

#[cfg(test)]
mod tests;
