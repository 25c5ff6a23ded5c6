-- Saving an evaluation costs what changed, and holds up nobody who submits.

-- What is read whole and often is unpacked several times as fast. A server that was built without it keeps its own way.
do $$ begin
    alter table scanner.sbom alter column document set compression lz4;
    alter table scanner.verdict alter column facts set compression lz4;
exception when feature_not_supported then
    raise notice 'this server has no lz4';
end $$;

-- What an image was called once stays so.
create trigger append_only before update or delete or truncate on scanner.image_called
    for each statement execute function scanner.refuse_change('names');

-- As before (0018), but
-- * jobs are looked at only where there are any, and only then the tenant's load is locked: who submits does not wait
--   for a round over all images;
-- * `kept` says for each finding its place in the verdict before, or below 0 its place among `facts`, which are only
--   those that are new there. A node of before gives all in `facts`.
create or replace function orchestrator.save_evaluation(
    p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs uuid[], p_body jsonb,
    out code text, out moved int, out version int, out changed boolean
) language plpgsql as $$
declare
    snapshot bigint := (p_body ->> 'snapshot')::bigint;
    gaps_    jsonb  := nullif(p_body -> 'gaps', 'null');
    image    record;
    last     record;
    facts_   bigint[];
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    if cardinality(p_jobs) > 0 then
        perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    end if;
    select i.revision, i.sbom_digest, i.last_verdict, i.evaluated_revision, i.evaluated_snapshot into image
    from scanner.image i where i.tenant_id = p_tenant and i.digest = p_image for no key update;
    if not found or image.sbom_digest is null or image.revision <> (p_body ->> 'revision')::bigint
       or snapshot < image.evaluated_snapshot then
        code := 'stale';
        return;
    end if;
    version := image.last_verdict;
    select v.coverage, v.findings_digest, v.facts, v.gaps into last from scanner.verdict v
    where v.tenant_id = p_tenant and v.image_digest = p_image and v.version = image.last_verdict;
    changed := not found or last.coverage <> p_body ->> 'coverage'
               or last.findings_digest <> p_body ->> 'findings_digest' or last.facts is null
               or coalesce(last.gaps <> gaps_, gaps_ <> '[]', false);
    if changed then
        if image.last_verdict <> (p_body ->> 'before')::int then
            code := 'stale';
            return;
        end if;
        version := version + 1;
        facts_ := case when last.findings_digest = p_body ->> 'findings_digest' then last.facts end;
        if facts_ is null and p_body ? 'kept' then
            facts_ := scanner.place_facts(p_tenant, last.facts, (p_body ->> 'kept')::int[], p_body -> 'facts');
        elsif facts_ is null then
            facts_ := scanner.keep_facts(p_tenant, last.facts, p_body -> 'facts');
        end if;
        insert into scanner.verdict
            (tenant_id, image_digest, version, revision, snapshot_id, coverage, findings_digest, sbom_digest, counts,
             suppressed, gaps, facts, cause, changes)
        values (p_tenant, p_image, save_evaluation.version, image.revision, snapshot,
                p_body ->> 'coverage', p_body ->> 'findings_digest', image.sbom_digest,
                array(select jsonb_array_elements_text(p_body -> 'counts')::int),
                coalesce((p_body ->> 'suppressed')::int, 0), gaps_, facts_, p_body -> 'cause',
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
    moved := 0;
    if cardinality(p_jobs) > 0 then
        moved := orchestrator.finish(
            p_tenant, array(select job_id from orchestrator.job
                            where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image),
            array['evaluating'], 'done', null, null, null, version);
    end if;
    code := 'applied';
end $$;

-- The ids of findings: of those with a place from 0 on, what the verdict before has there; of those below, the new one
-- whose place (from 1) that is without its sign. One at a time adds facts to a tenant, so that no two batches wait for
-- each other's. Who has locked the tenant's load may wait here; nobody waits for the load who is past this.
create function scanner.place_facts(p_tenant uuid, p_before bigint[], p_kept int[], p_new jsonb) returns bigint[]
language plpgsql as $$
declare
    added bigint[];
begin
    if jsonb_array_length(p_new) > 0 then
        perform pg_advisory_xact_lock(hashtextextended('starling/facts/' || p_tenant, 0));
        added := scanner.keep_facts(p_tenant, null, p_new);
    end if;
    return array(select case when k.place < 0 then added[-k.place] else p_before[k.place + 1] end
                 from unnest(p_kept) with ordinality k(place, at) order by k.at);
end $$;
grant execute on function scanner.place_facts to starling_tenant;

-- As before (0018), with each finding looked up by itself. A plan is made once and kept: made while there were few facts,
-- or none that had been counted, it read all of them for each image.
create or replace function scanner.keep_facts(p_tenant uuid, p_before bigint[], p_findings jsonb) returns bigint[]
language plpgsql set enable_seqscan = off as $$
begin
    insert into scanner.fact
        (tenant_id, digest, document, vulnerability, aliases, package, severity, fixed, suppressed)
    select p_tenant, sha256(d.document), d.document, f.vulnerability, f.aliases, f.package, f.severity, f.fixed,
           coalesce(f.suppressed, false)
    from jsonb_array_elements(p_findings) e(finding),
         jsonb_to_record(case when jsonb_typeof(e.finding) = 'object' then e.finding end)
             as f(document text, vulnerability text, aliases text[], package text, severity smallint, fixed boolean,
                  suppressed boolean),
         convert_to(f.document, 'UTF8') as d(document)
    where d.document is not null
      and (select known.fact_id from scanner.fact known
           where known.tenant_id = p_tenant and known.digest = sha256(d.document) limit 1) is null
    on conflict (tenant_id, digest) do nothing;
    return array(
        select coalesce(p_before[(case when jsonb_typeof(e.finding) = 'number' then e.finding end)::int + 1],
                        (select f.fact_id from scanner.fact f
                         where f.tenant_id = p_tenant
                           and f.digest = sha256(convert_to(e.finding ->> 'document', 'UTF8')) limit 1))
        from jsonb_array_elements(p_findings) with ordinality e(finding, place)
        order by e.place);
end $$;
