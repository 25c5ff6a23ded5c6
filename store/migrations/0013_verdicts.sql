-- Verdicts remember: every version keeps its findings, why it was made and what it changed.

-- A finding as it was once found for a tenant. Verdicts share them, so that a change of one package version is one fact,
-- however many images have it.
create table scanner.fact (
    tenant_id     uuid     not null references authority.tenant,
    fact_id       bigint   not null generated always as identity,
    digest        bytea    not null, -- names the document
    document      bytea    not null, -- the finding in canonical form
    -- What lists ask for. Text cannot hold NUL; here it is replaced.
    vulnerability text     not null,
    aliases       text[]   not null,
    package       text     not null,
    severity      smallint not null check (severity between 0 and 5),
    fixed         boolean  not null,
    created_at    timestamptz not null default clock_timestamp(),
    primary key (tenant_id, fact_id),
    unique (tenant_id, digest),
    check (digest = sha256(document))
);
select authority.wall_in('scanner.fact');
grant select, insert on scanner.fact to starling_tenant;

alter table scanner.verdict
    -- Its findings in their canonical order. Null for versions of before: those kept none.
    add column facts   bigint[] check (array_position(facts, null) is null),
    -- Why it was made: {"kinds": [word], "advisories": [[feed, advisory, revision before, now]], "more": number}.
    add column cause   jsonb,
    -- Against the version before: [[kind, fact before, fact now]].
    add column changes jsonb not null default '[]',
    add check ((facts is null) = (cause is null));

-- Nobody has the right to change them; this stands behind that, for the owner too.
create function scanner.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% are append-only', tg_argv[0] using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on scanner.fact
    for each statement execute function scanner.refuse_change('facts');
create trigger append_only before update or delete or truncate on scanner.verdict
    for each statement execute function scanner.refuse_change('verdicts');

-- Images evaluated before are behind: the next version of each keeps its findings.
drop table scanner.finding;
update scanner.image set revision = revision + 1, changed_at = clock_timestamp() where last_verdict > 0;

-- Saves what was found, if it was made from the image's present revision and last verdict, and from no older snapshot
-- ('stale' else): a new verdict only where it differs from the last one, and of its findings only those that this
-- tenant never had. The jobs that waited for it are done.
create or replace function orchestrator.save_evaluation(
    p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs uuid[], p_body jsonb,
    out code text, out moved int, out version int, out changed boolean
) language plpgsql as $$
declare
    snapshot bigint := (p_body ->> 'snapshot')::bigint;
    image    record;
    last     record;
    facts_   bigint[];
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select i.revision, i.sbom_digest, i.last_verdict, i.evaluated_revision, i.evaluated_snapshot into image
    from scanner.image i where i.tenant_id = p_tenant and i.digest = p_image for no key update;
    if not found or image.sbom_digest is null or image.revision <> (p_body ->> 'revision')::bigint
       or snapshot < image.evaluated_snapshot then
        code := 'stale';
        return;
    end if;
    version := image.last_verdict;
    select v.coverage, v.findings_digest, v.facts into last from scanner.verdict v
    where v.tenant_id = p_tenant and v.image_digest = p_image and v.version = image.last_verdict;
    changed := not found or last.coverage <> p_body ->> 'coverage'
               or last.findings_digest <> p_body ->> 'findings_digest' or last.facts is null;
    if changed then
        if image.last_verdict <> (p_body ->> 'before')::int then
            code := 'stale';
            return;
        end if;
        version := version + 1;
        facts_ := case when last.findings_digest = p_body ->> 'findings_digest' then last.facts end;
        if facts_ is null then
            facts_ := scanner.keep_facts(p_tenant, last.facts, p_body -> 'facts');
        end if;
        insert into scanner.verdict
            (tenant_id, image_digest, version, revision, snapshot_id, coverage, findings_digest, sbom_digest, counts,
             facts, cause, changes)
        values (p_tenant, p_image, save_evaluation.version, image.revision, snapshot,
                p_body ->> 'coverage', p_body ->> 'findings_digest', image.sbom_digest,
                array(select jsonb_array_elements_text(p_body -> 'counts')::int), facts_, p_body -> 'cause',
                (select coalesce(jsonb_agg(jsonb_build_array(
                            c.change ->> 0, last.facts[(c.change ->> 1)::int + 1], facts_[(c.change ->> 2)::int + 1])
                        order by c.place), '[]')
                 from jsonb_array_elements(p_body -> 'changes') with ordinality c(change, place)));
    end if;
    if changed or image.evaluated_revision <> image.revision
       or image.evaluated_snapshot is distinct from snapshot then
        update scanner.image i set
            evaluated_revision = i.revision, evaluated_snapshot = snapshot,
            evaluated_at = clock_timestamp(), last_verdict = save_evaluation.version
        where i.tenant_id = p_tenant and i.digest = p_image;
    end if;
    moved := orchestrator.finish(
        p_tenant, array(select job_id from orchestrator.job
                        where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image),
        array['evaluating'], 'done', null, null, null, version);
    code := 'applied';
end $$;

-- The ids of findings, each given by its place in the verdict before (from 0) or by itself. Those that the tenant never
-- had become facts. The caller holds the tenant's load, so no two add facts of one tenant at once.
create function scanner.keep_facts(p_tenant uuid, p_before bigint[], p_findings jsonb) returns bigint[]
language plpgsql as $$
begin
    insert into scanner.fact (tenant_id, digest, document, vulnerability, aliases, package, severity, fixed)
    select p_tenant, sha256(d.document), d.document, f.vulnerability, f.aliases, f.package, f.severity, f.fixed
    from jsonb_array_elements(p_findings) e(finding),
         jsonb_to_record(case when jsonb_typeof(e.finding) = 'object' then e.finding end)
             as f(document text, vulnerability text, aliases text[], package text, severity smallint, fixed boolean),
         convert_to(f.document, 'UTF8') as d(document)
    where d.document is not null
      and not exists (select from scanner.fact known
                      where known.tenant_id = p_tenant and known.digest = sha256(d.document))
    on conflict (tenant_id, digest) do nothing;
    return array(
        select coalesce(p_before[(case when jsonb_typeof(e.finding) = 'number' then e.finding end)::int + 1], f.fact_id)
        from jsonb_array_elements(p_findings) with ordinality e(finding, place)
        left join scanner.fact f
            on f.tenant_id = p_tenant and f.digest = sha256(convert_to(e.finding ->> 'document', 'UTF8'))
        order by e.place);
end $$;
grant execute on function scanner.keep_facts to starling_tenant;
