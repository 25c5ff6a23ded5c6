-- What operators ask of nodes: to drain by a time or not at all, another share of the ring, to be forgotten.

alter table cluster.node add column drain_within_ms bigint check (drain_within_ms > 0);

-- The weight that an operator gave to a name. It counts before what the node's own settings say, also after a restart.
create table cluster.weight (
    name   text not null primary key check (length(name) between 1 and 200),
    weight real not null check (weight > 0),
    set_at timestamptz not null default clock_timestamp()
);
grant select, insert, update, delete on cluster.weight to starling_fleet;

-- The newest hand-overs tell how long the next will take.
create index partition_log_released on cluster.partition_log (at desc) where why = 'release';

-- Has a node hand everything over and leave, with what is left after p_within_ms (null: however long it takes). Asked
-- again while it drains, it is given the new time.
create function cluster.drain(p_gen bigint, p_within_ms bigint) returns boolean language plpgsql as $$
begin
    perform from cluster.view for update;
    update cluster.node set state = 'draining', drain_within_ms = p_within_ms
    where gen = p_gen and state in ('up', 'draining')
      and (state, drain_within_ms) is distinct from ('draining', p_within_ms);
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
        return true;
    end if;
    return exists (select from cluster.node where gen = p_gen and state = 'draining');
end $$;
grant execute on function cluster.drain to starling_fleet;

-- Takes the word back: the node serves again. False when it does not drain, or has left already.
create function cluster.undrain(p_gen bigint) returns boolean language plpgsql as $$
begin
    perform from cluster.view for update;
    update cluster.node set state = 'up', drain_within_ms = null where gen = p_gen and state = 'draining';
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
        return true;
    end if;
    return false;
end $$;
grant execute on function cluster.undrain to starling_fleet;

-- Gives the name of a live node another share of the ring, now and after each restart.
create function cluster.weigh(p_gen bigint, p_weight real) returns boolean language plpgsql as $$
declare
    named text;
begin
    perform from cluster.view for update;
    select name into named from cluster.node where gen = p_gen and state in ('joining', 'up', 'draining');
    if named is null then
        return false;
    end if;
    insert into cluster.weight (name, weight) values (named, p_weight)
    on conflict (name) do update set weight = excluded.weight, set_at = clock_timestamp();
    update cluster.node set weight = p_weight where gen = p_gen and weight <> p_weight;
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
    end if;
    return true;
end $$;
grant execute on function cluster.weigh to starling_fleet;

-- Forgets a node that is gone: the weight given to its name, and its row, if that still counts as live although its
-- counter stands where the caller saw it stand still. Answers whether the name was known, or who lives under it.
create function cluster.remove(
    p_name text, p_seen_gen bigint, p_seen_hb bigint, out known boolean, out live_gen bigint, out live_hb bigint
) language plpgsql as $$
begin
    perform from cluster.view for update;
    update cluster.node n set state = 'dead', ended_at = clock_timestamp(), ended_by = 'operator'
    where n.gen = p_seen_gen and n.hb = p_seen_hb and n.name = p_name and n.state in ('joining', 'up', 'draining');
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
    end if;
    known := exists (select from cluster.node n where n.name = p_name);
    select n.gen, n.hb into live_gen, live_hb from cluster.node n
    where n.name = p_name and n.state in ('joining', 'up', 'draining');
    if not found then
        delete from cluster.weight w where w.name = p_name;
    end if;
end $$;
grant execute on function cluster.remove to starling_fleet;

create or replace function cluster.join(
    p_name text, p_api_addr text, p_link_addr text, p_weight real, p_worker_slots int, p_proto_min int, p_proto_max int,
    p_build text, p_replace_gen bigint, p_replace_hb bigint,
    out gen bigint, out taken_gen bigint, out taken_hb bigint
) language plpgsql as $$
declare
    mine bigint;
begin
    perform from cluster.view for update;
    update cluster.node n set state = 'dead', ended_at = clock_timestamp(), ended_by = 'successor'
    where n.gen = p_replace_gen and n.hb = p_replace_hb and n.name = p_name
      and n.state in ('joining', 'up', 'draining');
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
    end if;
    select n.gen, n.hb into taken_gen, taken_hb from cluster.node n
    where n.name = p_name and n.state in ('joining', 'up', 'draining');
    if found then
        return;
    end if;
    insert into cluster.node as n (name, api_addr, link_addr, state, weight, worker_slots, proto_min, proto_max, build,
                                   application_name)
    values (p_name, p_api_addr, p_link_addr, 'joining',
            coalesce((select w.weight from cluster.weight w where w.name = p_name), p_weight), p_worker_slots,
            p_proto_min, p_proto_max, p_build, current_setting('application_name'))
    returning n.gen into mine;
    gen := mine;
end $$;
