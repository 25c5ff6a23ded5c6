-- Who may come in. The role that migrates owns everything and is used for nothing else.
--
--   starling_app     logs in, owns nothing, inherits nothing; every transaction picks one of the two below
--   starling_tenant  sees the rows of the tenant that the transaction names (app.tenant), by row-level security
--   starling_fleet   relay, sweeper, feeds, operators: its own policies on the tables it needs, no BYPASSRLS
--
-- Roles belong to the server, not to the database, and several databases of one server may migrate at once: a role
-- that another migration made meanwhile is as good as ours. (Advisory locks do not help: they belong to a database.)
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values ('starling_tenant', 'nologin'), ('starling_fleet', 'nologin'), ('starling_app', 'login'))
            as r(name, login)
    loop
        begin
            if not exists (select from pg_roles where rolname = wanted.name) then
                execute format('create role %I %s noinherit nosuperuser nobypassrls nocreatedb nocreaterole',
                               wanted.name, wanted.login);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;

    for attempt in 1..20 loop
        begin
            if not pg_has_role('starling_app', 'starling_tenant', 'member') then
                grant starling_tenant to starling_app;
            end if;
            if not pg_has_role('starling_app', 'starling_fleet', 'member') then
                grant starling_fleet to starling_app;
            end if;
            exit;
        exception when unique_violation or internal_error then -- "tuple concurrently updated"
            if attempt = 20 then
                raise;
            end if;
        end;
    end loop;
end $$;

-- No function is anybody's by default; each is granted to who needs it.
alter default privileges revoke execute on functions from public;

create schema authority;
create schema scanner;
create schema vuln;
create schema cluster;
create schema orchestrator;
grant usage on schema authority, scanner, vuln, cluster, orchestrator to starling_tenant, starling_fleet;

-- Walls a tenant's table in. The sub-select makes the setting an init plan, so that it stays an index condition.
create function authority.wall_in(walled regclass) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security', walled);
    execute format('alter table %s force row level security', walled);
    execute format(
        'create policy own_tenant on %s to starling_tenant
            using (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))
            with check (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))', walled);
end $$;

-- Lets the fleet through the wall of a table it needs; what it may do there is said by its grants.
create function authority.admit_fleet(walled regclass) returns void language plpgsql as $$
begin
    execute format('create policy whole_fleet on %s to starling_fleet using (true) with check (true)', walled);
end $$;

-- Every node checks at its start that the schema is the one it was built for.
do $$
begin
    if to_regclass('public._sqlx_migrations') is not null then
        grant select on public._sqlx_migrations to starling_fleet;
    end if;
end $$;
