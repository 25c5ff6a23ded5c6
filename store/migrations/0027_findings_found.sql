-- Saving evaluations that find what other images have: nobody waits for anybody.

-- The ids of findings as of scanner.keep_facts; null for those that the tenant does not have. A plan is made once and
-- kept, and one that was made while there were few facts would read all of them.
create function scanner.find_facts(p_tenant uuid, p_findings jsonb) returns bigint[]
language plpgsql stable set enable_seqscan = off as $$
begin
    return array(
        select (select f.fact_id from scanner.fact f
                where f.tenant_id = p_tenant
                  and f.digest = sha256(convert_to(e.finding ->> 'document', 'UTF8')) limit 1)
        from jsonb_array_elements(p_findings) with ordinality e(finding, place)
        order by e.place);
end $$;
grant execute on function scanner.find_facts to starling_tenant;

-- As before (0021), and the lock is for those who add one. What is found anew is found in one image after the other, and
-- only the first has to add it.
create or replace function scanner.place_facts(p_tenant uuid, p_before bigint[], p_kept int[], p_new jsonb)
returns bigint[] language plpgsql as $$
declare
    added bigint[];
begin
    if jsonb_array_length(p_new) > 0 then
        added := scanner.find_facts(p_tenant, p_new);
        if array_position(added, null) is not null then
            perform pg_advisory_xact_lock(hashtextextended('starling/facts/' || p_tenant, 0));
            added := scanner.keep_facts(p_tenant, null, p_new);
        end if;
    end if;
    return array(select case when k.place < 0 then added[-k.place] else p_before[k.place + 1] end
                 from unnest(p_kept) with ordinality k(place, at) order by k.at);
end $$;
