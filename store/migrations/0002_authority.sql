-- Tenants, the tokens that speak for them, and the writes they have asked for.

create table authority.tenant (
    tenant_id    uuid not null primary key,
    name         text not null check (name ~ '^[a-z0-9][a-z0-9.-]{0,62}$'),
    state        text not null default 'active' check (state in ('active', 'suspended')),
    weight       real not null check (weight > 0 and weight <= 1000),
    max_queued   int  not null check (max_queued >= 0),
    max_inflight int  not null check (max_inflight >= 0),
    rate_per_s   real not null check (rate_per_s > 0),
    burst        int  not null check (burst > 0),
    created_at   timestamptz not null default clock_timestamp()
);
-- Only operators name tenants, so a name that is taken tells a tenant nothing.
create unique index tenant_name on authority.tenant (name);
select authority.wall_in('authority.tenant');
select authority.admit_fleet('authority.tenant');
grant select on authority.tenant to starling_tenant;
grant select, insert, update on authority.tenant to starling_fleet;

-- The system's own tenant: it owns the feeds and the operators' tokens, and never images.
insert into authority.tenant (tenant_id, name, weight, max_queued, max_inflight, rate_per_s, burst)
values ('00000000-0000-0000-0000-000000000000', 'system', 1, 0, 0, 50, 500);

create table authority.token (
    tenant_id   uuid not null references authority.tenant,
    token_id    uuid not null,
    label       text not null check (length(label) <= 200),
    scopes      text[] not null,
    secret_hash bytea not null check (length(secret_hash) = 32), -- sha256; the secret itself is kept nowhere
    created_at  timestamptz not null default clock_timestamp(),
    expires_at  timestamptz,
    revoked_at  timestamptz,
    primary key (tenant_id, token_id)
);
-- A token's text says its id, not its tenant.
create index token_by_id on authority.token (token_id);
select authority.wall_in('authority.token');
select authority.admit_fleet('authority.token');
grant select, insert, update on authority.token to starling_fleet;

-- The same request with the same body gets the same answer again (AIP-155). Kept for 24 hours.
create table authority.request (
    tenant_id    uuid  not null references authority.tenant,
    method       text  not null,
    request_id   uuid  not null,
    request_hash bytea not null,
    response     bytea not null,
    at           timestamptz not null default clock_timestamp(),
    primary key (tenant_id, method, request_id)
);
create index request_age on authority.request (at);
select authority.wall_in('authority.request');
select authority.admit_fleet('authority.request');
grant select, insert on authority.request to starling_tenant, starling_fleet;
grant delete on authority.request to starling_fleet;
