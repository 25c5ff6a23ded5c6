//! The checker is checked: it is silent about a healthy database, and each invariant sees the violation that
//! is planted for it.

use super::*;
use crate::Postgres;

/// One job that went well, by the book.
const HEALTHY: &str = "
    insert into cluster.node (name, api_addr, link_addr, state, proto_min, proto_max, build, application_name, ended_at)
    values ('node-1', '', '', 'dead', 1, 1, '', 'one', clock_timestamp()),
           ('node-2', '', '', 'up', 1, 1, '', 'two', null);
    update cluster.partition set owner_gen = 2, epoch = 2 where partition = 7;
    insert into cluster.partition_log (partition, epoch, to_gen, why) values (7, 1, 1, 'claim');
    update cluster.node set ended_at = clock_timestamp() where gen = 1;
    insert into cluster.partition_log (partition, epoch, to_gen, why) values (7, 2, 2, 'claim');

    insert into public.act select 7, epoch, application_name, clock_timestamp()
    from cluster.partition_log join cluster.node on gen = to_gen where epoch = 2;

    insert into authority.tenant (tenant_id, name, weight, max_queued, max_inflight, rate_per_s, burst)
    values ('00000000-0000-0000-0000-00000000000a', 'a', 1, 10, 10, 10, 10);
    insert into orchestrator.tenant_load (tenant_id) values ('00000000-0000-0000-0000-00000000000a');
    insert into scanner.blob (tenant_id, digest, size, media_type)
    values ('00000000-0000-0000-0000-00000000000a', 'sha256:' || repeat('c', 64), 1, '');
    insert into scanner.sbom (tenant_id, digest, document, components)
    values ('00000000-0000-0000-0000-00000000000a', 'sha256:' || repeat('5', 64),
            'canary-of-0000000000000000000000000000000a', 1);
    insert into scanner.image (tenant_id, digest, media_type, manifest, config_digest, size, revision,
                               evaluated_revision, sbom_digest, last_verdict)
    values ('00000000-0000-0000-0000-00000000000a', 'sha256:' || repeat('1', 64), '', '', 'sha256:' || repeat('c', 64),
            1, 1, 1, 'sha256:' || repeat('5', 64), 1);
    insert into scanner.fact (tenant_id, digest, document, vulnerability, aliases, package, severity, fixed)
    select '00000000-0000-0000-0000-00000000000a', sha256(document), document, 'v', '{}', 'p', 5, false
    from (values ('{}'::bytea), ('{1}'::bytea)) f(document);
    insert into scanner.verdict (tenant_id, image_digest, version, revision, snapshot_id, coverage, findings_digest,
                                 sbom_digest, counts, facts, cause)
    values ('00000000-0000-0000-0000-00000000000a', 'sha256:' || repeat('1', 64), 1, 1, 3, 'complete',
            'sha256:' || encode(sha256('[{},{1}]'), 'hex'), 'sha256:' || repeat('5', 64), '{0,0,0,0,0,2}',
            array(select fact_id from scanner.fact order by fact_id), '{}');
    insert into orchestrator.job (tenant_id, job_id, request_id, request_hash, kind, lane, image_digest, state, stage,
                                  events, verdict, admitted_at, ended_at)
    values ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-0000000000b1',
            '00000000-0000-0000-0000-0000000000c1', '', 'scan', 0, 'sha256:' || repeat('1', 64), 'done', 'evaluating',
            4, 1, clock_timestamp(), clock_timestamp());
    insert into orchestrator.job_event (tenant_id, job_id, seq, stage, state, attempt, started_at, ended_at)
    select '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-0000000000b1', seq, stage, state, attempt,
           '2026-01-01'::timestamptz + (seq - 1) * interval '1 s', '2026-01-01'::timestamptz + seq * interval '1 s'
    from (values (1, 'queued', 'accepted', 0), (2, 'dispatched', 'extracting', 1), (3, 'extracting', 'evaluating', 1),
                 (4, 'evaluating', 'done', 1)) e(seq, stage, state, attempt);";

