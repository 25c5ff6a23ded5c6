-- Members and ownership. The database is the authority; the ring is only a wish; the epoch is the last word.
-- No timestamp here is compared with a clock of another machine: liveness is a counter that moves.

-- One row: the total order of membership changes.
create table cluster.view (
    id         boolean not null primary key default true check (id),
    version    bigint  not null default 0,
    changed_at timestamptz not null default clock_timestamp()
);
insert into cluster.view default values;

-- One row for each incarnation of a process; a restart is a new gen, never reused.
create table cluster.node (
    gen              bigint generated always as identity primary key,
    name             text    not null check (length(name) between 1 and 200), -- its stable place in the ring
    api_addr         text    not null,
    link_addr        text    not null,
    state            text    not null check (state in ('joining', 'up', 'draining', 'dead', 'left')),
    cordoned         boolean not null default false,
    hb               bigint  not null default 0,
    weight           real    not null default 1 check (weight > 0),
    worker_slots     int     not null default 0 check (worker_slots >= 0),
    proto_min        int     not null,
    proto_max        int     not null,
    build            text    not null,
    application_name text    not null,  -- of its connections, so that a dead node's can be cut
    joined_at        timestamptz not null default clock_timestamp(),
    ended_at         timestamptz,
    ended_by         text
) with (fillfactor = 50);
create unique index node_one_live on cluster.node (name) where state in ('joining', 'up', 'draining');

create table cluster.suspicion (
    target_gen bigint not null references cluster.node on delete cascade,
    voter_gen  bigint not null,
    target_hb  bigint not null,
    at         timestamptz not null default clock_timestamp(),
    primary key (target_gen, voter_gen)
);

