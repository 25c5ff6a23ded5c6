-- How jobs move. Each function is one durable step of one tenant; it names that tenant for row-level security itself,
-- so that a batch may hold steps of several. It answers a code instead of raising, so that one that is refused does
-- not disturb the others of its batch: 'applied', 'duplicate', 'stale', 'fenced', and what is said beside each.

-- After this many attempts work is buried.
create function orchestrator.max_attempts() returns int language sql immutable as $$ select 5 $$;

-- Leaves a bell, unless this transaction has just left the same one: they commit together, so one is enough.
create function orchestrator.ring(p_kind text, p_tenant uuid, p_key text, p_lane smallint,
                                  p_after interval default '0') returns void language plpgsql as $$
declare
    memory text := 'app.rung_' || p_kind;
    bell   text := concat_ws('/', p_tenant, p_key, p_lane, p_after);
begin
    if current_setting(memory, true) is not distinct from bell then
        return;
    end if;
    insert into orchestrator.outbox (kind, tenant_id, key, lane, due_at)
    values (p_kind, p_tenant, p_key, p_lane, clock_timestamp() + p_after);
    perform set_config(memory, bell, true);
end $$;

-- Moves those of the jobs that are where the caller believes them to be, and leaves an event for each.
create function orchestrator.advance(
    p_tenant uuid, p_jobs uuid[], p_from_states text[], p_from_stages text[], p_state text, p_stage text,
    p_gen bigint, p_attempt int, p_reason text, p_verdict int,
    out moved int, out admitted int
) language plpgsql as $$
declare
    now_  timestamptz := clock_timestamp();
    final boolean := p_state in ('done', 'failed', 'cancelled');
begin
    with before as (
        select job_id, stage, stage_since, admitted_at from orchestrator.job
        where tenant_id = p_tenant and job_id = any (p_jobs)
          and state = any (p_from_states) and stage = any (p_from_stages)
        order by job_id for update),
    after as (
        update orchestrator.job j set
            state = p_state,
            stage = coalesce(p_stage, j.stage),
            stage_since = now_,
            events = j.events + 1,
            attempt = coalesce(p_attempt, j.attempt),
            admitted_at = case when p_stage = 'dispatched' then coalesce(j.admitted_at, now_) else j.admitted_at end,
            ended_at = case when final then now_ end,
            reason = case when final then p_reason end,
            verdict = p_verdict
        from before b where j.tenant_id = p_tenant and j.job_id = b.job_id
        returning j.job_id, j.events, j.attempt, b.stage, b.stage_since, b.admitted_at),
    told as (
        insert into orchestrator.job_event
            (tenant_id, job_id, seq, stage, state, node, attempt, started_at, ended_at, reason)
        select p_tenant, job_id, events, stage, p_state, cluster.node_name(p_gen), attempt, stage_since, now_, p_reason
        from after)
    select count(*), count(admitted_at) into moved, admitted from after;
end $$;

-- Ends jobs. The caller has locked the tenant's load.
create function orchestrator.finish(
    p_tenant uuid, p_jobs uuid[], p_from_states text[], p_state text, p_gen bigint, p_attempt int, p_reason text,
    p_verdict int
) returns int language plpgsql as $$
declare
    done record;
begin
    select * into done from orchestrator.advance(
        p_tenant, p_jobs, p_from_states, array['queued', 'dispatched', 'extracting', 'evaluating'], p_state, null,
        p_gen, p_attempt, p_reason, p_verdict);
    if done.moved > 0 then
        update orchestrator.tenant_load
        set open_jobs = open_jobs - done.moved, inflight = inflight - done.admitted where tenant_id = p_tenant;
        perform orchestrator.ring('tenant', p_tenant, '-', 0::smallint); -- there is room again
    end if;
    return done.moved;
end $$;