/// For each invariant, by the beginning of its name, what breaks it.
const PLANTED: [(&str, &str); 20] = [
    ("a job that ended", "update orchestrator.job_event set state = 'evaluating' where seq = 4"),
    ("the events of a job", "update orchestrator.job_event set seq = 9 where seq = 4"),
    (
        "an attempt that was taken over",
        "update orchestrator.job_event set stage = 'extracting', attempt = 1 where seq = 4",
    ),
    (
        "a job leaves an extraction",
        "update orchestrator.job_event set stage = 'extracting', state = 'evaluating' where seq = 4",
    ),
    ("an image's revision", "update scanner.image set revision = 2"),
    (
        "verdicts are numbered",
        "insert into scanner.verdict select tenant_id, image_digest, 2, revision, snapshot_id + 1, coverage,
                                            findings_digest, sbom_digest, counts from scanner.verdict",
    ),
    (
        "no verdict goes back",
        "insert into scanner.verdict select tenant_id, image_digest, 2, revision, snapshot_id - 1, 'partial',
                                            findings_digest, sbom_digest, counts from scanner.verdict",
    ),
    ("every verdict keeps", "update scanner.verdict set facts = array[facts[2], facts[1]]"),
    ("the last verdict of an image", "update scanner.image set last_verdict = 2"),
    ("a job that is done", "update orchestrator.job set verdict = 2"),
    ("the counters of a tenant", "update orchestrator.tenant_load set inflight = 1"),
    ("a partition's epochs", "update cluster.partition set epoch = 3 where partition = 7"),
    ("no partition has two owners", "update cluster.node set ended_at = clock_timestamp() where gen = 1"),
    ("an effect is done by", "update public.act set who = 'one'"),
    (
        "no tenant's results",
        "update scanner.sbom set document = 'canary-of-0000000000000000000000000000000b'",
    ),
    (
        "every accepted job",
        "update orchestrator.job set state = 'accepted', verdict = null, ended_at = null",
    ),
    (
        "no work is left",
        "insert into orchestrator.work (tenant_id, work_id, image_digest, lane)
         select tenant_id, gen_random_uuid(), digest, 0 from scanner.image",
    ),
    ("no bell is owed", "select orchestrator.ring('tenant', '00000000-0000-0000-0000-00000000000a', '-', 0::smallint)"),
    ("no image is behind", "update scanner.image set revision = 2"),
    (
        "nothing was given up",
        "insert into orchestrator.dead_letter (tenant_id, dead_letter_id, image_digest, lane, attempts, first_reason,
                                               last_reason, job_ids)
         select tenant_id, gen_random_uuid(), digest, 0, 5, '', '', '{}' from scanner.image",
    ),
];

/// What the schema itself does not let anybody plant, or what is not kept in rows.
const UNPLANTED: [&str; 5] = [
    "an effect with an old epoch",
    "what clients read",
    "a job that a client was told of",
    "a request makes exactly one job",
    "a run chooses an image once",
];

#[tokio::test]
async fn each_invariant_sees_what_breaks_it_and_none_complains_of_health() {
    let home = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(home.path(), false).await;
    let server = Truth::new(postgres.owner_url("postgres"));
    server.run("create database healthy").await;
    store::Store::migrate(&postgres.owner_url("healthy")).await.unwrap();
    let healthy = Truth::new(postgres.owner_url("healthy"));
    acts::prepare(&healthy).await;
    healthy.run(HEALTHY).await;

    assert_eq!(all_violations(&healthy).await, [""; 0]);
    let names = ALWAYS.iter().chain(&AT_REST).map(|invariant| invariant.name);
    for name in names.chain(CONTENTS.iter().map(|(name, _)| *name)) {
        let planted = PLANTED.iter().find(|(begins, _)| name.starts_with(begins));
        if UNPLANTED.iter().any(|begins| name.starts_with(begins)) {
            assert!(planted.is_none(), "{name}");
            continue;
        }
        let (_, sql) = planted.unwrap_or_else(|| panic!("nothing is planted for: {name}"));
        server.run("create database broken template healthy").await;
        let broken = Truth::new(postgres.owner_url("broken"));
        broken.run(&format!("set session_replication_role = replica; {sql}")).await;
        let seen = all_violations(&broken).await;
        assert!(seen.iter().any(|what| what.starts_with(name)), "not seen: {name}; seen: {seen:#?}");
        server.run("drop database broken").await;
    }
}

async fn all_violations(truth: &Truth) -> Vec<String> {
    let mut all = violations(truth).await;
    all.extend(unrest(truth, &AT_REST).await);
    all
}
