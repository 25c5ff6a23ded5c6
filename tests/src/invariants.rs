//! The checker: what must hold of the whole system, asked of the database as its owner.
//!
//! The invariants are those of the crate `invariants`, which the simulation asks of its model too; here they are asked
//! of the rows, all read at one moment. Two more are about contents that no model has, and are queries. Those of
//! [`ALWAYS`] hold at every moment, also in the middle of a fault; those of [`AT_REST`] once nothing is left to do.

pub(crate) mod acts;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Instant;

pub use ::invariants::{ALWAYS, AT_REST};
use ::invariants::{Answer, Invariant, Read};
use proto_api::job::v1::JobState;
use uuid::Uuid;

use self::load::Part;
use crate::clients::SOON;
use crate::{Tenant, Truth, eventually};

/// What holds of contents at every moment: a name, and a query whose rows are its violations, in words.
const CONTENTS: [(&str, &str); 2] = [
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

/// What a tenant was told: the requests that were answered, each with its job, and what it read of jobs.
#[derive(Debug, Clone)]
pub struct Ledger {
    tenant: Uuid,
    answered: BTreeMap<Uuid, BTreeSet<Uuid>>,
    reads: Vec<Read>,
}

impl Ledger {
    /// An empty one.
    pub fn of(tenant: &Tenant) -> Self {
        Self { tenant: tenant.id(), answered: BTreeMap::new(), reads: Vec::new() }
    }

    /// Notes an answer.
    pub fn note(&mut self, request_id: &str, job_id: &str) {
        let id = |text: &str| -> Uuid { text.parse().expect("an id") };
        self.answered.entry(id(request_id)).or_default().insert(id(job_id));
    }

    /// Notes what was read of a job, by a call that began then and ends now.
    pub fn read(&mut self, job_id: &str, called: Instant, state: JobState) {
        let job = job_id.parse::<Uuid>().expect("an id").as_u128();
        let saw = state.as_str_name().trim_start_matches("JOB_STATE_").to_lowercase();
        self.reads.push(Read { job, called: micros(called), answered: micros(Instant::now()), saw });
    }

    /// How often a job was read.
    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Notes what another one has.
    pub fn extend(&mut self, other: Self) {
        assert_eq!(self.tenant, other.tenant, "a ledger is about one tenant");
        for (request, jobs) in other.answered {
            self.answered.entry(request).or_default().extend(jobs);
        }
        self.reads.extend(other.reads);
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

    /// The same as rows.
    fn answers(&self) -> Vec<Answer> {
        let tenant = self.tenant.as_u128();
        let all = self.answered.iter().flat_map(|(request, jobs)| jobs.iter().map(move |job| (request, job)));
        all.map(|(request, job)| Answer { tenant, request: request.as_u128(), job: job.as_u128() }).collect()
    }
}

/// Microseconds of the clients' clock, which begins when it is first asked for.
fn micros(moment: Instant) -> i64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let begin = *BEGIN.get_or_init(Instant::now);
    let since = moment.checked_duration_since(begin).map(|after| after.as_micros().cast_signed());
    let micros = since.unwrap_or_else(|| -begin.duration_since(moment).as_micros().cast_signed());
    i64::try_from(micros).expect("a test does not last that long")
}

/// The violations now of what must hold at every moment, whatever clients were told.
pub async fn violations(truth: &Truth) -> Vec<String> {
    violations_beside(truth, Vec::new(), Vec::new()).await
}

async fn violations_beside(truth: &Truth, answers: Vec<Answer>, reads: Vec<Read>) -> Vec<String> {
    let mut rows = load::rows(truth, Part::All).await;
    (rows.answers, rows.reads) = (answers, reads);
    let mut all = ::invariants::violations(&rows, &ALWAYS);
    for (name, sql) in CONTENTS {
        all.extend(truth.texts(sql).await.into_iter().map(|what| format!("{name}: {what}")));
    }
    all
}

/// What is left to do.
async fn unrest(truth: &Truth, invariants: &[Invariant]) -> Vec<String> {
    ::invariants::violations(&load::rows(truth, Part::Open).await, invariants)
}

/// Checks what holds at every moment.
///
/// # Panics
/// With all violations, when there are any.
pub async fn check_now(truth: &Truth) {
    let violations = violations(truth).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Waits until nothing is left to do, and then checks everything.
///
/// # Panics
/// With all violations, when there are any.
pub async fn check_at_rest(truth: &Truth, ledger: &Ledger) {
    eventually(SOON, "nothing is left to do", || async { unrest(truth, &AT_REST).await.is_empty() }).await;
    let violations = violations_beside(truth, ledger.answers(), ledger.reads.clone()).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[cfg(test)]
mod tests;
