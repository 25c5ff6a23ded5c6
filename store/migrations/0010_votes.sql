-- A vote to end a node. p_hb is the counter value the voter has seen standing still (compare-and-set: a node that
-- beat meanwhile is not ended). Null means that the counter moves but peers cannot reach the node; then it always
-- takes two voters, in a small cluster too, so that a cut link between two nodes ends neither.
-- A peer whose own counter was seen standing still is no witness to wait for: else two nodes that freeze together would
-- keep each other alive.
create or replace function cluster.declare_dead(p_target bigint, p_hb bigint, p_voter bigint, p_votes int) returns boolean
language plpgsql as $$
declare
    votes  int;
    needed int;
    others int;
begin
    perform from cluster.view for update;
    if not exists (select from cluster.node where gen = p_voter and state in ('up', 'draining')) then
        return false;
    end if;
    if not exists (select from cluster.node where gen = p_target and state in ('joining', 'up', 'draining')) then
        return false;
    end if;
    insert into cluster.suspicion (target_gen, voter_gen, target_hb) values (p_target, p_voter, coalesce(p_hb, -1))
    on conflict (target_gen, voter_gen) do update set target_hb = excluded.target_hb, at = clock_timestamp();
    select count(*) into votes
    from cluster.suspicion s join cluster.node v on v.gen = s.voter_gen and v.state in ('up', 'draining')
    where s.target_gen = p_target and s.voter_gen <> p_target and s.target_hb = coalesce(p_hb, -1)
      and s.at > clock_timestamp() - interval '20 s';
    select count(*) into others from cluster.node n
    where n.state in ('up', 'draining') and n.gen <> p_target
      and (n.gen = p_voter
           or not exists (select from cluster.suspicion s
                          where s.target_gen = n.gen and s.target_hb = n.hb
                            and s.at > clock_timestamp() - interval '20 s'));
    needed := case when p_hb is null then greatest(p_votes, 2) else least(p_votes, greatest(1, others)) end;
    if votes < needed then
        return false;
    end if;
    update cluster.node set state = 'dead', ended_at = clock_timestamp(), ended_by = p_voter::text
    where gen = p_target and (p_hb is null or hb = p_hb) and state in ('joining', 'up', 'draining');
    if not found then
        return false;
    end if;
    update cluster.view set version = version + 1, changed_at = clock_timestamp();
    return true;
end $$;
