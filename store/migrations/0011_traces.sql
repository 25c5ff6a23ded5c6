-- The trace a job belongs to (W3C Trace Context), so that what workers and images log is found by the caller's trace.
-- Null for jobs of before.
alter table orchestrator.job add column trace_id uuid;

drop function orchestrator.submit(uuid, uuid, uuid, bytea, text, smallint, text, bigint);
-- Accepts a job: 'created', 'duplicate' (the same request again), 'reused' (its id with another body),
-- 'unknown_tenant', 'suspended', 'no_image', 'queue_full', 'too_fast'.
create function orchestrator.submit(
    p_tenant uuid, p_job uuid, p_request uuid, p_hash bytea, p_kind text, p_lane smallint, p_image text,
    p_limit_ms bigint, p_trace uuid default null, out code text, out job uuid, out retry_ms bigint
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
    insert into orchestrator.job (tenant_id, job_id, request_id, request_hash, kind, lane, image_digest, deadline_at,
                                  trace_id)
    values (p_tenant, p_job, p_request, p_hash, p_kind, p_lane, p_image, now_ + p_limit_ms * interval '1 ms',
            p_trace);
    update orchestrator.tenant_load set open_jobs = open_jobs + 1, tokens = level - 1, refilled_at = now_
    where tenant_id = p_tenant;
    perform orchestrator.ring('tenant', p_tenant, '-', p_lane);
    code := 'created';
    job := p_job;
end $$;
grant execute on function orchestrator.submit to starling_tenant;
