-- Heavy work: whoever claims it gets an attempt's number, and every later word of that attempt must name it.

-- Ends the jobs that wait for a piece of work, and the work. The caller has locked the tenant's load and the work.
create function orchestrator.end_work(p_tenant uuid, p_work uuid, p_image text, p_gen bigint, p_attempt int,
                                      p_reason text) returns uuid[] language plpgsql as $$
declare
    jobs uuid[] := array(select job_id from orchestrator.job
                         where tenant_id = p_tenant and image_digest = p_image and state = 'extracting'
                           and ended_at is null and admitted_at is not null);
begin
    delete from orchestrator.work where tenant_id = p_tenant and work_id = p_work;
    perform orchestrator.finish(p_tenant, jobs, array['extracting'], 'failed', p_gen, p_attempt, p_reason, null);
    return jobs;
end $$;

-- Gives work up after its last attempt. Keeps the first and the last reason.
create function orchestrator.bury(p_tenant uuid, p_work uuid, p_dead_letter uuid, p_gen bigint, p_reason text)
returns void language plpgsql as $$
declare
    w    orchestrator.work;
    jobs uuid[];
begin
    select * into w from orchestrator.work where tenant_id = p_tenant and work_id = p_work;
    jobs := orchestrator.end_work(p_tenant, p_work, w.image_digest, p_gen, w.attempt,
                                  format('given up after %s attempts: %s', w.attempt, p_reason));
    insert into orchestrator.dead_letter
        (tenant_id, dead_letter_id, image_digest, lane, attempts, first_reason, last_reason, job_ids)
    values (p_tenant, p_dead_letter, w.image_digest, w.lane, w.attempt, coalesce(w.first_reason, p_reason), p_reason,
            jobs);
end $$;

-- Takes work: 'claimed', 'gone' (nothing left to do), 'held' (by a node that lives), 'not_yet' (it waits out a
-- failure; a bell comes when it is due). p_reclaimed: the holder's lease in the stream has run out.
create function orchestrator.claim_work(
    p_tenant uuid, p_work uuid, p_gen bigint, p_reclaimed boolean, p_dead_letter uuid,
    out code text, out attempt int, out image text, out lane smallint
) language plpgsql as $$
declare
    w    orchestrator.work;
    jobs uuid[];
    last boolean;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    select * into w from orchestrator.work where tenant_id = p_tenant and work_id = p_work;
    last := w.attempt >= orchestrator.max_attempts();
    if last then -- it may be buried, which changes the counters: their lock comes first
        perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    end if;
    select * into w from orchestrator.work where tenant_id = p_tenant and work_id = p_work for update;
    if not found then
        code := 'gone';
        return;
    end if;
    if w.state = 'ready' and w.due_at > clock_timestamp() then
        code := 'not_yet';
        return;
    end if;
    if w.state = 'held' and not p_reclaimed and cluster.is_live(w.holder_gen)
       or w.attempt >= orchestrator.max_attempts() and not last then
        code := 'held';
        return;
    end if;
    if w.state = 'held' then
        update orchestrator.work k set
            first_reason = coalesce(k.first_reason, 'taken over from ' || coalesce(cluster.node_name(w.holder_gen), '?')),
            last_reason = 'taken over from ' || coalesce(cluster.node_name(w.holder_gen), '?')
        where k.tenant_id = p_tenant and k.work_id = p_work;
        if last then
            perform orchestrator.bury(p_tenant, p_work, p_dead_letter, w.holder_gen,
                                      'taken over from ' || coalesce(cluster.node_name(w.holder_gen), '?'));
            code := 'gone';
            return;
        end if;
    end if;
    update orchestrator.work k set
        state = 'held', attempt = k.attempt + 1, holder_gen = p_gen, held_since = clock_timestamp()
    where k.tenant_id = p_tenant and k.work_id = p_work;
    jobs := array(select job_id from orchestrator.job
                  where tenant_id = p_tenant and image_digest = w.image_digest and state = 'extracting'
                    and ended_at is null and admitted_at is not null);
    if w.state = 'held' then -- the stretch of the one before ends here, under its own name and attempt
        perform orchestrator.advance(p_tenant, jobs, array['extracting'], array['extracting'], 'extracting',
                                     'dispatched', w.holder_gen, w.attempt, 'taken over', null);
    end if;
    perform orchestrator.advance(p_tenant, jobs, array['extracting'], array['dispatched'], 'extracting', 'extracting',
                                 p_gen, w.attempt + 1, null, null);
    code := 'claimed';
    attempt := w.attempt + 1;
    image := w.image_digest;
    lane := w.lane;
end $$;

-- Whether an attempt is still wanted: 'go_on', 'taken_over', 'cancelled' (nobody waits for it any more).
create function orchestrator.keep_work(p_tenant uuid, p_work uuid, p_gen bigint, p_attempt int) returns text
language sql stable as $$
    select coalesce((
        select case when state = 'held' and attempt = p_attempt and holder_gen = p_gen then 'go_on' else 'taken_over' end
        from orchestrator.work where tenant_id = p_tenant and work_id = p_work), 'cancelled')
$$;