-- Accepts a job: 'created', 'duplicate' (the same request again), 'reused' (its id with another body),
-- 'unknown_tenant', 'suspended', 'no_image', 'queue_full', 'too_fast'.
create function orchestrator.submit(
    p_tenant uuid, p_job uuid, p_request uuid, p_hash bytea, p_kind text, p_lane smallint, p_image text,
    p_limit_ms bigint, out code text, out job uuid, out retry_ms bigint
) language plpgsql as $$
declare
    now_  timestamptz := clock_timestamp();
    quota record;
    load  record;
    known record;
    level double precision;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    select state, max_queued, rate_per_s, burst into quota from authority.tenant where tenant_id = p_tenant;
    if not found then
        code := 'unknown_tenant';
        return;
    end if;
    select open_jobs, tokens, refilled_at into load from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select job_id, request_hash into known from orchestrator.job
    where tenant_id = p_tenant and request_id = p_request;
    if found then
        code := case when known.request_hash = p_hash then 'duplicate' else 'reused' end;
        job := known.job_id;
        return;
    end if;
    if quota.state <> 'active' then
        code := 'suspended';
        return;
    end if;
    perform from scanner.image where tenant_id = p_tenant and digest = p_image;
    if not found then
        code := 'no_image';
        return;
    end if;
    if load.open_jobs >= quota.max_queued then
        code := 'queue_full';
        retry_ms := 1000;
        return;
    end if;
    level := case when load.refilled_at = '-infinity' then quota.burst else
        least(quota.burst, load.tokens + quota.rate_per_s * extract(epoch from now_ - load.refilled_at)) end;
    if level < 1 then
        code := 'too_fast';
        retry_ms := greatest(1, ceil(1000 * (1 - level) / quota.rate_per_s));
        return;
    end if;
    insert into orchestrator.job (tenant_id, job_id, request_id, request_hash, kind, lane, image_digest, deadline_at)
    values (p_tenant, p_job, p_request, p_hash, p_kind, p_lane, p_image, now_ + p_limit_ms * interval '1 ms');
    update orchestrator.tenant_load set open_jobs = open_jobs + 1, tokens = level - 1, refilled_at = now_
    where tenant_id = p_tenant;
    perform orchestrator.ring('tenant', p_tenant, '-', p_lane);
    code := 'created';
    job := p_job;
end $$;

-- The tenant's entity lets jobs in.
create function orchestrator.admit(p_tenant uuid, p_partition int, p_epoch bigint, p_jobs uuid[],
                                   out code text, out moved int) language plpgsql as $$
declare
    bell record;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select a.moved into admit.moved from orchestrator.advance(
        p_tenant, p_jobs, array['accepted'], array['queued'], 'accepted', 'dispatched', null, null, null, null) a;
    update orchestrator.tenant_load l set inflight = l.inflight + admit.moved where l.tenant_id = p_tenant;
    for bell in
        select image_digest, min(lane) as lane from orchestrator.job
        where tenant_id = p_tenant and job_id = any (p_jobs) and state = 'accepted' and stage = 'dispatched'
        group by image_digest order by image_digest
    loop
        perform orchestrator.ring('image', p_tenant, bell.image_digest, bell.lane);
    end loop;
    code := case when admit.moved > 0 then 'applied' else 'duplicate' end;
end $$;

-- The image's entity asks for its layers to be read, once for all the jobs that wait for it.
create function orchestrator.dispatch(p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs uuid[],
                                      p_work uuid, out code text, out moved int) language plpgsql as $$
declare
    urgent smallint;
    work   record;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    select min(lane) into urgent from orchestrator.job
    where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image
      and (state = 'accepted' and stage = 'dispatched' or state = 'extracting');
    if urgent is null then
        code := 'duplicate';
        moved := 0;
        return;
    end if;
    insert into orchestrator.work as w (tenant_id, work_id, image_digest, lane)
    values (p_tenant, p_work, p_image, urgent)
    on conflict (tenant_id, image_digest) do update set lane = least(w.lane, excluded.lane)
    returning w.work_id, w.lane, w.state, w.attempt, w.holder_gen, w.work_id = p_work as created into work;
    select a.moved into dispatch.moved from orchestrator.advance(
        p_tenant, p_jobs, array['accepted'], array['dispatched'], 'extracting', 'dispatched', null, null, null, null) a;
    if work.created then -- jobs whose former work is gone, which only a hand-made edit can bring about
        perform orchestrator.advance(p_tenant, p_jobs, array['extracting'], array['extracting'], 'extracting',
                                     'dispatched', null, null, 'its work was lost', null);
    end if;
    if work.state = 'held' then -- they join what is already being read
        perform orchestrator.advance(p_tenant, p_jobs, array['extracting'], array['dispatched'], 'extracting',
                                     'extracting', work.holder_gen, work.attempt, null, null);
    elsif work.created or work.lane = urgent then
        perform orchestrator.ring('work', p_tenant, work.work_id::text, work.lane);
    end if;
    code := case when work.created or dispatch.moved > 0 then 'applied' else 'duplicate' end;
end $$;

-- The image's components are known already: straight to the evaluation.
create function orchestrator.skip_extraction(p_tenant uuid, p_partition int, p_epoch bigint, p_image text,
                                             p_jobs uuid[], out code text, out moved int) language plpgsql as $$
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from scanner.image where tenant_id = p_tenant and digest = p_image and sbom_digest is not null;
    if not found then
        code := 'stale';
        return;
    end if;
    select a.moved into skip_extraction.moved from orchestrator.advance(
        p_tenant, array(select job_id from orchestrator.job
                        where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image),
        array['accepted', 'extracting'], array['dispatched', 'extracting'], 'evaluating', 'evaluating', null, null, null, null) a;
    code := case when moved > 0 then 'applied' else 'duplicate' end;
end $$;

