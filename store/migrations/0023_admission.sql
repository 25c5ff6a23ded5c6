-- The tenant's entity lets jobs in: the first of them, as far as the quota goes. It decided on what it saw; a decision that
-- arrives late, after its entity had given it up and decided anew, would let in more than a tenant may have in flight.
create or replace function orchestrator.admit(p_tenant uuid, p_partition int, p_epoch bigint, p_jobs uuid[],
                                   out code text, out moved int) language plpgsql as $$
declare
    bell record;
    room int;
begin
    perform set_config('app.tenant', p_tenant::text, true);
    if not cluster.fence(p_partition, p_epoch) then
        code := 'fenced';
        return;
    end if;
    select greatest(0, t.max_inflight - l.inflight) into room
    from orchestrator.tenant_load l join authority.tenant t using (tenant_id)
    where l.tenant_id = p_tenant for update of l;
    select a.moved into admit.moved from orchestrator.advance(
        p_tenant, p_jobs[1:room], array['accepted'], array['queued'], 'accepted', 'dispatched', null, null, null, null) a;
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