-- The image's components are known: 'applied', 'duplicate' (they already are, by this very attempt or an equal one),
-- 'stale' (another attempt has taken over, or nobody waits any more).
create function orchestrator.complete_work(
    p_tenant uuid, p_work uuid, p_gen bigint, p_attempt int, p_digest text, p_document bytea, p_components int,
    p_extractor text
) returns text language plpgsql as $$
declare
    w    orchestrator.work;
    jobs uuid[];
begin
    perform set_config('app.tenant', p_tenant::text, true);
    select * into w from orchestrator.work where tenant_id = p_tenant and work_id = p_work for update;
    if not found or w.state <> 'held' or w.attempt <> p_attempt or w.holder_gen <> p_gen then
        return 'stale';
    end if;
    insert into scanner.sbom (tenant_id, digest, document, components)
    values (p_tenant, p_digest, p_document, p_components) on conflict do nothing;
    update scanner.image set
        sbom_digest = p_digest, extractor = p_extractor, revision = revision + 1, changed_at = clock_timestamp()
    where tenant_id = p_tenant and digest = w.image_digest;
    delete from orchestrator.work where tenant_id = p_tenant and work_id = p_work;
    jobs := array(select job_id from orchestrator.job
                  where tenant_id = p_tenant and image_digest = w.image_digest and state = 'extracting'
                    and ended_at is null and admitted_at is not null);
    perform orchestrator.advance(p_tenant, jobs, array['extracting'], array['dispatched', 'extracting'], 'evaluating',
                                 'evaluating', p_gen, p_attempt, null, null);
    perform orchestrator.ring('image', p_tenant, w.image_digest, w.lane);
    return 'applied';
end $$;

-- An attempt failed: 'failed' (for good), 'again' (with back-off), 'buried' (it was the last), or 'stale'.
create function orchestrator.fail_work(
    p_tenant uuid, p_work uuid, p_gen bigint, p_attempt int, p_permanent boolean, p_reason text, p_dead_letter uuid
) returns text language plpgsql as $$
declare
    w     orchestrator.work;
    pause interval;
    jobs  uuid[];
begin
    perform set_config('app.tenant', p_tenant::text, true);
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select * into w from orchestrator.work where tenant_id = p_tenant and work_id = p_work for update;
    if not found or w.state <> 'held' or w.attempt <> p_attempt or w.holder_gen <> p_gen then
        return 'stale';
    end if;
    if p_permanent then
        perform orchestrator.end_work(p_tenant, p_work, w.image_digest, p_gen, p_attempt, p_reason);
        return 'failed';
    end if;
    if w.attempt >= orchestrator.max_attempts() then
        perform orchestrator.bury(p_tenant, p_work, p_dead_letter, p_gen, p_reason);
        return 'buried';
    end if;
    -- 1, 2, 4, 8 s, each times 0.5 to 1.5, so that what failed together does not come back together.
    pause := interval '1 s' * 2 ^ (w.attempt - 1) * (0.5 + random());
    update orchestrator.work k set
        state = 'ready', holder_gen = null, held_since = null, due_at = clock_timestamp() + pause,
        first_reason = coalesce(k.first_reason, p_reason), last_reason = p_reason
    where k.tenant_id = p_tenant and k.work_id = p_work;
    jobs := array(select job_id from orchestrator.job
                  where tenant_id = p_tenant and image_digest = w.image_digest and state = 'extracting'
                    and ended_at is null and admitted_at is not null);
    perform orchestrator.advance(p_tenant, jobs, array['extracting'], array['extracting'], 'extracting', 'dispatched',
                                 p_gen, p_attempt, p_reason, null);
    perform orchestrator.ring('work', p_tenant, p_work::text, w.lane, pause);
    return 'again';
end $$;

-- Ends a job from outside: 'applied', 'unknown', 'ended' (it already was), 'not_due' (with p_overdue only).
create function orchestrator.give_up(p_tenant uuid, p_job uuid, p_state text, p_reason text, p_overdue boolean)
returns text language plpgsql as $$
declare
    found_job record;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    perform from orchestrator.tenant_load where tenant_id = p_tenant for update;
    select image_digest, ended_at, deadline_at into found_job
    from orchestrator.job where tenant_id = p_tenant and job_id = p_job;
    if not found then
        return 'unknown';
    end if;
    if found_job.ended_at is not null then
        return 'ended';
    end if;
    if p_overdue and not coalesce(found_job.deadline_at < clock_timestamp(), false) then
        return 'not_due';
    end if;
    perform from orchestrator.work where tenant_id = p_tenant and image_digest = found_job.image_digest for update;
    perform orchestrator.finish(p_tenant, array[p_job], array['accepted', 'extracting', 'evaluating'], p_state, null,
                                null, p_reason, null);
    -- The worker that holds it learns at its next renewal that nobody waits any more.
    delete from orchestrator.work w
    where w.tenant_id = p_tenant and w.image_digest = found_job.image_digest
      and not exists (select from orchestrator.job j
                      where j.tenant_id = p_tenant and j.image_digest = found_job.image_digest
                        and j.ended_at is null and j.admitted_at is not null and j.state = 'extracting');
    return 'applied';
end $$;

grant execute on all functions in schema orchestrator to starling_tenant;
grant execute on function orchestrator.ring to starling_fleet;