-- The image's entity ends jobs that cannot go on.
create function orchestrator.fail_jobs(p_tenant uuid, p_partition int, p_epoch bigint, p_jobs uuid[], p_reason text,
                                       out code text, out moved int) language plpgsql as $$
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    moved := orchestrator.finish(p_tenant, p_jobs, array['accepted', 'extracting', 'evaluating'], 'failed', null, null,
                                 p_reason, null);
    code := case when moved > 0 then 'applied' else 'duplicate' end;
end $$;

-- Saves what was found, if it was made from the image's present revision ('stale' else): a new verdict and its
-- findings only where they differ from the last one. The jobs that waited for it are done.
create function orchestrator.save_evaluation(
    p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs uuid[], p_body jsonb,
    out code text, out moved int, out version int, out changed boolean
) language plpgsql as $$
declare
    image record;
    last  record;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select i.revision, i.sbom_digest, i.last_verdict, i.evaluated_revision, i.evaluated_snapshot into image
    from scanner.image i where i.tenant_id = p_tenant and i.digest = p_image for no key update;
    if not found or image.sbom_digest is null or image.revision <> (p_body ->> 'revision')::bigint then
        code := 'stale';
        return;
    end if;
    version := image.last_verdict;
    select v.coverage, v.findings_digest into last from scanner.verdict v
    where v.tenant_id = p_tenant and v.image_digest = p_image and v.version = image.last_verdict;
    changed := not found or last.coverage <> p_body ->> 'coverage'
               or last.findings_digest <> p_body ->> 'findings_digest';
    if changed then
        version := version + 1;
        insert into scanner.verdict
            (tenant_id, image_digest, version, revision, snapshot_id, coverage, findings_digest, sbom_digest, counts)
        values (p_tenant, p_image, save_evaluation.version, image.revision, (p_body ->> 'snapshot')::bigint,
                p_body ->> 'coverage', p_body ->> 'findings_digest', image.sbom_digest,
                array(select jsonb_array_elements_text(p_body -> 'counts')::int));
        if last.findings_digest is distinct from p_body ->> 'findings_digest' then
            delete from scanner.finding f where f.tenant_id = p_tenant and f.image_digest = p_image;
            insert into scanner.finding (tenant_id, image_digest, ordinal, vulnerability, aliases, purl, package,
                                         version, severity, fixed_versions, advisories)
            select p_tenant, p_image, f.ordinal, f.vulnerability, f.aliases, f.purl, f.package, f.version, f.severity,
                   f.fixed_versions, f.advisories
            from jsonb_to_recordset(p_body -> 'findings') as f(
                ordinal int, vulnerability text, aliases text[], purl text, package text, version text,
                severity smallint, fixed_versions text[], advisories jsonb);
        end if;
    end if;
    if changed or image.evaluated_revision <> image.revision
       or image.evaluated_snapshot is distinct from (p_body ->> 'snapshot')::bigint then
        update scanner.image i set
            evaluated_revision = i.revision, evaluated_snapshot = (p_body ->> 'snapshot')::bigint,
            evaluated_at = clock_timestamp(), last_verdict = save_evaluation.version
        where i.tenant_id = p_tenant and i.digest = p_image;
    end if;
    moved := orchestrator.finish(
        p_tenant, array(select job_id from orchestrator.job
                        where tenant_id = p_tenant and job_id = any (p_jobs) and image_digest = p_image),
        array['evaluating'], 'done', null, null, null, version);
    code := 'applied';
end $$;

-- One effect of an entity, for a batch: one statement calls it once a row. p_jobs: ids with commas between.
create function orchestrator.apply(
    p_kind text, p_tenant uuid, p_partition int, p_epoch bigint, p_image text, p_jobs text, p_work uuid, p_reason text,
    p_body jsonb, out code text, out moved int, out version int, out changed boolean
) language plpgsql as $$
declare
    jobs uuid[] := string_to_array(p_jobs, ',')::uuid[];
begin
    case p_kind
        when 'admit' then
            select e.code, e.moved into code, moved from orchestrator.admit(p_tenant, p_partition, p_epoch, jobs) e;
        when 'dispatch' then
            select e.code, e.moved into code, moved
            from orchestrator.dispatch(p_tenant, p_partition, p_epoch, p_image, jobs, p_work) e;
        when 'skip_extraction' then
            select e.code, e.moved into code, moved
            from orchestrator.skip_extraction(p_tenant, p_partition, p_epoch, p_image, jobs) e;
        when 'save_evaluation' then
            select e.code, e.moved, e.version, e.changed into code, moved, version, changed
            from orchestrator.save_evaluation(p_tenant, p_partition, p_epoch, p_image, jobs, p_body) e;
        when 'fail_jobs' then
            select e.code, e.moved into code, moved
            from orchestrator.fail_jobs(p_tenant, p_partition, p_epoch, jobs, p_reason) e;
    end case;
end $$;
