-- The time of a hold on work is kept here, by the question that a worker asks at least once a second. That of its entry
-- in the stream is not enough. A worker that never heard that its claim was granted holds work that it knows nothing of;
-- when Valkey has lost the entry, nothing ended that. And work that was rung for twice has two entries, one of which
-- nobody renews: that took it from a worker that was well.
-- Null until it was asked for once: a node of the release before claims without it.
alter table orchestrator.work add column kept_at timestamptz;

-- Far longer than workers leave out asking, so that nobody well is ever taken for gone.
create function orchestrator.hold_lasts() returns interval language sql immutable as $$ select interval '30 s' $$;
grant execute on function orchestrator.hold_lasts to starling_tenant, starling_fleet;

-- Takes work, as claim_work before it: 'claimed', 'gone' (nothing left to do), 'held' (by a node that lives and keeps it),
-- 'not_yet' (it waits out a failure; a bell comes when it is due). p_silent_s: its holder counts as gone when it has not
-- asked for so long; null for as long as a hold lasts by itself.
create function orchestrator.take_work(
    p_tenant uuid, p_work uuid, p_gen bigint, p_silent_s double precision, p_dead_letter uuid,
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
    if w.state = 'held' and cluster.is_live(w.holder_gen)
          and coalesce(w.kept_at, w.held_since)
              > clock_timestamp() - coalesce(p_silent_s * interval '1 s', orchestrator.hold_lasts())
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
        state = 'held', attempt = k.attempt + 1, holder_gen = p_gen, held_since = clock_timestamp(),
        kept_at = clock_timestamp()
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

grant execute on function orchestrator.take_work to starling_tenant;

-- Whether an attempt is still wanted: 'go_on', 'taken_over', 'cancelled' (nobody waits for it any more). Keeps the hold.
create or replace function orchestrator.keep_work(p_tenant uuid, p_work uuid, p_gen bigint, p_attempt int) returns text
language plpgsql volatile as $$
begin
    update orchestrator.work set kept_at = clock_timestamp()
    where tenant_id = p_tenant and work_id = p_work
      and state = 'held' and attempt = p_attempt and holder_gen = p_gen;
    if found then
        return 'go_on';
    end if;
    perform from orchestrator.work where tenant_id = p_tenant and work_id = p_work;
    return case when found then 'taken_over' else 'cancelled' end;
end $$;