create table cluster.partition (
    partition int    not null primary key check (partition between 0 and 1023),
    owner_gen bigint references cluster.node,
    epoch     bigint not null default 0, -- the fencing number: +1 at every change of owner, never down
    since     timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
insert into cluster.partition (partition) select generate_series(0, 1023);
create index partition_owner on cluster.partition (owner_gen);

create table cluster.partition_log (
    partition int    not null,
    epoch     bigint not null,
    from_gen  bigint,
    to_gen    bigint,
    why       text   not null check (why in ('claim', 'release')),
    at        timestamptz not null default clock_timestamp(),
    primary key (partition, epoch)
);

-- The fence of every effect. It locks the partition's row until the transaction ends: a plain comparison lets an old
-- owner's write through when the takeover commits between the check and the write. SECURITY DEFINER because FOR SHARE
-- needs the right to update, which no tenant's transaction has.
create function cluster.fence(p_partition int, p_epoch bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from cluster.partition where partition = p_partition and epoch = p_epoch for share;
    return found;
end $$;
grant execute on function cluster.fence to starling_tenant, starling_fleet;

-- Whether this incarnation still takes part, for those who may not read the table.
create function cluster.is_live(p_gen bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from cluster.node where gen = p_gen and state in ('joining', 'up', 'draining'))
$$;
grant execute on function cluster.is_live to starling_tenant, starling_fleet;

create function cluster.node_name(p_gen bigint) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select name from cluster.node where gen = p_gen
$$;
grant execute on function cluster.node_name to starling_tenant, starling_fleet;

-- Takes a name. Where a live row has it, that row is ended first, if its counter still stands where the caller saw it
-- stand still. Answers the new gen, or null and who has the name.
create function cluster.join(
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
    values (p_name, p_api_addr, p_link_addr, 'joining', p_weight, p_worker_slots, p_proto_min, p_proto_max, p_build,
            current_setting('application_name'))
    returning n.gen into mine;
    gen := mine;
end $$;
grant execute on function cluster.join to starling_fleet;

-- One step of a node's own life, as part of a new view. False when it is no longer in the state it comes from.
create function cluster.set_state(p_gen bigint, p_from text[], p_to text) returns boolean language plpgsql as $$
begin
    perform from cluster.view for update;
    update cluster.node set
        state = p_to,
        ended_at = case when p_to = 'left' then clock_timestamp() end,
        ended_by = case when p_to = 'left' then 'itself' end
    where gen = p_gen and state = any (p_from);
    if not found then
        return false;
    end if;
    update cluster.view set version = version + 1, changed_at = clock_timestamp();
    return true;
end $$;
grant execute on function cluster.set_state to starling_fleet;

-- Takes a node out of placement, or back in, without ending it.
create function cluster.cordon(p_name text, p_cordoned boolean) returns boolean language plpgsql as $$
begin
    perform from cluster.view for update;
    update cluster.node set cordoned = p_cordoned
    where name = p_name and state in ('joining', 'up', 'draining') and cordoned <> p_cordoned;
    if found then
        update cluster.view set version = version + 1, changed_at = clock_timestamp();
    end if;
    return exists (select from cluster.node where name = p_name and state in ('joining', 'up', 'draining'));
end $$;
grant execute on function cluster.cordon to starling_fleet;

-- A heartbeat need not outlive a crash of the database, so its commit does not wait for the disk.
create function cluster.beat(p_gen bigint) returns boolean language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update cluster.node set hb = hb + 1 where gen = p_gen and state in ('joining', 'up', 'draining');
    return found;
end $$;
grant execute on function cluster.beat to starling_fleet;

-- A vote to end a node. p_hb is the counter value the voter has seen standing still (compare-and-set: a node that
-- beat meanwhile is not ended). Null means that the counter moves but peers cannot reach the node; then it always
-- takes two voters, in a small cluster too, so that a cut link between two nodes ends neither.
create function cluster.declare_dead(p_target bigint, p_hb bigint, p_voter bigint, p_votes int) returns boolean
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
    select count(*) into others from cluster.node where state in ('up', 'draining') and gen <> p_target;
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
grant execute on function cluster.declare_dead to starling_fleet;

-- Cuts the connections of a node that is no longer alive: one that was stopped inside a transaction may hold the lock
-- of a partition. Signalling needs a right that the owner may lack; then only lock_timeout bounds the wait.
create function cluster.cut_off(p_gen bigint) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    cut int;
begin
    select count(*) filter (where pg_terminate_backend(a.pid)) into cut
    from cluster.node n join pg_stat_activity a
      on a.application_name = n.application_name and a.datname = current_database() and a.pid <> pg_backend_pid()
    where n.gen = p_gen and n.state in ('dead', 'left') and n.application_name <> '';
    return cut;
exception when insufficient_privilege then
    return 0;
end $$;
grant execute on function cluster.cut_off to starling_fleet;

-- Takes a partition that nobody alive owns. Null when the epoch has moved on or its owner lives.
create function cluster.claim(p_partition int, p_seen_epoch bigint, p_me bigint) returns bigint language sql as $$
    with taken as (
        update cluster.partition p set owner_gen = p_me, epoch = p.epoch + 1, since = clock_timestamp()
        where p.partition = p_partition and p.epoch = p_seen_epoch
          and (p.owner_gen is null
               or exists (select from cluster.node n where n.gen = p.owner_gen and n.state in ('dead', 'left')))
          and exists (select from cluster.node m where m.gen = p_me and m.state = 'up')
        returning p.partition, p.epoch),
    logged as (
        insert into cluster.partition_log (partition, epoch, to_gen, why)
        select partition, epoch, p_me, 'claim' from taken)
    select epoch from taken
$$;
grant execute on function cluster.claim to starling_fleet;

create function cluster.release(p_partition int, p_epoch bigint, p_me bigint) returns boolean language sql as $$
    with given as (
        update cluster.partition set owner_gen = null, epoch = epoch + 1, since = clock_timestamp()
        where partition = p_partition and epoch = p_epoch and owner_gen = p_me
        returning partition, epoch),
    logged as (
        insert into cluster.partition_log (partition, epoch, from_gen, why)
        select partition, epoch, p_me, 'release' from given)
    select count(*) = 1 from given
$$;
grant execute on function cluster.release to starling_fleet;

grant select, update on cluster.view to starling_fleet;
grant select, insert, update on cluster.node, cluster.suspicion to starling_fleet;
grant select, update on cluster.partition to starling_fleet;
grant select, insert on cluster.partition_log to starling_fleet;
